"""The embedded real pixels: what is known to have happened there is found, and what deceives is not."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from odc.geo.geom import Geometry
from scipy import ndimage
from shapely.geometry import LineString

from pipeline.catalogue.sites import read_sites
from pipeline.decide.alerts import decide_site
from pipeline.evaluation.reviewed import read_truth
from pipeline.model.alert import Decision, Status
from pipeline.model.imagery import Chip, Look, Raster
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run.looks import correct_chips
from pipeline.run.process_site import SiteJob, find_scenes, read_all, with_scenes

AOIS = Path(__file__).resolve().parents[2] / "aois"
DECEIVING = (
    date(2016, 5, 7), date(2016, 5, 27), date(2016, 9, 24), date(2017, 6, 21), date(2018, 8, 15), date(2020, 9, 3),
)  # fmt: skip
"""Cloud shadows, wisps, a cloud band and thin cloud that the scene classification passes as clear."""
ROAD = LineString([(22.1525, 45.2074), (22.1577, 45.2068)])
"""Along the northern edge, widened in the winter of 2016/17."""
FOREST, INJECTED, QUIET = "southern-carpathians", "southern-carpathians-simulated", "quiet-works-simulated"
YEAR = timedelta(days=365)
UNTIL = {FOREST: datetime(2019, 1, 1, tzinfo=UTC)}
"""The forest's later years are those of the looks with buildings drawn into them."""
FINISHED = (Status.CONFIRMED, Status.FINISHED)
Read = list[tuple[Chip, ...]]


@pytest.fixture(scope="module")
def judged() -> Mapping[str, tuple[SiteJob, Read, tuple[Look, ...], Decision]]:
    found = {}
    sites = read_sites((AOIS / "demo.geojson", AOIS / "demo" / "simulated" / "sites.geojson")).sites
    for site in (each for each in sites if each.id in (FOREST, INJECTED, QUIET)):
        until = UNTIL.get(site.id, datetime(2030, 1, 1, tzinfo=UTC))
        wanted = with_scenes(
            SiteJob(site=site, source=str(site.catalog), collection=None, start=None, until=until, settings=Settings())
        )
        site = wanted.site
        read, _, _ = read_all(wanted, find_scenes(wanted).scenes, no_progress)
        looks, _ = correct_chips(site, read, wanted.settings, no_progress)
        found[site.id] = (wanted, read, looks, decide_site(site, looks, wanted.settings))
    return found


def test_the_road_is_found_and_dated(judged: Mapping) -> None:
    wanted, _, _, decision = judged[FOREST]
    road = Geometry(ROAD, "EPSG:4326").to_crs(str(wanted.site.grid.crs)).geom.buffer(20)
    found = max(decision.alerts, key=lambda alert: alert.outline.intersection(road).area)
    assert found.status in FINISHED
    assert found.outline.area > 20_000
    assert found.first_seen == date(2017, 4, 2)
    assert found.last_clear_before is not None and found.last_clear_before >= date(2016, 9, 1)


def test_nothing_is_found_where_nothing_is_built(judged: Mapping) -> None:
    _, _, looks, decision = judged[QUIET]
    assert len(looks) > 30 and decision.alerts == ()


@pytest.mark.parametrize("site", [FOREST, INJECTED])
def test_nothing_begins_on_days_that_deceive(judged: Mapping, site: str) -> None:
    decision = judged[site][3]
    alerts = [alert for alert in decision.alerts if alert.status is not Status.WITHDRAWN]
    begun = [alert for alert in alerts if alert.first_seen in DECEIVING]
    lasting = [alert for alert in begun if alert.last_seen - alert.first_seen > YEAR]
    assert alerts and begun == lasting, "what is still seen a year after such a day is no cloud"


def test_nothing_in_the_woods_is_called_a_structure(judged: Mapping) -> None:
    kinds = [alert.kind.value for alert in judged[FOREST][3].alerts]
    assert kinds.count("new structure") == 0, kinds


def test_each_alert_has_an_id_of_its_own_and_one_row_a_look(judged: Mapping) -> None:
    for _, _, looks, decision in judged.values():
        ids = [alert.id for alert in decision.alerts]
        rows = [(each.change_id, each.scene) for each in decision.observations]
        assert len(ids) == len(set(ids)) and len(rows) == len(set(rows)) == len(ids) * len(looks)


def _overlaps(judged: Mapping, least_m2: float, most_m2: float) -> list[float]:
    """Of each injected building of a size, the IoU with the confirmed outline that fits it best."""
    wanted, _, _, decision = judged[INJECTED]
    truths = read_truth(AOIS / "demo" / "simulated" / "truth.geojson", str(wanted.site.grid.crs))
    told = [alert.outline for alert in decision.alerts if alert.status in FINISHED]
    return [
        max(outline.intersection(truth.outline).area / outline.union(truth.outline).area for outline in told)
        for truth in truths
        if least_m2 <= truth.outline.area < most_m2
    ]


def test_every_injected_building_is_confirmed_and_its_outline_overlaps_by_half(judged: Mapping) -> None:
    large, small = _overlaps(judged, 1000, 1e9), _overlaps(judged, 790, 1000)
    assert len(large) + len(small) >= 6
    assert min(large + small) > 0.5


@pytest.mark.parametrize("site", [FOREST, INJECTED])
def test_an_unchanged_twin_adds_no_polygon(judged: Mapping, site: str) -> None:
    """The last clear look again, later: shifted, brighter, hazier and noisier."""
    wanted, read, looks, decision = judged[site]
    clearest = max(looks[-15:], key=lambda look: float(look.usable.mean()))
    chips = next(chips for chips in read if chips[0].scene.id == clearest.scene.id)
    later = looks[-1].time + timedelta(days=5)
    twin = tuple(_twin(chip, later, seed) for seed, chip in enumerate(chips))
    more, _ = correct_chips(wanted.site, [*read, twin], wanted.settings, no_progress)
    assert any(look.time == later for look in more)
    known = {alert.outline.representative_point().wkb for alert in decision.alerts}
    again = decide_site(wanted.site, more, wanted.settings)
    begun = [alert for alert in again.alerts if alert.first_seen >= later.date()]
    assert known and begun == []


def _twin(chip: Chip, time: datetime, seed: int) -> Chip:
    rng = np.random.default_rng(seed)
    rasters = {}
    for band, raster in chip.dn.items():
        step = band.native_m / 10
        moved = ndimage.shift(raster.data.astype(float), (0.4 / step, -0.3 / step), order=3, mode="nearest")
        value = moved * 1.08 + 120 + rng.normal(0, 15, moved.shape)
        data = np.where(raster.data == 0, 0, np.clip(np.round(value), 1, 65535)).astype(np.uint16)
        rasters[band] = Raster(grid=raster.grid, data=data)
    return replace(chip, dn=rasters, scene=replace(chip.scene, id="twin", time=time))
