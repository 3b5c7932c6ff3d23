"""Looks: one resampling, rejections with their number, and what persists is seen."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.correct import masks
from pipeline.correct.look import _flag_pixels, make_look, make_unregistered, warp_again
from pipeline.correct.persistence import unmask_persistent
from pipeline.correct.reference import Reference, UnregisteredImage, make_reference
from pipeline.model.imagery import Look, Reason, Rejection, Why
from pipeline.model.settings import Settings
from tests.correct.scenery import BANDS, CLOUD, GRID, ROOF, SIZE, chip, ground, painted, patch

SETTINGS = Settings()
ROOF_AT = patch(44, 44, 8, 8)


@cache
def reference(days: int = 5) -> Reference:
    return make_reference(
        [make_unregistered(chip(ground(), day), GRID, BANDS, SETTINGS) for day in range(days)], SETTINGS
    )  # type: ignore[misc]


def look(values: np.ndarray, day: int, scl: np.ndarray | None = None) -> Look:
    found = make_look(chip(values, day, scl), reference(), SETTINGS)
    assert isinstance(found, Look), found
    return found


def refused(values: np.ndarray, day: int = 50) -> Reason:
    found = make_look(chip(values, day), reference(), SETTINGS)
    assert isinstance(found, Rejection)
    # nothing in common was found at all: there is no number then, and the note says so
    assert (found.value is not None and found.limit is not None) or (found.reason is Reason.REGISTRATION and found.note)
    return found.reason


def test_a_shifted_identical_scene_differs_from_an_unshifted_one_by_no_more_than_its_noise() -> None:
    moved = ndimage.shift(ground(), (0, 0.4, -0.3), order=5, mode="nearest")
    plain, shifted = look(ground(), 30), look(moved, 31)
    assert np.allclose(shifted.alignment.shift, (0.4, -0.3), atol=0.05)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    error = np.abs(shifted.reflectance - plain.reflectance)[inner]
    # 95 % of the ground's contrast in the infrared is 0.3: a twentieth of it is what two resamplings cost
    assert np.quantile(error, 0.95) < 0.015
    assert np.median(error) < 0.004


def test_a_draft_that_was_put_by_comes_back_as_it_was() -> None:
    chips = chip(ground(), 3)
    draft = make_unregistered(chips, GRID, BANDS, SETTINGS)
    assert isinstance(draft, UnregisteredImage)
    back = warp_again(replace(draft, reflectance=np.zeros((0, 0, 0), np.float32)), chips)
    assert np.array_equal(back.reflectance, draft.reflectance, equal_nan=True)


def test_gain_and_haze_of_a_look_are_undone() -> None:
    found = look(ground() * 1.15 + 0.015, 30)
    error = np.nanmedian(found.reflectance - reference().reflectance, axis=(1, 2))
    assert np.abs(error).max() < 0.002


def test_overcast_empty_dark_hazy_and_foreign_looks_are_refused_with_their_number() -> None:
    assert refused(np.broadcast_to(CLOUD[:, None, None], (5, SIZE, SIZE)).copy()) is Reason.CLOUD
    assert refused(np.full((5, SIZE, SIZE), np.nan)) in (Reason.NODATA, Reason.OFFSET)
    assert refused(ground() * 0.3) is Reason.RADIOMETRY
    assert refused(ground() * 0.7 + np.array([0.09, 0.08, 0.07, 0.04, 0.01])[:, None, None]) is Reason.RADIOMETRY
    assert refused(ground(99)) is Reason.REGISTRATION


def test_a_look_refused_before_anything_was_fitted_has_no_number() -> None:
    flat = np.full((5, SIZE, SIZE), 0.1)
    found = make_look(chip(flat, 30), reference(), SETTINGS)
    assert isinstance(found, Rejection) and found.reason is Reason.REGISTRATION
    assert found.value is None and found.limit is None and found.note


def test_nodata_never_bleeds_into_its_neighbours() -> None:
    values = ground()
    values[:, :, :30] = np.nan
    found = look(values, 30)
    assert np.isnan(found.reflectance[:, :, :30]).all()
    known = np.isfinite(found.reflectance).all(axis=0)
    assert known[:, 34:].all()
    assert np.quantile(np.abs(found.reflectance - reference().reflectance)[:, known], 0.999) < 0.02


def test_a_new_bright_roof_that_scl_calls_cloud_is_seen_by_the_third_look() -> None:
    scl = np.where(ROOF_AT, 9, 5).astype(np.uint8)
    looks = [look(painted(ground(), ROOF, ROOF_AT), 30 + 5 * number, scl) for number in range(3)]
    core = ndimage.binary_erosion(ROOF_AT, iterations=1)
    assert not any(each.usable[core].any() for each in looks)
    assert not any(each.usable[core].any() for each in unmask_persistent(looks[:2], SETTINGS))
    assert all(each.usable[core].all() for each in unmask_persistent(looks, SETTINGS))


def test_clouds_that_come_and_go_in_one_place_are_not_released_and_order_does_not_matter() -> None:
    where = patch(30, 30, 24, 24)
    cloudy = painted(ground(), CLOUD, where, 2.0)
    looks = [look(cloudy if day % 2 else ground(), 30 + day) for day in range(6)]
    first, second = unmask_persistent(looks, SETTINGS), unmask_persistent(looks[::-1], SETTINGS)
    for day, (one, two) in enumerate(zip(first, second, strict=True)):
        assert np.array_equal(one.why, two.why)
        assert not (day % 2 and one.usable[ndimage.binary_dilation(where, iterations=4)].any())


def test_flags_of_some_looks_are_those_of_a_release_of_all() -> None:
    looks = [look(painted(ground(), ROOF, ROOF_AT), 30 + 5 * number) for number in range(5)]
    whole = unmask_persistent(looks, SETTINGS)
    for part in (range(5), range(3, 5), range(1, 3)):
        some = unmask_persistent(looks, SETTINGS, part)
        assert [each.scene.id for each in some] == [whole[index].scene.id for index in part]
        for one, index in zip(some, part, strict=True):
            assert np.array_equal(one.why, whole[index].why)
    assert any((one.why != two.why).any() for one, two in zip(looks, whole, strict=True))


def test_a_bright_roof_that_covers_half_of_the_ground_is_usable_by_the_third_look() -> None:
    where = patch(16, 16, 64, 56)
    looks = _pasted([(ROOF, where)] * 3)
    assert np.mean([each.usable[where].mean() for each in looks]) < 0.3
    assert all(each.usable[where].mean() > 0.97 for each in unmask_persistent(looks, SETTINGS))


def test_clouds_of_one_brightness_at_one_place_stay_flagged_for_their_shapes_differ() -> None:
    shapes = [
        ndimage.binary_dilation(patch(20 + 4 * number, 30 - 5 * number, 40, 20), iterations=1 + 3 * (number % 2))
        for number in range(5)
    ]
    looks = _pasted([(CLOUD, shape) for shape in shapes])
    for each, shape in zip(unmask_persistent(looks, SETTINGS), shapes, strict=True):
        assert each.usable[shape].mean() < 0.01


def test_overcast_that_is_plain_in_all_looks_is_not_released() -> None:
    looks = _pasted([(CLOUD, np.ones((SIZE, SIZE), bool))] * 4)
    assert not any(each.usable.any() for each in unmask_persistent(looks, SETTINGS))


@pytest.mark.parametrize(("day", "lit", "usable"), [(150, True, True), (150, False, False), (30, False, True)])
def test_a_dark_hall_under_a_low_sun_is_told_from_shade_by_the_light_before_it(
    day: int, lit: bool, usable: bool
) -> None:
    # day 150 is late in October, and the sun stands 58 degrees off the zenith at the latitude of the scenery
    where, dark = patch(40, 40, 12, 16), np.array([0.05, 0.05, 0.05, 0.06, 0.06])
    first = [] if not lit else _looks([(ground(), 0)], day - 5)
    looks = first + _looks([(painted(ground(), dark, where, 0.3), Why.SHADOW * where)] * 3, day)
    found = unmask_persistent(looks, SETTINGS)[len(first) :]
    inner = ndimage.binary_erosion(where)
    assert all(each.usable[inner].all() == usable for each in found)


def test_an_overcast_draft_without_scl_is_no_reference() -> None:
    plain = np.full((5, SIZE, SIZE), 0.2) + 0.02 * np.linspace(0, 1, SIZE)
    cloudy = make_unregistered(chip(plain, 0), GRID, BANDS, SETTINGS)
    clear = [make_unregistered(chip(ground(), day), GRID, BANDS, SETTINGS) for day in (1, 2)]
    assert isinstance(cloudy, UnregisteredImage) and cloudy.clear_share == 0
    assert make_reference([cloudy, *clear], SETTINGS).scenes == ("s0001", "s0002")  # type: ignore[list-item]


def _looks(seen: Sequence[tuple[np.ndarray, np.ndarray | int]], day: int) -> list[Look]:
    """Looks 5 days apart that show these values under these flags, with a little noise."""
    made, plain = [], look(ground(), 30)
    for number, (values, why) in enumerate(seen):
        noise = np.random.default_rng(number).normal(0, 0.003, values.shape)
        flags = np.broadcast_to(np.asarray(why, np.uint8), plain.why.shape)
        scene = replace(plain.scene, id=f"r{number}", time=plain.scene.time + timedelta(days=day - 30 + 5 * number))
        made.append(
            replace(plain, scene=scene, reflectance=(values + noise).astype(np.float32), why=flags, gain=(), offset=())
        )
    return made


def _pasted(seen: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Look]:
    """Looks at objects of a spectrum, all of which, with four pixels around, are flagged as cloud."""
    return _looks(
        [
            (painted(ground(), what, where), Why.CLOUD * ndimage.binary_dilation(where, iterations=4))
            for what, where in seen
        ],
        30,
    )


@given(seed=st.integers(0, 10_000), size=st.integers(12, 28), more=st.integers(2, 16))
@settings(max_examples=8, deadline=None)
def test_more_cloud_never_makes_more_usable_ground(seed: int, size: int, more: int) -> None:
    row, col = (int(each) for each in np.random.default_rng(seed).integers(0, SIZE - size - more, 2))
    small, large = patch(row + more // 2, col + more // 2, size, size), patch(row, col, size + more, size + more)
    few, many = (look(painted(ground(), CLOUD, where, 1.0), 30) for where in (small, large))
    assert not (many.usable & ~few.usable).any()


@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.7), what=st.sampled_from(("foreign", "dark", "hazy")))
@settings(max_examples=8, deadline=None)
def test_cloud_over_a_look_that_is_refused_does_not_get_it_accepted(seed: int, share: float, what: str) -> None:
    values = {
        "foreign": ground(99),
        "dark": ground() * 0.3,
        "hazy": ground() * 0.7 + np.array([0.09, 0.08, 0.07, 0.04, 0.01])[:, None, None],
    }[what]
    clouds = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE)), 8)
    refused(values)
    refused(painted(values, CLOUD, clouds < np.quantile(clouds, share), 1.0))


def test_a_look_that_lies_further_off_than_the_others_wander_is_refused_with_both_numbers() -> None:
    moved = ndimage.shift(ground(), (0, 1.8, 0), order=5, mode="nearest")
    steady, loose = (replace(reference(), shift_scatter_px=wander) for wander in (0.1, 1.0))
    found = make_look(chip(moved, 30), steady, SETTINGS)
    assert isinstance(found, Rejection) and found.reason is Reason.REGISTRATION
    assert found.value == pytest.approx(1.8, abs=0.1) and found.limit == pytest.approx(1.2)
    assert isinstance(make_look(chip(moved, 30), loose, SETTINGS), Look)


@pytest.mark.parametrize(("zenith", "stays"), [(30.0, False), (70.0, True)])
def test_the_flag_of_shadow_stays_under_a_low_sun_where_nothing_shows_that_it_is_none(
    zenith: float, stays: bool
) -> None:
    values = ground()
    values[:, ROOF_AT] *= 0.35
    looks = [replace(each, scene=replace(each.scene, sun=(zenith, 160.0)))
             for each in (look(values, 30 + 5 * number) for number in range(3))]  # fmt: skip
    core = ndimage.binary_erosion(ROOF_AT, iterations=2)
    assert not any(each.usable[core].any() for each in looks)
    assert all(each.usable[core].any() != stays for each in unmask_persistent(looks, SETTINGS))


def test_a_rejection_for_cloud_states_the_clear_share_and_of_what() -> None:
    cloudy = painted(ground(), CLOUD, patch(0, 0, SIZE, SIZE // 4))
    strict = SETTINGS.model_copy(update={"correct": SETTINGS.correct.model_copy(update={"min_clear_share": 0.8})})
    found = make_look(chip(cloudy, 30), reference(), strict)
    assert isinstance(found, Rejection) and found.reason is Reason.CLOUD
    assert (found.limit, found.note) == (0.8, "share of the AOI")
    assert found.value is not None and 0.5 < found.value < 0.75


@pytest.mark.parametrize(("roof", "turns"), [(False, 1), (True, 2)])
def test_masks_are_made_again_where_the_first_turn_moved_them(
    roof: bool, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = ground()
    image = make_unregistered(chip(values, 30), GRID, BANDS, SETTINGS)
    assert isinstance(image, UnregisteredImage)
    if roof:  # a tenth of the image has flags that the history refutes
        image = replace(image, why=np.where(patch(0, 0, SIZE, SIZE // 10), np.uint8(Why.CLOUD), image.why))
    calls = []
    real = masks.classify_pixels
    monkeypatch.setattr(masks, "classify_pixels", lambda *given: calls.append(1) or real(*given))
    why, seasonal = _flag_pixels(image.reflectance, None, reference().expected(), image)
    assert len(calls) == turns and seasonal is not None
    assert (why == 0).mean() > 0.98
