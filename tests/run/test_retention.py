"""Copies of review files that hold every saved verdict, and chips that go when nobody wants them."""

import contextlib
import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipeline.model.bands import Band
from pipeline.model.errors import ReviewError
from pipeline.model.imagery import Chip, Raster
from pipeline.model.settings import Keep
from pipeline.review.contents import read_contents
from pipeline.review.geoblob import register_functions
from pipeline.review.layout import Results
from pipeline.run.chip_cache import ChipCache
from pipeline.run.retention import apply_retention, back_up, evict_chips, expire_caches, restore_review
from tests.review import made
from tests.review.conftest import put

NOW = datetime(2024, 3, 1, 3, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("first") / "out"
    put(out / "made-place", [made.alert(1)])
    return out


@pytest.fixture
def gpkg(first_night: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first_night, tmp_path / "out")) / "made-place" / "review.gpkg"


def judge(path: Path, note: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET verdict = 'construction', note = ?", [note])


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_copy_is_made_of_what_changed_and_so_many_are_kept(gpkg: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    for night in range(6):
        if night != 2:
            judge(gpkg, f"night {night}")
        back_up(gpkg, folder, 3, NOW + timedelta(days=night))
    assert copies(folder) == ["20240304T032000Z.gpkg", "20240305T032000Z.gpkg", "20240306T032000Z.gpkg"]
    notes = [read_contents(folder / name).changes[0]["note"] for name in copies(folder)]
    assert notes == ["night 3", "night 4", "night 5"]


def test_an_unchanged_file_is_not_copied_again(gpkg: Path, tmp_path: Path) -> None:
    for night in range(3):
        back_up(gpkg, tmp_path / "copies", 7, NOW + timedelta(days=night))
    assert copies(tmp_path / "copies") == ["20240301T032000Z.gpkg"]


def test_a_copy_holds_what_an_open_session_has_saved(gpkg: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(gpkg)) as session:
        register_functions(session)
        session.execute("PRAGMA journal_mode = WAL")
        back_up(gpkg, tmp_path / "copies", 7, NOW)
        session.execute("UPDATE changes SET verdict = 'construction', note = 'saved, and the file still open'")
        session.commit()
        alone = Path(shutil.copy(gpkg, tmp_path / "alone.gpkg"))
        back_up(gpkg, tmp_path / "copies", 7, NOW + timedelta(days=1))
    newest = read_contents(tmp_path / "copies" / "20240302T032000Z.gpkg")
    assert newest.changes[0]["note"] == "saved, and the file still open"
    assert read_contents(alone).changes[0]["note"] is None


def test_a_copy_opens_as_a_review_file_and_takes_the_next_night(gpkg: Path, tmp_path: Path) -> None:
    judge(gpkg, "mine")
    back_up(gpkg, tmp_path / "copies", 7, NOW)
    (copy,) = (tmp_path / "copies").iterdir()
    gpkg.unlink()
    shutil.copy(copy, gpkg)
    put(gpkg.parent, [made.alert(1), made.alert(2, row=30, col=30)])
    assert sorted(str(change["note"]) for change in read_contents(gpkg).changes) == ["None", "mine"]


def test_a_clock_set_back_does_not_cost_the_newest_copy(gpkg: Path, tmp_path: Path) -> None:
    for day in (5, 4, 3):
        judge(gpkg, f"day {day}")
        back_up(gpkg, tmp_path / "copies", 2, NOW + timedelta(days=day))
    assert [read_contents(tmp_path / "copies" / name).changes[0]["note"] for name in copies(tmp_path / "copies")] == [
        "day 3",
        "day 4",
    ]


def test_what_a_killed_copy_left_is_cleared_and_never_counted(gpkg: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    (folder / "20240229T032000Z.part").write_bytes(b"half")
    back_up(gpkg, folder, 1, NOW)
    assert copies(folder) == ["20240301T032000Z.gpkg"]


def test_a_damaged_review_file_leaves_the_copies_alone_and_is_said(gpkg: Path, tmp_path: Path) -> None:
    back_up(gpkg, tmp_path / "copies", 1, NOW)
    good = (tmp_path / "copies" / "20240301T032000Z.gpkg").read_bytes()
    gpkg.write_bytes(b"garbage" * 1000)
    with pytest.raises(ReviewError, match="no copy could be made"):
        back_up(gpkg, tmp_path / "copies", 1, NOW + timedelta(days=1))
    assert (tmp_path / "copies" / "20240301T032000Z.gpkg").read_bytes() == good


def test_a_table_of_others_that_computes_is_not_worked_out_for_a_copy(gpkg: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(gpkg)) as db, db:
        db.execute("CREATE TABLE other (a INTEGER)")
        db.execute("INSERT INTO other (a) VALUES (1)")
        # an error as soon as it is worked out
        db.execute("ALTER TABLE other ADD COLUMN bomb AS (abs(-9223372036854775807 - a))")
        db.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    for _ in range(2):
        back_up(gpkg, tmp_path / "copies", 7, NOW)
    assert len(copies(tmp_path / "copies")) == 1


def test_a_note_in_another_encoding_is_copied_shown_and_restored(gpkg: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(gpkg)) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET verdict = 'construction', note = CAST(x'48f66865' AS TEXT)")
    assert [change["note"] for change in read_contents(gpkg).changes] == ["H\ufffdhe"]
    out = gpkg.parents[1]
    back_up(gpkg, Results(out).backups("made-place"), 7, NOW)
    gpkg.unlink()
    (line,) = restore_review(out, "made-place")
    assert "verdicts included" in line
    with contextlib.closing(sqlite3.connect(gpkg)) as db:
        assert db.execute("SELECT CAST(note AS BLOB) FROM changes").fetchall() == [(b"H\xf6he",)]


def test_one_site_without_a_copy_stops_no_other(gpkg: Path) -> None:
    out = gpkg.parents[1]
    (out / "broken").mkdir()
    (out / "broken" / "review.gpkg").write_bytes(b"garbage" * 1000)
    errors = apply_retention(out, ["absent", "broken", "made-place"], Keep(), NOW)
    assert ["broken" in str(error) for error in errors] == [True]
    assert copies(out / ".groundbreak" / "backups" / "made-place") == ["20240301T032000Z.gpkg"]


def test_no_copies_are_made_where_none_are_wanted(gpkg: Path, tmp_path: Path) -> None:
    back_up(gpkg, tmp_path / "copies", 0, NOW)
    assert not (tmp_path / "copies").exists()


def chip(folder: Path, name: str, days: float, size: int = 1000) -> Path:
    path = folder / name[:2] / f"{name}.chip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    used = NOW.timestamp() - days * 86400
    os.utime(path, (used, used))
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.rglob("*.chip"))


def test_chips_that_no_night_used_for_long_go(tmp_path: Path) -> None:
    for name, days in {"aa1": 0, "ab2": 89, "ac3": 91, "ad4": 900}.items():
        chip(tmp_path, name, days)
    evict_chips(tmp_path, Keep(), NOW)
    assert left(tmp_path) == ["aa1", "ab2"]


def test_beyond_the_room_the_longest_unused_go_first_and_no_more_than_must(tmp_path: Path) -> None:
    for name, days in {"aa1": 1, "ab2": 40, "ac3": 30, "ad4": 20}.items():
        chip(tmp_path, name, days)
    evict_chips(tmp_path, Keep(chips_gb=2500e-9), NOW)
    assert left(tmp_path) == ["aa1", "ad4"]


def test_chips_of_the_last_nights_stay_whatever_room_they_take_and_it_is_said(tmp_path: Path) -> None:
    for name, days in {"aa1": 0, "ab2": 9, "ac3": 11}.items():
        chip(tmp_path, name, days)
    with pytest.raises(ReviewError, match=r"raise keep\.chips_gb"):
        evict_chips(tmp_path, Keep(chips_gb=500e-9), NOW)
    assert left(tmp_path) == ["aa1", "ab2"]


def test_what_killed_nights_left_among_the_chips_goes_after_a_day(tmp_path: Path) -> None:
    for name, days in {"ab1": 2.0, "ab2": 0.1}.items():
        chip(tmp_path, name, days).rename(tmp_path / "ab" / f"{name}.77.part")
    evict_chips(tmp_path, Keep(), NOW)
    assert [path.name for path in (tmp_path / "ab").iterdir()] == ["ab2.77.part"]


def test_without_any_chips_there_is_nothing_to_do(tmp_path: Path) -> None:
    evict_chips(tmp_path / "none", Keep(), NOW)


def test_a_chip_that_a_night_read_is_as_old_as_that_night(tmp_path: Path) -> None:
    store, grid = ChipCache(tmp_path), made.GRID
    scene = made.looks(count=1)[0].scene
    granule = scene.granules[0]
    raster = Raster(grid=grid, data=np.ones(grid.shape, np.uint16))
    chips = (Chip(scene=scene, granule=granule, dn={Band.B02: raster}, scl=None),)
    store.chips(scene, grid, (Band.B02,), lambda: chips)
    (path,) = tmp_path.rglob("*.chip")
    os.utime(path, (0, 0))
    store.chips(scene, grid, (Band.B02,), lambda: pytest.fail("it was kept"))
    evict_chips(tmp_path, Keep(), datetime.now(UTC))
    assert left(tmp_path) == [path.stem]


def test_a_site_that_is_watched_no_more_is_forgotten(tmp_path: Path) -> None:
    for site, days in {"watched": 80, "dropped": 100}.items():
        path = tmp_path / site / "facts.json"
        path.parent.mkdir()
        path.write_bytes(b"{}")
        os.utime(path, ((NOW - timedelta(days=days)).timestamp(),) * 2)
    expire_caches(tmp_path, Keep(), NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["watched"]
    expire_caches(tmp_path / "none", Keep(), NOW)


def test_a_file_among_the_caches_does_not_keep_those_after_it(tmp_path: Path) -> None:
    (tmp_path / "a-note.txt").write_text("mine")
    old = tmp_path / "dropped" / "facts.json"
    old.parent.mkdir()
    old.write_bytes(b"{}")
    os.utime(old, (0, 0))
    expire_caches(tmp_path, Keep(), NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["a-note.txt"]


@pytest.mark.parametrize("kind", ["file", "link to nothing"])
def test_what_is_no_folder_where_a_site_is_published_is_named_with_the_right_fix(gpkg: Path, kind: str) -> None:
    out = gpkg.parents[1]
    shutil.rmtree(gpkg.parent)
    if kind == "file":
        gpkg.parent.write_text("mine")
    else:
        gpkg.parent.symlink_to("nowhere")
    with pytest.raises(ReviewError, match=r"is no folder .*made-place.*move it away"):
        restore_review(out, "made-place")


def test_a_review_file_that_is_a_link_to_nothing_is_named(gpkg: Path) -> None:
    gpkg.unlink()
    gpkg.symlink_to("gone.gpkg")
    with pytest.raises(ReviewError, match=r"link to a file that is gone .*review\.gpkg.*bring that file back"):
        restore_review(gpkg.parents[1], "made-place")
