"""A site judged in cells: what stands on a seam is found once and whole, as if there were no seam."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.transform import from_origin
from shapely.geometry import Polygon, box, mapping

import pipeline.run.cells as cells
import pipeline.run.process_site as judging
import pipeline.run.wide as wide
from pipeline.catalogue.sites import read_sites
from pipeline.model.alert import Alert, Status
from pipeline.model.bands import Band
from pipeline.model.errors import DecisionError
from pipeline.model.imagery import Chip, Scene
from pipeline.model.progress import Progress, no_progress
from pipeline.model.settings import Settings
from pipeline.review.gpkg import read_rows
from pipeline.run.detect import SiteOutcome, detect_sites
from pipeline.run.process_site import SiteJob, SiteResult, find_scenes
from pipeline.run.result_cache import ROOM_BYTES
from pipeline.run.wide import merged_records
from pipeline.study.catalogue_writer import write_catalogue, write_item
from tests import world

SIDE, CELL, HALO = 260, 100, 40
GRID = GeoBox((SIDE, SIDE), from_origin(world.LEFT, world.TOP, 10, 10), world.CRS)
# AOI and margin make the grid of the site, whose cells begin 2 px inside the pixels there are
EDGE, SEAM = 340.0, 2 + CELL
BUILDINGS = {
    "inside a cell": (slice(60, 66), slice(60, 68)),
    "on a seam of columns": (slice(50, 56), slice(SEAM - 4, SEAM + 4)),
    "on a seam of rows": (slice(SEAM - 3, SEAM + 3), slice(150, 158)),
    "on a corner": (slice(SEAM - 5, SEAM + 3), slice(SEAM - 3, SEAM + 5)),
    "longer than the halo": (slice(190, 195), slice(50, 180)),
}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> SiteJob:
    folder = tmp_path_factory.mktemp("wide")
    share = np.tile(np.concatenate([world.ground(seed) for seed in (3, 4, 5)], axis=1), (3, 1))[:SIDE, :SIDE]
    items = []
    for index in range(10):
        rng, assets = np.random.default_rng(index), {}
        for key in (*world.BANDS10, "nir08", "swir16"):
            plane = share * world.GRASS[key] + (1 - share) * world.SOIL[key]
            for place in BUILDINGS.values() if index >= 6 else ():
                plane[place] = world.ROOF[key]
            plane = (1 + 0.03 * np.sin(index)) * plane + rng.normal(0, 0.0015, plane.shape)
            assets[key] = (np.clip(np.round(plane * 10000), 1, 65535).astype(np.uint16), GRID)
        time = datetime(2020, 4, 1, 9, 30, tzinfo=UTC) + timedelta(days=10 * index)
        items.append(write_item(folder, f"wide-{time:%Y%m%d}", time, assets, {"s2:product_type": "S2MSI2A"}))
    source = write_catalogue(folder, "wide", "A wide place", "for tests", items)
    inner = box(world.LEFT + EDGE, world.TOP - 10 * SIDE + EDGE, world.LEFT + 10 * SIDE - EDGE, world.TOP - EDGE)
    aoi = mapping(Geometry(inner, world.CRS).to_crs("EPSG:4326").geom)
    feature = {"type": "Feature", "properties": {"id": "wide", "name": "Wide"}, "geometry": aoi}
    (folder / "sites.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    site = read_sites([folder / "sites.geojson"]).sites[0]
    until = datetime(2030, 1, 1, tzinfo=UTC)
    return SiteJob(site=site, source=str(source), collection=None, start=None, until=until, settings=Settings(),
                    memory=folder / "memory" / "wide")  # fmt: skip


@pytest.fixture
def in_cells(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (("WHOLE_PX", 1), ("CELL_PX", CELL), ("HALO_PX", HALO)):
        monkeypatch.setattr(cells, name, value)
    yield


def judged(job: SiteJob, out: Path) -> SiteOutcome:
    (outcome,) = detect_sites([job], out, 1, no_progress)
    assert outcome.error is None, outcome.error
    return outcome


def test_what_is_remembered_of_cells_leaves_room_for_the_results_of_the_whole(
    job: SiteJob, in_cells: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = next(cells.cell_jobs(job, find_scenes(job)))
    pixel_bytes = 4 * len(cell.found.scenes[0].granules[0].assets) + 4
    assert cell.found is not None and cell.results > SIDE**2 * pixel_bytes
    free = shutil.disk_usage("/")
    for spare, remembered in ((-1, False), (1, True)):
        room = ROOM_BYTES + cell.results + judging._expected_bytes(cell.site, cell.found.scenes) + spare
        monkeypatch.setattr(shutil, "disk_usage", lambda path, room=room: free._replace(free=room))
        folder = job.memory.with_name(f"spare {spare}")
        cells.process_cell(replace(cell, memory=folder), no_progress)
        assert folder.exists() is remembered


def standing(outcome: SiteOutcome) -> list[Alert]:
    assert outcome.decision is not None
    return [alert for alert in outcome.decision.alerts if alert.status is not Status.WITHDRAWN]


def ground(place: tuple[slice, slice]) -> Polygon:
    rows, cols = place
    return box(
        world.LEFT + 10 * cols.start,
        world.TOP - 10 * rows.stop,
        world.LEFT + 10 * cols.stop,
        world.TOP - 10 * rows.start,
    )


def test_each_building_is_found_once_and_whole_wherever_the_seams_run(
    job: SiteJob, tmp_path: Path, in_cells: None
) -> None:
    outcome = judged(job, tmp_path)
    found = standing(outcome)
    for name, place in BUILDINGS.items():
        true = ground(place)
        mine = [alert for alert in found if alert.outline.intersects(true)]
        assert len(mine) == 1, f"{name}: {len(mine)} alerts"
        assert mine[0].outline.symmetric_difference(true).difference(true.boundary.buffer(12)).area == 0, name
    assert len(found) == len(BUILDINGS)
    assert {row.change_id for row in read_rows(tmp_path / "wide" / "review.gpkg")} == {alert.id for alert in found}


def test_an_answer_holds_no_more_memory_than_it_tells(job: SiteJob, in_cells: None) -> None:
    answer = cells.process_cell(next(cells.cell_jobs(job, find_scenes(job))), no_progress)
    evidence = answer.decision.evidence
    assert evidence.score.base is None and evidence.since.base is None
    for looks in answer.looks.values():
        assert all(look.reflectance.base is None and look.why.base is None for look in looks)


def test_cells_say_what_the_whole_says(
    job: SiteJob, tmp_path: Path, in_cells: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = judged(job, tmp_path / "cells")
    monkeypatch.setattr(cells, "WHOLE_PX", SIDE * SIDE)
    whole = judged(job, tmp_path / "whole")
    for alert in standing(whole):
        (same,) = (other for other in standing(parts) if other.outline.intersects(alert.outline))
        assert (same.kind, same.first_seen, same.last_clear_before) == (
            alert.kind,
            alert.first_seen,
            alert.last_clear_before,
        )
        assert same.outline.symmetric_difference(alert.outline).difference(alert.outline.boundary.buffer(12)).area == 0
    for name in ("before.tif", "after.tif", "score.tif"):
        with (
            rasterio.open(tmp_path / "cells" / "wide" / name) as mine,
            rasterio.open(tmp_path / "whole" / "wide" / name) as other,
        ):
            assert (mine.shape, mine.transform, mine.descriptions) == (other.shape, other.transform, other.descriptions)
            if name != "score.tif":
                assert np.median(np.abs(mine.read(1).astype(float) - other.read(1))) < 40, name
    assert (parts.published and parts.published.folder.timeline(standing(parts)[0].id)).is_file()  # type: ignore[union-attr]
    assert not list((tmp_path / "cells" / ".groundbreak").glob("wide-*"))


def test_a_cell_without_looks_is_a_hole_that_is_said(
    job: SiteJob, tmp_path: Path, in_cells: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = cells.process_site

    def blind(asked: SiteJob, step: Progress) -> SiteResult:
        if asked.site.id == "wide.0.0":
            raise DecisionError("2 usable looks, 4 needed", asked.site.id, "wait")
        return judge(asked, step)

    monkeypatch.setattr(cells, "process_site", blind)
    outcome = judged(job, tmp_path)
    assert outcome.decision is not None
    assert any("nothing is known of 1 of 9 cells" in caution for caution in outcome.decision.cautions)
    with rasterio.open(tmp_path / "wide" / "score.tif") as score:
        assert np.isnan(score.read(1)[:CELL, :CELL]).all()
        assert np.isfinite(score.read(1)[CELL:, CELL:]).mean() > 0.9


def test_an_alert_whose_looks_were_not_kept_is_published_all_the_same(
    job: SiteJob, tmp_path: Path, in_cells: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wide._Gathered, "_keep", lambda *_: None)
    outcome = judged(job, tmp_path)
    assert len(standing(outcome)) == len(BUILDINGS)
    assert outcome.published is not None
    assert all(outcome.published.folder.timeline(alert.id).is_file() for alert in standing(outcome))


def test_a_scene_that_only_blind_cells_saw_is_refused_and_not_forgotten(job: SiteJob) -> None:
    found = find_scenes(job)
    rows = merged_records(found, ())
    assert [row.scene for row in rows] == [scene.id for scene in found.scenes]
    assert {(row.used, row.reason) for row in rows} == {(False, "too little history")}


def test_a_run_that_was_cut_off_reads_no_pixel_twice(
    job: SiteJob, tmp_path: Path, in_cells: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(job, memory=tmp_path / "memory" / "wide")
    reads: list[tuple[str, str]] = []
    read, judge = judging.read_chips, cells.process_site

    def counted(scene: Scene, grid: GeoBox, bands: Sequence[Band]) -> tuple[Chip, ...]:
        reads.append((scene.id, str(grid.affine)))
        return read(scene, grid, bands)

    def cut(cell: SiteJob, step: Progress) -> SiteResult:
        if cell.site.id == "wide.1.1":
            raise KeyboardInterrupt
        return judge(cell, step)

    monkeypatch.setattr(judging, "read_chips", counted)
    monkeypatch.setattr(cells, "process_site", cut)
    with pytest.raises(KeyboardInterrupt):
        judged(asked, tmp_path / "out")
    before = set(reads)
    reads.clear()
    monkeypatch.setattr(cells, "process_site", judge)
    outcome = judged(asked, tmp_path / "out")
    assert len(standing(outcome)) == len(BUILDINGS)
    assert before
    assert not before & set(reads)
    assert not list((tmp_path / "out" / ".groundbreak").glob("wide-*"))
