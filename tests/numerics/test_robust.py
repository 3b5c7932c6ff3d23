import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.numerics.robust import (
    LONG,
    centre_spread,
    median,
    median_of,
    nan_to_zero,
    tukey_weights,
    worst_band_weights,
)

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
    found = nan_to_zero(values)
    assert found.dtype == kind and np.array_equal(found, np.where(np.isfinite(values), values, 0))
    assert nan_to_zero(found) is found


@given(st.integers(0, 99), st.sampled_from([1.0, 1.5]))
def test_the_weight_by_the_worst_band_is_the_least_of_all_bands_bit_for_bit(seed, widen):
    residual = np.random.default_rng(seed).normal(0, 0.01, (3, 50)) * np.array([[1.0], [3.0], [1e-6]])
    residual[0, :9] += 0.02
    bands = [(row, *centre_spread(row)) for row in residual]
    least = np.min([tukey_weights(row - c, widen * max(float(s), 1e-3)) for row, c, s in bands], axis=0)
    assert np.array_equal(worst_band_weights(residual, 1e-3, widen), least)


def test_a_biweight_falls_from_one_to_zero_at_its_cut_off():
    assert tukey_weights(np.array([0.0, 0.5, 1.0, -1.0, 7.0, np.nan]) * 4.685, 1.0).tolist() == [1, 0.5625, 0, 0, 0, 0]
