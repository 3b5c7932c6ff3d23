"""The atlas layout: one page an alert, before beside after, the dates, the area, the timeline."""

from collections.abc import Mapping
from typing import Any

from pipeline.review.qgis_layers import Frame, layer_id
from pipeline.review.qgis_xml import Element, element, option, outline_symbol

_PAGE, _MAP, _PICTURE, _LABEL = 65638, 65639, 65640, 65641
_FACTS = (
    '[% "kind" %], [% "status" %]. [% round("area_m2") %] ± [% round("area_error_m2") %] m². '
    'Not there [% coalesce("last_clear_before", \'before the first look\') %], there [% "first_seen" %]; '
    'seen in [% "looks_seen" %] of [% "looks_clear" %] clear looks until [% "last_seen" %]. '
    '[% format_number("lon", 6) %] E [% format_number("lat", 6) %] N. '
    "Verdict: [% coalesce(\"verdict\", 'none') %] [% coalesce(\"note\", '') %]"
)
_PICTURE_FILE = "if(@atlas_featureid is null, '', @project_folder || '/timeline/' || \"change_id\" || '.png')"


def layouts(frame: Frame, name: str) -> Element:
    """The one layout `Alerts`, with its atlas over the changes, surest first."""
    page = _item(_PAGE, (0, 0, 297, 210), "{page}", None, outline_symbol("", "#ffffff", style="no", fill="solid"), z=0)
    # square brackets would be read as an expression
    safe = name.replace("[%", "[ %")
    return element(
        "Layouts",
        None,
        element(
            "Layout",
            {"name": "Alerts", "units": "mm", "printResolution": 150},
            element("PageCollection", None, page),
            _label(
                (10, 6, 277, 8), "{title}", f'{safe} · [% "change_id" %] · confidence [% round("confidence", 2) %]', 14
            ),
            _label((10, 16, 136, 5), "{before-label}", 'Before: [% "before_scene" %]', 8),
            _label((151, 16, 136, 5), "{after-label}", 'After: [% "after_scene" %]', 8),
            _map(frame, 10, "{before}", "Before"),
            _map(frame, 151, "{after}", "After"),
            _label((10, 140, 277, 10), "{facts}", _FACTS, 9),
            _item(
                _PICTURE,
                (10, 152, 277, 54),
                "{timeline}",
                {"file": "", "resizeMode": 0, "anchorPoint": 4, "mode": 2},
                defined={"dataDefinedSource": _PICTURE_FILE},
            ),
            _atlas(),
        ),
    )


def _atlas() -> Element:
    return element(
        "Atlas",
        {
            "enabled": 1,
            "coverageLayer": layer_id("changes"),
            "coverageLayerName": "Changes",
            "coverageLayerProvider": "ogr",
            "coverageLayerSource": "./review.gpkg|layername=changes",
            "hideCoverage": 0,
            "filterFeatures": 0,
            "sortFeatures": 1,
            "sortKey": '"confidence"',
            "sortAscending": 0,
            "pageNameExpression": '"change_id"',
            "filenamePattern": '"change_id"',
        },
    )


def _map(frame: Frame, x: float, uid: str, theme: str) -> Element:
    width, height = 136.0, 116.0
    left, bottom, right, top = frame.extent
    # an extent of the item's own proportions, or QGIS changes its height
    middle, half = (left + right) / 2, (top - bottom) * width / height / 2
    extent = {"xmin": middle - half, "ymin": bottom, "xmax": middle + half, "ymax": top}
    return _item(
        _MAP,
        (x, 22, width, height),
        uid,
        {
            "followPreset": "true",
            "followPresetName": theme,
            "frame": "true",
            "keepLayerSet": "false",
            "drawCanvasItems": "true",
            "mapRotation": 0,
        },
        element("Extent", extent),
        element("AtlasMap", {"atlasDriven": 1, "scalingMode": 2, "margin": 1}),
    )


def _label(place: tuple[float, float, float, float], uid: str, text: str, size: int) -> Element:
    font = element("LabelFont", {"description": f"DejaVu Sans,{size},-1,5,50,0,0,0,0,0", "style": ""})
    return _item(
        _LABEL,
        place,
        uid,
        {"labelText": text, "htmlState": 0, "halign": 1, "valign": 32, "marginX": 0, "marginY": 0},
        font,
    )


def _item(
    kind: int,
    place: tuple[float, float, float, float],
    uid: str,
    attributes: Mapping[str, Any] | None,
    *children: Element,
    defined: Mapping[str, str] | None = None,
    z: int = 1,
) -> Element:
    x, y, width, height = place
    properties = {key: {"active": True, "expression": text, "type": 3} for key, text in (defined or {}).items()}
    data = option({"name": "", "properties": properties, "type": "collection"})
    frame = {
        "type": kind,
        "uuid": uid,
        "templateUuid": uid,
        "position": f"{x},{y},mm",
        "positionOnPage": f"{x},{y},mm",
        "size": f"{width},{height},mm",
        "visibility": 1,
        "opacity": 1,
        "zValue": z,
        "referencePoint": 0,
        "itemRotation": 0,
        "blendMode": 0,
        "excludeFromExports": 0,
    }
    inner = element("LayoutObject", None, element("dataDefinedProperties", None, data))
    return element("LayoutItem", {**frame, **(attributes or {})}, inner, *children)
