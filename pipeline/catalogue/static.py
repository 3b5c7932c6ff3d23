"""Catalogues that are files: a folder or a document of STAC, on disk or on the web, walked link by link."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.catalogue.fetch import get_bytes, get_json
from pipeline.catalogue.geoparquet import read_items
from pipeline.catalogue.hrefs import AllowList, host_of, is_within, join_href, link_relation, redact_href, resolve_href
from pipeline.catalogue.items import parse_item
from pipeline.catalogue.listing import files_below
from pipeline.catalogue.product import Product
from pipeline.catalogue.providers import known_hosts
from pipeline.model.errors import CatalogueError
from pipeline.model.unexpected_errors import UNEXPECTED_ERRORS

DOCUMENTS = (".json", ".ndjson", ".geojson", ".parquet")
INDEXES = ("catalog.json", "collection.json")
MAX_DOCUMENTS = 200_000
"""Largest number of documents read from one catalogue, for catalogues that link to themselves without end."""
MAX_BYTES = 512_000_000
"""Largest document read, bytes: a FeatureCollection of 20 000 recorded items."""
FIX = "fix the file, or remove it from the catalogue"


@dataclass(slots=True)
class ReadResult:
    """Content of a catalogue: products, and an error for each document or item that cannot be read."""

    products: list[Product] = field(default_factory=list)
    errors: list[CatalogueError] = field(default_factory=list)

    def add(self, raw: object, allowed: AllowList) -> None:
        """Parse one item; a bad one becomes an error and does not affect the others."""
        if not isinstance(raw, Mapping):
            self.errors.append(CatalogueError(f"an item is {type(raw).__name__}, not an object", allowed.base, FIX))
            return
        try:
            self.products.append(parse_item(raw, allowed))
        except CatalogueError as error:
            self.errors.append(error)
        except UNEXPECTED_ERRORS as error:
            what = f"cannot be understood: {type(error).__name__}: {str(error)[:120]}"
            self.errors.append(CatalogueError(what, f"item {str(raw.get('id'))[:60]}", FIX))


def read_static(source: str, asset_hosts: Iterable[str] = (), asset_folders: Iterable[str] = ()) -> ReadResult:
    """Every item of a static catalogue: a STAC document, a folder with one, or a folder of item files.

    asset_hosts, asset_folders: where assets may lie besides the catalogue's own place. Raises CatalogueError where the
    source itself cannot be read.
    """
    hosts = known_hosts() | set(asset_hosts)
    result = ReadResult()
    if "://" in source:
        host = host_of(source)
        _follow_links(source, AllowList(base=source, folder=None, hosts=hosts | {host}), result)
        return result
    path, folders = Path(os.path.realpath(source)), tuple(str(Path(each).expanduser()) for each in asset_folders)
    if path.is_dir():
        index = next((path / name for name in INDEXES if (path / name).is_file()), None)
        if index is None:
            _read_folder(path, hosts, folders, result)
            return result
        path = index
    _follow_links(str(path), AllowList(base=str(path), folder=path.parent, hosts=hosts, folders=folders), result)
    return result


def _read_folder(folder: Path, hosts: frozenset[str], folders: tuple[str, ...], result: ReadResult) -> None:
    """A folder of item files, in any depth, each a STAC document of its own."""
    try:
        files = sorted(path for path in islice(files_below(folder), MAX_DOCUMENTS) if path.suffix.lower() in DOCUMENTS)
    except OSError as error:
        raise CatalogueError(
            f"cannot be listed: {error.strerror or error}", str(folder), "fix its permissions"
        ) from error
    if not files:
        raise CatalogueError("no STAC document in this folder", str(folder), "name a folder with catalog.json or items")
    for path in files:
        allowed = AllowList(base=str(path), folder=folder, hosts=hosts, folders=folders)
        try:
            for document in read_documents(str(path)):
                if isinstance(document, CatalogueError):
                    result.errors.append(document)
                elif document.get("type") == "FeatureCollection":
                    _add_features(document, allowed, result)
                elif document.get("type") == "Feature":
                    result.add(document, allowed)
        except CatalogueError as error:
            result.errors.append(error)


def _follow_links(start: str, allowed: AllowList, result: ReadResult) -> None:
    """Read a catalogue breadth first over child and item links; each document is read once."""
    queue, seen = deque([start]), {start}
    while queue:
        place = queue.popleft()
        here = replace(allowed, base=place)
        try:
            for document in read_documents(place):
                if isinstance(document, CatalogueError):
                    result.errors.append(document)
                    continue
                links = [link for link in dict.fromkeys(_process_document(document, here, result)) if link not in seen]
                seen.update(links)
                queue += links
        except CatalogueError as error:
            if place == start:
                raise
            result.errors.append(error)
        if len(seen) > MAX_DOCUMENTS:
            raise CatalogueError(f"more than {MAX_DOCUMENTS} documents", start, "name a smaller part of the catalogue")


def _process_document(document: Mapping[str, Any], allowed: AllowList, result: ReadResult) -> list[str]:
    kind = document.get("type")
    if kind == "Feature":
        result.add(document, allowed)
    elif kind == "FeatureCollection":
        _add_features(document, allowed, result)
    elif kind in ("Catalog", "Collection") or (kind is None and "links" in document):
        return list(_child_links(document, allowed, result))
    else:
        raise CatalogueError(f"no STAC document: its type is {kind!r}", redact_href(allowed.base), FIX)
    return []


def _add_features(document: Mapping[str, Any], allowed: AllowList, result: ReadResult) -> None:
    features = document.get("features")
    if not isinstance(features, list):
        raise CatalogueError("a FeatureCollection without features", redact_href(allowed.base), FIX)
    for raw in features:
        result.add(raw, allowed)


def _child_links(document: Mapping[str, Any], allowed: AllowList, result: ReadResult) -> Iterator[str]:
    links = document.get("links")
    for link in links if isinstance(links, list) else []:
        if not isinstance(link, Mapping) or link_relation(link) not in ("child", "item"):
            continue
        try:
            yield _resolve_link(link.get("href"), allowed)
        except CatalogueError as error:
            result.errors.append(error)


def _resolve_link(href: object, allowed: AllowList) -> str:
    """Target of a link: inside the folder of a local catalogue, or on the host of a remote one."""
    if allowed.folder is not None:
        target = resolve_href(href, allowed, allowed.base)
        if "://" in target or not is_within(target, allowed.folder):
            raise CatalogueError(f"link {str(href)[:80]!r} leads out of the catalogue's folder", allowed.base, FIX)
        return target
    target = join_href(allowed.base, str(href), redact_href(allowed.base))
    if urlsplit(target).netloc != urlsplit(allowed.base).netloc or urlsplit(target).scheme not in ("http", "https"):
        raise CatalogueError(
            f"link {redact_href(str(href))[:80]!r} leads to another server", redact_href(allowed.base), FIX
        )
    return target


def read_documents(place: str) -> Iterator[Mapping[str, Any] | CatalogueError]:
    """The JSON documents of a file or address: one, or one a line in .ndjson, where a bad line is an error of its own.

    Raises CatalogueError where the file as a whole cannot be read.
    """
    if "://" in place:
        if place.partition("?")[0].lower().endswith(".parquet"):
            yield from read_items(get_bytes(place), redact_href(place))
            return
        yield _require_object(get_json(place), redact_href(place))
        return
    path = Path(place)
    if path.suffix.lower() == ".parquet":
        yield from read_items(path, place)
        return
    try:
        if not path.is_file():
            raise CatalogueError("no such file", place, "name a STAC document, or a folder of them")
        if path.stat().st_size > MAX_BYTES:
            raise CatalogueError(f"{path.stat().st_size / 1e6:.0f} MB in one document", place, "split the catalogue")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(f"cannot be read: {error}", place, FIX) from error
    if path.suffix.lower() != ".ndjson":
        yield _parse_json(text, place)
        return
    # a line of JSON may hold what str.splitlines takes for an end of line, as U+2028
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield _parse_json(line, f"{place}, line {number}")
            except CatalogueError as error:
                yield error


def _parse_json(text: str, where: str) -> Mapping[str, Any]:
    try:
        return _require_object(json.loads(text), where)
    except (ValueError, RecursionError) as error:
        raise CatalogueError(f"not JSON: {str(error)[:80]}", where, FIX) from error


def _require_object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CatalogueError(f"a JSON {type(value).__name__}, not an object", where, FIX)
    return value
