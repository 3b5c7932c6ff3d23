"""Results damaged between two nights, or by a container that was killed: the next night ends as undisturbed."""

import contextlib
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import geopandas
import pytest

from pipeline.review.geoblob import register_functions
from tests import world
from tests.faults.nights import PLACE, VERDICT, Stage, evening, results, verdicts

RUN = "import sys; from pipeline.cli.main import run; run(sys.argv[1:])"
NIGHT = ["nightly", "--sites", "sites.geojson", "--workers", "1"]


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, dict[str, object]]:
    """An evening after which the verdict has been copied, and what an undisturbed night makes of it."""
    stage = evening(tmp_path_factory.mktemp("evening"))
    copied = stage.copy(tmp_path_factory.mktemp("copied"))
    whole = (stage.folder / "sites.geojson").read_text()
    few = stage.folder / "catalogue" / "few.json"
    world.write_sites(copied.folder / "sites.geojson", [world.feature(str(few))])
    assert copied.night().code == 4
    (copied.folder / "sites.geojson").write_text(whole)
    calm = copied.copy(tmp_path_factory.mktemp("calm"))
    assert calm.night().code == 0
    return copied, results(calm.folder)


def rewrite(site: Path) -> None:
    table = geopandas.read_file(site / "review.gpkg", layer="changes")
    table.to_file(site / "review.gpkg", layer="changes", driver="GPKG")


def spoil(site: Path) -> None:
    with contextlib.closing(sqlite3.connect(site / "review.gpkg")) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET status = 7, first_seen = 'never', confidence = 'nan'")


def move_away(site: Path) -> None:
    (site / "review.gpkg").unlink()


def leave_staging(site: Path) -> None:
    (site / ".staging-1").mkdir()
    (site / ".staging-1" / "before.tif").write_bytes(b"half")


def cut(site: Path) -> None:
    for name in ("before.tif", "score.tif"):
        (site / name).write_bytes((site / name).read_bytes()[:1000])


@pytest.mark.parametrize("damage", [shutil.rmtree, move_away, rewrite, spoil, leave_staging, cut])
def test_the_night_after_a_damage_is_as_undisturbed(
    staged: tuple[Stage, dict[str, object]], tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    struck = staged[0].copy(tmp_path)
    damage(struck.folder / "out" / PLACE)
    ended = struck.night()
    assert ended.code == 0, ended.err
    assert results(struck.folder) == staged[1]
    assert verdicts(struck.folder) == [VERDICT]
    assert not list((struck.folder / "out" / PLACE).glob(".*"))
    assert struck.night().code == 4


def test_process_one_of_a_container_that_was_killed_leaves_nothing_behind(
    staged: tuple[Stage, dict[str, object]], tmp_path: Path
) -> None:
    """In a PID namespace of its own each night is process 1, as in a container."""
    inside = ["unshare", "--fork", "--pid", "--kill-child"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a PID namespace")
    words = [*inside, sys.executable, "-c", RUN, *NIGHT]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    for attempt in range(20):
        # a busy machine may let the night end before the kill arrives
        place = tmp_path / str(attempt)
        place.mkdir()
        struck = staged[0].copy(place)
        site = struck.folder / "out" / PLACE
        _kill_while_publishing(words, place, environment, site)
        if list(site.glob(".staging-*")):
            break
    else:
        pytest.fail("each night ended before it was killed")
    again = subprocess.run(words, cwd=place, env=environment, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert results(struck.folder) == staged[1] and not list(site.glob(".*"))


def _kill_while_publishing(words: list[str], place: Path, environment: dict[str, str], site: Path) -> None:
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(words, cwd=place, env=environment, stdout=nowhere, stderr=nowhere)
    while process.poll() is None and not list(site.glob(".staging-*")):
        pass
    process.kill()
    process.wait()


def test_a_server_that_never_answers_delays_no_other_site(
    staged: tuple[Stage, dict[str, object]], tmp_path: Path
) -> None:
    struck = staged[0].copy(tmp_path)
    # a catalogue on this machine needs the operator's consent
    (struck.folder / "groundbreak.toml").write_text('[search]\nasset_hosts = ["127.0.0.1"]\n')
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        (near,) = json.loads((struck.folder / "sites.geojson").read_text())["features"]
        far = [world.feature(address, id=f"far-{number}") for number in range(6)]
        world.write_sites(struck.folder / "sites.geojson", [*far, near])
        ended = struck.night()
    assert ended.code == 3
    assert results(struck.folder) == staged[1]
    assert "far-" in ended.err
