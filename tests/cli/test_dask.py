"""The same sites judged on a real Dask cluster: the same answer, also where workers die on the way."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests import world
from tests.cli.conftest import Command
from tests.peer.dask_cluster import cluster, kill_at_work

PLACES = ("place-a", "place-b", "place-c", "place-d")


@pytest.fixture
def places(tmp_path: Path) -> Path:
    features = []
    for number, name in enumerate(PLACES):
        catalog = world.catalogue(tmp_path / f"catalogue-{name}", seed=3 + number)
        features.append(world.feature(str(catalog), id=name))
    return world.write_sites(tmp_path / "places.geojson", features)


def results(out: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in PLACES:
        with contextlib.closing(sqlite3.connect(out / name / "review.gpkg")) as db, db:
            for table in ("changes", "observations", "scenes"):
                found[f"{name}/{table}"] = sorted(map(str, db.execute(f"SELECT * FROM {table}")))
        for raster in ("before.tif", "after.tif", "score.tif"):
            found[f"{name}/{raster}"] = (out / name / raster).read_bytes()
    return found


def test_a_cluster_gives_what_one_process_gives_though_two_workers_die(
    command: Command, places: Path, tmp_path: Path
) -> None:
    assert command("detect", "--sites", places, "--workers", "1", "--out", "serial").code == 0
    with cluster(tmp_path, workers=3) as made:
        killing = kill_at_work(made, 2)
        code = command("detect", "--sites", places, "--scheduler", made.address, "--out", "spread").code
        killing.join()
        assert [worker.poll() is None for worker in made.workers] == [False, False, True]
    assert code == 0
    assert results(Path("spread")) == results(Path("serial"))


def test_without_a_scheduler_one_line_says_so(command: Command, places: Path) -> None:
    refused = command("detect", "--sites", places, "--scheduler", "tcp://127.0.0.1:9")
    assert refused.code == 2
    assert "no Dask scheduler answers" in refused.err
    assert len(refused.err.strip().splitlines()) == 1
