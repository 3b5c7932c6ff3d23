"""Gaussians and splines by products: what scipy gives, which takes longer."""

import numpy as np
import pytest
from scipy import ndimage

from pipeline.numerics.smoothing import BLOCK, gaussian, spline_coefficients

SINGLE = 1e-6
"""Single precision, sums of up to a hundred products of values about 1."""


@pytest.mark.parametrize("sigma", [0.7, 1.3, 6.0, 12.5])
@pytest.mark.parametrize("shape", [(1, 70), (5, 9), (BLOCK, BLOCK), (3 * BLOCK + 1, 2 * BLOCK - 1)])
def test_a_smoothed_image_is_that_of_scipy(shape: tuple[int, int], sigma: float) -> None:
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    for mirrored, mode in ((True, "reflect"), (False, "constant")):
        wanted = ndimage.gaussian_filter(image.astype(np.float64), sigma, truncate=3.0, mode=mode)
        assert np.abs(gaussian(image, sigma, 3.0, mirrored) - wanted).max() < SINGLE


def test_a_stack_is_smoothed_plane_by_plane() -> None:
    stack = np.random.default_rng(2).normal(size=(3, 40, 50))
    found = gaussian(stack, 1.0)
    assert found.shape == stack.shape and found.dtype == np.float32
    assert all(np.array_equal(each, gaussian(plane, 1.0)) for each, plane in zip(found, stack, strict=True))


@pytest.mark.parametrize("shape", [(1, 70), (2, 3), (5, 9), (BLOCK, BLOCK), (3 * BLOCK + 1, 2 * BLOCK - 1)])
def test_spline_coefficients_are_those_of_scipy(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    wanted = ndimage.spline_filter(image.astype(np.float64), order=3, mode="mirror")
    found = spline_coefficients(image)
    assert found.dtype == np.float32 and np.abs(found - wanted).max() < 5 * SINGLE, "they are up to 9 times as large"
