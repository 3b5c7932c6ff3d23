"""Servers that fail in the middle of a night: told by name, never taken for nodata, and made good the night after."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import world
from tests.faults.nights import PLACE, VERDICT, Stage, judge, results, verdicts
from tests.faults.served import items_of
from tests.peer import range_server, stac_api

NEW = "place-20200710"
"""One of the scenes that the night finds."""


@dataclass(frozen=True, slots=True)
class Served:
    """A place watched over the network, at nightfall, and what an undisturbed night makes of it."""

    stage: Stage
    files: range_server.Ranges
    items: list[dict[str, object]]
    expected: dict[str, object]


def point(stage: Stage, address: str) -> None:
    # an AOI file alone may not name this machine
    (stage.folder / "groundbreak.toml").write_text('[search]\nasset_hosts = ["127.0.0.1"]\n')
    feature = world.feature(address, collection="made-up", start="2020-03-01")
    world.write_sites(stage.folder / "sites.geojson", [feature])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("archive")
    world.catalogue(folder / "files", dates=12, built_from=5)
    with range_server.serve(folder / "files") as files:
        items = items_of(folder / "files", files.url)
        stage = Stage(folder)
        with stac_api.serve(items[:9]) as api:
            point(stage, api.url)
            ended = stage.night()
            assert ended.code == 0, ended.err
        judge(folder)
        calm = stage.copy(tmp_path_factory.mktemp("calm"))
        with stac_api.serve(items) as api:
            point(calm, api.url)
            ended = calm.night()
            assert ended.code == 0, ended.err
        yield Served(stage, files, items, results(calm.folder))


def unreadable(folder: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(folder / "out" / PLACE / "review.gpkg")) as db:
        return [row[0] for row in db.execute("SELECT scene FROM scenes WHERE reason = 'unreadable'")]


@pytest.mark.parametrize("fault", ["503", "429", "403", "404", "cut", "zero", "html", "redirect", "hang"])
def test_a_scene_that_cannot_be_read_is_named_and_made_good(served: Served, tmp_path: Path, fault: str) -> None:
    struck = served.stage.copy(tmp_path)
    with stac_api.serve(served.items) as api:
        point(struck, api.url)
        served.files.spoiled[NEW] = fault
        try:
            ended = struck.night()
        finally:
            served.files.spoiled.clear()
        assert ended.code in (0, 3), ended.err
        assert any(line.startswith("error: cannot read") and NEW in line for line in ended.err.splitlines())
        assert unreadable(struck.folder) == [NEW]
        assert struck.night().code == 0
    assert results(struck.folder) == served.expected
    assert verdicts(struck.folder) == [VERDICT]


def test_three_requests_in_ten_may_fail(served: Served, tmp_path: Path) -> None:
    struck = served.stage.copy(tmp_path)
    with stac_api.serve(served.items) as api:
        point(struck, api.url)
        served.files.spoiled.update({str(item["id"]): "flaky" for item in served.items})
        try:
            ended = struck.night()
        finally:
            served.files.spoiled.clear()
        assert ended.code in (0, 3), ended.err
        assert struck.night().code in (0, 4)
    assert results(struck.folder) == served.expected
    assert verdicts(struck.folder) == [VERDICT]


@pytest.mark.parametrize("lasts", [40, 7])
def test_a_signature_that_expires_in_the_night_is_asked_for_again(served: Served, tmp_path: Path, lasts: int) -> None:
    struck = served.stage.copy(tmp_path)
    signed = json.loads(json.dumps(served.items).replace(f"{served.files.url}/ok/", f"{served.files.url}/signed/"))
    served.files.token_lasts, served.files.expired = lasts, 0
    with stac_api.serve(signed) as api:
        point(struck, api.url)
        ended = struck.night()
    assert served.files.expired > 0
    assert ended.code == 0, ended.err
    assert unreadable(struck.folder) == []
    assert results(struck.folder) == served.expected
    assert verdicts(struck.folder) == [VERDICT]
    kept = [path for path in struck.folder.rglob("*") if path.is_file() and b"sig=token" in path.read_bytes()]
    assert not kept, f"signed addresses are kept in {kept}"


@pytest.mark.parametrize(
    "faults", [["ok", *["cut"] * 500], ["ok", *[503] * 500], ["html"] * 500, ["ok", *["hang"] * 500]]
)
def test_a_search_that_breaks_off_changes_nothing(served: Served, tmp_path: Path, faults: list[object]) -> None:
    struck = served.stage.copy(tmp_path)
    before = results(struck.folder)
    with stac_api.serve(served.items, faults=faults, max_page=5) as api:
        point(struck, api.url)
        ended = struck.night()
    assert ended.code == 3, ended.err
    assert sum(line.startswith("error: ") for line in ended.err.splitlines()) == 1
    assert results(struck.folder) == before
    with stac_api.serve(served.items) as api:
        point(struck, api.url)
        assert struck.night().code == 0
    assert results(struck.folder) == served.expected


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://stac.invalid"])
def test_an_api_that_cannot_be_reached_changes_nothing(served: Served, tmp_path: Path, address: str) -> None:
    """Nobody listens there; the name has no address."""
    struck = served.stage.copy(tmp_path)
    before = results(struck.folder)
    point(struck, address)
    ended = struck.night()
    assert ended.code == 3, ended.err
    assert sum(line.startswith("error: ") and address in line for line in ended.err.splitlines()) == 1
    assert results(struck.folder) == before
    with stac_api.serve(served.items) as api:
        point(struck, api.url)
        assert struck.night().code == 0
    assert results(struck.folder) == served.expected


def test_a_chip_that_rotted_is_read_again(served: Served, tmp_path: Path) -> None:
    struck = served.stage.copy(tmp_path)
    chips = sorted((struck.folder / "out" / ".groundbreak" / "chips").rglob("*.chip"))
    assert len(chips) == 9
    for number, chip in enumerate(chips[:4]):
        whole = chip.read_bytes()
        chip.write_bytes(whole[: len(whole) // 2] if number % 2 else whole[:-1] + b"?")
    with stac_api.serve(served.items) as api:
        point(struck, api.url)
        assert struck.night().code == 0
    assert results(struck.folder) == served.expected
