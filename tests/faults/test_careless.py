"""What a careless operator or analyst does between two nights: refused, or carried out without harm to the rest."""

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shapely.affinity import translate
from shapely.geometry import mapping, shape

from pipeline.review.geoblob import register_functions
from tests.faults.nights import PLACE, VERDICT, Stage, results, run, start, verdicts


def is_undisturbed(struck: Stage, staged: tuple[Stage, dict[str, object]]) -> bool:
    assert struck.night().code in (0, 4)
    assert verdicts(struck.folder) == [VERDICT]
    return results(struck.folder) == staged[1]


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "sites.geojson"
    document = json.loads(path.read_text())
    edit(document["features"][0])
    path.write_text(json.dumps(document))


def test_a_run_over_a_past_period_leaves_the_results(staged: tuple[Stage, dict[str, object]], struck: Stage) -> None:
    past = run(struck.folder, "detect", "--sites", "sites.geojson", "--end", "2020-05-01")
    assert past.code == 2 and "--out" in past.err
    assert is_undisturbed(struck, staged)


def test_an_aoi_that_moves_away_and_back_leaves_the_results(
    staged: tuple[Stage, dict[str, object]], struck: Stage
) -> None:
    whole = (struck.folder / "sites.geojson").read_text()

    def move(feature: dict[str, Any]) -> None:
        feature["geometry"] = mapping(translate(shape(feature["geometry"]), 6.0))

    change(struck.folder, move)
    moved = struck.night()
    assert moved.code == 3 and "id of its own" in moved.err
    assert verdicts(struck.folder) == [VERDICT]
    (struck.folder / "sites.geojson").write_text(whole)
    assert is_undisturbed(struck, staged)


WRITERS = (
    ("evaluate", "out/place/review.gpkg", "sites.geojson", "--json", "out/place/review.gpkg"),
    ("export", "place", "--to", "out/place/review.gpkg"),
    ("export", "place", "--format", "kml", "--to", "out/place/after.tif"),
)


@pytest.mark.parametrize("words", WRITERS)
def test_a_command_pointed_at_a_file_of_the_results_leaves_it(struck: Stage, words: tuple[str, ...]) -> None:
    before = (struck.folder / words[-1]).read_bytes()
    ended = run(struck.folder, *words)
    assert ended.code == 2 and "error: " in ended.err
    assert (struck.folder / words[-1]).read_bytes() == before


def test_a_row_with_an_id_of_the_analysts_own_stays_and_disturbs_no_other(
    staged: tuple[Stage, dict[str, object]], struck: Stage
) -> None:
    review = struck.folder / "out" / PLACE / "review.gpkg"
    own = """it's "mine" '); DROP TABLE changes; --"""
    with contextlib.closing(sqlite3.connect(review)) as db, db:
        register_functions(db)
        db.execute("INSERT INTO changes (change_id, note, geom) SELECT ?, 'by hand', geom FROM changes LIMIT 1", [own])
    assert [struck.night().code for _ in range(2)] == [0, 4]
    with contextlib.closing(sqlite3.connect(review)) as db, db:
        register_functions(db)
        assert db.execute("SELECT note, status FROM changes WHERE change_id = ?", [own]).fetchall() == [
            ("by hand", None)
        ]
        db.execute("DROP TRIGGER changes_kept")
        db.execute("DELETE FROM changes WHERE change_id = ?", [own])
    assert is_undisturbed(struck, staged)


def test_a_clock_once_ahead_stops_no_copies(staged: tuple[Stage, dict[str, object]], struck: Stage) -> None:
    """The copy that a night made with a clock 30 years ahead is not taken for the newest for 30 years."""
    review = struck.folder / "out" / PLACE / "review.gpkg"
    copies = struck.folder / "out" / ".groundbreak" / "backups" / PLACE
    assert struck.night().code == 0
    ahead = time.time() + 30 * 365 * 86400
    for path in (review, *copies.glob("*.gpkg")):
        os.utime(path, (ahead, ahead))
    (newest,) = sorted(copies.glob("*.gpkg"))[-1:]
    newest.rename(copies / "20560101T000000Z.gpkg")
    with contextlib.closing(sqlite3.connect(review)) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET note = 'seen again'")
    assert struck.night().code == 4
    review.unlink()
    assert struck.night().code == 0
    assert [note for _, note, _ in verdicts(struck.folder)] == ["seen again"]


def test_six_sites_added_at_once_are_all_watched(tmp_path: Path) -> None:
    words = [
        ("sites", "add", "--lon", "10", "--lat", str(40 + n), "--name", f"place {n}", "--to", "own.geojson")
        for n in range(6)
    ]
    running = [start(tmp_path, *each) for each in words]
    assert [each().code for each in running] == [0] * 6
    found = json.loads((tmp_path / "own.geojson").read_text())["features"]
    assert sorted(each["properties"]["id"] for each in found) == [f"place-{n}" for n in range(6)]


def test_results_brought_from_another_machine_without_the_ledger_keep_ids_and_verdicts(
    staged: tuple[Stage, dict[str, object]], struck: Stage
) -> None:
    shutil.rmtree(struck.folder / "out" / ".groundbreak")
    assert is_undisturbed(struck, staged)
