"""feed.xml: what happened at all sites, as an Atom feed (RFC 4287) that any reader takes."""

import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pipeline.review.folder import begins_with, replace_file
from pipeline.review.layout import FEED, INDEX

ATOM = "http://www.w3.org/2005/Atom"
GEORSS = "http://www.georss.org/georss"
BASE = "{http://www.w3.org/XML/1998/namespace}base"
MAX_ENTRIES = 500
"""Beyond it the oldest go: a reader has long taken them, and the file stays under half a megabyte."""
_SPACE = uuid.UUID("6a1c8a5e-2f0e-5c0b-9a64-1d2f0b7f2a11")
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One alert that reached one status. updated: RFC 3339, UTC. page, picture: relative to out/; size: bytes."""

    id: str
    title: str
    summary: str
    updated: str
    status: str
    page: str
    point: str
    picture: str = ""
    size: int = 0


def entry_id(site: str, change_id: str, status: str) -> str:
    """The id of an alert in a status: the same on every machine and in every night."""
    return uuid.uuid5(_SPACE, f"{site}/{change_id}/{status}").urn


def write_feed(path: Path, entries: Sequence[Entry], base_url: str) -> None:
    """Write the feed, newest first, each id once; beside, then renamed. Raises ReviewError where it cannot."""
    kept = sorted({each.id: each for each in reversed(entries)}.values(), key=lambda e: (e.updated, e.id), reverse=True)
    text = feed_document(kept[:MAX_ENTRIES], base_url)
    with replace_file(path, begins_with(b"<feed")) as beside:
        beside.write_bytes(text)


def feed_document(entries: Sequence[Entry], base_url: str) -> bytes:
    """The feed's text. Links are whole where `base_url` is known, else relative to the feed."""
    base = base_url.rstrip("/") + "/" if base_url else ""
    ET.register_namespace("", ATOM)
    ET.register_namespace("georss", GEORSS)
    root = ET.Element(f"{{{ATOM}}}feed", {BASE: base} if base else {})
    _add_text(root, "id", uuid.uuid5(_SPACE, base or "feed").urn)
    _add_text(root, "title", "groundbreak: what was built")
    _add_text(root, "updated", max((entry.updated for entry in entries), default="1970-01-01T00:00:00Z"))
    _add_text(ET.SubElement(root, f"{{{ATOM}}}author"), "name", "groundbreak")
    _add_link(root, rel="self", type="application/atom+xml", href=f"{base}{FEED}")
    _add_link(root, rel="alternate", type="text/html", href=f"{base}{INDEX}")
    for entry in entries:
        _write_entry(root, entry, base)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def read_feed(path: Path) -> tuple[Entry, ...] | None:
    """The entries of a feed that `write_feed` wrote; None where there is no such file, or not one that can be read."""
    if not path.is_file():  # a pipe would be waited for without end
        return None
    try:
        root = fromstring(path.read_bytes(), forbid_dtd=True)
        base = root.get(BASE, "")
        return tuple(_read_entry(element, base) for element in root.iterfind(f"{{{ATOM}}}entry"))
    except (OSError, ET.ParseError, DefusedXmlException, LookupError, ValueError, AttributeError):
        return None


def _write_entry(root: ET.Element, entry: Entry, base: str) -> None:
    element = ET.SubElement(root, f"{{{ATOM}}}entry")
    _add_text(element, "id", entry.id)
    _add_text(element, "title", entry.title)
    _add_text(element, "updated", entry.updated)
    _add_text(element, "summary", entry.summary)
    ET.SubElement(element, f"{{{ATOM}}}category", {"term": entry.status})
    _add_link(element, rel="alternate", type="text/html", href=base + entry.page)
    if entry.picture:
        _add_link(element, rel="enclosure", type="image/png", href=base + entry.picture, length=str(entry.size))
    ET.SubElement(element, f"{{{GEORSS}}}point").text = entry.point


def _read_entry(element: ET.Element, base: str) -> Entry:
    links = {link.attrib["rel"]: link.attrib for link in element.iterfind(f"{{{ATOM}}}link")}
    picture = links.get("enclosure", {})
    return Entry(
        **{name: element.findtext(f"{{{ATOM}}}{name}", "") for name in ("id", "title", "updated", "summary")},
        status=element.find(f"{{{ATOM}}}category").attrib["term"],  # type: ignore[union-attr]
        page=links["alternate"]["href"].removeprefix(base),
        point=element.findtext(f"{{{GEORSS}}}point", ""),
        picture=picture.get("href", "").removeprefix(base),
        size=int(picture.get("length", 0)),
    )


def _add_text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, f"{{{ATOM}}}{name}").text = _UNWRITABLE.sub("", text)


def _add_link(parent: ET.Element, **attributes: str) -> None:
    ET.SubElement(parent, f"{{{ATOM}}}link", attributes)
