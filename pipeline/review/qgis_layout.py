"""The atlas layout: one page an alert, before beside after, the dates, the area, the timeline."""

from collections.abc import Mapping
from typing import Any

from pipeline.model.alert import CLEAR_SHARE
from pipeline.review.qgis_form import NAME, ORDER, SURENESS
from pipeline.review.qgis_layers import Frame, layer_id
from pipeline.review.qgis_xml import Element, data_defined, outline_symbol, xml_element

_PAGE, _MAP, _PICTURE, _LABEL, _SCALE = 65638, 65639, 65640, 65641, 65646
_FACTS = (
    f"[% {NAME} %]: [% coalesce(\"verdict\" || ' (verdict of ' || coalesce(\"reviewer\", '') || ')', \"kind\", "
    "'drawn by the analyst') %]. [% if(\"verdict\" is null, 'No verdict yet. ', 'Classified as ' || coalesce(\"kind\", "
    "'nothing') || '. ') %]"
    "[% coalesce(format_number(\"area_m2\", 0) || ' ± ' || format_number(\"area_error_m2\", 0) || ' m². ', '') %]"
    "Not there [% coalesce(to_string(\"last_clear_before\"), 'before the first look') %], "
    "there [% coalesce(to_string(\"first_seen\"), 'at no look') %]"
    "[% coalesce(', persistent since ' || to_string(\"confirmed_at\"), ', not yet persistent') %]; "
    'seen in [% coalesce("looks_seen", 0) %] of [% coalesce("looks_clear", 0) %] clear looks, '
    "last [% coalesce(to_string(\"last_seen\"), '') %].\n"
    "Latitude, longitude: [% coalesce(format_number(\"lat\", 6) || ', ' || format_number(\"lon\", 6), '') %].   "
    f"Confidence: [% coalesce({SURENESS}, 'none') %]. "
    "Change [% coalesce(\"change_id\", '') %].\n"
    "[% coalesce('Note: ' || \"note\", '') %]"
)
_LOOKS = (
    "Looks (● saw it, ○ did not; clear ones only): [% aggregate('groundbreak_observations', 'concatenate', "
    "left(to_string(\"time\"), 10) || if(\"seen\", ' ●', ' ○'), "
    f'"change_id" = attribute(@parent, \'change_id\') and "clear_share" >= {CLEAR_SHARE}, \',  \', "time") %]'
)
_PICTURE_FILE = (
    "if(@atlas_featureid is null or \"change_id\" is null, '', "
    "@project_folder || '/timeline/' || \"change_id\" || '.png')"
)
CONTEXT_M = 400.0
"""Ground around an alert on its page and in its bookmark, metres, half of it on each side."""
_MARGIN = f"100 * {CONTEXT_M:g} / max(bounds_width(@atlas_geometry), bounds_height(@atlas_geometry), 1)"
"""The same as QGIS counts it: per cent of the outline's size."""
_TITLE = "[% @project_title %]"
"""Not the name itself: QGIS would evaluate text between `[%` and `%]` in it."""


def print_layouts(frame: Frame) -> Element:
    """The one layout `Alerts`: a portrait page an alert, surest first."""
    page = _layout_item(
        _PAGE, (0, 0, 210, 297), "{page}", None, outline_symbol("", "#ffffff", style="no", fill="solid"), z=0
    )
    picture = {"file": "", "resizeMode": 0, "anchorPoint": 1, "mode": 2}
    return xml_element(
        "Layouts",
        None,
        xml_element(
            "Layout",
            {"name": "Alerts", "units": "mm", "printResolution": 150},
            xml_element("PageCollection", None, page),
            _label_item((10, 8, 190, 12), "{title}", _TITLE, 13),
            _label_item((10, 21, 190, 22), "{facts}", _SIMULATED + _FACTS, 9),
            _label_item((10, 44, 94, 4), "{before-label}", _picture_date("Before", "before"), 7),
            _label_item((106, 44, 94, 4), "{after-label}", _picture_date("After", "after"), 7),
            _map_item(frame, 10, "{before}", "Before"),
            _map_item(frame, 106, "{after}", "After"),
            _scale_bar(),
            _label_item((106, 145, 94, 5), "{north}", "▲ N   A pixel is 10 m. Thick: this change; thin: others.", 7),
            _layout_item(
                _PICTURE, (10, 152, 190, 95), "{timeline}", picture, defined_by={"dataDefinedSource": _PICTURE_FILE}
            ),
            _label_item((10, 249, 190, 35), "{looks}", _LOOKS, 6),
            _label_item((10, 286, 190, 4), "{source}", f"[% {_fact_expression('attribution')} %]", 6),
            _atlas_element(),
        ),
    )


def _picture_date(title: str, which: str) -> str:
    """Day and scene of the picture of the site, as the last night noted them."""
    return f"{title}: [% left({_fact_expression(which + '_time')}, 10) %]   [% {_fact_expression(which + '_scene')} %]"


def _fact_expression(key: str) -> str:
    return f"coalesce(attribute(get_feature('groundbreak_provenance', 'key', '{key}'), 'value'), '')"


_SIMULATED = (
    f"[% if({_fact_expression('simulated')} = '', '', 'Simulated: ' || {_fact_expression('simulated')} || '.\\n') %]"
)
_STANDS = '"status" is not \'withdrawn\' or "verdict" is not null'


def _atlas_element() -> Element:
    return xml_element(
        "Atlas",
        {
            "enabled": 1,
            "coverageLayer": layer_id("changes"),
            "coverageLayerName": "Changes",
            "coverageLayerProvider": "ogr",
            "coverageLayerSource": "./review.gpkg|layername=changes",
            "hideCoverage": 0,
            "filterFeatures": 1,
            "featureFilter": _STANDS,
            "sortFeatures": 1,
            # ascending always: descending, QGIS compares equal keys wrongly and crashes from 17 alerts on
            "sortKey": f"-({ORDER})",
            "sortAscending": 1,
            "pageNameExpression": NAME,
            "filenamePattern": NAME,
        },
    )


def _map_item(frame: Frame, x: float, uid: str, theme: str) -> Element:
    width, height = 94.0, 94.0
    left, bottom, right, top = frame.extent
    # an extent of the item's own proportions, or QGIS changes its height
    middle, half = (left + right) / 2, (top - bottom) * width / height / 2
    extent = {"xmin": middle - half, "ymin": bottom, "xmax": middle + half, "ymax": top}
    return _layout_item(
        _MAP,
        (x, 49, width, height),
        uid,
        {
            "followPreset": "true",
            "followPresetName": theme,
            "frame": "true",
            "keepLayerSet": "false",
            "drawCanvasItems": "true",
            "mapRotation": 0,
        },
        xml_element("Extent", extent),
        xml_element("AtlasMap", {"atlasDriven": 1, "scalingMode": 2, "margin": 2.5}),
        defined_by={"dataDefinedMapAtlasMargin": f"if(@atlas_featureid is null, 100, {_MARGIN})"},
    )


def _scale_bar() -> Element:
    """A bar under the first map, of a round length that fits."""
    look = {
        "style": "Line Ticks Up",
        "mapUuid": "{before}",
        "unitType": "meters",
        "unitLabel": "m",
        "numMapUnitsPerScaleBarUnit": 1,
        "numSegments": 1,
        "numSegmentsLeft": 0,
        "segmentSizeMode": 1,
        "minBarWidth": 15,
        "maxBarWidth": 40,
        "height": 1.5,
        "labelBarSpace": 0.5,
        "boxContentSpace": 0,
    }
    return _layout_item(_SCALE, (10, 145, 60, 6), "{scale}", look, _font_element("scaleBarFont", 7))


def _font_element(tag: str, size: int) -> Element:
    return xml_element(tag, {"description": f"DejaVu Sans,{size},-1,5,50,0,0,0,0,0", "style": ""})


def _label_item(place: tuple[float, float, float, float], uid: str, text: str, size: int) -> Element:
    return _layout_item(
        _LABEL,
        place,
        uid,
        {"labelText": text, "htmlState": 0, "halign": 1, "valign": 32, "marginX": 0, "marginY": 0},
        _font_element("LabelFont", size),
    )


def _layout_item(
    kind: int,
    place: tuple[float, float, float, float],
    uid: str,
    attributes: Mapping[str, Any] | None,
    *children: Element,
    defined_by: Mapping[str, str] | None = None,
    z: int = 1,
) -> Element:
    x, y, width, height = place
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
    inner = xml_element(
        "LayoutObject", None, xml_element("dataDefinedProperties", None, data_defined(defined_by or {}))
    )
    return xml_element("LayoutItem", {**frame, **(attributes or {})}, inner, *children)
