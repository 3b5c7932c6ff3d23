import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.catalogue import fetch
from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.scenes import Found, find, find_named
from pipeline.cli.asking import question
from pipeline.model.bands import Band
from pipeline.model.errors import CatalogueError
from pipeline.model.imagery import Reason
from pipeline.model.settings import Settings, override
from pipeline.run.judge import scenes_of
from pipeline.study.catalogue_writer import write_catalogue, write_item
from tests.catalogue.test_static import END, site
from tests.peer import range_server, stac_api
from tests.world import GRID10

DATES = 23


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE_S", 0.01)
    monkeypatch.setattr(fetch, "TIMEOUT_S", (1.0, 0.7))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static catalogue; its items name a collection, as an API's must."""
    folder = tmp_path_factory.mktemp("archive")
    items = []
    for day in range(1, DATES + 1):
        red = np.random.default_rng(day).integers(200, 900, tuple(GRID10.shape)).astype(np.uint16)
        time = datetime(2024, 3, day, 2, tzinfo=UTC)
        items.append(write_item(folder, f"day-{day:02d}", time, {"red": (red, GRID10)}, {}))
    for path in items:
        path.write_text(json.dumps({**json.loads(path.read_text()), "collection": "made-up"}))
    write_catalogue(folder, "archive", "Archive", "Made for a test.", items)
    return folder


def features(archive: Path, root: str = "http://127.0.0.1:1/ok") -> list[dict[str, Any]]:
    """The items as an API serves them: assets at addresses."""
    found = []
    for path in sorted(archive.glob("*/*.json")):
        raw = json.loads(path.read_text())
        raw["assets"]["red"]["href"] = f"{root}/{path.stem}/red.tif"
        found.append(raw)
    return found


def search(url: str, collection: str | None = "made-up", start: datetime | None = None, until: datetime = END) -> Found:
    return find(site(), url, collection, start, until, Settings())


ALL = [f"day-{day:02d}" for day in range(1, DATES + 1)]


def ids(found: Found) -> list[str]:
    return [scene.id for scene in found.scenes]


def test_an_api_and_a_folder_give_the_same_scenes_and_the_same_pixels(archive: Path) -> None:
    with range_server.serve(archive) as files, stac_api.serve(features(archive, f"{files.url}/ok")) as api:
        served, local = search(api.url), search(str(archive))
        assert ids(served) == ids(local) == ALL and served.faults == ()
        for one, other in zip(served.scenes[:3], local.scenes[:3], strict=True):
            (theirs,), (ours,) = (read_chips(each, site().grid, (Band.B04,)) for each in (one, other))
            np.testing.assert_array_equal(theirs.dn[Band.B04].data, ours.dn[Band.B04].data)
            assert theirs.dn[Band.B04].grid == ours.dn[Band.B04].grid
            assert one.granules[0].offset_claim == other.granules[0].offset_claim


def test_a_static_catalogue_is_read_over_http_too(archive: Path) -> None:
    with range_server.serve(archive) as files:
        assert ids(search(f"{files.url}/ok/catalog.json", None)) == ALL
        (scene,) = find_named(site(), [f"{files.url}/ok/day-03/day-03.json"], Settings())
        assert scene.id == "day-03"


@pytest.mark.parametrize(
    "href", ["http://[nobody/day-02.json", "//[nobody/day-02.json", "https://example.org/day-02.json"]
)
def test_a_link_astray_in_a_served_catalogue_is_one_line(archive: Path, tmp_path: Path, href: str) -> None:
    shutil.copytree(archive, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "catalog.json"
    catalogue = json.loads(path.read_text())
    link = next(each for each in catalogue["links"] if each["href"].endswith("day-02.json"))
    link["href"] = href
    path.write_text(json.dumps(catalogue))
    with range_server.serve(tmp_path) as files:
        found = search(f"{files.url}/ok/catalog.json", None)
    assert ids(found) == [name for name in ALL if name != "day-02"] and len(found.faults) == 1


def test_a_source_that_is_no_address_is_told() -> None:
    for source in ("https://[nobody/", "https://[nobody/catalog.json"):
        with pytest.raises(CatalogueError, match="nobody"):
            search(source)


@pytest.mark.parametrize(
    "faults",
    [
        [503], [429, 429], ["cut"], ["html"], ["hang"], [403], [500, 500], ["ok", 502], ["ok", "cut", "html"],
        ["ok", "empty"], ["empty", "empty"], ["ok", "hang"],
    ],
    ids=str,
)  # fmt: skip
def test_a_search_survives_faults_on_any_page(
    archive: Path, faults: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.catalogue.stac.PAGE", 10)
    with stac_api.serve(features(archive), faults=faults) as api:
        found = search(api.url)
    assert ids(found) == ALL and found.faults == ()


@pytest.mark.parametrize("busy", [503, 403])
def test_post_is_asked_again_and_not_given_up_for_get(archive: Path, busy: int) -> None:
    with stac_api.serve(features(archive), faults=[busy, busy]) as api:
        search(api.url)
        assert [method for method, _, _ in api.asked] == ["POST"] * 3


def test_a_server_without_post_is_asked_by_get(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.catalogue.stac.PAGE", 10)
    with stac_api.serve(features(archive), post=False) as api:
        assert ids(search(api.url)) == ALL
        assert {method for method, _, _ in api.asked} == {"GET"}


def test_the_page_is_halved_where_the_server_fails_on_it(archive: Path) -> None:
    with stac_api.serve(features(archive), max_page=30) as api:
        assert ids(search(api.url)) == ALL
        assert api.asked[-1][1] == 25


def test_a_repeated_page_ends_the_search_and_the_count_tells_what_is_missing(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.catalogue.stac.PAGE", 10)
    endless = ["ok", *["repeat"] * 50]
    with (
        stac_api.serve(features(archive), faults=endless) as api,
        pytest.raises(CatalogueError, match="20 of 23 items"),
    ):
        search(api.url)
    with stac_api.serve(features(archive), faults=["repeat"]) as api:
        assert ids(search(api.url)) == ALL
    with stac_api.serve(features(archive)[:10], faults=["repeat"] * 9) as api:
        assert ids(search(api.url)) == ALL[:10]


@pytest.mark.parametrize("fault", [503, 400, "html", "cut"])
def test_a_search_that_cannot_be_completed_is_no_search(archive: Path, fault: object) -> None:
    with stac_api.serve(features(archive), faults=["ok", *[fault] * 100], matched=False) as api:
        assert len(ids(search(api.url))) == DATES
        with pytest.raises(CatalogueError):
            search(api.url)


def test_what_a_server_sends_against_the_question_is_sorted_out_here(archive: Path) -> None:
    raw = features(archive)
    raw[4]["geometry"] = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    raw[5]["collection"] = "theirs"
    with stac_api.serve(raw, ignores_query=True, matched=False) as api:
        found = search(api.url, start=datetime(2024, 3, 3, tzinfo=UTC), until=datetime(2024, 3, 9, tzinfo=UTC))
    assert ids(found) == ["day-03", "day-04", "day-07", "day-08"]
    assert [(each.scene, each.reason) for each in found.rejections] == [("day-05", Reason.OUTSIDE)]


@pytest.mark.parametrize(
    ("href", "words"),
    [
        ("https://example.org/red.tif", "no host of its catalogue"),
        ("file:///etc/passwd", "points at this machine's files"),
        ("http://169.254.169.254/red.tif", "this machine or its network"),
        ("http://10.1.2.3/red.tif", "this machine or its network"),
        ("/vsicurl/http://127.0.0.1/red.tif", "no plain path"),
    ],
)
def test_an_item_of_an_api_may_not_point_anywhere(archive: Path, href: str, words: str) -> None:
    raw = features(archive)[:2]
    raw[1]["assets"]["red"]["href"] = href
    with stac_api.serve(raw) as api:
        found = search(api.url)
    assert ids(found) == ["day-01"] and words in str(found.faults[0])


def test_a_redirect_to_another_host_is_not_followed(archive: Path) -> None:
    with range_server.serve(archive) as files, pytest.raises(CatalogueError, match=r"redirected to 169\.254"):
        search(f"{files.url}/redirect/catalog.json")


def test_a_wrong_collection_names_those_there_are(archive: Path) -> None:
    with stac_api.serve(features(archive)) as api:
        with pytest.raises(CatalogueError, match=r"no collection 'sentinel-9'.*made-up"):
            search(api.url, "sentinel-9")
        with pytest.raises(CatalogueError, match="no collection 'sentinel-2-l2a'"):
            search(api.url, None)


def test_only_an_api_is_asked_for_the_collection_of_the_settings(archive: Path) -> None:
    ours = override(Settings(), {"search.collection": "made-up"}, "test")
    theirs = override(Settings(), {"search.collection": "theirs"}, "test")
    here = replace(site(), start=datetime(2024, 3, 10, tzinfo=UTC))

    def asked(source: str, settings: Settings) -> list[str]:
        wanted = question(here, settings, catalog=source, start=None, end=None)
        return ids(scenes_of(wanted))

    with stac_api.serve(features(archive)) as api, range_server.serve(archive) as files:
        assert asked(api.url, ours) == asked(f"{files.url}/ok/catalog.json", theirs) == ALL[9:]


def test_an_address_that_is_no_catalogue_is_told(archive: Path) -> None:
    with range_server.serve(archive) as files:
        with pytest.raises(CatalogueError, match="404"):
            search(f"{files.url}/ok/nothing/")
        with pytest.raises(CatalogueError, match="no JSON"):
            search(f"{files.url}/html/catalog.json")
    with pytest.raises(CatalogueError, match="no answer"):
        search(files.url)
