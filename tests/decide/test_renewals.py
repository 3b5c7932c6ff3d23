"""A structure that persists and changes once more: a second alert on it, and only then."""

import numpy as np
import pytest

from pipeline.model.alert import Alert, Kind, State, Status
from tests.decide.scenes import BUILDING, GRASS, ROOF, day, decided, looks_with

STEP_DAYS, BUILT = 25, 6
SHEETS = np.array([0.24, 0.20, 0.15, 0.20, 0.33])
"""Blue sheets, where ROOF is bright and grey."""
Phase = tuple[int, int, np.ndarray]


def alerts_of(count: int, *phases: Phase) -> list[Alert]:
    """Looks 25 days apart; a hall is there from the seventh on. phases: (first, last look, its roof then)."""
    painted = [(first, last, BUILDING, roof) for first, last, roof in ((BUILT, count, ROOF), *phases)]
    alerts = decided(looks_with(count, *painted, step_days=STEP_DAYS)).alerts
    return sorted((each for each in alerts if each.status is not Status.WITHDRAWN), key=lambda each: each.first_seen)


@pytest.fixture(scope="module")
def unchanged() -> list[Alert]:
    return alerts_of(36)


def test_a_renewed_roof_is_a_second_alert_with_the_outline_of_its_hall(unchanged: list[Alert]) -> None:
    hall, roof = alerts_of(36, (30, 36, SHEETS))
    assert (hall.kind, hall.first_seen) == (Kind.NEW_STRUCTURE, day(BUILT, STEP_DAYS))
    assert hall.id == unchanged[0].id
    assert roof.kind is Kind.RESURFACED and roof.confirmed_at is not None
    assert (roof.last_clear_before, roof.first_seen) == (day(29, STEP_DAYS), day(30, STEP_DAYS))
    assert roof.confirmed_at >= day(32, STEP_DAYS)
    assert roof.id != hall.id and roof.outline == hall.outline
    assert (roof.looks_seen, roof.looks_clear) == (6, 6)
    assert [(each.begins, each.state) for each in roof.phases][-2:] == [
        (day(BUILT, STEP_DAYS), State.BUILT), (day(30, STEP_DAYS), State.BUILT),
    ]  # fmt: skip


def test_a_hall_without_a_renewal_is_one_alert(unchanged: list[Alert]) -> None:
    assert [alert.kind for alert in unchanged] == [Kind.NEW_STRUCTURE]


@pytest.mark.parametrize(
    ("phase", "why"),
    [
        ((14, 36, SHEETS), "the hall is younger than a year: a roof on its frame"),
        ((30, 33, SHEETS), "the roof reverts: a tarpaulin"),
        ((34, 36, SHEETS), "two looks are not enough"),
        ((30, 36, ROOF * 0.97), "the roof weathers"),
        ((30, 36, GRASS), "no structure is left"),
    ],
)
def test_what_is_no_confirmed_renewal(phase: Phase, why: str) -> None:
    renewed = [alert for alert in alerts_of(36, phase) if alert.kind is Kind.RESURFACED]
    assert [alert for alert in renewed if alert.status is Status.CONFIRMED] == [], why


YARD, FIRST_ROOF = np.array([0.12, 0.14, 0.15, 0.18, 0.20]), np.array([0.17, 0.19, 0.20, 0.23, 0.25])
"""A paved yard, and a roof that differs little from it."""


@pytest.mark.parametrize("roof", [[0.05, 0.06, 0.06, 0.08, 0.09], [0.45, 0.30, 0.25, 0.30, 0.30]], ids=["dark", "blue"])
def test_a_hall_is_reported_though_its_next_roof_changed_the_ground_more(roof: list[float]) -> None:
    series = (0, 6, BUILDING, YARD), (6, 24, BUILDING, FIRST_ROOF), (24, 40, BUILDING, np.array(roof))
    hall, renewed = sorted(
        decided(looks_with(40, *series, step_days=STEP_DAYS)).alerts, key=lambda each: each.first_seen
    )
    assert (hall.kind, renewed.kind) == (Kind.NEW_STRUCTURE, Kind.RESURFACED)
    assert (hall.last_clear_before, hall.first_seen) == (day(5, STEP_DAYS), day(6, STEP_DAYS))
    assert (renewed.last_clear_before, renewed.first_seen) == (day(23, STEP_DAYS), day(24, STEP_DAYS))
    assert hall.confirmed_at is not None and hall.confirmed_at < renewed.first_seen
    assert hall.outline == renewed.outline and hall.last_seen == renewed.last_seen
    assert [phase.begins for phase in hall.phases] == [day(index, STEP_DAYS) for index in (0, 6, 24)]


def test_a_yard_without_an_earlier_step_gets_no_hall_before_its_change() -> None:
    series = (0, 24, BUILDING, YARD), (24, 40, BUILDING, 2.5 * YARD)
    (alert,) = decided(looks_with(40, *series, step_days=STEP_DAYS)).alerts
    assert alert.first_seen == day(24, STEP_DAYS)
