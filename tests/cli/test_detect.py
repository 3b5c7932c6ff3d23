"""`detect` as a user runs it, on a small made-up place."""

import contextlib
import json
import re
import shutil
import sqlite3
from pathlib import Path

import geopandas
import pytest
import rasterio

from pipeline.cli import demo
from pipeline.run.selection import packaged_aois
from tests import world
from tests.cli.conftest import Command
from tests.cli.test_evaluate import truth_file

COLUMNS = {
    "change_id", "label", "site", "status", "ended", "kind", "confidence", "area_m2", "area_error_m2",
    "last_clear_before", "first_seen", "confirmed_at", "last_seen", "looks_seen", "looks_clear", "before_scene",
    "after_scene", "lon", "lat", "verdict", "note", "reviewer", "reviewed_at",
}  # fmt: skip


def rows_of(path: Path) -> list[tuple[object, ...]]:
    """Every row of `changes`, its outline as stored, byte for byte."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        return db.execute("SELECT * FROM changes ORDER BY change_id").fetchall()


def test_a_building_is_found_outlined_and_dated(command: Command, tmp_path: Path) -> None:
    archive = world.catalogue(tmp_path / "archive", dates=12)
    done = command("detect", "--sites", world.write_sites(tmp_path / "sites.geojson", [world.feature(str(archive))]))
    assert done.code == 0, done.err
    changes = geopandas.read_file("out/place/review.gpkg", layer="changes")
    assert set(changes.columns) >= COLUMNS
    assert len(changes) == 1
    found = changes.iloc[0]
    rows, cols = world.BUILDING
    left, top = world.LEFT + cols.start * 10, world.TOP - rows.start * 10
    centre = found.geometry.centroid
    assert abs(centre.x - (left + 40)) < 10 and abs(centre.y - (top - 30)) < 10
    assert 3600 < found.area_m2 < 6600
    assert (str(found.last_clear_before)[:10], str(found.first_seen)[:10]) == ("2020-05-21", "2020-05-31")
    assert found.status == "confirmed"
    assert found.kind == "new structure"


def test_every_promised_file_is_there_and_a_picture_opens(command: Command, sites: Path) -> None:
    command("detect", "--sites", sites)
    folder = Path("out/place")
    for name in ("review.gpkg", "review.qgz", "before.tif", "after.tif", "score.tif", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    assert len(list((folder / "timeline").glob("*.png"))) == 1
    assert Path("out/index.html").exists()
    with rasterio.open(folder / "after.tif") as after, rasterio.open(folder / "score.tif") as score:
        assert after.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert after.dtypes[0] == "uint16" and after.nodata == 0
        assert score.dtypes == ("float32",) and score.crs == after.crs


def test_a_quiet_place_gives_no_polygon(command: Command, tmp_path: Path) -> None:
    quiet = world.catalogue(tmp_path / "quiet", built_from=None)
    sites = world.write_sites(tmp_path / "sites.geojson", [world.feature(str(quiet))])
    assert command("detect", "--sites", sites).code == 0
    assert geopandas.read_file("out/place/review.gpkg", layer="changes").empty


def test_the_order_of_items_and_doubled_links_change_nothing(command: Command, catalogue: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(catalogue.parent, other)
    document = json.loads((other / "catalog.json").read_text())
    links = document["links"]
    document["links"] = [links[0], *reversed(links[1:]), links[2]]
    (other / "catalog.json").write_text(json.dumps(document))
    polygons = []
    for name, source in (("one", catalogue), ("two", other / "catalog.json")):
        sites = world.write_sites(tmp_path / f"{name}.geojson", [world.feature(str(source))])
        assert command("detect", "--sites", sites, "--out", tmp_path / name).code == 0
        polygons.append(rows_of(tmp_path / name / "place" / "review.gpkg"))
    assert polygons[0] == polygons[1] and polygons[0]


def test_a_second_run_changes_no_byte_of_the_polygons(command: Command, sites: Path) -> None:
    command("detect", "--sites", sites)
    first = Path("out/place/review.gpkg").read_bytes()
    assert command("detect", "--sites", sites).code == 0
    assert Path("out/place/review.gpkg").read_bytes() == first


def test_a_site_that_fails_stops_no_other(command: Command, catalogue: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "catalog.json").write_text(json.dumps({"type": "Catalog", "stac_version": "1.0.0", "id": "e",
                                                    "description": "none", "links": []}))  # fmt: skip
    sites = world.write_sites(
        tmp_path / "sites.geojson",
        [world.feature(str(empty / "catalog.json"), id="nothing"), world.feature(str(catalogue))],
    )
    done = command("detect", "--sites", sites)
    assert done.code == 3
    assert len(done.errors) == 1 and "nothing" in done.errors[0]
    assert Path("out/place/review.gpkg").exists()


def test_an_archive_without_a_band_to_register_by_is_one_line(
    command: Command, catalogue: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "catalogue"
    shutil.copytree(catalogue.parent, copy)
    for path in copy.glob("*/*.json"):
        item = json.loads(path.read_text())
        item["assets"] = {key: asset for key, asset in item["assets"].items() if key in ("swir16", "swir22", "scl")}
        path.write_text(json.dumps(item))
    done = command("detect", "--sites", world.write_sites(tmp_path / "s.geojson", [world.feature(str(copy))]))
    assert done.code == 3 and len(done.errors) == 1 and "none of B04, B03, B08" in done.errors[0]


def test_scenes_names_every_scene_and_the_number_that_decided(command: Command, sites: Path) -> None:
    done = command("scenes", "place", "--sites", sites)
    assert done.code == 0
    assert "10 used, 0 rejected" in done.out


def test_two_workers_give_what_one_gives(command: Command, catalogue: Path, tmp_path: Path) -> None:
    features = [world.feature(str(catalogue), id=name, name=name) for name in ("place", "twin")]
    sites = world.write_sites(tmp_path / "sites.geojson", features)
    tables = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        assert command("detect", "--sites", sites, "--out", out, "--workers", workers).code == 0
        tables.append(rows_of(out / "twin" / "review.gpkg"))
    assert tables[0] == tables[1] and tables[0]


def test_the_demonstration_runs_in_any_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "packaged"
    packaged.mkdir()
    catalogue = world.catalogue(packaged / "catalogue", dates=14)
    known = world.feature(str(catalogue))
    known["properties"]["truth"] = "truth.geojson"
    truth_file(packaged / "truth.geojson")
    untold = world.feature(str(catalogue), id="untold", name="Untold")
    world.write_sites(packaged / "demo.geojson", [known, untold])
    monkeypatch.setattr(demo, "packaged_aois", lambda: packaged)
    monkeypatch.setattr(demo, "program_name", lambda: "groundbreak")
    done = command("demo", "--out", "tour")
    assert done.code == 0 and (tmp_path / "tour" / "place" / "review.qgz").is_file()
    assert "tour/place/report.html" in done.out and "groundbreak sites add" in done.out
    # truth beside found where it is known; order as in the file, whichever site is ready first
    assert done.out.index("1 of 1 changes found, 0 false confirmed alerts.") < done.out.index("2. Untold")
    assert re.search(r"hall +60x80 m +2020-05-31 +new structure +0\.\d\d +2020-05-31", done.out)
    assert "1 new structure. Folded in the report: nothing" in done.out
    assert "groundbreak review place --out tour" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_demonstration_names_a_program_that_the_shell_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / ".venv" / "bin" / "groundbreak"
    own.parent.mkdir(parents=True)
    own.touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(own.with_name("python")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert demo.program_name() == ".venv/bin/groundbreak"
    monkeypatch.chdir(own.parent.parent)
    assert demo.program_name() == "bin/groundbreak"
    monkeypatch.chdir(Path(__file__).parent)
    assert demo.program_name() == str(own)
    monkeypatch.setenv("PATH", str(own.parent))
    assert demo.program_name() == "groundbreak"


def test_the_package_brings_the_demonstration_and_the_watched_sites() -> None:
    found = {path.name for path in packaged_aois().iterdir()}
    assert {"demo.geojson", "watch.geojson", "demo"} <= found
    assert (packaged_aois() / "demo" / "archive" / "catalog.json").is_file()
