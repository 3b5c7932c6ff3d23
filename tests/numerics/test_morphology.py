import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.numerics.morphology import erode, open_mask


def masks():
    sides = st.integers(1, 30)
    return st.builds(
        lambda rows, cols, share, seed: np.random.default_rng(seed).random((rows, cols)) < share,
        sides, sides, st.floats(0.1, 0.99), st.integers(0, 99),
    )  # fmt: skip


@given(masks(), st.integers(1, 3), st.booleans())
def test_a_mask_is_eroded_as_scipy_does_it(mask, steps, beyond):
    expected = ndimage.binary_erosion(mask, iterations=steps, border_value=beyond)
    assert np.array_equal(erode(mask, steps, beyond), expected)


@given(masks())
def test_a_mask_is_opened_as_scipy_does_it(mask):
    assert np.array_equal(open_mask(mask), ndimage.binary_opening(mask, np.ones((3, 3))))


@pytest.mark.parametrize("shape", [(2, 9), (9, 2)])
def test_what_is_narrower_than_the_square_opens_to_nothing(shape):
    assert not open_mask(np.ones(shape, bool)).any()
