"""`sites check`, `add` and `list`."""

import json
from pathlib import Path

from pipeline.catalogue.sites import read_sites
from tests import world
from tests.cli.conftest import Command


def test_check_counts_the_good_and_names_the_bad(command: Command, tmp_path: Path) -> None:
    file = world.write_sites(tmp_path / "s.geojson", [world.feature(), world.feature(id="Bad Id")])
    done = command("sites", "check", file)
    assert done.code == 2
    assert "1 good, 1 not" in done.out and "feature 2" in done.errors[0]


def test_a_point_becomes_a_square_that_can_be_watched(command: Command, tmp_path: Path) -> None:
    target = tmp_path / "own.geojson"
    words = ("--lon", 127.6568, "--lat", 39.9209, "--radius-m", 1000, "--name", "Plant (new)", "--to", target)
    assert command("sites", "add", *words).code == 0
    assert json.loads(target.read_text())["features"][0]["properties"]["id"] == "plant-new"
    assert "ok  plant-new: 4.00 km2" in command("sites", "check", target).out


def test_a_name_that_is_taken_changes_nothing(command: Command, tmp_path: Path) -> None:
    target = tmp_path / "own.geojson"
    words = ("sites", "add", "--lon", 10, "--lat", 50, "--name", "x", "--to", target)
    command(*words)
    before = target.read_bytes()
    assert command(*words).code == 2
    assert target.read_bytes() == before


def test_a_file_is_taken_whole_or_not_at_all(command: Command, tmp_path: Path) -> None:
    file = world.write_sites(tmp_path / "s.geojson", [world.feature(), world.feature(id="Bad Id")])
    assert command("sites", "add", file, "--to", tmp_path / "own.geojson").code == 2
    assert not (tmp_path / "own.geojson").exists()


def test_what_a_file_wishes_for_its_sites_is_taken_along(command: Command, tmp_path: Path) -> None:
    wishes = {"catalog": "https://stac.example.org/", "collection": "theirs", "start": "2019-02-03", "end": "2024-03-27"}
    tuned = {"false_alarms": 1.5, "settings": {"decide.min_history": 5}, "kind": "plant"}
    file = world.write_sites(tmp_path / "s.geojson", [world.feature(**wishes, **tuned)])
    assert command("sites", "add", file, "--to", tmp_path / "own.geojson").code == 0
    given, kept = (read_sites([path]).sites[0] for path in (file, tmp_path / "own.geojson"))
    assert kept.aoi.equals(given.aoi)
    for name in ("id", "name", "catalog", "collection", "start", "end", "settings", "properties"):
        assert getattr(kept, name) == getattr(given, name), name
    assert kept.settings["decide.false_alarms_per_100km2_year"] == 1.5


def test_the_sites_that_ship_are_all_good(command: Command) -> None:
    aois = Path(__file__).resolve().parents[2] / "aois"
    done = command("sites", "check", aois)
    assert done.code == 0 and "february-11-plant" in done.out
    assert "february-11-plant" in command("sites", "list", aois).out
