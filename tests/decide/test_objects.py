"""Objects and detections: which pixels belong together, their dates, outlines, types of change and limits."""

from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import box

from pipeline.decide.alerts import _take_apart
from pipeline.decide.detections import Detection, make_detections
from pipeline.decide.objects import Stack, grow_objects
from pipeline.decide.posterior import SitePrior
from pipeline.decide.residuals import MISSING, SCALES, Baseline, Residual
from pipeline.decide.screening import Screening
from pipeline.model.alert import Alert, Kind, Status
from pipeline.model.settings import Settings, override_settings
from tests.decide.scenes import (
    BUILDING,
    DARK_ROOF,
    GRASS,
    LEFT,
    ROOF,
    SOIL,
    TOP,
    Ground,
    day,
    decided,
    looks_with,
    painted,
    stack_of,
    unchanged,
)

GREEN = np.array([0.03, 0.06, 0.04, 0.36, 0.38, 0.18, 0.09])
BESIDE = (slice(32, 38), slice(41, 49))
EVEN = SitePrior(0.0, np.full(99, 0.3))
"""Confirms what is as probable as not, at a site of which nothing is known."""
"""Ground that touches BUILDING."""


def confirmed(looks: list, settings: Settings | None = None) -> list[Alert]:
    """The confirmed alerts by their first look."""
    alerts = decided(looks, settings=settings).alerts
    return sorted((each for each in alerts if each.confirmed_at is not None), key=lambda each: each.first_seen)


def overlap(alert: Alert, ground: Ground) -> float:
    """Intersection over union of an alert with painted ground."""
    rows, cols = ground
    truth = box(LEFT + 10 * cols.start, TOP - 10 * rows.stop, LEFT + 10 * cols.stop, TOP - 10 * rows.start)
    return alert.outline.intersection(truth).area / alert.outline.union(truth).area


def test_a_roof_is_reported_at_its_third_look_and_confirmed_within_weeks() -> None:
    after = {count: decided(looks_with(20 + count, (20, 99, BUILDING, ROOF))).alerts for count in (2, 3, 8)}
    assert [alert for alert in after[2] if alert.confirmed_at is not None] == []
    assert [alert.first_seen for alert in after[3]] == [day(20)] and after[3][0].confidence > 0.5
    (alert,) = after[8]
    assert (alert.status, alert.first_seen) == (Status.CONFIRMED, day(20))
    assert alert.confirmed_at is not None and day(22) <= alert.confirmed_at <= day(26)
    assert alert.confidence > after[3][0].confidence


@pytest.mark.parametrize("apart", [1, 3])
def test_neighbouring_buildings_of_other_dates_are_two_alerts_with_their_own_dates(apart: int) -> None:
    rows, cols = BESIDE
    second = (rows, slice(cols.start + apart, cols.stop + apart))
    one, two = confirmed(looks_with(26, (6, 99, BUILDING, ROOF), (16, 99, second, ROOF * 1.1)))
    assert (one.last_clear_before, one.first_seen) == (day(5), day(6))
    assert (two.last_clear_before, two.first_seen) == (day(15), day(16))
    assert overlap(one, BUILDING) > 0.75 and overlap(two, second) > 0.75


def test_ground_that_touches_and_changed_on_the_same_day_is_one_object_whichever_way_it_went() -> None:
    water, whole = np.array([0.04, 0.04, 0.03, 0.02, 0.01]), (BUILDING[0], slice(BUILDING[1].start, BESIDE[1].stop))
    (alert,) = decided(looks_with(16, (7, 99, BUILDING, 1.2 * SOIL + 0.1), (7, 99, BESIDE, water))).alerts
    assert (alert.last_clear_before, alert.first_seen) == (day(6), day(7))
    assert overlap(alert, whole) > 0.75


@pytest.mark.parametrize(("gap", "alerts"), [(1, 1), (5, 2)], ids=["not resolved", "a street"])
def test_surfaces_of_one_day_are_one_object_if_no_gap_between_them_is_resolved(gap: int, alerts: int) -> None:
    second = (BUILDING[0], slice(BUILDING[1].stop + gap, BUILDING[1].stop + gap + 7))
    found = confirmed(looks_with(24, (10, 99, BUILDING, ROOF), (10, 99, second, DARK_ROOF)))
    assert [alert.first_seen for alert in found] == [day(10)] * alerts


def test_a_field_that_is_bare_every_summer_is_never_confirmed() -> None:
    bare = [(start, start + 10, BUILDING, 1.15 * SOIL) for start in (8, 44, 81)]
    alerts = decided(looks_with(100, *bare)).alerts
    assert [alert.status for alert in alerts if alert.confirmed_at is not None] == []


def test_bare_ground_may_be_a_season_unless_a_year_before_it_is_known() -> None:
    soil = np.array([0.08, 0.115, 0.17, 0.25, 0.31])
    alerts = [decided(looks_with(known + 40, (known, 999, BUILDING, soil))).alerts for known in (40, 16, 5)]
    assert [[(each.kind, each.first_seen) for each in found] for found in alerts] == [
        [(Kind.CLEARED_GROUND, day(known))] for known in (40, 16, 5)
    ]
    sure = [each.confidence for (each,) in alerts]
    assert sure == sorted(sure, reverse=True) and sure[0] > 0.99 > 0.95 > sure[-1]


@pytest.mark.parametrize("roof", [DARK_ROOF, ROOF, 1.5 * ROOF], ids=["dark", "grey", "white"])
def test_a_hall_is_a_new_structure_whatever_its_brightness(roof: np.ndarray) -> None:
    (alert,) = confirmed(looks_with(16, (7, 99, BUILDING, roof)))
    assert (alert.kind, alert.first_seen) == (Kind.NEW_STRUCTURE, day(7))
    assert overlap(alert, BUILDING) > 0.75


def test_a_small_faint_change_is_dated_to_its_look() -> None:
    """Three by three pixels, half covered by a roof: a signal of a few sigmas a pixel."""
    ground = (slice(20, 23), slice(40, 43))
    looks = [painted(unchanged(index), ground, ROOF, 0.5) if index >= 9 else unchanged(index) for index in range(20)]
    (alert,) = confirmed(looks)
    assert alert.first_seen == day(9)


def test_a_change_of_a_third_of_the_site_is_reported() -> None:
    third = (slice(12, 60), slice(14, 50))
    (alert,) = confirmed(looks_with(24, (10, 99, third, np.array([0.2, 0.22, 0.24, 0.28, 0.36]))))
    assert alert.first_seen == day(10)
    assert overlap(alert, third) > 0.8


def test_a_patch_that_turns_green_is_no_structure() -> None:
    ground = (slice(24, 32), slice(24, 32))
    alerts = decided(looks_with(12, (0, 6, ground, SOIL), (6, 99, ground, GRASS))).alerts
    assert [alert for alert in alerts if alert.kind in (Kind.NEW_STRUCTURE, Kind.RESURFACED)] == []


def test_a_stricter_rate_never_confirms_more() -> None:
    faint = (slice(20, 22), slice(40, 42))
    looks = [painted(each, faint, ROOF, 0.25) if index >= 8 else each
             for index, each in enumerate(looks_with(14, (8, 99, BUILDING, ROOF)))]  # fmt: skip
    counts = [
        len(confirmed(looks, override_settings(Settings(), {"decide.false_alarms_per_100km2_year": rate}, "test")))
        for rate in (0.3, 3, 300)
    ]
    assert counts == sorted(counts) and counts[0] >= 1


def test_an_object_smaller_than_the_least_area_is_not_reported() -> None:
    looks, stack = stack_of(looks_with(14, (8, 99, BUILDING, ROOF)))
    made = grow_objects(stack, 1.5)[0]
    assert len(make_detections(looks, stack, made, EVEN, 4000.0)) == 1
    assert make_detections(looks, stack, made, EVEN, 6000.0) == ()


def test_ground_shared_by_two_detections_goes_to_the_surer_one() -> None:
    looks, stack = stack_of(looks_with(14, (8, 99, BUILDING, ROOF)))
    (one,) = make_detections(looks, stack, grow_objects(stack, 1.5)[0], EVEN, 100.0)
    left, top, right, bottom = LEFT + 330, TOP - 320, LEFT + 410, TOP - 380

    def placed_at(offset: float, score: float) -> Detection:
        outline = box(left + offset, bottom, right + offset, top)
        return replace(one, score=score, shape=replace(one.shape, outline=outline, area_m2=outline.area))

    kept = _take_apart([placed_at(20, 3.0), placed_at(0, 5.0)], 100.0)
    assert [(each.score, each.shape.outline.area, each.shape.area_m2) for each in kept] == [
        (5.0, 4800.0, 4800.0), (3.0, 1200.0, 1200.0)
    ]  # fmt: skip
    assert len(_take_apart([placed_at(20, 3.0), placed_at(0, 5.0)], 2000.0)) == 1, "what is left is too small"
    assert [each.shape.area_m2 for each in _take_apart([placed_at(75, 3.0), placed_at(0, 5.0)], 100.0)] == [4800.0] * 2


def test_a_flash_before_the_first_look_is_not_an_observation_with_the_object() -> None:
    looks = looks_with(26, (14, 99, BUILDING, DARK_ROOF), (3, 4, BUILDING, DARK_ROOF))
    decision = decided(looks)
    (alert,) = (each for each in decision.alerts if each.confirmed_at is not None)
    seen = [row.time.date() for row in decision.observations if row.change_id == alert.id and row.seen]
    assert (alert.first_seen, seen[0]) == (day(14), day(14))


def enlarged(stack: Stack, by: int) -> Stack:
    """The same ground with an unusable margin of some pixels, a multiple of the coarse stride, on every side."""
    fine = ((by, by), (by, by))
    margins = [((by // stride, by // stride),) * 2 for _, stride in SCALES]
    residuals = [
        Residual(
            pooled=tuple(
                np.pad(plane, ((0, 0), *margin), constant_values=MISSING)
                for plane, margin in zip(each.pooled, margins, strict=True)
            ),
            noise=each.noise,
        )
        for each in stack.residuals
    ]
    planes = {
        name: tuple(
            np.pad(plane, margin, constant_values=outside)
            for plane, margin in zip(getattr(stack.screening, name), margins, strict=True)
        )
        for name, outside in (("score", 0), ("start", -1), ("stop", -1))
    }
    baseline = Baseline(
        mean=np.pad(stack.baseline.mean, ((0, 0), *fine), mode="edge"), cover=np.pad(stack.baseline.cover, fine)
    )
    return replace(
        stack, baseline=baseline, residuals=residuals, screening=Screening(**planes, count=stack.screening.count)
    )


def test_an_object_is_the_same_on_a_larger_grid_around_it() -> None:
    _, stack = stack_of(looks_with(14, (8, 99, BUILDING, ROOF), (7, 99, (slice(20, 26), slice(18, 24)), DARK_ROOF)))
    small, large = grow_objects(stack, 1.5), grow_objects(enlarged(stack, 40), 1.5)
    assert len(small) == len(large) >= 2
    for one, other in zip(small, large, strict=True):
        assert [(each.start + 40, each.stop + 40) for each in one.window] == [
            (each.start, each.stop) for each in other.window
        ]
        np.testing.assert_array_equal(one.where, other.where)
        np.testing.assert_array_equal(one.core, other.core)
        assert (one.score, one.index, one.episode.first) == (other.score, other.index, other.episode.first)


def test_every_later_look_leaves_the_id_of_a_building() -> None:
    looks = looks_with(19, (6, 99, BUILDING, ROOF))
    assert len({decided(looks[:count]).alerts[0].id for count in range(9, 20)}) == 1


def test_a_cloud_missed_in_the_latest_look_leaves_an_alert_as_it_is() -> None:
    looks = looks_with(13, (6, 99, BUILDING, ROOF))
    cloud = painted(looks[12], (slice(8, 31), slice(14, 40)), np.array([0.55, 0.56, 0.57, 0.6, 0.5]))
    (before,), (after,) = confirmed(looks[:12]), confirmed([*looks[:12], cloud])
    assert (after.first_seen, after.last_clear_before) == (before.first_seen, before.last_clear_before)
    assert after.outline.intersection(before.outline).area > 0.7 * before.outline.area


FLOOD = np.array([0.03, 0.03, 0.02, 0.015, 0.01])


@pytest.mark.parametrize("surface", [ROOF, FLOOD], ids=["a tent", "a flood"])
def test_what_is_gone_after_weeks_is_not_confirmed(surface: np.ndarray) -> None:
    alerts = decided(looks_with(60, (40, 46, BUILDING, surface))).alerts
    assert [each.status for each in alerts if each.first_seen == day(40)] == [Status.WITHDRAWN]
    assert all(each.confirmed_at is None for each in alerts)
