"""Review files that other programs have rewritten or damaged: repaired with a note, and no verdict lost."""

import contextlib
import shutil
import sqlite3
import struct
import subprocess
import tempfile

import geopandas
import pytest
import shapely
from shapely.geometry import LineString, MultiPolygon, Point

from pipeline.model.errors import ReviewError
from pipeline.review import repair as repair_module
from pipeline.review.contents import read_contents
from pipeline.review.existing_results import machine_digest, read_existing
from pipeline.review.folder import Folder
from pipeline.review.geoblob import decode_ground, encode_geometry
from pipeline.review.gpkg import survey_rows
from pipeline.review.repair import repair_schema
from pipeline.review.report import write_report
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import TWO, connect, judge, rows

SRS = 32652


def schema(folder):
    """Types, own triggers and indexes of the file."""
    with contextlib.closing(connect(folder)) as db:
        parts = db.execute(
            "SELECT name, sql FROM sqlite_master WHERE name LIKE 'changes_%' AND sql NOT NULL"
        ).fetchall()
        types = {row[1]: row[2] for row in db.execute("PRAGMA table_info(changes)")}
        return dict(parts), types


def rewritten(folder, program, crs=None):
    path = folder / "review.gpkg"
    if program == "geopandas":
        table = geopandas.read_file(path, layer="changes")
        table = table.to_crs(crs) if crs else table
        table.to_file(path, layer="changes", driver="GPKG")
        return
    if shutil.which("ogr2ogr") is None:
        pytest.skip("no ogr2ogr on this machine")
    copy = path.with_name("copy.gpkg")
    shutil.copy(path, copy)
    words = ["ogr2ogr", "-overwrite", path, copy, "changes"]
    subprocess.run(words, check=True, capture_output=True)
    copy.unlink()


def test_a_temporary_folder_that_takes_nothing_is_named(folder, monkeypatch):
    repair_module._expected_tables.cache_clear()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "review.gpkg"))
    with pytest.raises(ReviewError, match=r"no temporary file can be written: .*TMPDIR"):
        repair_schema(Folder(folder).gpkg, {})


@pytest.mark.parametrize(("program", "crs"), [("geopandas", None), ("geopandas", "EPSG:4326"), ("ogr2ogr", None)])
def test_a_layer_that_another_program_has_rewritten_is_restored_with_a_note(folder, program, crs):
    judge(folder, TWO[0].id, "construction", "mine")
    before, held = schema(folder), rows(folder)
    rewritten(folder, program, crs)
    assert schema(folder) != before
    notes = put(folder, TWO).notes
    assert any("table changes of review.gpkg was written by another program" in note for note in notes)
    assert schema(folder) == before
    after = rows(folder)
    for change_id, row in held.items():
        kept = {name: value for name, value in row.items() if name not in ("geom", "reviewed_at")}
        assert {name: after[change_id][name] for name in kept} == kept
        assert decode_ground(after[change_id]["geom"]).symmetric_difference(decode_ground(row["geom"])).area < 10
    judge(folder, TWO[1].id, "no change")
    with contextlib.closing(connect(folder)) as db, pytest.raises(sqlite3.IntegrityError, match="alerts are kept"):
        db.execute("DELETE FROM changes WHERE change_id = ?", [TWO[1].id])
    assert put(folder, TWO).notes == () or "written by" not in put(folder, TWO).notes[0]


def test_outlines_that_only_another_program_has_stored_are_not_taken_for_edited(folder):
    rewritten(folder, "geopandas")
    put(folder, [made.moved(TWO[0], 30), TWO[1]])
    assert decode_ground(rows(folder)[TWO[0].id]["geom"]).equals(made.moved(TWO[0], 30).outline)


def test_a_dropped_trigger_and_index_come_back_and_a_doubled_row_becomes_the_analysts(folder):
    before = schema(folder)
    with contextlib.closing(connect(folder)) as db, db:
        db.execute("DROP TRIGGER changes_reviewed")
        db.execute("DROP INDEX changes_change_id")
        names = ", ".join(row[1] for row in db.execute("PRAGMA table_info(changes)") if row[1] != "fid")
        db.execute(f"INSERT INTO changes ({names}) SELECT {names} FROM changes WHERE change_id = ?", [TWO[0].id])
    put(folder, TWO)
    assert schema(folder) == before
    found = survey_rows(folder / "review.gpkg").rows
    assert sorted(str(row.change_id) for row in found) == ["None", TWO[0].id, TWO[1].id]


def test_columns_that_the_analyst_added_stay(folder):
    with contextlib.closing(connect(folder)) as db, db:
        db.execute("ALTER TABLE changes ADD COLUMN priority TEXT")
        db.execute("UPDATE changes SET priority = 'high'")
    rewritten(folder, "geopandas")
    put(folder, TWO)
    assert {row["priority"] for row in rows(folder).values()} == {"high"}


@pytest.mark.parametrize("table", ["observations", "scenes", "aoi", "provenance", "outlines_written", "news"])
def test_a_table_that_is_gone_is_made_again(folder, table):
    judge(folder, TWO[0].id, "construction", "mine")
    before = machine_digest(folder / "review.gpkg")
    with contextlib.closing(connect(folder)) as db, db:
        db.execute(f"DROP TABLE {table}")
    assert any(f"table {table}" in note for note in put(folder, TWO).notes)
    assert machine_digest(folder / "review.gpkg") == before
    assert rows(folder)[TWO[0].id]["note"] == "mine"


@pytest.mark.parametrize(("table", "column"), [("observations", "seen"), ("news", "change_id")])
def test_a_table_without_a_column_is_read_as_one_without_rows(folder, table, column):
    with contextlib.closing(connect(folder)) as db, db:
        db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    assert {change.id for change in read_contents(folder / "review.gpkg").changes} == {alert.id for alert in TWO}


@pytest.mark.parametrize("lost", [0, -1, "", 999_999, 2**62])
def test_a_file_that_has_lost_its_coordinate_system_gets_it_back_from_its_outlines(folder, lost):
    with contextlib.closing(connect(folder)) as db, db:
        db.execute("UPDATE gpkg_contents SET srs_id = ?", [lost])
        db.execute("UPDATE gpkg_geometry_columns SET srs_id = ?", [lost])
    before = rows(folder)
    assert any("table aoi" in note for note in repair_schema(folder / "review.gpkg", {}))
    assert read_existing(folder / "review.gpkg").crs == f"EPSG:{SRS}"
    assert rows(folder) == before and repair_schema(folder / "review.gpkg", {}) == ()


def test_a_sound_file_is_not_written_to(folder):
    before = (folder / "review.gpkg").read_bytes()
    assert repair_schema(folder / "review.gpkg", {}) == ()
    assert (folder / "review.gpkg").read_bytes() == before


def circle(x, y, radius):
    """A curve polygon: one circular string, closed."""
    points = [x - radius, y, x + radius, y, x - radius, y]
    ring = struct.pack("<BII6d", 1, 8, 3, *points)
    return b"GP\x00\x01" + struct.pack("<i", SRS) + struct.pack("<BII", 1, 10, 1) + ring


def raised(shape):
    solid = shapely.force_3d(MultiPolygon([shape]), 12.0)
    return b"GP\x00\x01" + struct.pack("<i", SRS) + shapely.to_wkb(solid, output_dimension=3, flavor="iso")


def plain(shape):
    return b"GP\x00\x01" + struct.pack("<i", SRS) + shapely.to_wkb(shape)


def hollow(shape):
    """A polygon with a hole that has no corner."""
    rings = [shape.exterior.coords, []]
    body = b"".join(struct.pack("<I", len(ring)) + b"".join(struct.pack("<2d", *xy) for xy in ring) for ring in rings)
    return b"GP\x00\x01" + struct.pack("<i", SRS) + struct.pack("<BII", 1, 3, len(rings)) + body


HOME = made.outline(10, 10)
ODD_GEOMETRIES = {
    "null": None,
    "text": "POLYGON",
    "short": b"GP",
    "empty": plain(MultiPolygon()),
    "nan": b"GP\x00\x01" + struct.pack("<iBIII8d", SRS, 1, 3, 1, 4, *[float("nan")] * 8),
    "point": plain(Point(500_100, 4_329_900)),
    "line": plain(LineString([(500_100, 4_329_900), (500_200, 4_329_900)])),
    "flat": plain(shapely.Polygon([(0, 0), (1, 0), (2, 0)])),
    "damaged": encode_geometry(HOME, SRS)[:-9],
}


@pytest.mark.parametrize("name", ODD_GEOMETRIES)
def test_a_damaged_outline_of_an_alert_is_named_and_written_again(folder, name):
    judge(folder, TWO[0].id, "construction", "mine")
    with contextlib.closing(connect(folder)) as db, db:
        db.execute("UPDATE changes SET geom = ? WHERE change_id = ?", [ODD_GEOMETRIES[name], TWO[0].id])
    notes = put(folder, TWO).notes
    assert any(f"change {TWO[0].id} has" in note and "written again" in note for note in notes)
    row = rows(folder)[TWO[0].id]
    assert decode_ground(row["geom"]).equals(HOME) and row["note"] == "mine" and row["status"] == "confirmed"
    assert len(rows(folder)) == 2


@pytest.mark.parametrize("name", ODD_GEOMETRIES)
def test_a_damaged_outline_of_the_analyst_is_named_and_left_alone(folder, name):
    with contextlib.closing(connect(folder)) as db, db:
        db.execute("INSERT INTO changes (geom, note) VALUES (?, 'drawn')", [ODD_GEOMETRIES[name]])
    assert any("left alone and not used" in note for note in put(folder, TWO).notes)
    with contextlib.closing(connect(folder)) as db:
        assert db.execute("SELECT geom FROM changes WHERE note = 'drawn'").fetchone()["geom"] == ODD_GEOMETRIES[name]


@pytest.mark.parametrize(
    "blob", [circle(500_140, 4_329_870, 40.0), raised(HOME), hollow(HOME)], ids=["curved", "3-D", "empty hole"]
)
def test_a_curved_or_raised_outline_is_ground_like_any_other(folder, blob):
    """A circle of 40 m, or a box with heights, drawn on the first alert."""
    with contextlib.closing(connect(folder)) as db, db:
        db.execute("INSERT INTO changes (geom, note) VALUES (?, 'drawn')", [blob])
    assert decode_ground(blob).area == pytest.approx(5026 if blob[9] == 10 else HOME.area, rel=0.002)
    put(folder, [made.alert(3, row=10, col=10), TWO[1]])
    write_report(Folder(folder))
    drawn = [change for change in read_contents(folder / "review.gpkg").changes if change.drawn]
    assert len(drawn) == 1 and drawn[0].outline.area > 3000 and not drawn[0].outline.has_z


ODD_VALUES = [
    ("status", "nonsense"), ("status", None), ("kind", 7), ("confidence", "very"), ("confidence", float("inf")),
    ("confidence", 7.0), ("area_m2", b"\\x00"), ("first_seen", "2023-13-45"), ("first_seen", "2023-03-21T00:00:00Z"),
    ("first_seen", None), ("last_seen", 20230803), ("lon", None), ("looks_seen", "many"), ("site", None),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), ODD_VALUES)
def test_an_odd_value_of_the_machine_is_written_again_and_stops_nothing(folder, column, value):
    before = machine_digest(folder / "review.gpkg")
    with contextlib.closing(connect(folder)) as db, db:
        db.execute(f"UPDATE changes SET {column} = ? WHERE change_id = ?", [value, TWO[0].id])
    write_report(Folder(folder))
    assert machine_digest(folder / "review.gpkg") != before
    put(folder, TWO)
    assert machine_digest(folder / "review.gpkg") == before


@pytest.mark.parametrize("own", ["my-own", 'a "quoted" id', "it's", "[]", "a" * 500])
def test_a_row_with_an_id_of_the_analysts_own_stays_hers(folder, own):
    with contextlib.closing(connect(folder)) as db, db:
        shape = encode_geometry(made.outline(45, 45), SRS)
        db.execute("INSERT INTO changes (change_id, geom, verdict) VALUES (?, ?, 'construction')", [own, shape])
    for _ in range(2):
        put(folder, TWO)
        row = rows(folder)[own]
        assert row["status"] is None and row["verdict"] == "construction"
    (drawn,) = (change for change in read_contents(folder / "review.gpkg").changes if change.drawn)
    assert drawn.id == own


def test_an_alert_takes_no_id_that_the_analyst_has_given(folder):
    taken = made.alert(9, row=45, col=45).id
    with contextlib.closing(connect(folder)) as db, db:
        db.execute(
            "INSERT INTO changes (change_id, geom) VALUES (?, ?)", [taken, encode_geometry(made.outline(20, 45), SRS)]
        )
    put(folder, [*TWO, made.alert(9, row=45, col=45)])
    assert rows(folder)[taken]["status"] is None and rows(folder)[f"{taken}-2"]["status"] == "confirmed"
