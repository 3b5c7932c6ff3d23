"""Databases that hold programs instead of tables, and geometry of every kind that the standard allows."""

import contextlib
import os
import shutil
import signal
import sqlite3
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from shapely.geometry import MultiPolygon, Polygon, box

from pipeline.catalogue.sites import read_sites
from pipeline.evaluation.reviewed import read_review
from pipeline.formats import databases
from pipeline.formats.curves import flatten_curves
from pipeline.formats.databases import UntrustedError, open_database
from pipeline.model.errors import ReviewError, UsageError
from pipeline.review.contents import read_contents
from pipeline.review.gpkg import open_review, read_rows
from pipeline.review.schema import create_review

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
PLACE = box(21, 45, 21.01, 45.01)


@pytest.fixture
def review(tmp_path: Path) -> Path:
    create_review(tmp_path / "review.gpkg", "EPSG:32634", {})
    return tmp_path / "review.gpkg"


def change(path: Path, *statements: str) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for each in statements:
            db.execute(each)
    return path


VIEW = f"""CREATE VIEW observations AS {ENDLESS}
 SELECT i AS change_id, 'x' AS scene, i AS time, 1.0 AS clear_share, 1.0 AS score, 1 AS seen FROM n ORDER BY i DESC"""
TRAPS = {
    "a view without end": ("DROP TABLE observations", VIEW),
    "a view for the contents": ("ALTER TABLE gpkg_contents RENAME TO other",
                                "CREATE VIEW gpkg_contents AS SELECT * FROM other"),
    "a virtual table": ("DROP TABLE observations",
                        "CREATE VIRTUAL TABLE observations USING fts5(change_id, time, clear_share)"),
    "a column that computes": ("ALTER TABLE scenes ADD COLUMN bomb AS (hex(zeroblob(500000000)))",),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_a_review_file_that_computes_is_refused_by_every_reader(review: Path, trap: str) -> None:
    change(review, *TRAPS[trap])
    size, began = review.stat().st_size, time.monotonic()
    for reader in (read_contents, read_rows):
        with pytest.raises(ReviewError, match=r"is a view|is a virtual table|is computed"):
            reader(review)
    with pytest.raises(UsageError, match=r"is a view|is a virtual table|is computed|no layer"):
        read_review(review)
    assert review.stat().st_size == size and time.monotonic() - began < 5


def test_a_trigger_without_end_is_stopped(review: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "MAX_STEPS", 3_000_000)
    change(review, f"""CREATE TRIGGER bomb AFTER INSERT ON provenance BEGIN
     INSERT INTO review_log (note) SELECT i FROM ({ENDLESS} SELECT i FROM n LIMIT 1000000000); END""")  # fmt: skip
    size = review.stat().st_size
    with pytest.raises(ReviewError, match="more work than any file"), open_review(review) as db:
        db.execute("BEGIN")
        db.execute("INSERT INTO provenance (key, value) VALUES ('a', 'b')")
    assert review.stat().st_size == size


def test_a_file_cannot_be_made_to_grow_without_end(review: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "MAX_GROWTH_BYTES", 1_000_000)
    change(review, """CREATE TRIGGER bomb AFTER INSERT ON provenance BEGIN
     INSERT INTO review_log (note) VALUES (zeroblob(30000000)); END""")  # fmt: skip
    with pytest.raises(ReviewError, match="no space"), open_review(review) as db:
        db.execute("INSERT INTO provenance (key, value) VALUES ('a', 'b')")
    assert review.stat().st_size < 2_000_000


def test_a_long_statement_ends_with_the_signal_that_asks_for_it(review: Path) -> None:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    began = time.monotonic()
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt), open_database(review, write=False, wait=1) as db:
            db.execute(f"{ENDLESS} SELECT count(*) FROM n").fetchone()
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - began < 10


def test_a_value_that_would_fill_the_memory_is_refused(review: Path) -> None:
    with pytest.raises(sqlite3.DataError), open_database(review, write=False, wait=1) as db:
        db.execute("SELECT zeroblob(900000000)").fetchone()


def test_a_file_that_cannot_be_written_beside_is_read(review: Path, tmp_path: Path) -> None:
    change(review, "PRAGMA journal_mode = WAL")
    folder = tmp_path / "read only"
    folder.mkdir()
    shutil.copy(review, folder / "review.gpkg")
    folder.chmod(0o555)
    try:
        with open_database(folder / "review.gpkg", write=False, wait=1) as db:
            assert db.execute("SELECT count(*) FROM changes").fetchone() == (0,)
    finally:
        folder.chmod(0o755)


def test_no_file_is_made_by_looking_for_it(tmp_path: Path) -> None:
    for write in (True, False):
        with pytest.raises(sqlite3.OperationalError), open_database(tmp_path / "none.gpkg", write=write, wait=1):
            pass
    assert not list(tmp_path.iterdir())


def geopackage(path: Path, shapes: list[object] | None = None, crs: str = "EPSG:4326", **columns: object) -> Path:
    wkb = shapely.to_wkb(np.array([PLACE] if shapes is None else shapes, dtype=object))
    columns = columns or {"id": np.array(["place"] * len(wkb), object)}
    pyogrio.raw.write(path, wkb, list(columns.values()), list(columns), geometry_type="Unknown", crs=crs, layer="sites")
    return path


@pytest.mark.parametrize(
    "content",
    [
        '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer>'
        "</OGRVRTDataSource>",
        '{"type": "FeatureCollection", "features": []}', "SQLite format 3\0 and nothing else", "WFS:http://127.0.0.1/",
    ],
)  # fmt: skip
def test_an_aoi_file_that_is_another_format_inside_is_not_opened(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.gpkg").write_text(content)
    (error,) = read_sites([tmp_path / "s.gpkg"]).errors
    assert "not a GeoPackage" in error.what


@pytest.mark.parametrize("trap", ["a view", "a table that computes", "endless contents"])
def test_an_aoi_file_that_computes_is_refused(tmp_path: Path, trap: str) -> None:
    path = geopackage(tmp_path / "s.gpkg")
    statements = {
        "a view": ("ALTER TABLE sites RENAME TO old",
                   f"CREATE VIEW sites AS {ENDLESS} SELECT i AS fid, geom, id FROM n, old",
                   "UPDATE gpkg_contents SET table_name = 'sites'",
                   "UPDATE gpkg_geometry_columns SET table_name = 'sites'"),
        "a table that computes": ("ALTER TABLE sites ADD COLUMN bomb AS (hex(zeroblob(500000000)))",),
        "endless contents": ("ALTER TABLE gpkg_contents RENAME TO old",
                             f"CREATE VIEW gpkg_contents AS {ENDLESS} SELECT old.*, i FROM old, n"),
    }[trap]  # fmt: skip
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA legacy_alter_table = ON")
        for name in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name[0]}")
        for each in statements:
            db.execute(each)
    began = time.monotonic()
    (error,) = read_sites([path]).errors
    assert "is a view" in error.what or "is computed" in error.what
    assert time.monotonic() - began < 5


def points(*corners: tuple[float, ...]) -> bytes:
    return struct.pack("<I", len(corners)) + b"".join(struct.pack(f"<{len(each)}d", *each) for each in corners)


def wkb(kind: int, *parts: bytes) -> bytes:
    return b"\x01" + struct.pack("<I", kind) + (struct.pack("<I", len(parts)) + b"".join(parts))


def circle(kind: int = 8, *more: float) -> bytes:
    corners = [(0, 0, *more), (1, 1, *more), (2, 0, *more), (1, -1, *more), (0, 0, *more)]
    return b"\x01" + struct.pack("<I", kind) + points(*corners)


CURVES: dict[str, tuple[bytes, float]] = {
    "curve polygon": (wkb(10, circle()), np.pi),
    "with heights": (wkb(1010, circle(1008, 7.0)), np.pi),
    "with heights and measures": (wkb(3010, circle(3008, 7.0, 8.0)), np.pi),
    "full circle": (wkb(10, b"\x01" + struct.pack("<I", 8) + points((0, 0), (2, 0), (0, 0))), np.pi),
    "compound": (
        wkb(10, wkb(9, b"\x01" + struct.pack("<I", 8) + points((0, 0), (1, 1), (2, 0)),
                    b"\x01" + struct.pack("<I", 2) + points((2, 0), (0, 0)))), np.pi / 2),
    "clockwise": (
        wkb(10, wkb(9, b"\x01" + struct.pack("<I", 8) + points((2, 0), (1, -1), (0, 0)),
                    b"\x01" + struct.pack("<I", 2) + points((0, 0), (2, 0)))), np.pi / 2),
    "surfaces": (wkb(12, wkb(10, circle()), wkb(3, points((5, 0), (6, 0), (6, 1), (5, 1), (5, 0)))), np.pi + 1),
    "straight arc": (wkb(10, wkb(9, b"\x01" + struct.pack("<I", 8) + points((0, 0), (1, 0), (2, 0)),
                                 b"\x01" + struct.pack("<I", 2) + points((2, 0), (2, 1), (0, 1), (0, 0)))), 2.0),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
def test_curves_become_straight_lines_on_the_plane(name: str) -> None:
    blob, area = CURVES[name]
    found = flatten_curves(blob)
    assert found.area == pytest.approx(area, rel=2e-3) and not found.has_z and found.is_valid


@pytest.mark.parametrize("name", CURVES)
def test_curves_that_are_torn_are_an_error_and_no_crash(name: str) -> None:
    blob, _ = CURVES[name]
    for cut in range(5, len(blob)):
        with contextlib.suppress(ValueError, shapely.errors.ShapelyError):
            flatten_curves(blob[:cut])
        torn = blob[:cut] + bytes([blob[cut] ^ 0xFF]) + blob[cut + 1 :]
        with contextlib.suppress(ValueError, shapely.errors.ShapelyError):
            flatten_curves(torn)


def with_blob(path: Path, blob: bytes | None) -> Path:
    geopackage(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for name in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name[0]}")
        db.execute("UPDATE sites SET geom = ?", [blob])
    return path


HEAD = b"GP\x00\x01" + struct.pack("<i", 4326)


def test_a_curved_place_is_watched(tmp_path: Path) -> None:
    arc = [(21 + 0.01 * x, 45 + 0.01 * y) for x, y in ((0, 0), (1, 1), (2, 0), (1, -1), (0, 0))]
    blob = HEAD + wkb(10, b"\x01" + struct.pack("<I", 8) + points(*arc))
    (site,) = read_sites([with_blob(tmp_path / "s.gpkg", blob)]).sites
    assert site.aoi.area == pytest.approx(np.pi * 1e-4, rel=2e-3)


@pytest.mark.parametrize(
    "blob",
    [None, b"", b"GP", b"\x00" * 60, HEAD, HEAD + b"\x01\x03\x00\x00\x00\x01", HEAD + shapely.to_wkb(Polygon()), 7,
     b"GP\x00\x0f" + bytes(80)],
)  # fmt: skip
def test_a_row_without_a_place_is_named_and_takes_no_other_with_it(tmp_path: Path, blob: bytes | None) -> None:
    path = with_blob(tmp_path / "s.gpkg", blob)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO sites (geom, id) VALUES (?, 'good')", [HEAD + shapely.to_wkb(PLACE)])
    found = read_sites([path])
    assert [site.id for site in found.sites] == ["good"]
    (error,) = found.errors
    assert error.where.startswith(f"{path}, feature 1")


def test_a_text_in_another_encoding_concerns_its_row_alone(tmp_path: Path) -> None:
    path, shapes = tmp_path / "s.gpkg", shapely.to_wkb(np.array([PLACE, PLACE]))
    pyogrio.raw.write(path, shapes, [np.array(["a", "b"], object)], ["id"], geometry_type="Polygon", crs="EPSG:4326")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MinY", "ST_MaxX", "ST_MaxY"):
            db.create_function(name, 1, lambda _: 0)
        db.execute("UPDATE s SET id = CAST(x'ff41' AS TEXT) WHERE id = 'a'")
    found = read_sites([path])
    assert [site.id for site in found.sites] == ["b"] and "no safe folder name" in found.errors[0].what


@pytest.mark.parametrize("name", ["x'00ff'", "NULL", "7"])
def test_a_layer_without_a_name_is_one_line_of_its_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s.gpkg"
    pyogrio.raw.write(path, shapely.to_wkb(np.array([PLACE])), [np.array(["a"], object)], ["id"],
                      geometry_type="Polygon", crs="EPSG:4326")  # fmt: skip
    change(path, "DROP TABLE gpkg_contents", "DROP TABLE gpkg_geometry_columns",
           "CREATE TABLE gpkg_contents (table_name, data_type, srs_id)",
           "CREATE TABLE gpkg_geometry_columns (table_name, column_name, geometry_type_name, srs_id)",
           f"INSERT INTO gpkg_contents VALUES ({name}, 'features', 4326)",
           f"INSERT INTO gpkg_geometry_columns VALUES ({name}, 'geom', 'POLYGON', 4326)")  # fmt: skip
    (error,) = read_sites([path]).errors
    assert str(path) in error.where and error.what.startswith(("not a GeoPackage that can be read", "no layer"))


def test_a_geopackage_keeps_whole_numbers_dates_and_settings(tmp_path: Path) -> None:
    path = geopackage(
        tmp_path / "s.gpkg", [PLACE, box(22, 45, 22.01, 45.01)],
        Id=np.array([7.0, 8.0]), NAME=np.array(["seven", "eight"], object),
        start=np.array(["2024-03-01", "2024-03-02"], "datetime64[D]"),
        end=np.array(["2025-01-01T12:00"] * 2, "datetime64[ms]"),
        settings=np.array(['{"decide.min_history": 5}', None], object), height=np.array([1, 2]),
    )  # fmt: skip
    found = read_sites([path])
    assert not found.errors
    first, second = found.sites
    assert (first.id, first.name, second.id) == ("7", "seven", "8")
    assert f"{first.start:%Y-%m-%d}" == "2024-03-01" and f"{first.end:%Y-%m-%d %H}" == "2025-01-01 12"
    assert first.settings == {"decide.min_history": 5} and first.properties["height"] == 1


@pytest.mark.parametrize("crs", ["EPSG:32634", "EPSG:3857", "EPSG:4258"])
def test_a_geopackage_in_another_system_is_converted_with_a_note(tmp_path: Path, crs: str) -> None:
    import geopandas

    shapes = list(geopandas.GeoSeries([PLACE], crs=4326).to_crs(crs))
    found = read_sites([geopackage(tmp_path / "s.gpkg", shapes, crs)])
    assert found.sites[0].aoi.symmetric_difference(PLACE).area < 1e-9
    assert any("converted" in note for note in found.notes)


def test_every_layer_with_polygons_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "s.gpkg")
    for layer, kind, shape in (("more", "Polygon", box(22, 45, 22.01, 45.01)), ("roads", "LineString", None)):
        line = shapely.LineString([(21, 45), (22, 45)]) if shape is None else shape
        pyogrio.raw.write(path, shapely.to_wkb(np.array([line])), [np.array([layer], object)], ["id"],
                          geometry_type=kind, crs="EPSG:4326", layer=layer, append=True)  # fmt: skip
    found = read_sites([path])
    assert [site.id for site in found.sites] == ["place", "more"] and not found.errors
    assert any("roads" in note for note in found.notes)


def test_z_and_multi_geometry_are_flat(tmp_path: Path) -> None:
    high = MultiPolygon([shapely.force_3d(PLACE, 120.0)])
    (site,) = read_sites([geopackage(tmp_path / "s.gpkg", [high])]).sites
    assert not site.aoi.has_z and site.aoi.equals(PLACE)


def test_a_table_that_is_none_is_an_untrusted_one(review: Path) -> None:
    change(review, "CREATE VIEW trap AS SELECT 1")
    checks: list[Callable[[], object]] = [lambda: databases.require_tables(db, ["trap"])]
    with open_database(review, write=False, wait=1) as db:
        for each in checks:
            with pytest.raises(UntrustedError):
                each()
