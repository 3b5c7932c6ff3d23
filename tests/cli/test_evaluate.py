"""`evaluate`, on a review file that `detect` wrote."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from shapely.geometry import box, mapping

from pipeline.cli.main import _run_command
from pipeline.review.geoblob import register_functions
from tests import world
from tests.cli.conftest import Command


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    world.catalogue(folder / "catalogue", dates=14)
    sites = world.write_sites(folder / "sites.geojson", [world.feature("catalogue/catalog.json")])
    assert _run_command(["detect", "--sites", str(sites), "--out", str(folder / "out")]) == 0
    return folder / "out" / "place" / "review.gpkg"


def truth_file(path: Path) -> Path:
    rows, cols = world.BUILDING
    outline = box(
        world.LEFT + 10 * cols.start,
        world.TOP - 10 * rows.stop,
        world.LEFT + 10 * cols.stop,
        world.TOP - 10 * rows.start,
    )
    lonlat = world.Geometry(outline, world.CRS).to_crs("EPSG:4326").geom
    properties = {"id": "hall", "kind": "new structure", "size": "60x80 m", "begins": "2020-05-31"}
    feature = {"type": "Feature", "properties": properties, "geometry": mapping(lonlat)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def stating(truth: Path, **record: object) -> Path:
    """The truth file with a member that states what it covers."""
    truth.write_text(json.dumps(json.loads(truth.read_text()) | {"groundbreak": record}))
    return truth


def test_what_the_truth_does_not_cover_is_not_counted(review: Path, command: Command, tmp_path: Path) -> None:
    elsewhere = truth_file(tmp_path / "truth.geojson")
    west = json.loads(elsewhere.read_text())
    ring = [[x - 0.004, y] for x, y in west["features"][0]["geometry"]["coordinates"][0]]
    west["features"][0]["geometry"]["coordinates"] = [ring]
    elsewhere.write_text(json.dumps(west))
    assert "False confirmed polygons: 1 in" in command("evaluate", review, elsewhere).out
    done = command("evaluate", review, stating(elsewhere, covers={"kinds": ["demolished"]}))
    assert "False confirmed polygons: 0 in" in done.out
    assert "Not counted: 1 alerts of which the truth has no record (it covers demolished)" in done.out
    away = {"type": "Polygon", "coordinates": [ring]}
    done = command("evaluate", review, stating(elsewhere, covers={"area": away}), "--json")
    assert json.loads(done.out)["outside"] == 1 and json.loads(done.out)["wrong"] == []


def test_every_change_is_printed_and_every_figure_written(review: Path, command: Command, tmp_path: Path) -> None:
    done = command("evaluate", review, truth_file(tmp_path / "truth.geojson"), "--json", "figures.json")
    assert done.code == 0
    assert "hall" in done.out and "60x80 m" in done.out and "MISSED" not in done.out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["wrong"] == []
    assert figures["sought"][0]["confirmed"] is True
    assert figures["sought"][0]["iou"] > 0.7
    assert figures["sought"][0]["delay_looks"] == 3
    assert figures["kinds"] == {"new structure": {"new structure": 1}}
    assert figures["smart_f1"] is None
    printed = json.loads(command("evaluate", review, tmp_path / "truth.geojson", "--json").out)
    assert printed == figures
    assert "What it was called" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.gpkg", "truth.geojson"], "no such file"),
        (["REVIEW", "nowhere.geojson"], "no such file"),
        (["REVIEW", "EMPTY"], "cannot be read"),
        (["REVIEW", "DATELESS"], "neither `begins`"),
        (["REVIEW", "BOUNDLESS"], "what it covers cannot be read"),
        (["REVIEW"], "one of TRUTH.geojson and --verdicts"),
        (["REVIEW", "--verdicts"], "no verdict in it yet"),
        (["EMPTY", "--verdicts"], "no review file"),
    ],
)
def test_what_cannot_be_scored_is_one_line(
    review: Path, command: Command, tmp_path: Path, arguments: list[str], said: str
) -> None:
    empty, dateless = tmp_path / "empty.geojson", truth_file(tmp_path / "dateless.geojson")
    empty.write_text("")
    dateless.write_text(dateless.read_text().replace("begins", "started"))
    boundless = stating(truth_file(tmp_path / "boundless.geojson"), covers={"kinds": ["a palace"]})
    places = {"REVIEW": review, "EMPTY": empty, "DATELESS": dateless, "BOUNDLESS": boundless}
    done = command("evaluate", *(places.get(each, each) for each in arguments))
    assert done.code == 2
    assert len(done.errors) == 1 and said in done.errors[0]


def judged(review: Path, folder: Path, change: str) -> Path:
    """A copy of a review file, every alert of it changed."""
    copy = folder / "review.gpkg"
    with contextlib.closing(sqlite3.connect(review)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        register_functions(target)
        target.execute(f"UPDATE changes SET {change}")
        target.commit()
    return copy


def test_verdicts_are_read_from_the_review_file(review: Path, command: Command, tmp_path: Path) -> None:
    done = command("evaluate", "--verdicts", judged(review, tmp_path, "verdict = 'construction'"))
    assert done.code == 0
    assert "1 verdicts" in done.out and "1 right" in done.out


def test_an_outline_that_the_analyst_drew_is_no_claim_of_ours(review: Path, command: Command, tmp_path: Path) -> None:
    copy = judged(review, tmp_path, "verdict = 'construction'")
    with contextlib.closing(sqlite3.connect(copy)) as db, db:
        register_functions(db)
        db.execute("INSERT INTO changes (geom, verdict) SELECT geom, 'construction' FROM changes LIMIT 1")
    done = command("evaluate", "--verdicts", copy)
    assert done.code == 0 and "1 verdicts" in done.out
    assert command("evaluate", copy, truth_file(tmp_path / "truth.geojson")).code == 0


def test_a_verdict_counts_though_its_alert_was_withdrawn(review: Path, command: Command, tmp_path: Path) -> None:
    change = "verdict = 'no change', note = 'a shadow', status = 'withdrawn'"
    done = command("evaluate", "--verdicts", judged(review, tmp_path, change))
    assert done.code == 0
    assert "1 verdicts" in done.out and "0 right" in done.out
