import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.numerics.morphology import dilate, erode, open_mask, reconstruct


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


@given(masks(), st.sampled_from([0.0, 1.0, 1.5, 2.9, 5.0, 10.0, 40.0]))
def test_a_mask_is_widened_as_far_as_the_distance_transform_says(mask, radius):
    expected = ndimage.distance_transform_edt(~mask) <= radius if mask.any() else mask
    assert np.array_equal(dilate(mask, radius), expected)


@given(masks(), st.integers(0, 99))
def test_a_seed_grows_as_far_as_its_part_of_the_mask(mask, seed):
    first = mask & (np.random.default_rng(seed).random(mask.shape) < 0.1)
    assert np.array_equal(reconstruct(first, mask), ndimage.binary_propagation(first, mask=mask))
