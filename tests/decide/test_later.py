"""A hall on a yard that was laid bare long before is a change of its own; a roof on its own foundation is not."""

from datetime import date, timedelta

import numpy as np

from pipeline.model.alert import Alert, Kind
from pipeline.study.materials import CLEARED, levels
from tests.decide.test_alerts import BANDS, FIRST, ROOF, _decide, _look
from tests.decide.test_objects import painted

LOT = (slice(24, 46), slice(24, 50))
FIRST_HALL, SECOND_HALL = (slice(27, 34), slice(27, 34)), (slice(36, 43), slice(39, 47))
BARE = levels(CLEARED, BANDS)
LOOKS, CLEARING, WORKS = 44, 8, 26


def told(*stages: tuple[int, tuple[slice, slice], np.ndarray]) -> list[Alert]:
    """What is told, in time order. stages: from which look on which ground looks how."""
    looks = [_look(index, False) for index in range(LOOKS)]
    for since, ground, spectrum in stages:
        looks[since:] = [painted(look, *ground, spectrum) for look in looks[since:]]
    return sorted(_decide(looks).alerts, key=lambda alert: alert.first_seen)


def day(index: int) -> date:
    return (FIRST + timedelta(days=10 * index)).date()


def test_a_second_hall_on_a_cleared_yard_is_a_change_of_its_own_days() -> None:
    one, other = told((CLEARING, LOT, BARE), (CLEARING, FIRST_HALL, ROOF), (WORKS, SECOND_HALL, ROOF))
    assert (one.kind, other.kind) == (Kind.NEW_STRUCTURE, Kind.NEW_STRUCTURE)
    assert (one.last_clear_before, one.first_seen) == (day(CLEARING - 1), day(CLEARING))
    assert (other.last_clear_before, other.first_seen) == (day(WORKS - 1), day(WORKS))
    assert other.confirmed_at is not None and other.confirmed_at >= day(WORKS + 2)
    assert abs(one.area_m2 - 4900) < 0.15 * 4900 and abs(other.area_m2 - 5600) < 0.15 * 5600


def test_halls_that_got_their_roofs_an_era_apart_are_as_old_as_their_foundations() -> None:
    concrete = ROOF / 2
    stages = [(CLEARING, FIRST_HALL, ROOF), (CLEARING, SECOND_HALL, concrete), (WORKS, SECOND_HALL, ROOF)]
    assert [alert.first_seen for alert in told((CLEARING, LOT, BARE), *stages)] == [day(CLEARING)] * 2


def test_a_roof_over_all_of_a_foundation_is_the_same_building() -> None:
    only = told((CLEARING, FIRST_HALL, BARE), (WORKS, FIRST_HALL, ROOF))
    assert [(alert.kind, alert.first_seen) for alert in only] == [(Kind.NEW_STRUCTURE, day(CLEARING))]
