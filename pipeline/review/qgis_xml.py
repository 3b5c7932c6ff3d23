"""Small pieces of QGIS XML: elements, variants, symbols, reference systems."""

import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

import pyproj

Element = ET.Element
DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
VERSION = "3.22.16"
"""The oldest QGIS supported: a project that says so opens in it and in newer ones."""


def xml_element(
    tag: str, attributes: Mapping[str, Any] | None = None, *children: Element | None, text: Any = None
) -> Element:
    """An element; children that are None are left out. Characters that XML cannot hold are dropped from texts."""
    made = ET.Element(tag, {key: _clean_text(value) for key, value in (attributes or {}).items()})
    made.text = None if text is None else _clean_text(text)
    made.extend([child for child in children if child is not None])
    return made


def option_element(value: Any, name: str | None = None) -> Element:
    """A QVariant as QGIS writes it: maps, lists, booleans, numbers and text."""
    attributes: dict[str, Any] = {} if name is None else {"name": name}
    if isinstance(value, Mapping):
        return xml_element(
            "Option", {**attributes, "type": "Map"}, *[option_element(part, key) for key, part in value.items()]
        )
    if isinstance(value, list):
        return xml_element("Option", {**attributes, "type": "List"}, *[option_element(part) for part in value])
    if isinstance(value, bool):
        return xml_element("Option", {**attributes, "type": "bool", "value": str(value).lower()})
    kind = {int: "int", float: "double"}.get(type(value), "QString")
    return xml_element("Option", {**attributes, "type": kind, "value": value})


def qgis_colour(code: str, alpha: int = 255) -> str:
    """#rrggbb as QGIS's r,g,b,a."""
    return ",".join(str(int(code[i : i + 2], 16)) for i in (1, 3, 5)) + f",{alpha}"


def data_defined(properties: Mapping[str, str]) -> Element:
    """Properties that QGIS works out by an expression, feature by feature. properties: name -> expression."""
    active = {name: {"active": True, "expression": text, "type": 3} for name, text in properties.items()}
    return option_element({"name": "", "properties": active, "type": "collection"})


def outline_symbol(
    name: str,
    code: str,
    *,
    style: str = "solid",
    width: float = 0.7,
    fill: str = "no",
    width_if: str = "",
    style_if: str = "",
) -> Element:
    """A polygon symbol drawn by its outline. width, mm; width_if, style_if: expressions that take their places."""
    look = {
        "style": fill,
        "color": qgis_colour(code),
        "outline_color": qgis_colour(code),
        "outline_style": style,
        "outline_width": str(width),
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    rules = {name: rule for name, rule in (("outlineWidth", width_if), ("outlineStyle", style_if)) if rule}
    by = xml_element("data_defined_properties", None, data_defined(rules)) if rules else None
    layer = xml_element(
        "layer", {"class": "SimpleFill", "enabled": 1, "locked": 0, "pass": 0}, option_element(look), by
    )
    return xml_element("symbol", {"type": "fill", "name": name, "alpha": 1, "clip_to_extent": 1, "force_rhr": 0}, layer)


def reference_system(epsg: int) -> Element:
    """A spatialrefsys element; QGIS 3.22 complains per layer where the WKT is missing."""
    crs = pyproj.CRS.from_epsg(epsg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PROJ strings lose information; QGIS reads authid first
        proj4 = crs.to_proj4()
    return xml_element(
        "spatialrefsys",
        {"nativeFormat": "Wkt"},
        xml_element("wkt", text=crs.to_wkt("WKT2_2019")),
        xml_element("proj4", text=proj4),
        xml_element("srsid", text=0),
        xml_element("srid", text=epsg),
        xml_element("authid", text=f"EPSG:{epsg}"),
        xml_element("description", text=crs.name),
        xml_element("geographicflag", text="false"),
    )


def _clean_text(text: Any) -> str:
    return _FORBIDDEN.sub("", str(text))


def xml_document(root: Element) -> str:
    """The text of a style or project."""
    ET.indent(root)
    return DOCTYPE + ET.tostring(root, encoding="unicode")
