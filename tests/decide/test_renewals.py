"""A structure that stands and changes once more: told as a second alert on it, and only then."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from pipeline.decide.alerts import decide_site
from pipeline.model.alert import Alert, Kind, Status
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings
from tests.decide.test_alerts import BUILDING, FIRST, GRASS, ROOF, _look, _site
from tests.decide.test_objects import painted

STEP_DAYS, BUILT = 25, 6
SHEETS = np.array([0.24, 0.20, 0.15, 0.20, 0.33])
"""Blue sheets, where ROOF is bright and grey."""


def years(count: int, *phases: tuple[int, int, np.ndarray]) -> list[Look]:
    """Looks 25 days apart; a hall stands from the seventh on. phases: (first, last look, what its roof is then)."""
    looks = []
    for index in range(count):
        look = _look(index, index >= BUILT)
        look = replace(look, scene=replace(look.scene, time=day(index)))
        for first, last, spectrum in phases:
            look = painted(look, *BUILDING, spectrum) if first <= index < last else look
        looks.append(look)
    return looks


def day(index: int):
    return FIRST + timedelta(days=STEP_DAYS * index)


def told(looks: list[Look]) -> list[Alert]:
    alerts = decide_site(_site(), looks, Settings()).alerts
    return sorted((each for each in alerts if each.status is not Status.WITHDRAWN), key=lambda each: each.first_seen)


@pytest.fixture(scope="module")
def unchanged() -> list[Alert]:
    return told(years(36))


def test_a_roof_renewed_on_a_hall_that_was_an_alert_is_an_alert_of_its_own(unchanged: list[Alert]) -> None:
    hall, roof = told(years(36, (30, 36, SHEETS)))
    assert (hall.id, hall.kind, hall.first_seen) == (unchanged[0].id, Kind.NEW_STRUCTURE, day(BUILT).date())
    assert (roof.kind, roof.status) == (Kind.RESURFACED, Status.CONFIRMED)
    assert (roof.last_clear_before, roof.first_seen, roof.confirmed_at) == tuple(day(n).date() for n in (29, 30, 32))
    assert roof.id != hall.id and roof.outline == hall.outline
    assert (roof.looks_seen, roof.looks_clear) == (6, 6)


def test_a_hall_that_only_stands_is_one_alert(unchanged: list[Alert]) -> None:
    assert [alert.kind for alert in unchanged] == [Kind.NEW_STRUCTURE]


@pytest.mark.parametrize(
    ("phase", "why"),
    [
        ((14, 36, SHEETS), "it had stood for less than a year: a roof on its frame"),
        ((30, 33, SHEETS), "it is as it was: a tarpaulin"),
        ((34, 36, SHEETS), "two looks are not enough"),
        ((30, 36, ROOF * 0.97), "it weathers"),
        ((30, 36, GRASS), "no structure is left"),
    ],
)
def test_what_is_no_renewal(phase: tuple[int, int, np.ndarray], why: str) -> None:
    assert [alert for alert in told(years(36, phase)) if alert.kind is Kind.RESURFACED] == [], why


def test_each_of_two_renewals_is_told_and_the_first_stays_as_it_was() -> None:
    once = told(years(40, (24, 40, SHEETS)))
    twice = told(years(56, (24, 42, SHEETS), (42, 56, ROOF)))
    assert [alert.first_seen for alert in twice] == [day(n).date() for n in (BUILT, 24, 42)]
    assert [alert.id for alert in once] == [alert.id for alert in twice[:2]]
    assert [alert.kind for alert in twice[1:]] == [Kind.RESURFACED] * 2
    assert twice[1].last_seen == day(41).date()
