"""Tests of single spectra: haze, overcast, snow, water, dark infrared; and means over known pixels."""

import numpy as np
import pytest

from pipeline.correct.spectra import (
    CLEAR_HAZE,
    HAZE_RISE,
    OVERCAST_LEVEL,
    bluest_band,
    find_haze,
    find_snow,
    find_water,
    infrared_ratio,
    is_overcast,
    smooth_all,
    smooth_known,
    split_bands,
)
from pipeline.model.bands import Band

SIDE = 40
ALL = np.ones((SIDE, SIDE), bool)
HALF = np.zeros((SIDE, SIDE), bool)
HALF[:, :20] = True


def plane(**levels: float | np.ndarray) -> dict[Band, np.ndarray]:
    """Planes of one reflectance, or of the values given."""
    return {
        Band(name): np.broadcast_to(np.asarray(value, float), (SIDE, SIDE)).copy() for name, value in levels.items()
    }


def one(found: np.ndarray | None) -> bool:
    """The answer of planes of one level."""
    assert found is not None and (found == found[0, 0]).all()
    return bool(found[0, 0])


def test_planes_are_named_by_their_band_and_the_bluest_is_the_shortest_wave() -> None:
    values = np.arange(8.0).reshape(2, 2, 2)
    found = split_bands((Band.B04, Band.B03), values)
    np.testing.assert_array_equal(found[Band.B03], values[1])
    assert bluest_band(found) is Band.B03
    with pytest.raises(ValueError):
        split_bands((Band.B04,), values)


def test_a_mean_is_over_known_pixels_alone_and_nothing_where_none_is_near() -> None:
    image = np.where(HALF, 2.0, 1e6)
    found = smooth_known(image, HALF, 1.5)
    np.testing.assert_allclose(found[:, :20], 2.0, rtol=1e-5)
    assert (found[:, 30:] == 0).all()
    both = smooth_all([image, 3 * image], HALF, 1.5)
    np.testing.assert_allclose(both[1], 3 * both[0], rtol=1e-5)


def test_cloud_is_blue_above_the_clear_ground_of_the_scene_and_white() -> None:
    clear, cloud = {"B02": 0.08, "B03": 0.1, "B04": 0.12}, {"B02": 0.3, "B03": 0.3, "B04": 0.3}
    scene = plane(
        **{name: np.where(HALF & (np.indices(ALL.shape)[0] < 15), cloud[name], clear[name]) for name in clear}
    )
    found = find_haze(scene, ALL)
    assert found[:12, :17].all() and not found[:, 24:].any() and not found[20:].any()
    roof = {"B02": 0.4, "B03": 0.2, "B04": 0.1}
    scene = plane(**{name: np.where(HALF & (np.indices(ALL.shape)[0] < 15), roof[name], clear[name]) for name in clear})
    assert not find_haze(scene, ALL).any(), "a blue roof is not white"
    assert not find_haze(plane(**cloud), ~ALL).any()


def test_a_scene_that_is_all_haze_does_not_pass_for_clear_ground() -> None:
    level = 2 * (CLEAR_HAZE + HAZE_RISE)
    for factor, expected in ((0.98, False), (1.02, True)):
        assert one(find_haze(plane(B02=factor * level, B03=factor * level, B04=factor * level), ALL)) is expected


def test_without_red_cloud_is_what_is_bright_in_the_bluest_band() -> None:
    assert one(find_haze(plane(B02=0.26, B03=0.1), ALL)) and not one(find_haze(plane(B02=0.24, B03=0.9), ALL))
    assert one(find_haze(plane(B04=0.26, B08=0.1), ALL)) and not one(find_haze(plane(B04=0.24, B08=0.9), ALL))


def veil(level: float, texture: float = 0.0, red: float = 1.0) -> dict[Band, np.ndarray]:
    noise = np.random.default_rng(1).normal(0, texture, ALL.shape)
    return plane(B02=level + noise, B03=level + noise, B04=red * level + noise)


def test_a_chip_is_overcast_where_it_is_bright_plain_and_white() -> None:
    assert is_overcast(veil(0.2), ALL)
    assert not is_overcast(veil(0.9 * OVERCAST_LEVEL), ALL) and is_overcast(veil(1.1 * OVERCAST_LEVEL), ALL)
    assert not is_overcast(veil(0.2, texture=0.01), ALL), "texture is ground"
    assert is_overcast(veil(0.2, texture=0.002), ALL)
    assert not is_overcast(veil(0.2, red=1.3), ALL), "plain sand is redder than cloud"
    assert is_overcast(veil(0.2, red=1.1), ALL)


def test_only_known_ground_decides_whether_a_chip_is_overcast() -> None:
    rough = np.random.default_rng(2).uniform(0, 1, ALL.shape)
    mixed = {band: np.where(HALF, values, rough) for band, values in veil(0.2).items()}
    assert is_overcast(mixed, HALF) and not is_overcast(mixed, ~HALF)
    assert not is_overcast(veil(0.2), ~ALL) and not is_overcast(plane(B08=0.3), ALL)
    single = np.zeros(ALL.shape, bool)
    single[3, 4] = True
    assert not is_overcast(veil(0.2), single), "a single pixel has no texture that could be missing"


def test_texture_along_rows_or_columns_alone_is_ground_too() -> None:
    for axis in (0, 1):
        stripes = 0.2 + 0.05 * (np.indices(ALL.shape)[axis] // 2 % 2)
        assert not is_overcast(plane(B02=stripes, B03=stripes, B04=stripes), ALL)


@pytest.mark.parametrize(
    ("green", "swir", "near", "expected"),
    [(0.6, 0.1, 0.5, True), (0.6, 0.3, 0.5, False), (0.14, 0.02, 0.2, False), (0.16, 0.02, 0.2, True),
     (0.3, 0.02, 0.1, False), (0.1, 0.6, 0.5, False)],
)  # fmt: skip
def test_snow_is_bright_in_green_and_near_infrared_and_dark_in_the_short_wave(
    green: float, swir: float, near: float, expected: bool
) -> None:
    assert one(find_snow(plane(B03=green, B11=swir, B08=near))) is expected
    assert one(find_snow(plane(B03=green, B11=swir, B8A=near))) is expected


def test_snow_and_water_cannot_be_seen_without_their_bands() -> None:
    assert find_snow(plane(B03=0.6, B08=0.5)) is None and find_snow(plane(B11=0.1, B08=0.5)) is None
    assert one(find_snow(plane(B03=0.6, B11=0.1))), "green stands in for the near infrared"
    assert find_water(plane(B03=0.1)) is None and find_water(plane(B08=0.01)) is None


@pytest.mark.parametrize(
    ("green", "near", "swir", "expected"),
    [(0.06, 0.03, 0.01, True), (0.03, 0.06, 0.01, False), (0.2, 0.15, 0.01, False), (0.06, 0.03, 0.08, False)],
)
def test_water_is_green_above_a_dark_near_infrared(green: float, near: float, swir: float, expected: bool) -> None:
    assert one(find_water(plane(B03=green, B08=near, B11=swir))) is expected
    assert one(find_water(plane(B03=green, B8A=near, B11=swir))) is expected
    assert one(find_water(plane(B03=green, B08=near))) is (expected or swir > green)


def test_shadow_darkens_all_infrared_bands() -> None:
    before = plane(B08=0.4, B11=0.2, B04=0.1)
    ratio = infrared_ratio(plane(B08=0.1, B11=0.15, B04=0.1), before)
    assert ratio is not None
    np.testing.assert_allclose(ratio, 0.75)
    floor = infrared_ratio(plane(B08=0.015), plane(B08=0.001))
    assert floor is not None
    np.testing.assert_allclose(floor, 0.5, rtol=1e-6)
    assert infrared_ratio(plane(B04=0.1), before) is None
