"""Results that were removed, replaced or cut short between two nights: restored or named, and no verdict lost."""

import contextlib
import json
import os
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from odc.geo.geom import Geometry
from shapely.affinity import translate
from shapely.geometry import box

from pipeline.model.settings import Settings
from pipeline.review.folder import Folder
from pipeline.review.geoblob import encode_geometry, register_functions
from pipeline.review.gpkg import survey_rows
from pipeline.run.outputs import measure_outputs
from pipeline.run.process_site import SiteJob
from pipeline.run.resume import resume_site
from tests import world
from tests.cli.conftest import Command, Outcome
from tests.cli.test_nightly import rows_of
from tests.review import made
from tests.review.conftest import put

PLACE = Path("out/place")
REVIEW = PLACE / "review.gpkg"


def ids(path: Path = REVIEW) -> dict[str, tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return {row[0]: row[1:] for row in db.execute("SELECT change_id, status, verdict, note FROM changes")}


def judge() -> None:
    with contextlib.closing(sqlite3.connect(REVIEW)) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET verdict = 'construction', note = 'mine'")


@pytest.fixture
def night(command: Command, sites: Path) -> Any:
    """Nights over one place, of which two have passed; the analyst has given a verdict between them."""

    def work(*more: object) -> Outcome:
        return command("nightly", "--sites", sites, *more)

    assert work().code == 0
    judge()
    assert work().code == 4
    return work


def outputs() -> dict[str, str]:
    return {name: each.digest for name, each in measure_outputs(Folder(PLACE)).items()}


DAMAGES = {
    "the whole folder": lambda: shutil.rmtree(PLACE),
    "the review file": lambda: REVIEW.rename("aside.gpkg"),
    "the report": lambda: (PLACE / "report.html").unlink(),
    "a raster": lambda: (PLACE / "after.tif").unlink(),
    "a raster cut": lambda: (PLACE / "score.tif").write_bytes((PLACE / "score.tif").read_bytes()[:99]),
    "a raster of another look": lambda: shutil.copy(PLACE / "before.tif", PLACE / "after.tif"),
    "a picture": lambda: next((PLACE / "timeline").iterdir()).unlink(),
    "the pictures": lambda: shutil.rmtree(PLACE / "timeline"),
    "the project": lambda: (PLACE / "review.qgz").unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_gone_or_altered_is_made_again_with_ids_and_verdicts(night: Any, name: str) -> None:
    before, held = outputs(), ids()
    DAMAGES[name]()
    done = night()
    assert done.code == 0 and "note: place: " in done.err, done.err
    assert outputs() == before and ids() == held
    assert [row[1:] for row in held.values()] == [("construction", "mine")]
    assert night().code == 4


def test_an_older_copy_put_back_is_brought_up_to_date(command: Command, catalogue: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(catalogue.parent, tmp_path / "catalogue") / "catalog.json"
    whole = json.loads(copy.read_text())
    copy.write_text(json.dumps(whole | {"links": whole["links"][:8]}))
    sites = world.write_sites(tmp_path / "sites.geojson", [world.feature(str(copy))])
    assert command("nightly", "--sites", sites).code == 0
    older = Path(shutil.copy(REVIEW, tmp_path / "older.gpkg"))
    copy.write_text(json.dumps(whole))
    assert command("nightly", "--sites", sites).code == 0
    newer = rows_of(REVIEW)
    shutil.copy(older, REVIEW)
    assert command("nightly", "--sites", sites).code == 0
    assert rows_of(REVIEW) == newer
    assert command("nightly", "--sites", sites).code == 4


def test_a_log_that_a_lost_review_file_left_is_not_played_into_its_copy(night: Any) -> None:
    held = ids()
    REVIEW.unlink()
    REVIEW.with_name("review.gpkg-wal").write_bytes(b"of another database")
    assert night().code == 0
    assert ids() == held and not REVIEW.with_name("review.gpkg-wal").exists()


LEDGER = Path("out/.groundbreak/ledger.sqlite")
LEDGERS = {
    "of another program": ("DROP TABLE sites", "CREATE TABLE sites (x)"),
    "of an older version": ("ALTER TABLE sites DROP COLUMN escalated", "ALTER TABLE scenes DROP COLUMN reason"),
    "that computes": ("DROP TABLE told", "CREATE VIEW told AS SELECT 'place' AS site, 'feed' AS channel"),
    "with odd values": ("UPDATE sites SET success = 'never', failures = 'many', last_scene = 7",
                        "UPDATE told SET status = 'odd'", "UPDATE outputs SET size = 'large'"),
    "of the future": ("UPDATE sites SET success = '9999-12-31T00:00:00+00:00', failures = 5",),
}  # fmt: skip


def test_a_ledger_that_others_have_written_to_costs_work_and_no_result(night: Any, command: Command) -> None:
    held = rows_of(REVIEW)
    for name, statements in LEDGERS.items():
        with contextlib.closing(sqlite3.connect(LEDGER)) as db, db:
            for statement in statements:
                db.execute(statement)
        assert night().code in (0, 4), name
        assert rows_of(REVIEW) == held, name
        (entry,) = json.loads(command("status", "--json").out)
        assert entry["failures"] == 0 and entry["success"].startswith("20"), name
    assert night().code == 4


def test_an_empty_review_file_is_restored_from_its_copy(night: Any) -> None:
    held = ids()
    REVIEW.write_bytes(b"")
    done = night()
    assert done.code == 0 and "restored from" in done.err
    assert ids() == held


def test_a_damaged_review_file_is_one_line_and_one_that_is_lost_for_good_is_named(night: Any) -> None:
    whole, held = REVIEW.read_bytes(), ids()
    REVIEW.write_bytes(whole[: len(whole) // 2])
    done = night()
    assert done.code == 3 and sum("review file is damaged" in line for line in done.err.splitlines()) == 1
    assert "the copies made before stay" in done.err and "disk space" not in done.err
    REVIEW.unlink()
    shutil.rmtree("out/.groundbreak/backups")
    done = night()
    assert done.code == 0 and "without its verdicts" in done.err
    assert list(ids()) == list(held)


def test_files_of_others_among_the_copies_are_neither_restored_nor_removed(night: Any) -> None:
    held, copies = ids(), Path("out/.groundbreak/backups/place")
    (copies / "zz.gpkg").write_bytes(b"junk")
    (copies / "._20990101T000000Z.gpkg").write_bytes(b"of a Mac")
    (copies / "20990102T000000Z.gpkg").write_bytes(b"")
    (copies / "20990103T000000Z.gpkg").mkdir()
    REVIEW.unlink()
    done = night()
    assert done.code == 0 and ids() == held
    assert "newer copies are damaged: 20990102T000000Z.gpkg" in done.err
    assert (copies / "zz.gpkg").exists() and (copies / "._20990101T000000Z.gpkg").exists()


PIPES = {"groundbreak.toml": 2, "out/feed.xml": 4, "out/index.html": 4, "out/place/review.qgz": 3}
FOLDERS = ("groundbreak.prom", "feed.xml", "place/report.html", "place/after.tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(night: Any) -> None:
    held = rows_of(REVIEW)
    for name, code in PIPES.items():
        Path(name).unlink(missing_ok=True)
        os.mkfifo(name)
        assert night().code == code, name
        Path(name).unlink()
    assert rows_of(REVIEW) == held


def test_a_folder_in_the_place_of_a_file_is_named_and_ends_nothing(night: Any) -> None:
    held = rows_of(REVIEW)
    for name in FOLDERS:
        path = Path("out") / name
        path.unlink(missing_ok=True)
        path.mkdir()
        done = night()
        assert done.code in (3, 4) and "unexpected" not in done.err and name in done.err, name
        path.rmdir()
    assert rows_of(REVIEW) == held


def test_a_column_that_somebody_edited_is_written_again(night: Any) -> None:
    held = rows_of(REVIEW)
    with contextlib.closing(sqlite3.connect(REVIEW)) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET status = 'withdrawn', first_seen = '1999-01-01'")
    assert night().code == 0
    assert rows_of(REVIEW) == held


def test_a_verdict_or_a_row_of_the_analyst_makes_no_work(night: Any) -> None:
    with contextlib.closing(sqlite3.connect(REVIEW)) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET verdict = 'uncertain'")
        db.execute("INSERT INTO changes (change_id, geom) SELECT 'my own', geom FROM changes")
    assert night().code == 4


@pytest.mark.parametrize("period", [("--end", "2020-05-25"), ("--start", "2020-05-25")])
def test_a_run_over_a_shorter_period_is_refused_where_results_are(
    night: Any, command: Command, sites: Path, period: tuple[str, str]
) -> None:
    held = rows_of(REVIEW)
    done = command("detect", "--sites", sites, *period)
    assert done.code == 2 and len(done.errors) == 1 and "--out" in done.errors[0]
    assert rows_of(REVIEW) == held
    assert command("detect", "--sites", sites, *period, "--out", "other").code in (0, 3)
    assert rows_of(REVIEW) == held and night().code == 4


def moved(metres: float, grow: float = 0.0) -> Any:
    shape = Geometry(world.aoi(), "EPSG:4326").to_crs(world.CRS).geom
    return Geometry(translate(shape, metres).buffer(grow, cap_style="square", join_style="mitre"), world.CRS).to_crs(
        "EPSG:4326"
    )


def rewrite(sites: Path, catalogue: Path, shape: Any) -> None:
    world.write_sites(sites, [world.feature(str(catalogue), geometry=shape.json)])


def test_an_aoi_that_moves_off_its_results_is_refused_with_the_way_to_a_new_site(
    night: Any, sites: Path, catalogue: Path
) -> None:
    held = rows_of(REVIEW)
    rewrite(sites, catalogue, moved(5000))
    done = night()
    assert done.code == 3 and "give the new place an id of its own" in done.errors[0] and "km" in done.errors[0]
    assert rows_of(REVIEW) == held


def test_an_enlarged_aoi_is_noticed_and_keeps_grid_ids_and_verdicts(night: Any, sites: Path, catalogue: Path) -> None:
    held = ids()
    rewrite(sites, catalogue, moved(0, 40))
    done = night()
    assert done.code == 0 and "its AOI or its entry in the AOI file has changed" in done.err
    assert ids() == held
    assert night().code == 4


def test_alerts_on_ground_that_is_watched_no_more_stay_as_they_are(night: Any, sites: Path, catalogue: Path) -> None:
    """The building is in the middle of the AOI; what is left of it is the western edge."""
    held = ids()
    shape = Geometry(world.aoi(), "EPSG:4326").to_crs(world.CRS).geom
    left, bottom, _, top = shape.bounds
    west = Geometry(box(left, bottom, left + 60, top), world.CRS).to_crs("EPSG:4326")
    rewrite(sites, catalogue, west)
    assert night().code == 0
    assert ids() == held


def test_an_aoi_whose_centroid_crosses_a_zone_line_keeps_the_zone_of_its_results(tmp_path: Path) -> None:
    """The results of a site lie in zone 51; its AOI by now in zone 52. In two zones they would lie 470 km apart."""
    path = tmp_path / "made-place" / "review.gpkg"
    put(path.parent, [made.alert(1)])
    site = made.site()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        register_functions(db)
        shape = Geometry(site.aoi, "EPSG:4326").to_crs("EPSG:32651").geom
        db.execute("UPDATE aoi SET geom = ?", [encode_geometry(shape, 32651)])
        for table in ("gpkg_contents", "gpkg_geometry_columns"):
            db.execute(f"UPDATE {table} SET srs_id = 32651 WHERE table_name = 'aoi'")
    job = SiteJob(
        site=site, source="none", collection=None, start=None, until=datetime(2026, 1, 1, tzinfo=UTC),
        settings=Settings(),
    )  # fmt: skip
    grid = resume_site(job, tmp_path).job.site.grid
    assert str(site.grid.crs) == "EPSG:32652" and str(grid.crs) == "EPSG:32651"
    (row,) = survey_rows(path).rows
    assert shape.intersects(row.outline)
