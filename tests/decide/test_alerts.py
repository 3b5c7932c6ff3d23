"""Looks to alerts, on made-up looks: a roof among fields, gain and haze that change from look to look."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.transform import from_origin
from scipy import ndimage
from shapely.geometry import box

from pipeline.decide.alerts import decide_site
from pipeline.decide.vectorise import contour, regions
from pipeline.model.alert import Decision, Kind, Status
from pipeline.model.bands import Band
from pipeline.model.errors import DecisionError
from pipeline.model.imagery import Alignment, Granule, Level, Look, OffsetClaim, Scene, Why
from pipeline.model.settings import Settings
from pipeline.model.site import Site

CRS, LEFT, TOP, SIDE = "EPSG:32634", 500_000.0, 5_000_000.0, 72
GRID = GeoBox((SIDE, SIDE), from_origin(LEFT, TOP, 10, 10), CRS)
BANDS = (Band.B02, Band.B03, Band.B04, Band.B08, Band.B11)
SOIL = np.array([0.06, 0.08, 0.10, 0.22, 0.28])
GRASS = np.array([0.03, 0.06, 0.04, 0.38, 0.18])
ROOF = np.array([0.30, 0.31, 0.32, 0.34, 0.36])
BUILDING = (slice(32, 38), slice(33, 41))
FIRST = datetime(2020, 4, 1, 9, 30, tzinfo=UTC)


def _site(left: int = 10, right: int = SIDE - 10) -> Site:
    """A site whose AOI runs from column `left` to column `right`."""
    area = box(LEFT + 10 * left, TOP - 10 * (SIDE - 10), LEFT + 10 * right, TOP - 100)
    return Site(id="place", name="Place", aoi=Geometry(area, CRS).to_crs("EPSG:4326").geom, grid=GRID)


def _look(index: int, built: bool, why: NDArray[np.uint8] | None = None) -> Look:
    fixed, own = np.random.default_rng(3), np.random.default_rng(100 + index)
    coarse = ndimage.zoom(fixed.uniform(0, 1, (9, 9)), 8, order=0)
    fine = ndimage.gaussian_filter(fixed.normal(0, 1, (SIDE, SIDE)), 0.8)
    share = np.clip(0.15 + 0.7 * coarse + 0.12 * fine, 0, 1)
    values = share * GRASS[:, None, None] + (1 - share) * SOIL[:, None, None]
    if built:
        values[(slice(None), *BUILDING)] = ROOF[:, None, None]
    values = (1 + 0.03 * np.sin(index)) * values + 0.002 * (index % 3) + own.normal(0, 0.004, values.shape)
    time = FIRST + timedelta(days=10 * index)
    claim = OffsetClaim(dn=0, reason="made up")
    granule = Granule(
        id=f"g{index}",
        tile=None,
        baseline=None,
        generated=None,
        offset_claim=claim,
        assets={},
        scl=None,
        crs=CRS,
        footprint=box(0, 0, 1, 1),
    )
    scene = Scene(
        id=f"s{index:02}",
        time=time,
        level=Level.L2A,
        platform=None,
        relative_orbit=None,
        collection="made-up",
        granules=(granule,),
    )
    return Look(
        scene=scene,
        grid=GRID,
        bands=BANDS,
        reflectance=values.astype(np.float32),
        why=np.zeros((SIDE, SIDE), np.uint8) if why is None else why,
        alignment=Alignment(shift=(0.0, 0.0), accepted=True, reliability=1.0),
        noise=np.full(len(BANDS), 0.004, np.float32),
        boa_offset_dn=0,
    )


def _series(*built: bool) -> list[Look]:
    return [_look(index, here) for index, here in enumerate(built)]


def _decide(looks: list[Look], site: Site | None = None) -> Decision:
    return decide_site(site or _site(), looks, Settings())


def test_a_roof_is_one_confirmed_structure_with_its_dates_and_its_size() -> None:
    alerts = _decide(_series(*[False] * 6, *[True] * 5)).alerts
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
    assert _decide(_series(*[False] * 12)).alerts == ()


def test_what_one_look_shows_is_never_confirmed() -> None:
    for looks in (_series(*[False] * 9, True), _series(*[False] * 6, True, *[False] * 4)):
        assert [alert for alert in _decide(looks).alerts if alert.status is not Status.WITHDRAWN] == []


def test_the_order_of_the_looks_and_twice_the_same_look_change_nothing() -> None:
    looks = _series(*[False] * 6, *[True] * 5)
    shuffled = [*looks, looks[3]]
    random.Random(5).shuffle(shuffled)
    first, second = _decide(looks), _decide(shuffled)
    assert first.alerts == second.alerts
    np.testing.assert_array_equal(first.evidence.score, second.evidence.score)


def test_a_cloud_over_a_roof_moves_its_first_sight_to_the_next_clear_look() -> None:
    looks = _series(*[False] * 6, *[True] * 5)
    why = np.zeros((SIDE, SIDE), np.uint8)
    why[26:44, 26:48] = Why.CLOUD
    looks[6] = replace(looks[6], why=why)
    (alert,) = _decide(looks).alerts
    assert alert.last_clear_before == (FIRST + timedelta(days=50)).date()
    assert alert.first_seen == (FIRST + timedelta(days=70)).date()


def test_a_roof_outside_the_aoi_is_not_reported() -> None:
    looks = _series(*[False] * 6, *[True] * 5)
    assert len(_decide(looks, _site(left=30)).alerts) == 1
    assert _decide(looks, _site(left=48)).alerts == ()


def test_three_looks_of_history_are_enough_and_said_and_two_are_refused() -> None:
    decision = _decide(_series(*[False] * 3, *[True] * 4))
    assert len(decision.alerts) == 1
    assert "only 7 looks" in decision.cautions[0]
    with pytest.raises(DecisionError, match="3 usable looks, 4 needed"):
        _decide(_series(*[False] * 3))


def test_later_looks_leave_the_id_of_a_roof_alone() -> None:
    looks = _series(*[False] * 6, *[True] * 6)
    assert _decide(looks[:10]).alerts[0].id == _decide(looks).alerts[0].id


def test_weak_evidence_belongs_to_a_region_only_beside_strong_evidence() -> None:
    evidence = np.zeros((12, 12))
    evidence[2:4, 2:6], evidence[2, 2] = 3, 5
    evidence[8:10, 2:6] = 3
    labels = regions(evidence, 4, 2, 2)
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
