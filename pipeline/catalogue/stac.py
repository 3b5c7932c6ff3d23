"""STAC APIs through pystac-client: every page is read, and every item is checked again."""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from pystac import STACError, STACTypeError
from pystac_client import Client
from pystac_client.exceptions import APIError
from shapely.geometry import box, mapping

from pipeline.catalogue.fetch import FetchError, RetryingStacIO
from pipeline.catalogue.hrefs import AllowList, host_of, join_href, link_relation, redact_href
from pipeline.catalogue.paging import Search, next_link
from pipeline.catalogue.product import FIRST_SCENE
from pipeline.catalogue.providers import Provider, api_rows, known_hosts
from pipeline.catalogue.static import ReadResult
from pipeline.model.errors import CatalogueError
from pipeline.model.site import Site

PAGE = 100
"""Items asked for at once where no provider's row says; recorded items are up to 90 kB each."""
NO_LIST = frozenset({404, 405, 501})
MAX_LISTS = 200
"""Pages of a list of collections."""
MAX_VERTICES = 200
"""Outlines with more vertices are asked for by their box; what lies beside them is dropped afterwards."""


def search_stac(
    site: Site,
    root: str,
    collection: str,
    start: datetime | None,
    until: datetime,
    asset_hosts: Iterable[str] = (),
) -> ReadResult:
    """Every item over a site within a period. Raises CatalogueError where the search cannot be completed.

    A search that loses a page is no search: fewer scenes than there are would look like a quiet site.
    """
    host, trusted = host_of(root), frozenset(asset_hosts)
    rows = api_rows(host)
    hosts = frozenset(name for row in rows for name in row.hosts) if rows else known_hosts()
    allowed = AllowList(base=root, folder=None, hosts={*hosts, *trusted, host})
    result, own = ReadResult(), frozenset({host, *trusted})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # conformance is a hint: servers sort and filter without saying so
        client = _open_client(root)
        line, url = _retrying_io(client), _search_url(client, root, own)
        row = next((each for each in rows if collection in each.collections), None)
        pages = Search(
            line,
            url,
            _search_parameters(site, collection),
            row.page if row else PAGE,
            own,
            lambda raw: result.add(raw, allowed),
        )
        for first, last in _split_period(start or FIRST_SCENE, until, row):
            pages.run(first, last)
        if not any(product.collection == collection for product in result.products):
            _check_collection(line, root, collection)
    return result


def _search_url(client: Client, root: str, hosts: frozenset[str]) -> str:
    """Where the API is searched. Raises CatalogueError where that is another host."""
    url = join_href(root, client.search(max_items=1).url, redact_href(root))
    if host_of(url) not in hosts:
        fix = "if you trust it, add the host to search.asset_hosts in groundbreak.toml"
        raise CatalogueError(f"its search lies on {host_of(url) or 'no host'}", redact_href(root), fix)
    return url


def is_api(root: str) -> bool:
    """Whether an address is the root of an API: it links to a search. Raises CatalogueError if it cannot be read."""
    document = json.loads(RetryingStacIO().request(root))
    links = document.get("links") if isinstance(document, Mapping) else None
    return any(isinstance(link, Mapping) and link_relation(link) == "search" for link in links or [])


def _open_client(root: str) -> Client:
    try:
        return Client.open(root, stac_io=RetryingStacIO())
    except (STACError, STACTypeError, APIError, KeyError, TypeError, AttributeError, ValueError) as error:
        fix = "name the root of a STAC API, or a catalog.json"
        raise CatalogueError(f"no STAC catalogue: {str(error)[:80]}", redact_href(root), fix) from error


def _check_collection(line: RetryingStacIO, root: str, wanted: str) -> None:
    """Raise CatalogueError where a server that has no item for a collection does not have the collection either."""
    base = f"{root.partition('?')[0].rstrip('/')}/collections"
    try:
        line.request(f"{base}/{quote(wanted, safe='')}")
    except FetchError as error:
        known = _list_collections(line, base)
        if not known or wanted in known:
            return
        fix = f"set `collection` at the site or in groundbreak.toml to one of: {', '.join(sorted(known)[:8])}"
        raise CatalogueError(f"no collection {wanted!r}", redact_href(root), fix) from error


def _list_collections(line: RetryingStacIO, url: str) -> set[str]:
    """The ids of all collections, over as many pages as they are listed on; none where a server has no list."""
    known, seen, host = set[str](), set[str](), host_of(url)
    while url not in seen and len(seen) < MAX_LISTS and host_of(url) == host:
        seen.add(url)
        try:
            answer = json.loads(line.request(url))
        except FetchError as error:
            if error.status in NO_LIST:
                break
            raise
        listed = answer.get("collections") if isinstance(answer, Mapping) else None
        known |= {str(each.get("id")) for each in listed or [] if isinstance(each, Mapping)}
        link = next_link(answer) if isinstance(answer, Mapping) else None
        url = join_href(url, link["href"], redact_href(url)) if link else url
    return known


def _split_period(start: datetime, until: datetime, row: Provider | None) -> Iterator[tuple[datetime, datetime]]:
    """The period, in pieces where a provider gives up on long ones; neighbours share an instant."""
    span = timedelta(days=row.window_days) if row and row.window_days else max(until - start, timedelta(0))
    first = start
    while first <= until:
        yield first, min(first + span, until)
        first += span if span else timedelta(days=1)
        if first == until:
            return


def _search_parameters(site: Site, collection: str) -> dict[str, Any]:
    vertices = sum(len(part.exterior.coords) for part in getattr(site.aoi, "geoms", [site.aoi]))
    shape = site.aoi if vertices <= MAX_VERTICES else box(*site.aoi.bounds)
    return {"collections": [collection], "intersects": mapping(shape)}


def _retrying_io(client: Client) -> RetryingStacIO:
    io = client._stac_io
    if not isinstance(io, RetryingStacIO):
        raise TypeError("the client was opened with another IO")
    return io
