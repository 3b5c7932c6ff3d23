"""STAC APIs through pystac-client: every page, whatever the server does in between, and every item checked again."""

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pystac import STACError, STACTypeError
from pystac.link import Link
from pystac_client import Client
from pystac_client.exceptions import APIError
from shapely.geometry import box, mapping

from pipeline.catalogue.fetch import MEND, PatientIO, RefusedError
from pipeline.catalogue.hrefs import Fence, host_of, redact
from pipeline.catalogue.providers import Provider, api_rows, known_hosts
from pipeline.catalogue.static import Walk
from pipeline.model.errors import CatalogueError
from pipeline.model.site import Site

EARLIEST = datetime(2015, 6, 23, tzinfo=UTC)
"""Launch of Sentinel-2A: no scene is older."""
PAGE = 100
"""Items asked for at once where no provider's row says; recorded items are up to 90 kB each."""
MAX_PAGES = 2000
SAME_LINK = 3
"""How often one and the same next link is followed, in case the page behind it was empty by mistake."""
TOO_MUCH = frozenset({413, 500, 502, 504})
"""Answers that a smaller page may cure."""
NO_POST = frozenset({403, 404, 405, 501})
"""Answers of servers that search by GET only."""
MAX_VERTICES = 200
"""Outlines with more vertices are asked for by their box; what lies beside them is dropped afterwards."""


def search(
    site: Site,
    root: str,
    collection: str,
    start: datetime | None,
    until: datetime,
    asset_hosts: Iterable[str] = (),
) -> Walk:
    """Every item over a site within a period. Raises CatalogueError where the search cannot be completed.

    A search that loses a page is no search: fewer scenes than there are would look like a quiet site.
    """
    host = host_of(root)
    rows = api_rows(host)
    hosts = frozenset(name for row in rows for name in row.hosts) if rows else known_hosts()
    fence = Fence(base=root, folder=None, hosts={*hosts, *asset_hosts, host})
    found: dict[str, Mapping[str, Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # conformance is a hint: servers sort and filter without saying so
        client = _open(root)
        _check_collection(client, root, collection)
        row = next((each for each in rows if collection in each.collections), None)
        for first, last in _windows(start or EARLIEST, until, row):
            question = _question(site, collection, first, last)
            for raw in _all_items(client, question, row.page if row else PAGE):
                found.setdefault(json.dumps(raw, sort_keys=True), raw)
    walk = Walk()
    for raw in found.values():
        walk.add(raw, fence)
    return walk


def is_api(root: str) -> bool:
    """Whether an address is the root of an API: it links to a search. Raises CatalogueError if it cannot be read."""
    document = json.loads(PatientIO().request(root))
    links = document.get("links") if isinstance(document, Mapping) else None
    return any(isinstance(link, Mapping) and link.get("rel") == "search" for link in links or [])


def _open(root: str) -> Client:
    try:
        return Client.open(root, stac_io=PatientIO())
    except (STACError, STACTypeError, APIError, KeyError, TypeError, AttributeError, ValueError) as fault:
        mend = "name the root of a STAC API, or a catalog.json"
        raise CatalogueError(f"no STAC catalogue: {str(fault)[:80]}", redact(root), mend) from fault


def _check_collection(client: Client, root: str, wanted: str) -> None:
    """Exactly one collection is searched, as the same id in two breaks paging on real servers: is it there?"""
    url = f"{root.rstrip('/')}/collections"
    answer = json.loads(_line(client).request(url))
    listed = answer.get("collections") if isinstance(answer, Mapping) else None
    known = sorted(str(each.get("id")) for each in listed or [] if isinstance(each, Mapping))
    if known and wanted not in known:
        mend = f"set `collection` at the site or in groundbreak.toml to one of: {', '.join(known[:8])}"
        raise CatalogueError(f"no collection {wanted!r}", redact(root), mend)


def _windows(start: datetime, until: datetime, row: Provider | None) -> Iterator[tuple[datetime, datetime]]:
    """The period, in pieces where a provider gives up on long ones; neighbours share an instant."""
    span = timedelta(days=row.window_days) if row and row.window_days else max(until - start, timedelta(0))
    first = start
    while first <= until:
        yield first, min(first + span, until)
        first += span if span else timedelta(days=1)
        if first == until:
            return


def _question(site: Site, collection: str, start: datetime, until: datetime) -> dict[str, Any]:
    vertices = sum(len(part.exterior.coords) for part in getattr(site.aoi, "geoms", [site.aoi]))
    shape = site.aoi if vertices <= MAX_VERTICES else box(*site.aoi.bounds)
    return {"collections": [collection], "intersects": mapping(shape), "datetime": [start, until]}


def _all_items(client: Client, question: Mapping[str, Any], limit: int) -> list[Mapping[str, Any]]:
    """The items of all pages; asked anew with half the page where the server fails on its size, and by GET."""
    method = "POST"
    while True:
        try:
            return _paged(client, question, method, limit)
        except RefusedError as fault:
            if fault.status in NO_POST and method == "POST":
                method = "GET"
            elif fault.status in TOO_MUCH and limit > 1:
                limit //= 2
            else:
                raise


def _paged(client: Client, question: Mapping[str, Any], method: str, limit: int) -> list[Mapping[str, Any]]:
    """Follow `next` verbatim to its end, over empty pages too, and not in a circle."""
    line = _line(client)
    search = client.search(**question, limit=limit, method=method)
    parameters = search.get_parameters()
    text = line.request(search.url, method=method, parameters=parameters)
    items: list[Mapping[str, Any]] = []
    matched: int | None = None
    asked: Counter[str] = Counter()
    for _ in range(MAX_PAGES):
        page = json.loads(text)
        features = page.get("features") if isinstance(page, Mapping) else None
        if not isinstance(features, list):
            raise RefusedError("a page of the search has no features", redact(search.url), MEND)
        items += features
        stated = page.get("numberMatched", (page.get("context") or {}).get("matched"))
        matched = stated if isinstance(stated, int) else matched
        onward = _next(page)
        key = json.dumps(onward, sort_keys=True)
        if onward is None or asked[key] >= SAME_LINK:
            break
        asked[key] += 1
        text = line.read_text(Link.from_dict(dict(onward)), parameters=parameters)
    else:
        raise RefusedError(
            f"the search has more than {MAX_PAGES} pages", redact(search.url), "ask for a shorter period"
        )
    _check_count(items, matched, search.url)
    return items


def _next(page: Mapping[str, Any]) -> Mapping[str, Any] | None:
    links = page.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, Mapping) and link.get("rel") == "next" and isinstance(link.get("href"), str):
            return link
    return None


def _check_count(items: list[Mapping[str, Any]], matched: int | None, url: str) -> None:
    """Fewer items than the server itself counted: a page was lost on the way."""
    unique = {(str(each.get("collection")), str(each.get("id"))) for each in items if isinstance(each, Mapping)}
    if matched is not None and len(unique) < matched:
        raise RefusedError(f"{len(unique)} of {matched} items came", redact(url), MEND)


def _line(client: Client) -> PatientIO:
    io = client._stac_io
    if not isinstance(io, PatientIO):
        raise TypeError("the client was opened with another IO")
    return io
