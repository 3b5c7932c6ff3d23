"""Flags removed from what persists: who is compared with whom, when two looks agree, light and smear."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy import ndimage

from pipeline.correct.offset import Offset
from pipeline.correct.persistence import (
    ALIKE_REFLECTANCE,
    ALIKE_SHARE,
    FREE_REFLECTANCE,
    FREE_SHARE,
    LIT_SHARE,
    MAX_ZENITH,
    REACH_LOOKS,
    SAME_SUN,
    _compare,
    _find_smeared,
    _mean_of_bands,
    _noon_zenith,
    _sun_zeniths,
    _unflag,
    _View,
    _views_around,
    unmask_persistent,
)
from pipeline.model.bands import Band
from pipeline.model.imagery import Alignment, Look, Why
from pipeline.model.settings import Settings
from tests.correct.scenery import BANDS, GRID, SIZE, chip, ground

SETTINGS = Settings()
SCENE = chip(ground(), 0)[0].scene
ROOF = np.zeros((SIZE, SIZE), bool)
ROOF[40:52, 40:56] = True
CORE = ndimage.binary_erosion(ROOF, iterations=2)
CLEAR = np.zeros((SIZE, SIZE), bool)


def look(day: int, values: np.ndarray, flagged: np.ndarray = CLEAR, flag: Why = Why.CLOUD,
         zenith: float | None = 30.0) -> Look:  # fmt: skip
    scene = replace(SCENE, id=f"s{day:03d}", time=SCENE.time + timedelta(days=day),
                    sun=None if zenith is None else (zenith, 160.0))  # fmt: skip
    return Look(
        scene=scene, grid=GRID, bands=BANDS, reflectance=values.astype(np.float32), why=flagged * np.uint8(flag),
        alignment=Alignment(shift=(0.0, 0.0), accepted=True, reliability=1.0),
        noise=np.full(len(BANDS), 0.004, np.float32), boa_offset_dn=Offset(dn=0, reason="").dn,
    )  # fmt: skip


def with_roof(level: float = 0.4, factor: float = 0.0) -> np.ndarray:
    """The ground with a roof of one level, or with its own spectrum times a factor."""
    values = ground()
    values[:, ROOF] = level if not factor else factor * values[:, ROOF]
    return values


def views(*looks: Look) -> list[_View]:
    return [_View(look=each, zenith=30.0) for each in looks]


def usable(looks: list[Look]) -> list[bool]:
    return [bool(each.usable[CORE].all()) for each in unmask_persistent(looks, SETTINGS)]


def test_three_looks_that_agree_free_a_roof_and_two_do_not_whatever_lies_between() -> None:
    flagged = [look(5 * number, with_roof(), ROOF) for number in range(3)]
    assert usable(flagged[:2]) == [False] * 2 and usable(flagged) == [True] * 3
    cloud = look(7, np.full_like(ground(), 0.6), ~CLEAR)
    assert usable([flagged[0], cloud, *flagged[1:]]) == [True, True, False, True]


def test_unflagged_looks_count_too_and_one_that_shows_other_ground_ends_the_search() -> None:
    roof, free, bare = look(0, with_roof(), ROOF), look(5, with_roof()), look(5, ground())
    later = [look(10, with_roof(), ROOF), look(15, with_roof(), ROOF)]
    assert usable([roof, free, look(10, with_roof())])[0]
    assert not usable([roof, bare, *later])[0], "what was gone in between is not the same object"
    assert usable([later[0], later[1], look(20, with_roof(), ROOF), look(25, ground())]) == [True] * 4


def test_looks_further_away_than_the_reach_are_not_compared() -> None:
    made = views(*[look(day, ground()) for day in range(REACH_LOOKS + 5)])
    assert list(_views_around(made, 2, True)) == made[3 : 3 + REACH_LOOKS]
    assert list(_views_around(made, REACH_LOOKS + 3, False)) == made[REACH_LOOKS + 2 : 2 : -1]
    assert list(_views_around(made, 2, False)) == made[1::-1] and list(_views_around(made, REACH_LOOKS + 4, True)) == []


@pytest.mark.parametrize(("flagged", "share", "least"), [(True, ALIKE_SHARE, ALIKE_REFLECTANCE),
                                                         (False, FREE_SHARE, FREE_REFLECTANCE)])  # fmt: skip
def test_two_looks_agree_within_a_share_of_the_one_that_is_judged(flagged: bool, share: float, least: float) -> None:
    spot, where = np.flatnonzero(ROOF), ROOF if flagged else CLEAR
    limit = share * 0.4 + least
    for factor, expected in ((0.97, True), (1.03, False)):
        for sign in (1, -1):
            one, two = views(look(0, with_roof(), ROOF), look(5, with_roof(0.4 + sign * factor * limit), where))
            free, alike = _compare(one, two, spot, Why.CLOUD)
            assert (free == (not flagged)).all() and (alike == expected).all()


def test_other_flags_unknown_ground_and_one_band_alone_make_looks_unlike() -> None:
    spot, roof = np.flatnonzero(ROOF), with_roof()
    changed, gone = roof.copy(), roof.copy()
    changed[2, ROOF] += 0.2
    gone[2, ROOF] = np.nan
    for other in (look(5, roof, ROOF, Why.SHADOW), look(5, changed, ROOF), look(5, gone, ROOF)):
        assert not _compare(*views(look(0, roof, ROOF), other), spot, Why.CLOUD)[1].any()
    assert _compare(*views(look(0, roof, ROOF), look(5, roof, ROOF)), spot, Why.CLOUD)[1].all()


def test_looks_are_compared_as_they_were_before_normalisation() -> None:
    values = with_roof()
    gain, offset = (1.2, 0.9, 1.1, 0.8, 1.3), (0.01, -0.02, 0.0, 0.03, 0.0)
    made = values * np.array(gain)[:, None, None] + np.array(offset)[:, None, None]
    normalised = replace(look(0, made), gain=gain, offset=offset)
    spot = np.flatnonzero(ROOF)
    (view,) = views(normalised)
    np.testing.assert_allclose(view.values(spot), values.reshape(5, -1)[:, spot], atol=1e-6)
    np.testing.assert_allclose(view.infrared_at(spot), values[3:].mean(axis=0).ravel()[spot], atol=1e-6)
    view.visible, view.infrared  # noqa: B018
    view.free_structures()
    assert "visible" not in view.__dict__ and "infrared" not in view.__dict__


def test_a_mean_is_over_the_bands_wanted_or_over_all_where_none_is_there() -> None:
    planes = np.arange(3.0)[:, None, None] * np.ones((3, 2, 2), np.float32)
    bands = (Band.B02, Band.B03, Band.B08)
    assert (_mean_of_bands(planes, bands, (Band.B03, Band.B08)) == 1.5).all()
    assert (_mean_of_bands(planes, bands, (Band.B11,)) == 1).all() and _mean_of_bands(
        planes, bands, ()
    ).dtype == np.float32


def test_the_sun_is_that_of_the_metadata_or_of_noon() -> None:
    dated = [look(0, ground(), zenith=None), look(9, ground(), zenith=61.0)]
    latitude = GRID.geographic_extent.centroid.coords[0][1]
    noon, known = _sun_zeniths(dated)
    assert known == 61.0 and noon == pytest.approx(abs(latitude - 22.0), abs=0.5), "1 June: the sun is 22 degrees north"
    december = replace(SCENE, time=datetime(2020, 12, 21, tzinfo=UTC))
    assert _noon_zenith(replace(dated[0], scene=december), 40.0) == pytest.approx(63.44, abs=0.05)
    assert _noon_zenith(replace(dated[0], scene=december), -40.0) == pytest.approx(16.56, abs=0.05)


def shaded(*zeniths: float, start: int = 0) -> list[Look]:
    return [look(start + 5 * number, with_roof(factor=0.3), ROOF, Why.SHADOW, zenith)
            for number, zenith in enumerate(zeniths)]  # fmt: skip


def test_shade_under_a_low_sun_is_not_freed_and_a_dark_hall_under_a_high_sun_is() -> None:
    low, high = MAX_ZENITH + 1, MAX_ZENITH - 1
    assert usable(shaded(high, high, high)) == [True] * 3
    assert usable(shaded(low, low, low)) == [False] * 3
    assert usable(shaded(low, low, high)) == [True] * 3, "it is dark under a high sun too"


@pytest.mark.parametrize(("turn", "expected"), [(SAME_SUN - 0.5, True), (SAME_SUN + 0.5, False)])
def test_what_was_lit_shortly_before_under_the_same_sun_is_no_shade(turn: float, expected: bool) -> None:
    zenith = MAX_ZENITH + 10
    lit = look(0, ground(), zenith=zenith - turn)
    assert usable([lit, *shaded(zenith, zenith, zenith, start=5)])[1:] == [expected] * 3


def test_ground_that_was_hardly_brighter_before_was_not_lit() -> None:
    zenith = MAX_ZENITH + 10
    for factor, expected in ((0.9 * 0.3 / LIT_SHARE, False), (1.3 * 0.3 / LIT_SHARE, True)):
        before = look(0, with_roof(factor=factor), zenith=zenith)
        assert usable([before, *shaded(zenith, zenith, zenith, start=5)])[1:] == [expected] * 3


def test_a_smear_around_a_freed_roof_is_freed_with_it_and_cloud_beside_it_is_not() -> None:
    values, wide = with_roof(0.6), ndimage.binary_dilation(ROOF, iterations=3)
    cloud = np.zeros_like(ROOF)
    cloud[70:84, 40:56] = True
    values[:, cloud] = 0.6
    made = look(0, values, wide | cloud)
    found = _find_smeared(made, ROOF, Why.CLOUD)
    assert found[wide & ~ROOF].mean() > 0.9 and not found[cloud].any() and not found[~(wide | cloud)].any()
    assert not _find_smeared(made, ROOF, Why.SHADOW).any()
    dark = look(0, with_roof(0.02), wide, Why.SHADOW)
    assert (
        _find_smeared(dark, ROOF, Why.SHADOW)[wide & ~ROOF].mean() > 0.9
        and not _find_smeared(dark, ROOF, Why.CLOUD).any()
    )
    assert not _find_smeared(made, CLEAR, Why.CLOUD).any()


def test_a_look_without_flags_on_free_pixels_has_a_buffer_around_those_that_are_left() -> None:
    cloud = np.zeros_like(ROOF)
    cloud[70:84, 40:56] = True
    values = with_roof(0.6)
    values[:, cloud] = 0.6
    made = look(0, values, ROOF | cloud)
    why = made.why.copy()
    why[ndimage.binary_dilation(ROOF | cloud, iterations=6) & (why == 0)] = np.uint8(Why.BUFFER)
    why[ROOF] |= np.uint8(Why.WATER)
    found = _unflag(replace(made, why=why), ROOF, SETTINGS)
    assert (found.why[ROOF] == Why.WATER).all() and (found.why[cloud] == Why.CLOUD).all()
    radius = SETTINGS.correct.cloud_buffer_m / 10
    away = ndimage.distance_transform_edt(~cloud)
    np.testing.assert_array_equal((found.why == Why.BUFFER), (away > 0) & (away <= radius) & ~ROOF)


def test_nothing_is_changed_where_nothing_is_flagged_and_the_order_is_that_of_time() -> None:
    plain = [look(day, ground()) for day in (10, 0, 5)]
    assert [each.scene.id for each in unmask_persistent(plain, SETTINGS)] == ["s000", "s005", "s010"]
    assert unmask_persistent([], SETTINGS) == ()
    found = unmask_persistent(plain, SETTINGS)
    assert all(each is plain[index] for each, index in zip(found, (1, 2, 0), strict=True))
