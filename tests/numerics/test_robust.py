import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.numerics.robust import LONG, median, median_of, zeroed

KINDS = st.sampled_from([np.float32, np.float64])


@given(st.integers(1, 3 * LONG), st.integers(0, 99), KINDS)
def test_the_median_is_that_of_numpy_bit_for_bit(count, seed, kind):
    values = np.random.default_rng(seed).normal(size=count).astype(kind)
    assert median_of(values) == np.median(values) and median_of(values).dtype == kind
    values[count // 3] = np.nan
    assert np.isnan(median_of(values))


@pytest.mark.parametrize("length", [5, LONG, LONG + 1, 4 * LONG])
def test_a_median_along_an_axis_leaves_out_what_is_not_known(length):
    lines = np.random.default_rng(0).normal(size=(3, 2, length)).astype(np.float32)
    assert np.array_equal(median(lines, 2), np.median(lines, axis=2))
    assert np.array_equal(median(lines.T, 0), np.median(lines.T, axis=0))
    lines[0, 1, ::2] = np.nan
    lines[2, 0] = np.nan
    expected = [[np.nanmedian(line) if np.isfinite(line).any() else np.nan for line in plane] for plane in lines]
    assert np.array_equal(median(lines, 2), np.array(expected, np.float32), equal_nan=True)


@given(st.integers(0, 99), KINDS)
def test_what_is_not_finite_becomes_zero_and_the_rest_stays(seed, kind):
    values = np.random.default_rng(seed).normal(size=(4, 5)).astype(kind)
    values[1, 2], values[3, 0] = np.nan, -np.inf
    found = zeroed(values)
    assert found.dtype == kind and np.array_equal(found, np.where(np.isfinite(values), values, 0))
