"""Objects and what confirms them: seasons, phases, eras, kinds, and the threshold that the user's rate sets."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy import ndimage

from pipeline.decide import objects as deciding
from pipeline.decide import shapes
from pipeline.decide.alerts import decide_site
from pipeline.decide.calibration import LIMITS, Tail
from pipeline.decide.fold import Fold, fold, part_of
from pipeline.decide.kinds import is_browned, is_built, is_wood, kind
from pipeline.decide.objects import object_of, objects
from pipeline.decide.vectorise import eras
from pipeline.model.alert import Kind, Status
from pipeline.model.bands import ANALYSIS
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings, override
from pipeline.study.materials import BURNT, CLEARED, PLOUGHED, RED_TILE, ROOFS, WATER, levels
from tests.decide.test_alerts import BANDS, BUILDING, FIRST, GRASS, SOIL, _decide, _look, _series, _site

GREEN = np.array([0.03, 0.06, 0.04, 0.36, 0.38, 0.18, 0.09])


def painted(look: Look, rows: slice, cols: slice, spectrum: np.ndarray) -> Look:
    values = look.reflectance.copy()
    values[:, rows, cols] = spectrum[:, None, None]
    return replace(look, reflectance=values)


def test_two_clear_looks_make_it_provisional_and_the_third_confirms() -> None:
    two, three = (_decide(_series(*[False] * 8, *[True] * count)).alerts for count in (2, 3))
    assert [alert.status for alert in two] == [Status.PROVISIONAL]
    assert two[0].confirmed_at is None
    assert [alert.status for alert in three] == [Status.CONFIRMED]
    assert three[0].confirmed_at == (FIRST + timedelta(days=100)).date()
    assert three[0].confidence > two[0].confidence


def test_leaves_that_come_out_on_bare_ground_are_no_construction() -> None:
    looks = [_look(index, False) for index in range(12)]
    before = [painted(look, slice(24, 32), slice(24, 32), SOIL) for look in looks[:6]]
    after = [painted(look, slice(24, 32), slice(24, 32), GRASS) for look in looks[6:]]
    assert _decide([*before, *after]).alerts == ()


def test_a_large_field_laid_bare_is_not_confirmed_within_a_season() -> None:
    looks = [_look(index, False) for index in range(14)]
    field = (slice(16, 44), slice(14, 30))
    meadow = np.array([0.04, 0.07, 0.06, 0.36, 0.24])
    looks = [painted(look, *field, meadow if index < 7 else SOIL * 0.9) for index, look in enumerate(looks)]
    assert [alert.status for alert in _decide(looks).alerts if alert.confirmed_at is not None] == []


def test_a_stricter_rate_never_confirms_more() -> None:
    tail = Tail(rate=1.0, scale=0.9)
    limits = [tail.limit(rate / 100) for rate in (0.01, 0.3, 3, 30, 300)]
    assert limits == sorted(limits, reverse=True)
    assert limits[0] <= LIMITS[1] and limits[-1] >= LIMITS[0]
    assert tail.limit(0.03) == pytest.approx(2 + 0.9 * np.log(1 / 0.03))
    looks = _series(*[False] * 8, *[True] * 4)
    strict = override(Settings(), {"decide.false_alarms_per_100km2_year": 0.001}, "test")
    loose = override(Settings(), {"decide.false_alarms_per_100km2_year": 300}, "test")
    confirmed = [
        sum(alert.confirmed_at is not None for alert in decide_site(_site(), looks, each).alerts)
        for each in (strict, loose)
    ]
    assert confirmed[0] <= confirmed[1]


def test_a_building_keeps_its_alert_when_it_gets_another_roof() -> None:
    rows, cols = BUILDING
    dark = np.array([0.05, 0.05, 0.05, 0.06, 0.07])
    looks = _series(*[False] * 6, *[True] * 17)
    looks = [painted(look, rows, cols, dark) if index >= 11 else look for index, look in enumerate(looks)]
    alerts = [alert for alert in _decide(looks).alerts if alert.status is not Status.WITHDRAWN]
    assert len(alerts) == 1
    assert alerts[0].status is Status.CONFIRMED
    assert alerts[0].first_seen == (FIRST + timedelta(days=60)).date()


def test_what_joins_a_change_much_later_is_one_of_its_own_and_a_late_edge_is_not() -> None:
    labels, days = np.zeros((12, 20), np.int32), np.zeros((12, 20), int)
    labels[2:10, 2:18] = 1
    days[2:10, 2:10], days[2:10, 10:18] = 100, 400
    assert set(np.unique(eras(labels, days, 8))) == {0, 1, 2}
    days[2:10, 3:18] = 100
    days[2:10, 2:3] = 400
    assert set(np.unique(eras(labels, days, 16))) == {0, 1}


@pytest.mark.parametrize("roof", sorted(ROOFS))
def test_roofs_are_built_and_grounds_are_not(roof: str) -> None:
    assert is_built(ANALYSIS, levels(ROOFS[roof], ANALYSIS))
    for ground in (CLEARED, PLOUGHED, BURNT, WATER):
        assert not is_built(ANALYSIS, levels(ground, ANALYSIS))
    assert not is_built(ANALYSIS, GREEN)


def test_a_tiled_roof_is_told_from_soil_by_its_stay() -> None:
    tiles = levels(RED_TILE, ANALYSIS)
    assert kind(ANALYSIS, GREEN, tiles, False, 1.0, False, False, True) is Kind.CLEARED_GROUND
    assert kind(ANALYSIS, GREEN, tiles, False, 1.0, False, True, True) is Kind.NEW_STRUCTURE


def test_tiles_over_a_roof_are_resurfaced_once_they_have_stayed() -> None:
    old, tiles = levels(ROOFS["concrete"], ANALYSIS), levels(RED_TILE, ANALYSIS)
    assert kind(ANALYSIS, old, tiles, False, 2.0, False, False, False) is Kind.DEMOLISHED
    assert kind(ANALYSIS, old, tiles, False, 2.0, False, True, False) is Kind.RESURFACED
    assert kind(ANALYSIS, old, tiles, False, 2.0, True, False, False) is Kind.RESURFACED
    assert kind(ANALYSIS, GREEN, tiles, False, 2.0, True, False, True) is Kind.CLEARED_GROUND
    assert kind(ANALYSIS, old, GREEN, False, 2.0, True, True, True) is Kind.DEMOLISHED


def test_a_blue_roof_is_no_leaf_whatever_its_ndvi() -> None:
    blue = levels(ROOFS["blue steel"], ANALYSIS).copy()
    blue[3:5] *= 1.2
    assert (blue[3] - blue[2]) / (blue[3] + blue[2]) > 0.35
    assert is_built(ANALYSIS, blue)
    assert not is_built(ANALYSIS, GREEN + 0.06)


def test_a_roof_over_a_roof_is_resurfaced_and_ground_that_heals_was_cleared() -> None:
    old, new = (levels(ROOFS[name], ANALYSIS) for name in ("concrete", "blue steel"))
    assert kind(ANALYSIS, old, new, False, 2.0, False, False, True) is Kind.RESURFACED
    assert kind(ANALYSIS, old, new, False, 0.8, False, False, True) is Kind.NEW_STRUCTURE
    assert kind(ANALYSIS, old, GREEN, False, 2.0, False, False, True) is Kind.DEMOLISHED
    assert kind(ANALYSIS, GREEN, new, True, 1.0, False, False, True) is Kind.CLEARED_GROUND


def test_leaves_that_fall_are_browned_and_woods_are_woods() -> None:
    brown = GREEN + np.array([0.006, 0.002, 0.040, -0.225, -0.230, 0.012, 0.055])
    assert is_browned(ANALYSIS, GREEN, brown)
    assert not is_browned(ANALYSIS, GREEN, levels(ROOFS["concrete"], ANALYSIS))
    assert is_wood(ANALYSIS, GREEN) and not is_wood(ANALYSIS, brown)


def test_an_object_is_the_same_on_the_ground_around_it_as_on_the_whole_grid() -> None:
    rng = np.random.default_rng(5)
    places = [(slice(0, 7), slice(3, 9)), (slice(40, 47), slice(57, 64)), (slice(20, 26), slice(30, 42))]
    looks = [_look(index, False) for index in range(12)]
    for rows, cols in places:
        roof = rng.uniform(0.25, 0.5, len(looks[0].bands))
        looks = [painted(look, rows, cols, roof) if index >= 6 else look for index, look in enumerate(looks)]
    found = fold(looks, 5)
    seen = objects(found, 100.0)
    assert len(seen) == len(places)
    for shape, track in seen:
        assert shape.where.size < found.judged.size
        where = np.zeros(found.judged.shape, bool)
        where[shape.window] = shape.where
        again = object_of(found, ndimage.binary_dilation(where, iterations=2))
        there = object_of(part_of(found, shape.window), ndimage.binary_dilation(where, iterations=2)[shape.window])
        assert again is not None and there is not None
        assert again[0].outline == there[0].outline and again[0].area_error_m2 == there[0].area_error_m2
        assert np.array_equal(again[0].where[shape.window], there[0].where)
        assert int(again[0].where.sum()) == int(there[0].where.sum())
        assert (again[1].rises, again[1].edges, again[1].seen) == (there[1].rises, there[1].edges, there[1].seen)
        assert np.array_equal(again[1].now, there[1].now) and track.first == 6


def test_what_an_object_costs_does_not_depend_on_the_grid_it_lies_in(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(part: Fold, where: np.ndarray) -> None:
        sizes.append(where.size * len(part.looks))

    monkeypatch.setattr(deciding, "object_of", counted)
    looks = _series(*[False] * 6, *[True] * 5)
    found = fold(looks, 5)
    deciding.objects(found, 100.0)
    wide = [replace(look, grid=look.grid.pad(40), reflectance=np.pad(look.reflectance, ((0, 0), (40, 40), (40, 40)),
            mode="symmetric"), why=np.pad(look.why, 40)) for look in looks]  # fmt: skip
    small, sizes[:] = list(sizes), []
    deciding.objects(fold(wide, 5), 100.0)
    assert small and max(sizes) <= 2 * max(small)


def test_a_cloud_missed_in_the_latest_look_does_not_swallow_what_stands_beside_it() -> None:
    standing = _series(*[False] * 6, *[True] * 6)
    cloud = np.array([0.55, 0.56, 0.57, 0.6, 0.5])
    latest = painted(_look(12, True), slice(8, 31), slice(14, 40), cloud)
    before, after = _decide(standing), _decide([*standing, latest])
    kept = [alert for alert in after.alerts if alert.confirmed_at is not None]
    assert [alert.first_seen for alert in kept] == [before.alerts[0].first_seen]
    assert kept[0].outline.intersection(before.alerts[0].outline).area > 0.7 * before.alerts[0].outline.area


def test_what_only_the_coarser_bands_show_is_outlined_by_them() -> None:
    change = np.random.default_rng(5).normal(0, 0.004, (len(BANDS), 40, 40))
    roof = np.zeros((40, 40), bool)
    roof[14:22, 12:20] = True
    bright, short_wave = change + 0.2 * roof, change.copy()
    short_wave[4, roof] += 0.2
    assert shapes._telling(BANDS, bright, roof, roof) == [0, 1, 2, 3]
    assert shapes._telling(BANDS, short_wave, roof, roof) == [0, 1, 2, 3, 4]
