"""Folders as they are found after years of use by several hands."""

import shutil
import zipfile

import pytest

from pipeline.model.errors import ReviewError
from pipeline.review import gpkg
from pipeline.review.geoblob import register_functions
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import TWO, connect, digests, judge, rows


def test_a_project_that_was_deleted_is_written_anew(folder):
    before = (folder / "review.qgz").read_bytes()
    (folder / "review.qgz").unlink()
    assert put(folder, TWO).notes == ()
    assert (folder / "review.qgz").read_bytes() == before


def test_a_project_that_is_none_is_left_alone_and_the_run_says_how_to_get_a_new_one(folder):
    (folder / "review.qgz").write_bytes(b"noise")
    (note,) = put(folder, TWO).notes
    assert (folder / "review.qgz").read_bytes() == b"noise" and "delete it to get a new one" in note
    (folder / "review.qgz").unlink()
    assert put(folder, TWO).notes == () and zipfile.is_zipfile(folder / "review.qgz")


def test_pictures_that_were_deleted_are_drawn_again(folder):
    before = digests(folder)
    shutil.rmtree(folder / "timeline")
    put(folder, TWO)
    assert digests(folder) == before


def test_a_review_file_that_cannot_be_written_says_so_and_keeps_all(folder, monkeypatch):
    judge(folder, TWO[0].id, "construction")
    before = digests(folder)

    def read_only(db):
        register_functions(db)
        db.execute("PRAGMA query_only = 1")

    monkeypatch.setattr(gpkg, "register_functions", read_only)
    with pytest.raises(ReviewError, match="readonly") as error:
        put(folder, [made.moved(TWO[0], 30), TWO[1]])
    assert "fix the permissions" in str(error.value) and digests(folder) == before


def test_a_review_file_of_another_version_is_named_and_kept_with_its_verdicts(folder):
    judge(folder, TWO[0].id, "construction", "seen on the ground")
    with connect(folder) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("ALTER TABLE changes DROP COLUMN after_scene")
    db.close()
    before = digests(folder)
    with pytest.raises(ReviewError, match=r"no column changes\.after_scene.*verdicts are only in it"):
        put(folder, TWO)
    assert digests(folder) == before and rows(folder)[TWO[0].id]["verdict"] == "construction"


def test_a_note_in_any_script_comes_back_letter_by_letter(folder):
    hostile = "\u202e<script>alert(1)</script> \"zitat\" 'x' 룡성 🏗\u0007"
    judge(folder, TWO[0].id, "uncertain", hostile)
    put(folder, [made.moved(TWO[0], 30), TWO[1]])
    assert rows(folder)[TWO[0].id]["note"] == hostile
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "룡성 🏗" in text and "<script>alert" not in text


def test_a_folder_in_place_of_the_review_file_is_one_clear_line(folder):
    (folder / "review.gpkg").unlink()
    (folder / "review.gpkg").mkdir()
    with pytest.raises(ReviewError, match="unable to open"):
        put(folder, TWO)
