"""Looks to alerts, on made-up looks: a roof among fields, gain and haze that change from look to look."""

import random
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from shapely.geometry import box

from pipeline.model.alert import Kind, Status
from pipeline.model.errors import DecisionError
from pipeline.model.imagery import Look, Why
from pipeline.numerics.vectorise import contour, label_regions
from tests.decide.scenes import BUILDING, CRS, FIRST, LEFT, ROOF, SIDE, TOP, decided, painted, site_between, unchanged

BUILDING_BOX = box(LEFT + 330, TOP - 380, LEFT + 410, TOP - 320)


def _series(*built: bool) -> list[Look]:
    looks = (unchanged(index) for index in range(len(built)))
    return [painted(look, BUILDING, ROOF) if here else look for look, here in zip(looks, built, strict=True)]


def test_a_roof_is_one_confirmed_structure_with_its_dates_and_its_size() -> None:
    alerts = decided(_series(*[False] * 6, *[True] * 5)).alerts
    assert len(alerts) == 1
    alert = alerts[0]
    truth = box(LEFT + 330, TOP - 380, LEFT + 410, TOP - 320)
    overlap = alert.outline.intersection(truth).area / alert.outline.union(truth).area
    assert (alert.status, alert.kind) == (Status.CONFIRMED, Kind.NEW_STRUCTURE)
    assert alert.last_clear_before == (FIRST + timedelta(days=50)).date()
    assert alert.first_seen == (FIRST + timedelta(days=60)).date()
    assert overlap > 0.8
    assert alert.area_m2 == pytest.approx(4800, rel=0.15)


def test_ground_that_only_changes_its_light_raises_nothing() -> None:
    assert decided(_series(*[False] * 12)).alerts == ()


def test_what_one_look_shows_is_never_confirmed() -> None:
    for looks in (_series(*[False] * 9, True), _series(*[False] * 6, True, *[False] * 4)):
        assert [alert for alert in decided(looks).alerts if alert.status is not Status.WITHDRAWN] == []


@pytest.mark.parametrize("stood", [40, 10], ids=["more than a year", "a season"])
def test_a_building_that_is_gone_has_ended_and_a_brief_one_was_a_natural_episode(stood: int) -> None:
    (alert,) = decided(_series(*[False] * 40, *[True] * stood, *[False] * 6)).alerts
    last = (FIRST + timedelta(days=10 * (39 + stood))).date()
    assert alert.last_seen == last
    if stood > 36:
        assert (alert.status, alert.ended) == (Status.FINISHED, last)
        assert alert.confirmed_at is not None
    else:
        assert (alert.status, alert.ended, alert.confirmed_at) == (Status.WITHDRAWN, None, None)


def test_the_order_of_the_looks_and_twice_the_same_look_change_nothing() -> None:
    looks = _series(*[False] * 6, *[True] * 5)
    shuffled = [*looks, looks[3]]
    random.Random(5).shuffle(shuffled)
    first, second = decided(looks), decided(shuffled)
    assert first.alerts == second.alerts
    np.testing.assert_array_equal(first.evidence.score, second.evidence.score)


def test_a_cloud_over_a_roof_moves_its_first_sight_to_the_next_clear_look() -> None:
    looks = _series(*[False] * 6, *[True] * 5)
    why = np.zeros((SIDE, SIDE), np.uint8)
    why[26:44, 26:48] = Why.CLOUD
    looks[6] = replace(looks[6], why=why)
    (alert,) = decided(looks).alerts
    assert alert.last_clear_before == (FIRST + timedelta(days=50)).date()
    assert alert.first_seen == (FIRST + timedelta(days=70)).date()


def test_a_roof_outside_the_aoi_is_not_reported() -> None:
    looks = _series(*[False] * 6, *[True] * 5)
    assert len(decided(looks, site_between(left=30)).alerts) == 1
    assert decided(looks, site_between(left=48)).alerts == ()


def test_three_looks_of_history_are_enough_and_said_and_two_are_refused() -> None:
    decision = decided(_series(*[False] * 3, *[True] * 4))
    assert len(decision.alerts) == 1
    assert "only 7 looks" in decision.cautions[0]
    with pytest.raises(DecisionError, match="3 usable looks, 4 needed"):
        decided(_series(*[False] * 3))


def test_later_looks_leave_the_id_of_a_roof_alone() -> None:
    looks = _series(*[False] * 6, *[True] * 6)
    assert decided(looks[:10]).alerts[0].id == decided(looks).alerts[0].id


def test_weak_evidence_belongs_to_a_region_only_beside_strong_evidence() -> None:
    evidence = np.zeros((12, 12))
    evidence[2:4, 2:6], evidence[2, 2] = 3, 5
    evidence[8:10, 2:6] = 3
    labels = label_regions(evidence, 4, 2, 2)
    assert labels.max() == 1
    assert (labels > 0).sum() == 8
    assert (labels[8:10] == 0).all()


def test_an_outline_runs_where_half_of_a_pixel_is_covered() -> None:
    share = np.zeros((10, 10))
    share[3:7, 3:7] = 1
    share[3:7, 7] = 0.25
    outline = contour(share, GeoBox((10, 10), from_origin(0, 100, 10, 10), CRS))
    assert outline is not None
    assert outline.bounds == pytest.approx((30, 30, 71.7, 70), abs=0.1)
