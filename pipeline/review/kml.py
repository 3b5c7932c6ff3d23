"""KML for Google Earth: each change with its name, its dates and its picture."""

import html
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

import shapely
from shapely.geometry import Polygon

from pipeline.review.contents import Change, Contents
from pipeline.review.lonlat import to_lonlat
from pipeline.review.phrases import heading, place
from pipeline.review.qgis_xml import Element, element

NAMESPACE = "http://www.opengis.net/kml/2.2"
_STYLES = {"confirmed": "ff2bd9ff", "finished": "ff2bd9ff", "provisional": "ffffffff", "drawn": "ff1c26c2"}
"""Line colours by status, as KML writes them: alpha, blue, green, red."""
_SHOWN = {
    "verdict": "Verdict", "note": "Note", "reviewer": "Reviewer", "kind": "Program", "status": "Status",
    "last_clear_before": "Last clear look without", "first_seen": "First look with", "confirmed_at": "Persistent since",
    "last_seen": "Last seen", "ended": "Ended", "change_id": "Change",
}  # fmt: skip
"""Rows of a balloon. Area and confidence stand in the sentence above them, rounded to what they carry."""
_ITEMS = {"before_item": "look before at the provider", "after_item": "look after at the provider"}


def document(contents: Contents, pictures: Mapping[str, str]) -> bytes:
    """The KML text. pictures: change id -> path of its picture inside the archive."""
    styles = [_style(name, colour) for name, colour in _STYLES.items()]
    marks = [_placemark(change, contents, pictures.get(change.id)) for change in contents.shown]
    simulated = contents.provenance.get("simulated")
    said = contents.provenance.get("attribution", "") + (f". Simulated: {simulated}" if simulated else "")
    note = element("description", text=html.escape(said))
    root = element(
        "kml",
        {"xmlns": NAMESPACE},
        element("Document", None, element("name", text=contents.name), note, *styles, *marks),
    )
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _style(name: str, colour: str) -> Element:
    line = element("LineStyle", None, element("color", text=colour), element("width", text=2))
    return element("Style", {"id": name}, line, element("PolyStyle", None, element("fill", text=0)))


def _placemark(change: Change, contents: Contents, picture: str | None) -> Element:
    facts = change.facts
    since = f", {facts['first_seen']}" if facts["first_seen"] else ""
    title = f"{change.label}: {heading(facts)}{since}"
    when = None
    if facts["first_seen"]:
        when = element("TimeSpan", None, element("begin", text=facts["first_seen"]))
    style = "drawn" if change.drawn else str(facts["status"])
    return element(
        "Placemark",
        {"id": f"c-{change.id}"},
        element("name", text=title),
        element("description", text=_page(change, contents, picture)),
        when,
        element("styleUrl", text=f"#{style if style in _STYLES else 'provisional'}"),
        _geometry(to_lonlat(change.outline, contents.crs)),
    )


def _page(change: Change, contents: Contents, picture: str | None) -> str:
    """What a balloon shows: HTML of our own making, every value escaped."""
    facts, told = change.facts, contents.told(change)
    items = contents.items_of(change)
    links = " ".join(f'<a href="{html.escape(href)}">{_ITEMS[name]}</a>' for name, href in items.items())
    rows = "".join(
        f"<tr><td>{title}</td><td>{html.escape(str(facts[name]))}</td></tr>"
        for name, title in _SHOWN.items()
        if facts[name] is not None
    )
    image = f'<p><img src="{html.escape(picture)}" width="900"></p>' if picture else ""
    where = f"<p>{place(facts['lon'], facts['lat'])}</p>" if facts["lon"] is not None else ""
    return f"<p>{html.escape(told)}</p>{image}{where}<table>{rows}</table>{f'<p>{links}</p>' if links else ''}"


def _geometry(shape: Any) -> Element:
    return element("MultiGeometry", None, *[_polygon(part) for part in shapely.get_parts(shape)])


def _polygon(part: Polygon) -> Element:
    def ring(tag: str, coordinates: Any) -> Element:
        text = " ".join(f"{x:.7f},{y:.7f}" for x, y, *_ in coordinates)
        return element(tag, None, element("LinearRing", None, element("coordinates", text=text)))

    holes = [ring("innerBoundaryIs", hole.coords) for hole in part.interiors]
    return element("Polygon", None, ring("outerBoundaryIs", part.exterior.coords), *holes)
