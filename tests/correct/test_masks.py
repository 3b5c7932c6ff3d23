"""Masks: cloud, shadow, snow, water, nodata and saturation are told apart, with a history and without."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning
from scipy import ndimage

from pipeline.correct.masks import buffer_clouds, classify_pixels
from pipeline.model.bands import Band
from pipeline.model.imagery import Why
from tests.correct.scenery import BANDS, CLOUD, ROOF, SIZE, ground, painted, patch

CLOUDY = patch(20, 50, 22, 26)


def share(why: np.ndarray, flag: Why, where: np.ndarray) -> float:
    return float(((why[where] & np.uint8(flag)) > 0).mean())


def test_clear_ground_is_usable_with_and_without_history() -> None:
    values = ground()
    assert (classify_pixels(values, BANDS, None) == 0).mean() > 0.98
    assert (classify_pixels(values, BANDS, None, values) == 0).all()


@pytest.mark.parametrize("history", [True, False])
def test_a_cloud_is_found_without_scl(history: bool) -> None:
    values = painted(ground(), CLOUD, CLOUDY, 2.0)
    why = classify_pixels(values, BANDS, None, ground() if history else None)
    assert share(why, Why.CLOUD, ndimage.binary_erosion(CLOUDY, iterations=2)) == 1
    assert share(why, Why.CLOUD, ~ndimage.binary_dilation(CLOUDY, iterations=9)) < 0.01


def test_thin_cloud_that_scl_calls_clear_is_found_against_the_history() -> None:
    values = ground() + 0.06 * ndimage.gaussian_filter(CLOUDY.astype(float), 4)
    why = classify_pixels(values, BANDS, np.full((SIZE, SIZE), 4, np.uint8), ground())
    assert share(why, Why.CLOUD, ndimage.binary_erosion(CLOUDY, iterations=5)) == 1


def test_the_shadow_lies_where_all_clouds_cast_it_and_dark_ground_elsewhere_is_none() -> None:
    values = painted(ground(), CLOUD, CLOUDY)
    cast = np.roll(CLOUDY, (24, -18), (0, 1)) & ~CLOUDY
    dark = patch(5, 5, 6, 6)
    values[:, cast | dark] *= np.array([0.8, 0.7, 0.6, 0.35, 0.3])[:, None]
    why = classify_pixels(values, BANDS, None)
    assert share(why, Why.SHADOW, ndimage.binary_erosion(cast, iterations=2)) > 0.9
    assert share(why, Why.SHADOW, dark) == 0


def test_shadow_is_dark_against_the_history_and_a_slope_that_is_always_dark_is_not() -> None:
    before, cast, slope = ground(), patch(60, 10, 20, 25), patch(10, 10, 20, 25)
    before[:, slope] *= 0.35
    values = before.copy()
    values[:, cast] *= np.array([0.8, 0.7, 0.6, 0.35, 0.3])[:, None]
    scl = np.where(slope, 3, 4).astype(np.uint8)
    why = classify_pixels(values, BANDS, scl, before)
    assert share(why, Why.SHADOW, cast) > 0.9
    assert share(why, Why.SHADOW, slope) == 0


def test_scl_is_no_judge_of_a_roof_that_has_always_been_there() -> None:
    roof = patch(40, 40, 8, 8)
    values = painted(ground(), ROOF, roof)
    why = classify_pixels(values, BANDS, np.where(roof, 9, 5).astype(np.uint8), values)
    assert (why == 0).all()


def test_bare_soil_where_a_wood_was_is_no_cloud() -> None:
    field = patch(30, 30, 30, 30)
    before = ground()
    before[:, field] = np.array([0.03, 0.06, 0.04, 0.35, 0.18])[:, None]
    values = before.copy()
    values[:, field] = np.array([0.08, 0.12, 0.17, 0.25, 0.32])[:, None]
    assert share(classify_pixels(values, BANDS, None, before), Why.CLOUD, field) < 0.02


def test_a_new_dark_roof_is_not_swallowed_as_water_and_a_lake_is() -> None:
    lake, roof = patch(60, 60, 20, 20), patch(20, 20, 5, 5)
    water = np.array([0.05, 0.05, 0.03, 0.02, 0.01])
    before = ground()
    before[:, lake] = water[:, None]
    values = before.copy()
    values[:, roof] = water[:, None]
    why = classify_pixels(values, BANDS, None, before)
    assert share(why, Why.WATER, lake) == 1
    assert share(why, Why.WATER, roof) == 0


def test_snow_nodata_and_saturation_each_have_their_flag() -> None:
    values = ground()
    snow, gone, glint = patch(5, 5, 20, 20), patch(50, 50, 10, 10), patch(80, 80, 2, 2)
    values[:, snow] = np.array([0.7, 0.7, 0.7, 0.6, 0.1])[:, None]
    values[:, gone] = np.nan
    values[:, glint] = 2.2
    why = classify_pixels(values, BANDS, None, ground())
    assert share(why, Why.SNOW, snow) == 1
    assert share(why, Why.CLOUD, snow) == 0
    assert (why[gone] == Why.NODATA).all()
    assert ((why & np.uint8(Why.NODATA)) > 0).sum() == gone.sum()
    assert share(why, Why.SATURATED, glint) == 1


@given(seed=st.integers(0, 10_000), radius=st.sampled_from([0.0, 20.0, 60.0, 150.0]))
@settings(max_examples=30, deadline=None)
def test_more_cloud_and_a_wider_buffer_never_make_more_ground_usable(seed: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    some = np.where(ndimage.gaussian_filter(rng.standard_normal((60, 60)), 3) > 0.1, Why.CLOUD, 0).astype(np.uint8)
    more = some.copy()
    row, col = rng.integers(0, 50, 2)
    more[row : row + 9, col : col + 9] |= np.uint8(Why.CLOUD)
    few, many = buffer_clouds(some, radius, 10), buffer_clouds(more, radius, 10)
    assert not ((many == 0) & (few != 0)).any()
    assert not ((buffer_clouds(some, radius + 30, 10) == 0) & (few != 0)).any()


def test_hand_drawn_clouds_and_shadows_are_met(shared: Path) -> None:
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(shared / "cloud_reference" / "image.tif") as source:
        values = source.read() / 1e4
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(shared / "cloud_reference" / "labels.tif") as source:
        labels = source.read(1)
    bands = (Band.B02, Band.B03, Band.B04, Band.B08, Band.B11, Band.B12)
    why = classify_pixels(values, bands, None, None, None, 30.0)
    for flag, label, least in ((Why.CLOUD, 4, 0.85), (Why.SHADOW, 0, 0.80)):
        found, true = (why & np.uint8(flag)) > 0, labels == label
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > least


def test_what_rises_further_in_the_short_wave_than_in_blue_is_ground_and_no_cloud() -> None:
    values = ground()
    values[:, CLOUDY] += np.array([0.06, 0.06, 0.06, 0.06, 0.15])[:, None]
    assert share(classify_pixels(values, BANDS, None, ground()), Why.CLOUD, CLOUDY) < 0.02
    values[-1, CLOUDY] -= 0.09
    assert (
        share(classify_pixels(values, BANDS, None, ground()), Why.CLOUD, ndimage.binary_erosion(CLOUDY, iterations=2))
        == 1
    )


def test_where_the_history_predicts_badly_a_rise_has_to_be_larger() -> None:
    field = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((SIZE, SIZE)), 6)
    values = ground() + 0.02 * field / field.std()
    assert (values - ground()).max() > 0.05
    assert not (classify_pixels(values, BANDS, None, ground()) & np.uint8(Why.CLOUD)).any()


def test_a_plain_veil_over_the_whole_chip_is_cloud_and_bright_textured_ground_is_not() -> None:
    veil = np.full((5, SIZE, SIZE), 0.14) + np.random.default_rng(1).normal(0, 0.001, (5, SIZE, SIZE))
    assert share(classify_pixels(veil, BANDS, None), Why.CLOUD, np.ones((SIZE, SIZE), bool)) == 1
    textured = veil + 2 * (ground()[1] - ground()[1].mean())
    assert share(classify_pixels(textured, BANDS, None), Why.CLOUD, np.ones((SIZE, SIZE), bool)) < 0.05


def test_a_blue_roof_is_not_white_enough_for_cloud() -> None:
    roof = patch(40, 40, 12, 12)
    values = ground()
    values[:, roof] = np.array([0.30, 0.18, 0.12, 0.2, 0.2])[:, None]
    assert share(classify_pixels(values, BANDS, None), Why.CLOUD, roof) == 0


def test_dark_ground_that_is_as_common_elsewhere_is_no_shadow() -> None:
    rows, cols = np.indices((SIZE, SIZE))
    stripes = (rows // 4 + cols // 4) % 4 == 0
    values = painted(ground(), CLOUD, CLOUDY)
    values[:, stripes & ~CLOUDY] *= np.array([0.8, 0.7, 0.6, 0.35, 0.3])[:, None]
    why = classify_pixels(values, BANDS, None)
    assert share(why, Why.SHADOW, stripes & ~CLOUDY) == 0
