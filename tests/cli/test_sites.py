"""`sites check`, `add` and `list`."""

import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

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
    wishes = {
        "catalog": "https://stac.example.org/",
        "collection": "theirs",
        "start": "2019-02-03",
        "end": "2024-03-27",
    }
    tuned = {"false_alarms": 1.5, "settings": {"decide.min_history": 5}, "kind": "plant"}
    file = world.write_sites(tmp_path / "s.geojson", [world.feature(**wishes, **tuned)])
    assert command("sites", "add", file, "--to", tmp_path / "own.geojson").code == 0
    given, kept = (read_sites([path]).sites[0] for path in (file, tmp_path / "own.geojson"))
    assert kept.aoi.equals(given.aoi)
    for name in ("id", "name", "catalog", "collection", "start", "end", "settings", "properties"):
        assert getattr(kept, name) == getattr(given, name), name
    assert kept.settings["decide.false_alarms_per_100km2_year"] == 1.5


def test_a_geopackage_with_days_and_moments_is_taken(command: Command, tmp_path: Path) -> None:
    columns = {
        "id": np.array(["place"], object),
        "seen": np.array(["2024-01-02T10:30"], "datetime64[ms]"),
        "end": np.array(["2024-03-27"], "datetime64[D]"),
    }
    shapes = shapely.to_wkb(np.array([world.aoi()]))
    pyogrio.raw.write(
        tmp_path / "s.gpkg", shapes, list(columns.values()), list(columns), geometry_type="Polygon", crs="EPSG:4326"
    )
    assert command("sites", "add", tmp_path / "s.gpkg", "--to", tmp_path / "own.geojson").code == 0
    (site,) = read_sites([tmp_path / "own.geojson"]).sites
    assert site.properties["seen"] == "2024-01-02T10:30:00"
    assert site.end is not None and f"{site.end:%Y-%m-%d}" == "2024-03-27"


POINT = ("sites", "add", "--lon", 10, "--lat", 50)


def test_a_lone_feature_and_an_empty_collection_are_added_to(command: Command, tmp_path: Path) -> None:
    target = tmp_path / "own.geojson"
    target.write_text(json.dumps(world.feature()))
    assert command(*POINT, "--name", "x", "--to", target).code == 0
    assert [site.id for site in read_sites([target]).sites] == ["place", "x"]
    world.write_sites(target, [])
    assert command(*POINT, "--name", "x", "--to", target).code == 0


@pytest.mark.parametrize("text", ["{nope", "[]", '{"type": "FeatureCollection"}', '{"type": "Feature"}', "\xff"])
def test_a_file_that_is_none_is_named_and_left_alone(command: Command, tmp_path: Path, text: str) -> None:
    target = tmp_path / "own.geojson"
    target.write_text(text, encoding="latin-1")
    done = command(*POINT, "--name", "x", "--to", target)
    assert done.code == 2 and "own.geojson" in done.errors[0] and ".part" not in done.err
    assert target.read_text(encoding="latin-1") == text and written(tmp_path) == [target]


def written(folder: Path) -> list[Path]:
    """What a command has left in a folder, apart from its lock."""
    return [path for path in folder.iterdir() if path.name != ".groundbreak.lock"]


def test_a_square_that_is_too_large_is_told_of_the_file_asked_for(command: Command, tmp_path: Path) -> None:
    done = command(*POINT, "--radius-m", 100_000, "--name", "x", "--to", tmp_path / "own.geojson")
    assert done.code == 2 and "(own.geojson" in done.errors[0].replace(f"{tmp_path}/", "")
    assert not written(tmp_path)


def test_a_place_where_no_file_can_stand_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("nowhere/own.geojson", "file/own.geojson", ".", "x" * 300):
        done = command(*POINT, "--name", "x", "--to", tmp_path / place)
        assert done.code == 2 and "with --to" in done.errors[0], place


def test_a_name_that_makes_no_id_is_added_with_one_given(command: Command, tmp_path: Path) -> None:
    target = tmp_path / "own.geojson"
    done = command(*POINT, "--name", "함흥", "--to", target)
    assert done.code == 2 and "--id" in done.errors[0]
    assert command(*POINT, "--name", "함흥", "--id", "hamhung", "--to", target).code == 0
    (site,) = read_sites([target]).sites
    assert (site.id, site.name) == ("hamhung", "함흥")


def test_the_sites_that_ship_are_all_good(command: Command) -> None:
    aois = Path(__file__).resolve().parents[2] / "aois"
    done = command("sites", "check", aois)
    assert done.code == 0 and "february-11-plant" in done.out
    assert "february-11-plant" in command("sites", "list", aois).out


def test_the_first_site_makes_the_default_folder_and_the_advised_command_finds_it(
    command: Command, tmp_path: Path
) -> None:
    missing = command("sites", "list")
    assert missing.code == 2 and "groundbreak sites add" in missing.errors[0]
    done = command(*POINT, "--name", "x", "--catalog", "archive")
    assert done.code == 0 and (tmp_path / "aois" / "own.geojson").is_file()
    assert done.out.strip().endswith("groundbreak detect x")
    (site,) = json.loads(command("sites", "list", "--json").out)["sites"]
    assert site["id"] == "x" and site["catalog"] == str(tmp_path / "archive")
    assert (
        command(*POINT, "--name", "y", "--to", "other.geojson").out.strip().endswith("detect y --sites other.geojson")
    )


def test_a_named_site_of_the_package_is_found_in_any_folder(command: Command, catalogue: Path) -> None:
    done = command("scenes", "february-11-plant", "--catalog", catalogue)
    assert done.code == 0 and "10 rejected" in done.out and not done.errors
    assert "did you mean february-11-plant?" in command("scenes", "february-11-plan").errors[0]


def test_the_largest_area_is_that_of_the_settings(command: Command, tmp_path: Path) -> None:
    (tmp_path / "groundbreak.toml").write_text("[search]\nmax_area_km2 = 0.05\n")
    done = command("sites", "check", world.write_sites(tmp_path / "s.geojson", [world.feature()]))
    assert done.code == 2 and "above the limit" in done.errors[0]


@pytest.mark.parametrize("words", [("nightly",), ("detect",), ("nightly", "--sites", "elsewhere")])
def test_a_folder_without_a_site_is_no_quiet_night(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    for name in ("aois", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text("Places to watch.")
    ended = command(*words)
    (line,) = ended.errors
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert line.startswith("error: no site (") and "groundbreak sites add" in line
