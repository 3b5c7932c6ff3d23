import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests

from pipeline.catalogue import fetch, paging, transport
from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.scenes import FoundScenes, read_named_scenes, search_scenes
from pipeline.model.bands import Band
from pipeline.model.errors import CatalogueError
from pipeline.model.imagery import Reason
from pipeline.model.settings import Settings, override_settings
from pipeline.run.process_site import find_scenes
from pipeline.run.selection import site_job
from pipeline.study.catalogue_writer import write_catalogue, write_item
from tests.catalogue.test_static import END, site
from tests.catalogue.test_untrusted import answering
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


def search(
    url: str, collection: str | None = "made-up", start: datetime | None = None, until: datetime = END
) -> FoundScenes:
    return search_scenes(site(), url, collection, start, until, Settings())


ALL = [f"day-{day:02d}" for day in range(1, DATES + 1)]


def ids(found: FoundScenes) -> list[str]:
    return [scene.id for scene in found.scenes]


def test_an_api_and_a_folder_give_the_same_scenes_and_the_same_pixels(archive: Path) -> None:
    with range_server.serve(archive) as files, stac_api.serve(features(archive, f"{files.url}/ok")) as api:
        served, local = search(api.url), search(str(archive))
        assert ids(served) == ids(local) == ALL and served.errors == ()
        for one, other in zip(served.scenes[:3], local.scenes[:3], strict=True):
            (theirs,), (ours,) = (read_chips(each, site().grid, (Band.B04,)) for each in (one, other))
            np.testing.assert_array_equal(theirs.dn[Band.B04].data, ours.dn[Band.B04].data)
            assert theirs.dn[Band.B04].grid == ours.dn[Band.B04].grid
            assert one.granules[0].declared_offset == other.granules[0].declared_offset


def test_a_static_catalogue_is_read_over_http_too(archive: Path) -> None:
    with range_server.serve(archive) as files:
        assert ids(search(f"{files.url}/ok/catalog.json", None)) == ALL
        (scene,) = read_named_scenes(site(), [f"{files.url}/ok/day-03/day-03.json"], Settings())
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
    assert ids(found) == [name for name in ALL if name != "day-02"] and len(found.errors) == 1


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
    monkeypatch.setattr(fetch, "TIMEOUT_S", (1.0, 0.3))
    with stac_api.serve(features(archive), faults=faults) as api:
        found = search(api.url)
    assert ids(found) == ALL and found.errors == ()


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
    with stac_api.serve(features(archive), faults=["ok", "ok", *[fault] * 100], matched=False) as api:
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
    assert ids(found) == ["day-01"] and words in str(found.errors[0])


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
    ours = override_settings(Settings(), {"search.collection": "made-up"}, "test")
    theirs = override_settings(Settings(), {"search.collection": "theirs"}, "test")
    here = replace(site(), start=datetime(2024, 3, 10, tzinfo=UTC))

    def asked(source: str, settings: Settings) -> list[str]:
        wanted = site_job(here, settings, catalog=source, start=None, end=None)
        return ids(find_scenes(wanted))

    with stac_api.serve(features(archive)) as api, range_server.serve(archive) as files:
        assert asked(api.url, ours) == asked(f"{files.url}/ok/catalog.json", theirs) == ALL[9:]


def test_an_address_that_is_no_catalogue_is_told(archive: Path) -> None:
    with range_server.serve(archive) as files:
        with pytest.raises(CatalogueError, match="404"):
            search(f"{files.url}/ok/nothing/")
        with pytest.raises(CatalogueError, match="a web page instead"):
            search(f"{files.url}/html/catalog.json")
    with pytest.raises(CatalogueError, match="no answer"):
        search(files.url)


class Habits:
    """An API over some items with habits of its own, as one function a request: `answer(path, query or body)`."""

    def __init__(self, raw: list[dict[str, Any]]) -> None:
        self.raw, self.url, self.asked = raw, "", list[tuple[str, dict[str, Any]]]()
        self.ids, self.collections_pages = ["made-up"], [["made-up"]]

    def fitting(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        return [item for item in self.raw if stac_api.fits(item, asked)]

    def search(self, asked: dict[str, Any]) -> Any:
        return {"features": self.fitting(asked)[: int(asked["limit"])], "links": []}

    def answer(self, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append((path, asked))
        if path == "/":
            return 200, stac_api.landing(self.url)
        if path == "/collections":
            number = int(asked.get("page", 0))
            more = number + 1 < len(self.collections_pages)
            links = [{"rel": "next", "href": f"?page={number + 1}"}] if more else []
            return 200, {"collections": [{"id": each} for each in self.collections_pages[number]], "links": links}
        if path.removeprefix("/collections/") in self.ids:
            return 200, stac_api.collection("made-up")
        return (200, self.search(asked)) if path == "/search" else (404, {"code": "NotFound"})

    def reply(self, handler: Any) -> None:
        parts = urlsplit(handler.path)
        if handler.command == "POST":
            asked = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        else:
            asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
            if "intersects" in asked:
                asked |= {"intersects": json.loads(asked["intersects"]), "collections": asked["collections"].split(",")}
        status, document = self.answer(parts.path, asked)
        data = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


@contextmanager
def habits(api: Habits) -> Iterator[Habits]:
    paging._paging_servers.clear()
    with answering(api.reply) as (url, _):
        api.url = url
        yield api


@pytest.mark.parametrize(("most", "ignores_limit"), [(5, False), (5, True), (10, False), (22, True), (1000, False)])
def test_a_server_that_ends_a_full_page_without_a_word_is_asked_on(
    archive: Path, monkeypatch: pytest.MonkeyPatch, most: int, ignores_limit: bool
) -> None:
    """No next link, no count, and a limit of its own that it does not tell."""
    for page in (10, 100):
        monkeypatch.setattr("pipeline.catalogue.stac.PAGE", page)

        class Silent(Habits):
            def search(self, asked: dict[str, Any]) -> Any:
                limit = most if ignores_limit else min(most, int(asked["limit"]))
                return {"features": self.fitting(asked)[:limit], "links": []}

        with habits(Silent(features(archive))) as api:
            assert ids(search(api.url)) == ALL
            assert len(api.asked) < 80


def test_a_full_page_at_one_instant_without_a_next_one_is_refused(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.catalogue.stac.PAGE", 10)
    raw = features(archive)
    for each in raw:
        each["properties"]["datetime"] = raw[0]["properties"]["datetime"]
    with habits(Habits(raw)) as api, pytest.raises(CatalogueError, match="names no next one"):
        search(api.url)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize(("most", "all_of_them"), [(10, False), (1000, True)])
def test_a_server_to_which_a_period_says_nothing_is_not_asked_without_end(
    archive: Path, monkeypatch: pytest.MonkeyPatch, most: int, all_of_them: bool, counts: bool
) -> None:
    monkeypatch.setattr("pipeline.catalogue.stac.PAGE", 10 if most == 10 else 100)

    class Deaf(Habits):
        def search(self, asked: dict[str, Any]) -> Any:
            return {"features": self.raw[:most], "links": [], **({"numberMatched": len(self.raw)} if counts else {})}

    with habits(Deaf(features(archive))) as api:
        if all_of_them:
            assert ids(search(api.url)) == ALL
        else:
            with pytest.raises(CatalogueError, match="10 of 23 items came" if counts else "names no next one"):
                search(api.url)
        assert len(api.asked) < 30


def test_a_count_of_what_came_is_no_count_of_what_there_is(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.catalogue.stac.PAGE", 10)

    class Modest(Habits):
        def search(self, asked: dict[str, Any]) -> Any:
            found = self.fitting(asked)[: int(asked["limit"])]
            return {"features": found, "links": [], "numberMatched": len(found)}

    with habits(Modest(features(archive))) as api:
        assert ids(search(api.url)) == ALL


@pytest.mark.parametrize("factor", [1.4, 10])
def test_a_count_that_is_an_estimate_refuses_nothing(archive: Path, factor: float) -> None:
    class Guessing(Habits):
        def search(self, asked: dict[str, Any]) -> Any:
            found = self.fitting(asked)
            return {"features": found, "links": [], "numberMatched": int(len(found) * factor) + 1}

    with habits(Guessing(features(archive))) as api:
        assert ids(search(api.url)) == ALL
        assert len(api.asked) < 12


@pytest.mark.parametrize("href", ["?token={}", "search?token={}", "/search?token={}", "./search?token={}"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_relative_next_link_belongs_to_its_page(
    archive: Path, monkeypatch: pytest.MonkeyPatch, href: str, method: str
) -> None:
    monkeypatch.setattr("pipeline.catalogue.stac.PAGE", 10)

    class Relative(Habits):
        def search(self, asked: dict[str, Any]) -> Any:
            token = int(asked.get("token", 0))
            some = self.raw[token : token + 10]
            link = {"rel": "next", "href": href.format(token + 10), "method": method, "merge": True,
                    "body": {"token": token + 10}}  # fmt: skip
            return {"features": some, "links": [link] if token + 10 < len(self.raw) else []}

    with habits(Relative(features(archive))) as api:
        assert ids(search(api.url)) == ALL


@pytest.mark.parametrize(
    "href", ["http://169.254.169.254/page", "//example.org/page", "ftp://127.0.0.1/page", "file:///x"]
)
def test_a_next_link_to_another_host_is_not_followed(archive: Path, href: str) -> None:
    class Leading(Habits):
        def search(self, asked: dict[str, Any]) -> Any:
            return {"features": self.raw, "links": [{"rel": "next", "href": href}]}

    with habits(Leading(features(archive))) as api, pytest.raises(CatalogueError, match="the next page lies on"):
        search(api.url)


def test_a_search_on_another_host_is_not_asked(archive: Path) -> None:
    class Elsewhere(Habits):
        def answer(self, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
            status, document = super().answer(path, asked)
            for link in document.get("links", []):
                if link["rel"] == "search":
                    link |= {"href": "http://169.254.169.254/search", "type": "application/geo+json"}
            return status, document

    with habits(Elsewhere(features(archive))) as api, pytest.raises(CatalogueError, match="its search lies on 169"):
        search(api.url)


@pytest.mark.parametrize("listed_alone", [True, False])
def test_a_collection_on_a_later_page_of_the_list_is_there(archive: Path, listed_alone: bool) -> None:
    api = Habits([])
    api.collections_pages = [["a", "b"], ["c"], ["made-up"]]
    api.ids = ["made-up"] if listed_alone else []
    with habits(api):
        assert ids(search(api.url)) == []
        with pytest.raises(CatalogueError, match=r"no collection 'theirs'.*one of: a, b, c, made-up"):
            search(api.url, "theirs")


@pytest.mark.parametrize("kind", ["new items", "same items", "no items", "junk"])
def test_endless_pages_end(archive: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(paging, "MAX_ITEMS", 400)
    monkeypatch.setattr(paging, "MAX_BYTES", 4_000_000)
    monkeypatch.setattr(paging, "MAX_PAGES", 60)

    class Endless(Habits):
        def search(self, asked: dict[str, Any]) -> Any:
            token = int(asked.get("token", 0)) + 1
            some = [dict(each, id=f"{each['id']}-{token}") for each in self.raw]
            found = {"new items": some, "same items": self.raw, "no items": [], "junk": [{"x": "y" * 300_000}]}[kind]
            return {"features": found, "links": [{"rel": "next", "href": f"?token={token}"}]}

    with habits(Endless(features(archive))) as api, pytest.raises(CatalogueError) as caught:
        search(api.url)
    assert any(words in str(caught.value) for words in ("goes beyond", "pages in a row without a new item"))
    assert len(api.asked) < 50


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [("7", 7.0), ("Mon, 04 Mar 2024 12:00:30 GMT", 30.0), ("Mon, 04 Mar 2024 11:00:00 GMT", 0.0), ("soon", 0.0),
     ("", 0.0)],
)  # fmt: skip
def test_a_wait_is_kept_in_seconds_and_as_a_date(wait: str, seconds: float) -> None:
    answer = requests.Response()
    answer.headers["Retry-After"] = wait
    assert transport.wanted_pause(answer, datetime(2024, 3, 4, 12, tzinfo=UTC)) == seconds


@pytest.mark.parametrize("part", ["headers", "body"])
def test_an_answer_that_drips_is_given_up_as_a_whole(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(fetch, "DEADLINE_S", 0.3)

    def drip(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"" if part == "headers" else b"Content-Length: 99\r\n\r\n"))
        for _ in range(80):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    with answering(drip) as (url, _):
        began = time.monotonic()
        with pytest.raises(CatalogueError, match="no complete answer within"):
            search(url)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "source", ["s3://bucket/catalog.json", "ftp://example.org/", "file://server/share/catalog.json"]
)
def test_a_source_that_is_not_read_is_refused_at_once(source: str) -> None:
    began = time.monotonic()
    with pytest.raises(CatalogueError, match=r"not read over|another machine"):
        search(source)
    with pytest.raises(CatalogueError, match=r"not read over|another machine"):
        read_named_scenes(site(), [source], Settings())
    assert time.monotonic() - began < 1


def test_a_file_address_is_the_path_that_it_names(archive: Path) -> None:
    assert ids(search(f"file://{archive}/catalog.json", None)) == ALL
    assert ids(search(f"file://localhost{archive}", None)) == ALL
