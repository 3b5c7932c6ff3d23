"""KML for Google Earth: each change with its name, its dates and its picture."""

import html
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

import shapely
from shapely.geometry import Polygon

from pipeline.review.contents import Change, Contents
from pipeline.review.descriptions import change_heading, format_position
from pipeline.review.lonlat import to_lonlat
from pipeline.review.qgis_xml import Element, xml_element

NAMESPACE = "http://www.opengis.net/kml/2.2"
_STYLES = {"confirmed": "ff2bd9ff", "finished": "ff2bd9ff", "provisional": "ffffffff", "drawn": "ff1c26c2"}
"""Line colours by status, as KML writes them: alpha, blue, green, red."""
_SHOWN = {
    "verdict": "Verdict", "note": "Note", "reviewer": "Reviewer", "kind": "Program", "status": "Status",
    "last_clear_before": "Last clear look without", "first_seen": "First look with", "confirmed_at": "Persistent since",
    "last_seen": "Last seen", "ended": "Ended", "change_id": "Change",
}  # fmt: skip
"""Rows of a balloon. Area and confidence are in the sentence above them, rounded to their accuracy."""
_ITEMS = {"before_item": "look before at the provider", "after_item": "look after at the provider"}


def kml_document(contents: Contents, pictures: Mapping[str, str]) -> bytes:
    """The KML text. pictures: change id -> path of its picture inside the archive."""
    styles = [_style_element(name, colour) for name, colour in _STYLES.items()]
    marks = [_placemark_element(change, contents, pictures.get(change.id)) for change in contents.shown]
    simulated = contents.provenance.get("simulated")
    said = contents.provenance.get("attribution", "") + (f". Simulated: {simulated}" if simulated else "")
    note = xml_element("description", text=html.escape(said))
    root = xml_element(
        "kml",
        {"xmlns": NAMESPACE},
        xml_element("Document", None, xml_element("name", text=contents.name), note, *styles, *marks),
    )
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _style_element(name: str, colour: str) -> Element:
    line = xml_element("LineStyle", None, xml_element("color", text=colour), xml_element("width", text=2))
    return xml_element("Style", {"id": name}, line, xml_element("PolyStyle", None, xml_element("fill", text=0)))


def _placemark_element(change: Change, contents: Contents, picture: str | None) -> Element:
    facts = change.facts
    since = f", {facts['first_seen']}" if facts["first_seen"] else ""
    title = f"{change.label}: {change_heading(facts)}{since}"
    when = None
    if facts["first_seen"]:
        when = xml_element("TimeSpan", None, xml_element("begin", text=facts["first_seen"]))
    style = "drawn" if change.drawn else str(facts["status"])
    return xml_element(
        "Placemark",
        {"id": f"c-{change.id}"},
        xml_element("name", text=title),
        xml_element("description", text=_balloon_html(change, contents, picture)),
        when,
        xml_element("styleUrl", text=f"#{style if style in _STYLES else 'provisional'}"),
        _geometry_element(to_lonlat(change.outline, contents.crs)),
    )


def _balloon_html(change: Change, contents: Contents, picture: str | None) -> str:
    """HTML of a balloon, every value escaped."""
    facts, sentence = change.facts, contents.sentence_of(change)
    items = contents.items_of(change)
    links = " ".join(f'<a href="{html.escape(href)}">{_ITEMS[name]}</a>' for name, href in items.items())
    rows = "".join(
        f"<tr><td>{title}</td><td>{html.escape(str(facts[name]))}</td></tr>"
        for name, title in _SHOWN.items()
        if facts[name] is not None
    )
    image = f'<p><img src="{html.escape(picture)}" width="900"></p>' if picture else ""
    where = f"<p>{format_position(facts['lon'], facts['lat'])}</p>" if facts["lon"] is not None else ""
    return f"<p>{html.escape(sentence)}</p>{image}{where}<table>{rows}</table>{f'<p>{links}</p>' if links else ''}"


def _geometry_element(shape: Any) -> Element:
    return xml_element("MultiGeometry", None, *[_polygon_element(part) for part in shapely.get_parts(shape)])


def _polygon_element(part: Polygon) -> Element:
    def ring(tag: str, coordinates: Any) -> Element:
        text = " ".join(f"{x:.7f},{y:.7f}" for x, y, *_ in coordinates)
        return xml_element(tag, None, xml_element("LinearRing", None, xml_element("coordinates", text=text)))

    holes = [ring("innerBoundaryIs", hole.coords) for hole in part.interiors]
    return xml_element("Polygon", None, ring("outerBoundaryIs", part.exterior.coords), *holes)
