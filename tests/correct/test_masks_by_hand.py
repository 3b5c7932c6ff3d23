"""Masks by hand: shares of the expectation that make shadow, water of both dates, patch sizes, and whole looks."""

import numpy as np
import pytest
from scipy import ndimage

from pipeline.correct.look import MAX_HAZE, MIN_DROP, MIN_LEVEL, _find_outlier, _visible_aoi, make_unregistered
from pipeline.correct.masks import (
    EDGE_DARK,
    MIN_EXPECTED_INFRARED,
    MIN_SHADOW_PX,
    SATURATED_REFLECTANCE,
    SCL_DARK,
    SCL_RISE,
    SCL_SHADOW,
    SCL_SNOW,
    SCL_WATER,
    SURE_DARK,
    SURE_RISE,
    _drop_small,
    buffer_clouds,
    classify_pixels,
)
from pipeline.correct.reference import Reference, UnregisteredImage
from pipeline.model.bands import Band
from pipeline.model.imagery import Reason, Rejection, Why
from pipeline.model.settings import Settings
from pipeline.numerics.robust import TUKEY_C, centre_spread, tukey_weights
from tests.correct.scenery import BANDS, GRID, SIZE, chip, ground, patch

PLACE, CORE = patch(30, 30, 24, 24), patch(36, 36, 12, 12)
INFRARED = np.isin(np.arange(5), (3, 4))


def darker(share: float, before: np.ndarray | None = None) -> np.ndarray:
    values = (ground() if before is None else before).copy()
    values[np.ix_(INFRARED, *np.nonzero(PLACE.any(axis=1)), *np.nonzero(PLACE.any(axis=0)))] *= share
    return values


def flagged(values: np.ndarray, flag: Why, scl: int | None = None, before: np.ndarray | None = None) -> float:
    """Share of the middle of the place that has a flag against the history."""
    classes = None if scl is None else np.where(PLACE, scl, 4).astype(np.uint8)
    why = classify_pixels(values, BANDS, classes, ground() if before is None else before)
    return float(((why[CORE] & np.uint8(flag)) > 0).mean())


@pytest.mark.parametrize(("share", "scl", "expected"), [
    (SURE_DARK - 0.04, None, 1.0), (SURE_DARK + 0.04, None, 0.0), (SCL_DARK - 0.03, SCL_SHADOW, 1.0),
    (SCL_DARK + 0.03, SCL_SHADOW, 0.0), (SCL_DARK - 0.03, 4, 0.0),
])  # fmt: skip
def test_shadow_is_a_share_of_the_expectation_and_less_where_the_classes_say_so(
    share: float, scl: int | None, expected: float
) -> None:
    assert flagged(darker(share), Why.SHADOW, scl) == expected


def test_the_edge_of_a_shadow_belongs_to_it_and_one_bright_band_is_none() -> None:
    values = darker(EDGE_DARK - 0.04)
    assert flagged(values, Why.SHADOW) == 0
    deep = patch(30, 30, 24, 6)
    values[3:, deep] *= 0.6
    assert flagged(values, Why.SHADOW) == 1
    values[4] = ground()[4]
    assert flagged(values, Why.SHADOW) == 0


def test_ground_expected_to_be_dark_and_specks_are_no_shadow() -> None:
    dim = ground()
    dim[3:, PLACE] = 0.8 * MIN_EXPECTED_INFRARED
    assert flagged(darker(0.3, dim), Why.SHADOW, before=dim) == 0
    labels = patch(10, 10, 3, 4) | patch(40, 40, 3, 4) & ~patch(40, 40, 1, 1)
    kept = _drop_small(labels, MIN_SHADOW_PX)
    assert MIN_SHADOW_PX == 12 and kept[10:13, 10:14].all() and not kept[40:43].any()
    assert not _drop_small(np.zeros_like(labels), 3).any()


@pytest.mark.parametrize(("rise", "scl", "expected"), [
    (1.15 * SURE_RISE, None, 1.0), (0.85 * SURE_RISE, None, 0.0), (1.3 * SCL_RISE, 9, 1.0),
    (0.7 * SCL_RISE, 9, 0.0), (1.3 * SCL_RISE, 4, 0.0),
])  # fmt: skip
def test_cloud_is_a_rise_above_the_expectation_and_less_where_the_classes_say_so(
    rise: float, scl: int | None, expected: float
) -> None:
    values = ground()
    values[:3, PLACE] += rise
    assert flagged(values, Why.CLOUD, scl) == pytest.approx(expected, abs=0.1)


def test_a_rise_in_red_far_more_than_in_blue_is_soil() -> None:
    for blue, expected in ((0.07, 1.0), (0.05, 0.0)):
        values = ground()
        values[:3, PLACE] += np.array([blue, 0.1, 0.1])[:, None]
        assert flagged(values, Why.CLOUD) == expected


def test_without_infrared_or_short_wave_the_classes_alone_show_shadow_water_and_snow() -> None:
    values, visible = ground()[:3], BANDS[:3]
    for scl, flag in ((SCL_SHADOW, Why.SHADOW), (SCL_WATER, Why.WATER), (SCL_SNOW, Why.SNOW)):
        classes = np.where(PLACE, scl, 4).astype(np.uint8)
        for before in (None, values):
            why = classify_pixels(values, visible, classes, before)
            assert ((why & np.uint8(flag)) > 0)[PLACE].all() and not ((why & np.uint8(flag)) > 0)[~PLACE].any()
            assert not (classify_pixels(values, visible, None, before) & np.uint8(flag)).any()


def test_water_without_a_history_needs_the_classes_where_they_are_given() -> None:
    values = ground()
    values[:, PLACE] = np.array([0.05, 0.05, 0.03, 0.02, 0.01])[:, None]
    for scl, expected in ((None, True), (SCL_WATER, True), (4, False)):
        classes = None if scl is None else np.full((SIZE, SIZE), scl, np.uint8)
        found = (classify_pixels(values, BANDS, classes) & np.uint8(Why.WATER)) > 0
        assert found[PLACE].all() == expected and not found[~PLACE].any()


def test_saturation_is_that_of_the_brightest_band() -> None:
    values = ground()
    values[2, 5, 5], values[2, 9, 9] = 1.01 * SATURATED_REFLECTANCE, 0.99 * SATURATED_REFLECTANCE
    found = (classify_pixels(values, BANDS, None, ground()) & np.uint8(Why.SATURATED)) > 0
    assert np.argwhere(found).tolist() == [[5, 5]]


@pytest.mark.parametrize("flag", [Why.CLOUD, Why.SHADOW])
def test_a_buffer_reaches_as_far_as_its_radius_and_flags_only_usable_ground(flag: Why) -> None:
    why = patch(40, 40, 10, 10) * np.uint8(flag)
    why[40:50, 52] = np.uint8(Why.WATER)
    found = buffer_clouds(why, 40.0, 10.0)
    away = ndimage.distance_transform_edt(why != flag)
    expected = (away > 0) & (away <= 4) & (why == 0)
    np.testing.assert_array_equal(found == Why.BUFFER, expected)
    np.testing.assert_array_equal(found[why > 0], why[why > 0])
    np.testing.assert_array_equal(buffer_clouds(why, 9.0, 10.0), why)
    assert (buffer_clouds(why, 10.0, 10.0) == Why.BUFFER).sum() == 40
    thin = patch(40, 40, 2, 30) * np.uint8(flag)
    np.testing.assert_array_equal(buffer_clouds(thin, 40.0, 10.0), thin)


def test_a_look_far_above_or_below_its_history_is_unlike_it() -> None:
    usual, clear = np.full((3, 8, 8), 0.1, np.float32), np.ones((8, 8), bool)
    bands = (Band.B02, Band.B04, Band.B08)
    hazy = usual + np.array([MAX_HAZE + 0.001, 0, 0], np.float32)[:, None, None]
    found = _find_outlier(hazy, hazy, usual, clear, bands)
    assert found is not None and found[:2] == (pytest.approx(MAX_HAZE + 0.001), MAX_HAZE) and "B02" in found[2]
    assert _find_outlier(hazy - 0.002, hazy - 0.002, usual, clear, bands) is None
    dark = usual * np.array([1, 0.99 * MIN_LEVEL, 1], np.float32)[:, None, None]
    found = _find_outlier(dark, dark, usual, clear, bands)
    assert found is not None and found[:2] == (pytest.approx(0.99 * MIN_LEVEL), MIN_LEVEL) and "B04" in found[2]
    for other in (dark * 1.05, usual * np.array([1, 1, 0.1], np.float32)[:, None, None]):
        assert _find_outlier(other, other, usual, clear, bands) is None, "above the limit; leaves fall"
    faint = usual * 0.99 * MIN_DROP / (1 - 0.4) / 0.1
    assert _find_outlier(0.4 * faint, 0.4 * faint, faint, clear, bands) is None, "so little may be noise"
    order = (Band.B08, Band.B04, Band.B02)
    assert _find_outlier(hazy[::-1], hazy[::-1], usual, clear, order) is not None


def test_concrete_on_most_of_a_site_is_no_haze() -> None:
    usual, clear = np.full((3, 10, 10), 0.1, np.float32), np.ones((10, 10), bool)
    built = usual.copy()
    built[:, :7] += 0.15
    bands = (Band.B02, Band.B04, Band.B08)
    assert _find_outlier(built, built, usual, clear, bands) is None
    assert _find_outlier(built + MAX_HAZE + 0.01, built, usual, clear, bands) is not None, "and haze over it"
    cloudy = np.where(np.arange(10) < 7, 0.6, 0.1) * np.ones((3, 10, 10), np.float32)
    assert _find_outlier(cloudy, usual, usual, clear & (np.arange(10) >= 7), bands) is None, "only clear pixels count"


def test_the_area_that_counts_is_what_the_source_ever_shows() -> None:
    values = ground().astype(np.float32)
    values[:, :50] = np.nan
    made = Reference(grid=GRID, bands=BANDS, reflectance=values, scenes=("a",))
    found = _visible_aoi(PLACE, made)
    np.testing.assert_array_equal(found, PLACE & (np.arange(SIZE) >= 50)[:, None])
    np.testing.assert_array_equal(_visible_aoi(patch(0, 0, 20, 20), made), patch(0, 0, 20, 20))


def test_a_scene_that_shows_hardly_any_of_the_grid_is_refused_with_its_share() -> None:
    values = ground()
    values[:, 11:] = np.nan
    found = make_unregistered(chip(values, 0), GRID, BANDS, Settings())
    assert isinstance(found, Rejection) and found.reason is Reason.NODATA
    assert found.limit == pytest.approx(900 / SIZE**2) and found.value is not None and found.value < found.limit
    values[:, :16] = ground()[:, :16]
    assert isinstance(make_unregistered(chip(values, 0), GRID, BANDS, Settings()), UnregisteredImage)


def test_robust_spread_and_weights_are_those_of_the_textbook() -> None:
    centre, spread = centre_spread(np.array([1.0, 2, 3, 4, np.nan, 90]))
    assert (centre, spread) == (3.0, pytest.approx(1.4826))
    np.testing.assert_allclose(centre_spread(np.array([[1.0, 2, 3], [0, 0, 9]]), axis=1), [[2, 0], [1.4826, 0]])
    assert np.isnan(centre_spread(np.array([np.nan]))).all()
    weights = tukey_weights(np.array([0.0, TUKEY_C, -TUKEY_C / 2, 2 * TUKEY_C, np.nan]) * 0.01, 0.01)
    np.testing.assert_allclose(weights, [1, 0, 0.5625, 0, 0], atol=1e-12)
    assert tukey_weights(np.array([0.0, 1e-9]), 0.0).tolist() == [1.0, 0.0]
