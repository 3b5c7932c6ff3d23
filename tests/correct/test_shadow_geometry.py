"""Shadows without a history: dark against the surroundings, at one displacement, in the direction of the sun."""

import numpy as np
import pytest
from scipy import ndimage

from pipeline.correct.shadows import (
    DARK_SHARE,
    _count_overlaps,
    _find_dark,
    _find_displacement,
    _median_filter,
    _shift_mask,
    project_shadow,
)
from pipeline.model.bands import Band

SIDE, PIXEL_M = 80, 10.0
CLOUD = np.zeros((SIDE, SIDE), bool)
CLOUD[40:52, 40:54] = True
ALL = np.ones((SIDE, SIDE), bool)


def scene(down: int, right: int, share: float = 0.4) -> dict[Band, np.ndarray]:
    """Near infrared of 0.3, darker where the cloud casts its shadow."""
    infrared = np.full((SIDE, SIDE), 0.3)
    infrared[_shift_mask(CLOUD, down, right)] *= share
    return {Band.B08: infrared, Band.B11: infrared}


def test_a_mask_moves_by_rows_and_columns_and_off_the_chip() -> None:
    assert np.argwhere(_shift_mask(CLOUD, 5, -7)).min(axis=0).tolist() == [45, 33]
    assert np.argwhere(_shift_mask(CLOUD, -40, 26)).max(axis=0).tolist() == [11, 79]
    assert not _shift_mask(CLOUD, SIDE, 0).any() and not _shift_mask(CLOUD, 0, -SIDE).any()
    np.testing.assert_array_equal(_shift_mask(CLOUD, 0, 0), CLOUD)


def test_overlaps_are_counted_for_every_displacement() -> None:
    mask = np.random.default_rng(1).random((SIDE, SIDE)) < 0.3
    hits, seen = _count_overlaps(CLOUD, (mask, ALL), [6, 9])
    assert hits.shape == (13, 19)
    for down, right in ((0, 0), (-6, 9), (4, -8)):
        moved = _shift_mask(CLOUD, down, right)
        assert hits[6 + down, 9 + right] == pytest.approx((moved & mask).sum(), abs=1e-3)
        assert seen[6 + down, 9 + right] == pytest.approx(moved.sum(), abs=1e-3)


@pytest.mark.parametrize(("down", "right"), [(-22, 14), (16, -20), (0, 24), (-24, 0)])
def test_the_displacement_is_that_of_the_shadow(down: int, right: int) -> None:
    dark, ground = _shift_mask(CLOUD, down, right) & ~CLOUD, ~CLOUD
    assert _find_displacement(CLOUD, dark, ground, None, PIXEL_M) == (down, right)
    azimuth = float(np.rad2deg(np.arctan2(right, -down))) + 180
    assert _find_displacement(CLOUD, dark, ground, (40.0, azimuth + 15), PIXEL_M) == (down, right)
    found = _find_displacement(CLOUD, dark, ground, (40.0, azimuth + 180), PIXEL_M)
    assert found is None or found != (down, right), "the sun stands on the other side of the cloud"


def test_no_displacement_brings_clouds_onto_ground_that_is_nowhere_dark_or_dark_everywhere() -> None:
    assert _find_displacement(CLOUD, np.zeros_like(CLOUD), ~CLOUD, None, PIXEL_M) is None
    assert _find_displacement(CLOUD, ~CLOUD, ~CLOUD, None, PIXEL_M) is None
    speckled = (np.random.default_rng(2).random(CLOUD.shape) < 0.3) & ~CLOUD
    assert _find_displacement(CLOUD, speckled, ~CLOUD, None, PIXEL_M) is None
    assert _find_displacement(CLOUD, speckled, np.zeros_like(CLOUD), None, PIXEL_M) is None


def test_a_shadow_beside_its_cloud_within_two_pixels_or_out_of_reach_is_not_sought() -> None:
    small = np.zeros_like(CLOUD)
    small[40, 40] = True
    for down, metres, expected in ((1, 10.0, None), (2, 10.0, (2, 0)), (20, 10.0, (20, 0)), (20, 160.0, None)):
        assert _find_displacement(small, _shift_mask(small, down, 0), ~small, None, metres) == expected


def test_ground_is_dark_against_what_surrounds_it() -> None:
    infrared = np.full((SIDE, SIDE), 0.4)
    infrared[:, 40:] = 0.2
    infrared[20:26, 10:16], infrared[60:66, 60:66] = 0.4 * 0.9 * DARK_SHARE, 0.2 * 0.9 * DARK_SHARE
    infrared[40:46, 10:16] = 0.4 * 1.1 * DARK_SHARE
    infrared[70, 10] = 0.01
    found = _find_dark(infrared.astype(np.float32), ALL, 30.0)
    assert found[21:25, 11:15].all() and not found[40:46, 10:16].any()
    assert not found[70, 10], "a single pixel is no shadow"
    ground = ALL.copy()
    ground[20:26, 10:16] = False
    assert not _find_dark(infrared.astype(np.float32), ground, 30.0)[20:26, 10:16].any()


@pytest.mark.parametrize("sun", [None, (40.0, 212.5)])
def test_the_shadow_of_a_cloud_is_found_and_a_dark_field_elsewhere_is_none(sun: tuple[float, float] | None) -> None:
    plane = scene(-22, 14)
    for each in plane.values():
        each[70:76, 4:10] = 0.1
    found = project_shadow(plane, CLOUD, ALL, sun, PIXEL_M)
    shadow = _shift_mask(CLOUD, -22, 14)
    assert found[shadow].mean() > 0.9 and not found[70:76, 4:10].any()
    assert not (found & ~shadow & ~CLOUD).any()


def test_without_cloud_infrared_or_ground_there_is_no_shadow() -> None:
    plane = scene(-22, 14)
    for found in (
        project_shadow(plane, np.zeros_like(CLOUD), ALL, None, PIXEL_M),
        project_shadow({Band.B02: plane[Band.B08]}, CLOUD, ALL, None, PIXEL_M),
        project_shadow(plane, CLOUD, CLOUD, None, PIXEL_M),
        project_shadow(scene(-22, 14, 1.0), CLOUD, ALL, None, PIXEL_M),
    ):
        assert found.shape == CLOUD.shape and not found.any()


def test_all_infrared_bands_together_have_to_be_dark() -> None:
    plane = scene(-22, 14, 0.5)
    plane[Band.B11] = np.full((SIDE, SIDE), 0.3)
    assert not project_shadow(plane, CLOUD, ALL, None, PIXEL_M).any()


@pytest.mark.parametrize(("shape", "width"), [((26, 31), 19), ((9, 40), 31), ((1, 1), 3)])
def test_the_median_of_the_surroundings_is_that_of_scipy(shape: tuple[int, int], width: int) -> None:
    image = np.random.default_rng(3).random(shape).astype(np.float32)
    assert np.array_equal(_median_filter(image, width), ndimage.median_filter(image, width, mode="reflect"))
