"""What DESIGN §4 promises of every decision, on random sites: buildings, fields and clouds at random."""

import random
from dataclasses import replace

import numpy as np
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon, box

from pipeline.decide.alerts import _take_apart
from pipeline.decide.detections import Detection
from pipeline.decide.object_series import Episode
from pipeline.decide.shapes import Shape
from pipeline.model.alert import Alert, Decision, Kind, Status
from pipeline.model.imagery import Look, Why
from tests.decide.scenes import BUILDING, DARK_ROOF, GRASS, ROOF, SOIL, clouded, clouds, decided, looks_with

# examples are not shrunk: each is several whole decisions
FEW = settings(max_examples=4, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
OPEN = (Status.PROVISIONAL, Status.CONFIRMED)


def random_looks(seed: int, count: int = 18) -> list[Look]:
    """Looks with some buildings and fields of random place, size, date and spectrum, under clouds."""
    rng, phases = np.random.default_rng(seed), []
    for _ in range(4):
        row, col = rng.integers(12, 50, 2)
        tall, wide = rng.integers(3, 14, 2)
        first = int(rng.integers(4, 14))
        last = 99 if rng.random() < 0.7 else first + int(rng.integers(1, 6))
        spectrum = [ROOF, DARK_ROOF, SOIL * 1.3, GRASS][rng.integers(4)]
        phases.append((first, last, (slice(row, row + tall), slice(col, col + wide)), spectrum))
    looks = looks_with(count, *phases)
    return [clouded(look, clouds(rng, rng.uniform(0.1, 0.6))) if rng.random() < 0.5 else look for look in looks]


def built(count: int = 11) -> list[Look]:
    """A building from the seventh look on."""
    return looks_with(count, (6, 99, BUILDING, ROOF))


def confirmed(decision: Decision) -> list[Alert]:
    return [alert for alert in decision.alerts if alert.confirmed_at is not None]


@FEW
@given(st.integers(0, 1000))
@example(76)
@example(421)
@example(582)
def test_the_dates_of_an_alert_are_those_of_its_observations(seed: int) -> None:
    decision = decided(random_looks(seed))
    for alert in decision.alerts:
        rows = [row for row in decision.observations if row.change_id == alert.id]
        assert [row.time for row in rows] == sorted(row.time for row in rows)
        seen = [row.time.date() for row in rows if row.seen]
        earlier = [row.time.date() for row in rows if row.score is not None and row.time.date() < alert.first_seen]
        assert alert.first_seen == seen[0]
        assert alert.last_seen == seen[-1] or alert.status in (Status.FINISHED, Status.WITHDRAWN)
        assert alert.last_clear_before == (earlier[-1] if earlier else None)
        assert alert.confirmed_at is None or alert.confirmed_at >= alert.first_seen
        assert not any(row.seen and row.score is None for row in rows)
        assert alert.looks_seen <= alert.looks_clear
        assert 0 <= alert.confidence <= 1


@FEW
@given(st.integers(0, 1000))
@example(76)
@example(421)
@example(582)
def test_no_two_open_alerts_share_more_than_a_tenth_of_the_smaller(seed: int) -> None:
    alerts = [alert for alert in decided(random_looks(seed)).alerts if alert.status in OPEN]
    for index, one in enumerate(alerts):
        for other in alerts[:index]:
            shared = one.outline.intersection(other.outline).area
            assert shared <= 0.1 * min(one.outline.area, other.outline.area) + 1e-6


@FEW
@given(st.integers(0, 1000))
def test_the_order_of_the_looks_and_a_look_given_twice_change_nothing(seed: int) -> None:
    looks = random_looks(seed, 14)
    shuffled = [*looks, looks[seed % 14]]
    random.Random(seed).shuffle(shuffled)
    first, second = decided(looks), decided(shuffled)
    assert first.alerts == second.alerts and first.observations == second.observations
    np.testing.assert_array_equal(first.evidence.score, second.evidence.score)
    np.testing.assert_array_equal(first.evidence.since, second.evidence.since)


@FEW
@given(st.integers(0, 1000), st.floats(0.1, 0.6))
@example(76, 0.5)
@example(421, 0.5)
@example(582, 0.5)
def test_clouds_over_unchanged_ground_confirm_nothing(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    looks = [clouded(look, clouds(rng, share)) if rng.random() < 0.5 else look for look in looks_with(12)]
    assert decided(looks).alerts == ()


@FEW
@given(st.integers(0, 1000), st.floats(0.1, 0.6))
@example(76, 0.5)
@example(421, 0.5)
@example(582, 0.5)
def test_more_cloud_never_confirms_more_objects(seed: int, share: float) -> None:
    """Clouds hide looks from the change on: no more objects are confirmed, and none is dated earlier."""
    rng = np.random.default_rng(seed)
    plain = built()
    hidden = [
        clouded(look, clouds(rng, share)) if index >= 6 and rng.random() < 0.5 else look
        for index, look in enumerate(plain)
    ]
    more, less = confirmed(decided(hidden)), confirmed(decided(plain))
    assert len(less) == 1
    assert all(alert.outline.intersects(less[0].outline) for alert in more)
    assert all(alert.first_seen >= less[0].first_seen for alert in more)


@FEW
@given(st.integers(6, 9), st.integers(1, 4))
def test_clouds_over_the_first_sights_move_the_bracket_to_the_clear_looks_around(first: int, hidden: int) -> None:
    looks = looks_with(first + hidden + 5, (first, 99, BUILDING, ROOF))
    for index in range(first, first + hidden):
        looks[index] = clouded(looks[index], (slice(22, 48), slice(22, 52)))
    (alert,) = confirmed(decided(looks))
    assert alert.last_clear_before == looks[first - 1].time.date()
    assert alert.first_seen == looks[first + hidden].time.date()
    assert not (looks[first].why[BUILDING] != Why.CLOUD).any()


def test_an_outline_is_cut_by_surer_ones_and_a_renewal_keeps_that_of_its_structure() -> None:
    one, two = (_detection(box(left, 0, left + 100, 100), score) for left, score in ((0, 5.0), (60, 4.0)))
    renewal = replace(two, score=3.0)
    first, second, third = _take_apart([renewal, two, one], 200.0)
    assert first.shape.outline.equals(box(0, 0, 100, 100))
    assert second.shape.outline.equals(box(100, 0, 160, 100)) and second.shape.area_m2 == 6000
    assert third.shape is second.shape
    sliver = _detection(box(0, 0, 100, 100.5), 2.0)
    assert [each.score for each in _take_apart([one, sliver], 10.0)] == [5.0]


def _detection(outline: Polygon, score: float) -> Detection:
    where, whole = np.ones((1, 1), bool), (slice(0, 1), slice(0, 1))
    shape = Shape(
        where=where, core=where, outline=outline, area_m2=outline.area, area_error_m2=100.0, window=whole
    )  # fmt: skip
    seen = np.ones(1, bool)
    episode = Episode(first=0, onset=0, before=-1, last=0, ended=False, seen=seen, looks_seen=1, looks_clear=1)
    return Detection(
        shape=shape,
        episode=episode,
        confirmed=0,
        odds=0.0,
        measured=np.ones((1, 5)),
        progress=np.ones(1),
        kind=Kind.NEW_STRUCTURE,
        score=score,
    )
