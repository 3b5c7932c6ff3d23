import contextlib
import json
import os
import sqlite3
import struct
import zipfile
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import rasterio
import shapely

from pipeline.model.alert import Status
from pipeline.model.errors import ReviewError, UsageError
from pipeline.review import gpkg
from pipeline.review.annotations import make_caption
from pipeline.review.folder import Folder, make_folder, stage_files
from pipeline.review.geoblob import decode_geometry, encode_geometry
from pipeline.review.rasters import write_look
from pipeline.review.schema import ANALYST, MACHINE
from pipeline.review.stretch import Stretch
from pipeline.review.through_time import raster_files
from pipeline.review.timeline import Pictures, write_pictures
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import TWO, connect, digests, judge, rows


def test_all_promised_files_are_there_and_nothing_else_is_left(published):
    names = {str(file.relative_to(published)) for file in published.rglob("*") if file.is_file()}
    rasters = {f"{name}.{end}" for name in ("before", "after", "score") for end in ("tif", "qml")}
    pictures = {f"{kind}/{alert.id}.png" for kind in ("timeline", "pair") for alert in TWO}
    strips = {f"looks/{alert.id}.jpg" for alert in TWO}
    days = {"2023-02-19": "03", "2023-03-06": "04", "2023-03-21": "05", "2023-08-03": "14"}
    looks = {f"looks/{day}-scene-{number}.tif" for day, number in days.items()}
    assert names == {"review.gpkg", "review.qgz", "report.html", *rasters, *pictures, *strips, *looks}


def test_changes_has_the_columns_that_are_promised(published):
    with connect(published) as db:
        names = [row["name"] for row in db.execute("PRAGMA table_info(changes)")]
    assert names == ["fid", "geom", *MACHINE, *ANALYST]
    row = rows(published)[TWO[0].id]
    assert (row["site"], row["status"], row["first_seen"]) == ("made-place", "confirmed", "2023-03-21")
    assert row["verdict"] is row["note"] is row["reviewed_at"] is None


def test_an_idle_night_leaves_every_file_as_it_was(folder):
    before = digests(folder)
    assert put(folder, TWO).changed == 0
    assert digests(folder) == before


def test_a_picture_is_drawn_anew_for_a_look_that_saw_something_and_for_no_other(tmp_path):
    folder, looks = make_folder(tmp_path / "made-place"), made.looks([TWO[0].outline], count=9)
    alert = replace(TWO[0], after_scene=looks[6].scene.id)
    words = make_caption("Made Place", "made-place", "Credit", "")

    def drawn(upto):
        with stage_files(folder) as stage:
            decision = made.decision([alert], looks[:upto])
            shown = Pictures(caption=words, stretch=Stretch(), decision=decision, looks_of=lambda _: looks[:upto])
            write_pictures(stage.files, folder, shown, [alert])
            names = [file.name for file in stage.files.path.rglob("*.png")]
            stage.release()
        return len(names)

    # the eighth look is clouded over the alert
    assert [drawn(upto) for upto in (7, 7, 8, 9)] == [2, 0, 0, 2]


def test_a_look_that_is_shown_already_is_not_written_again(tmp_path):
    looks = made.looks()
    write_look(tmp_path / "a.tif", looks[0])
    for known, expected in (
        (looks[0], False), (looks[1], True), (replace(looks[0], bands=tuple(reversed(looks[0].bands))), True),
    ):  # fmt: skip
        (tmp_path / "b.tif").unlink(missing_ok=True)
        write_look(tmp_path / "b.tif", known, tmp_path / "a.tif")
        assert (tmp_path / "b.tif").exists() is expected
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:20_000])
    write_look(tmp_path / "b.tif", looks[0], tmp_path / "a.tif")
    write_look(tmp_path / "c.tif", looks[0], tmp_path / "none.tif")
    assert (tmp_path / "b.tif").exists() and (tmp_path / "c.tif").exists()


def test_a_raster_sent_alone_says_what_it_is(tmp_path):
    site = made.site()
    put(tmp_path / "made-place", TWO, site=replace(site, properties={**site.properties, "simulated": "buildings"}))
    for name in ("before", "after", "score", "looks/*"):
        (file, *_) = sorted((tmp_path / "made-place").glob(f"{name}.tif"))
        with rasterio.open(file) as source:
            tags = source.tags()
        assert tags["SIMULATED"] == "buildings" and "Copernicus" in tags["TIFFTAG_COPYRIGHT"]
        assert tags["TIFFTAG_SOFTWARE"].startswith("groundbreak ") and tags["TIFFTAG_IMAGEDESCRIPTION"] == site.name
        if name != "score":
            taken = {look.scene.id: look.time.isoformat() for look in made.looks()}
            assert taken[tags["SCENE"]] == tags["ACQUIRED"] and tags["REFLECTANCE_SCALE"] == "0.0001"


def test_the_same_decision_gives_the_same_bytes_elsewhere(published, tmp_path):
    put(tmp_path / "made-place", TWO)
    mine, theirs = digests(tmp_path / "made-place"), digests(published)
    same = {name for name in mine if mine[name] == theirs[name]}
    # SQLite stamps its own files; the rows are compared instead
    assert set(mine) - same <= {"review.gpkg"}
    assert rows(tmp_path / "made-place") == rows(published)


def test_a_night_never_touches_what_the_analyst_wrote(folder):
    judge(folder, TWO[0].id, "construction", "she said \"yes\" 'twice'")
    before = rows(folder)[TWO[0].id]
    put(folder, [made.moved(TWO[0], 20, confidence=0.99, status=Status.FINISHED), TWO[1]])
    after = rows(folder)[TWO[0].id]
    assert [after[name] for name in ANALYST] == [before[name] for name in ANALYST]
    assert after["confidence"] == 0.99 and after["status"] == "finished"


def test_an_outline_with_a_verdict_stays_as_it_was_judged(folder):
    judge(folder, TWO[0].id, "uncertain")
    before = rows(folder)
    put(folder, [made.moved(TWO[0], 20, area_m2=9999.0), made.moved(TWO[1], 20)])
    after = rows(folder)
    assert after[TWO[0].id]["geom"] == before[TWO[0].id]["geom"]
    assert after[TWO[0].id]["area_m2"] == before[TWO[0].id]["area_m2"]
    assert after[TWO[1].id]["geom"] != before[TWO[1].id]["geom"]


def test_an_outline_that_the_analyst_moved_stays_where_she_put_it(folder):
    hers = encode_geometry(made.outline(11, 11, 7, 9), 32652)
    with connect(folder) as db:
        db.execute("UPDATE changes SET geom = ? WHERE change_id = ?", [hers, TWO[0].id])
    put(folder, [made.moved(TWO[0], 10), TWO[1]])
    assert rows(folder)[TWO[0].id]["geom"] == hers


def test_an_outline_that_the_analyst_drew_is_kept_and_found_instead_of_an_alert(folder):
    hers = encode_geometry(made.outline(45, 10), 32652)
    with connect(folder) as db:
        db.execute("INSERT INTO changes (geom, verdict) VALUES (?, 'construction')", [hers])
    done = put(folder, [*TWO, made.alert(3, row=45, col=10)])
    assert set(rows(folder)) == {None, TWO[0].id, TWO[1].id}
    assert rows(folder)[None]["geom"] == hers and rows(folder)[None]["reviewed_at"]
    assert any("drew" in note for note in done.notes)


def test_an_outline_that_crosses_itself_stays_as_drawn_and_stops_nothing(folder):
    left, top, right, bottom = made.outline(45, 10).bounds
    knot = shapely.Polygon([(left, top), (right, bottom), (right, top), (left, bottom)])
    hers = encode_geometry(knot, 32652)
    with connect(folder) as db:
        db.execute("INSERT INTO changes (geom, verdict) VALUES (?, 'construction')", [hers])
    put(folder, [*TWO, made.alert(3, row=45, col=10)])
    assert rows(folder)[None]["geom"] == hers
    assert "Drawn by the analyst" in (folder / "report.html").read_text()


def test_an_alert_that_is_gone_is_withdrawn_and_comes_back_under_its_id(folder):
    put(folder, [TWO[0]])
    assert rows(folder)[TWO[1].id]["status"] == "withdrawn"
    put(folder, [TWO[0], made.moved(made.alert(9, row=30, col=30), 10)])
    assert rows(folder)[TWO[1].id]["status"] == "confirmed"
    assert len(rows(folder)) == 2


def test_a_rejected_alert_stays_on_record_as_it_was_rejected(folder):
    judge(folder, TWO[1].id, "no change", "a field")
    put(folder, [TWO[0], made.alert(2, row=30, col=30, confidence=0.7)])
    assert rows(folder)[TWO[1].id]["confidence"] == 0.6
    done = put(folder, [TWO[0], made.alert(2, row=30, col=30, confidence=0.97)])
    assert len(rows(folder)) == 3
    assert any("rejected" in note for note in done.notes)


def test_every_verdict_is_logged_with_its_time(folder):
    judge(folder, TWO[0].id, "uncertain")
    judge(folder, TWO[0].id, "construction", "seen on the ground")
    with connect(folder) as db:
        log = [tuple(row) for row in db.execute("SELECT verdict, note FROM review_log ORDER BY fid")]
    assert log == [("uncertain", None), ("construction", "seen on the ground")]
    assert rows(folder)[TWO[0].id]["reviewed_at"].endswith("Z")


def test_an_alert_cannot_be_deleted(folder):
    with connect(folder) as db, pytest.raises(sqlite3.IntegrityError, match="give a verdict instead"):
        db.execute("DELETE FROM changes WHERE change_id = ?", [TWO[0].id])


def test_what_the_last_night_brought_is_told_apart(folder):
    put(folder, [made.alert(1, status=Status.FINISHED), made.alert(3, row=45, col=45)])
    with connect(folder) as db:
        latest = {tuple(row) for row in db.execute("SELECT change_id, event FROM news WHERE latest")}
    assert latest == {(TWO[0].id, "finished"), (TWO[1].id, "withdrawn"), ("a000000000000003", "new")}


def test_the_integrity_of_the_file_and_its_index_holds_after_many_nights(folder):
    for night in range(5):
        put(folder, [made.moved(TWO[0], night * 10), made.alert(10 + night, row=5 * night, col=45)])
    with connect(folder) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        stored = {fid: decode_geometry(blob).bounds for fid, blob in db.execute("SELECT fid, geom FROM changes")}
        for fid, left, right, bottom, top in db.execute("SELECT * FROM rtree_changes_geom"):
            assert (left, bottom, right, top) == pytest.approx(stored[fid], abs=1.0)
        counted = db.execute("SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = 'changes'").fetchone()[0]
        assert counted == len(stored)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"not a database at all, " * 50, "damaged"), (b"", "not ours"), (None, "not ours")],
    ids=["noise", "empty", "foreign"],
)
def test_a_foreign_or_damaged_review_file_stops_everything_before_any_file_is_touched(folder, content, words):
    path = folder / "review.gpkg"
    path.unlink()
    if content is None:
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE changes (change_id TEXT, mine TEXT)")
    else:
        path.write_bytes(content)
    before = digests(folder)
    with pytest.raises(ReviewError, match=words):
        put(folder, [made.moved(TWO[0], 30)])
    assert digests(folder) == before
    assert not list(folder.glob(".*"))


def test_a_locked_review_file_is_left_for_the_next_run_with_all_others(folder, monkeypatch):
    monkeypatch.setenv(gpkg.WAIT_VARIABLE, "0.2")
    before = digests(folder)
    holder = connect(folder)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(ReviewError, match="locked"):
        put(folder, [made.moved(TWO[0], 30), TWO[1]])
    holder.execute("ROLLBACK")
    holder.close()
    assert digests(folder) == before


def test_the_waiting_time_for_a_locked_file_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv(gpkg.WAIT_VARIABLE, raising=False)
    assert gpkg.lock_seconds() == gpkg.WAIT_SECONDS
    monkeypatch.setenv(gpkg.WAIT_VARIABLE, "2.5")
    assert gpkg.lock_seconds() == 2.5
    for wrong in ("soon", "-1", "nan", "1e9"):
        monkeypatch.setenv(gpkg.WAIT_VARIABLE, wrong)
        with pytest.raises(UsageError, match="not a waiting time"):
            gpkg.lock_seconds()


def test_an_error_while_files_are_replaced_undoes_the_rows(folder):
    (folder / "after.tif").unlink()
    (folder / "after.tif").mkdir()
    before = rows(folder)
    with pytest.raises(ReviewError, match="cannot be written"):
        put(folder, [made.moved(TWO[0], 30), TWO[1]])
    assert rows(folder) == before


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "out").write_text("a file in the way")
    with pytest.raises(ReviewError) as error:
        put(tmp_path / "out" / "made-place", TWO)
    assert "\n" not in str(error.value) and "--out" in error.value.fix


def test_a_file_system_without_links_is_published_to_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(gpkg.os, "link", refuse)
    put(tmp_path / "made-place", TWO)
    assert len(rows(tmp_path / "made-place")) == 2


def test_a_review_file_that_appears_meanwhile_is_not_lost(tmp_path):
    def appear():
        (tmp_path / "review.gpkg").write_bytes(b"somebody else's")

    made_looks = made.looks()
    night = gpkg.ReviewUpdate(site=made.site(), decision=made.decision(TWO, made_looks), records=(),
                       as_of=made_looks[-1].time, provenance={})  # fmt: skip
    with pytest.raises(ReviewError):
        gpkg.write_changes(tmp_path / "review.gpkg", night, {}, appear)
    assert (tmp_path / "review.gpkg").read_bytes() == b"somebody else's"


@pytest.mark.parametrize("name", [".staging-1", ".staging-{here}", ".staging-ab12", ".writing-ab12-review.gpkg"])
def test_leftovers_of_a_killed_run_are_cleared_away(folder, name):
    """Process ids say nothing: that of a container is always 1, and that of the killed run may be ours."""
    stale = folder / name.format(here=os.getpid())
    if "staging" in name:
        stale.mkdir()
        (stale / "before.tif").write_bytes(b"half")
    else:
        stale.write_bytes(b"half")
    put(folder, [made.moved(TWO[0], 30), TWO[1]])
    assert not stale.exists()
    assert not list(folder.glob(".*"))


def test_a_project_that_the_analyst_saved_survives_the_night(folder):
    project = folder / "review.qgz"
    text = zipfile.ZipFile(project).read("review.qgs").decode().replace("<qgis ", '<qgis saveUser="ana" ', 1)
    with zipfile.ZipFile(project, "w") as archive:
        archive.writestr("review.qgs", text)
    before = project.read_bytes()
    done = put(folder, [made.moved(TWO[0], 20), made.alert(3, row=40)])
    assert project.read_bytes() == before
    assert any("left alone" in note for note in done.notes)


def test_a_project_of_ours_is_brought_up_to_date(folder):
    before = (folder / "review.qgz").read_bytes()
    put(folder, [TWO[0], made.alert(3, row=40, col=5)])
    assert (folder / "review.qgz").read_bytes() != before


@pytest.mark.parametrize("name", ["before", "after"])
def test_the_pictures_of_the_site_are_cogs_of_all_bands_true_colour_first(published, name):
    with rasterio.open(published / f"{name}.tif") as image:
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert image.dtypes[0] == "uint16" and image.nodata == 0 and image.crs.to_epsg() == 32652
        assert [text.split()[0] for text in image.descriptions] == ["B04", "B03", "B02", "B08", "B11"]
        assert [each.name for each in image.colorinterp[:3]] == ["red", "green", "blue"]
        assert "STATISTICS_MEAN" in image.tags(1)
        data = image.read()
    assert (data[:, :3, :3] == 0).all() and (data[:, 3:, 3:] > 0).all()
    roof = data[0, 10:16, 10:18].mean()
    assert (roof > 2000) == (name == "after")


def test_the_score_is_evidence_with_nan_where_nothing_was_judged(published):
    with rasterio.open(published / "score.tif") as image:
        assert image.dtypes == ("float32",) and np.isnan(image.nodata)
        data = image.read(1)
    assert np.isnan(data[:3, :3]).all() and data[12, 12] == 9.0 and data[50, 50] == -1.0


def test_provenance_says_what_the_result_rests_on(published):
    with connect(published) as db:
        facts = dict(db.execute("SELECT key, value FROM provenance").fetchall())
    assert facts["settings_digest"] == "0123456789abcdef" and facts["before_scene"] == "scene-03"
    assert json.loads(facts["cautions"]) == ["only 5 looks of history"]
    assert facts["software"].startswith("groundbreak ")


def test_a_blob_reads_back_whatever_its_envelope():
    shape = made.outline(1, 2)
    blob = encode_geometry(shape, 32652)
    assert decode_geometry(blob).equals(shape)
    bare = b"GP\x00\x01" + struct.pack("<i", 32652) + blob[40:]
    assert decode_geometry(bare).equals(shape)


def test_the_looks_at_the_ends_of_the_brackets_are_rasters_and_those_of_earlier_nights_go(folder):
    days = ["2023-02-19", "2023-03-06", "2023-03-21", "2023-08-03"]
    assert [file.name[:10] for file in raster_files(Folder(folder))] == days
    with rasterio.open(raster_files(Folder(folder))[2]) as raster:
        assert raster.descriptions == ("B04 red", "B03 green", "B02 blue", "B08 nir")
        assert raster.read(1).shape == (made.SIZE, made.SIZE) and raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    later = [replace(TWO[0], last_clear_before=date(2023, 4, 5), first_seen=date(2023, 5, 5))]
    put(folder, later)
    assert [file.name[:10] for file in raster_files(Folder(folder))] == [
        days[0],
        days[1],
        "2023-04-05",
        "2023-05-05",
        days[3],
    ]
