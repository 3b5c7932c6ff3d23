"""The atlas layout: one page an alert, before beside after, the dates, the area, the timeline."""

from collections.abc import Mapping
from typing import Any

from pipeline.review.qgis_layers import Frame, layer_id
from pipeline.review.qgis_xml import Element, element, option, outline_symbol

_PAGE, _MAP, _PICTURE, _LABEL = 65638, 65639, 65640, 65641
_FACTS = (
    "[% coalesce(\"kind\", 'drawn by the analyst') %], [% coalesce(\"status\", '') %]. "
    "[% coalesce(format_number(\"area_m2\", 0) || ' ± ' || format_number(\"area_error_m2\", 0) || ' m². ', '') %]"
    "Not there [% coalesce(to_string(\"last_clear_before\"), 'before the first look') %], "
    "there [% coalesce(to_string(\"first_seen\"), 'at no look') %]"
    "[% coalesce(', confirmed ' || to_string(\"confirmed_at\"), ', not confirmed') %]; "
    'seen in [% coalesce("looks_seen", 0) %] of [% coalesce("looks_clear", 0) %] clear looks, '
    "last [% coalesce(to_string(\"last_seen\"), '') %].\n"
    "Latitude, longitude: [% coalesce(format_number(\"lat\", 6) || ', ' || format_number(\"lon\", 6), '') %].   "
    "Confidence: [% coalesce(format_number(\"confidence\", 2), 'none') %].   "
    "Change [% coalesce(\"change_id\", '') %].\n"
    "Verdict: [% coalesce(\"verdict\", 'none') %][% coalesce(' by ' || \"reviewer\", '') %]"
    "[% coalesce('. ' || \"note\", '') %]"
)
_LOOKS = (
    "Looks (● saw it, ○ did not; clear ones only): [% aggregate('groundbreak_observations', 'concatenate', "
    "left(to_string(\"time\"), 10) || if(\"seen\", ' ●', ' ○'), "
    '"change_id" = attribute(@parent, \'change_id\') and "clear_share" >= 0.5, \',  \', "time") %]'
)
_PICTURE_FILE = (
    "if(@atlas_featureid is null or \"change_id\" is null, '', "
    "@project_folder || '/timeline/' || \"change_id\" || '.png')"
)
_TITLE = "[% @project_title %]"
"""Not the name itself: QGIS would evaluate what stands between `[%` and `%]` in it."""


def layouts(frame: Frame) -> Element:
    """The one layout `Alerts`: a portrait page an alert, surest first."""
    page = _item(_PAGE, (0, 0, 210, 297), "{page}", None, outline_symbol("", "#ffffff", style="no", fill="solid"), z=0)
    picture = {"file": "", "resizeMode": 0, "anchorPoint": 1, "mode": 2}
    return element(
        "Layouts",
        None,
        element(
            "Layout",
            {"name": "Alerts", "units": "mm", "printResolution": 150},
            element("PageCollection", None, page),
            _label((10, 8, 190, 8), "{title}", _TITLE, 15),
            _label((10, 18, 190, 18), "{facts}", _FACTS, 9),
            _label((10, 38, 94, 4), "{before-label}", _when("Before", "before"), 7),
            _label((106, 38, 94, 4), "{after-label}", _when("After", "after"), 7),
            _map(frame, 10, "{before}", "Before"),
            _map(frame, 106, "{after}", "After"),
            _item(_PICTURE, (10, 140, 190, 92), "{timeline}", picture, defined={"dataDefinedSource": _PICTURE_FILE}),
            _label((10, 235, 190, 46), "{looks}", _LOOKS, 7),
            _label((10, 285, 190, 4), "{source}", f"[% {_fact('simulated')} %] [% {_fact('attribution')} %]", 6),
            _atlas(),
        ),
    )


def _when(title: str, which: str) -> str:
    """Day and scene of the picture of the site, as the last night noted them."""
    return f"{title}: [% left({_fact(which + '_time')}, 10) %]   [% {_fact(which + '_scene')} %]"


def _fact(key: str) -> str:
    return f"coalesce(attribute(get_feature('groundbreak_provenance', 'key', '{key}'), 'value'), '')"


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
            # ascending always: descending, QGIS compares equal keys wrongly and crashes from 17 alerts on
            "sortKey": '-coalesce("confidence", -1)',
            "sortAscending": 1,
            "pageNameExpression": '"change_id"',
            "filenamePattern": '"change_id"',
        },
    )


def _map(frame: Frame, x: float, uid: str, theme: str) -> Element:
    width, height = 94.0, 94.0
    left, bottom, right, top = frame.extent
    # an extent of the item's own proportions, or QGIS changes its height
    middle, half = (left + right) / 2, (top - bottom) * width / height / 2
    extent = {"xmin": middle - half, "ymin": bottom, "xmax": middle + half, "ymax": top}
    return _item(
        _MAP,
        (x, 43, width, height),
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
        element("AtlasMap", {"atlasDriven": 1, "scalingMode": 2, "margin": 2.5}),
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
