"""The same items out of a folder and through a real STAC API give the same polygons, byte for byte."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import world
from tests.cli.conftest import Command, command  # noqa: F401  (a fixture)
from tests.faults.served import items_of
from tests.peer import range_server, stac_server

LACKING = stac_server.missing()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of an API and the folder of a catalogue, both over the same files."""
    if LACKING is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the STAC server cannot be started: this machine lacks {LACKING}")
        pytest.skip(f"this machine lacks {LACKING}")
    folder = tmp_path_factory.mktemp("archive")
    world.catalogue(folder)
    with range_server.serve(folder) as files, stac_server.serve(items_of(folder, files.url), {"context": "on"}) as url:
        yield url, folder


def _rows(file: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(file)) as review, review:
        names = [row[1] for row in review.execute("PRAGMA table_info(changes)") if row[1] != "fid"]
        return review.execute(f"SELECT {', '.join(names)} FROM changes ORDER BY change_id").fetchall()


def test_a_folder_and_an_api_give_the_same_polygons(
    served: tuple[str, Path],
    command: Command,  # noqa: F811
    tmp_path: Path,
) -> None:
    url, folder = served
    (tmp_path / "groundbreak.toml").write_text('[search]\nasset_hosts = ["127.0.0.1"]\n')
    for name, source in (("local", str(folder / "catalog.json")), ("remote", url)):
        feature = world.feature(source, collection="made-up", end="2020-12-31")
        sites = world.write_sites(tmp_path / f"{name}.geojson", [feature])
        assert command("detect", "--sites", sites, "--out", name).code == 0
    local, remote = (_rows(tmp_path / name / "place" / "review.gpkg") for name in ("local", "remote"))
    assert local and local == remote
