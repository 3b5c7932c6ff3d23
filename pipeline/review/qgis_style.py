"""Styles of the layers of review.gpkg in QGIS, stored in the file itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from pipeline.review.qgis_form import NAME, form_elements
from pipeline.review.qgis_form import TO_DO as TO_DO_RULE
from pipeline.review.qgis_xml import VERSION, Element, outline_symbol, xml_document, xml_element
from pipeline.review.schema import VERDICTS

_BY_KIND = (
    "case when \"kind\" = 'cleared ground' and '{style}' = 'solid' then 'dash' "
    "when \"kind\" = 'resurfaced' and '{style}' = 'solid' then 'dash dot' else '{style}' end"
)
"""New structures and demolitions solid, cleared ground dashed, resurfaced dash and dot."""
VERDICT_COLOURS = dict(zip(VERDICTS, ("#e6194b", "#f58231", "#3cb44b", "#911eb4"), strict=True))
TO_DO, GONE = "#ffe119", "#9aa0a6"
CONFIDENCE_STEPS = ((0.0, 0.5, "#2c7bb6"), (0.5, 0.7, "#abd9e9"), (0.7, 0.85, "#fdae61"), (0.85, 1.0, "#d7191c"))
STYLES = ("verdict", "confidence", "last night")
"""Named styles of the layer `changes`; the first is shown at first."""
_IS_NEWS = """if(coalesce(array_contains(aggregate('groundbreak_news', 'array_agg', "change_id", "latest"),\
 "change_id"), false), 'new', 'known')"""
_VERDICT = """if("verdict" is null and "status" = 'withdrawn', 'withdrawn', "verdict")"""
_LABEL = f"if(\"status\" = 'withdrawn' and \"verdict\" is null, '', {NAME})"
_ON_ITS_PAGE = "if(coalesce(@atlas_featureid, $id) = $id, {width} * if(\"kind\" = 'cleared ground', 0.6, 1), 0.2)"
"""Thin on the pages of others: a page shows which outline it is about."""
_TO_DO_ROW = {"rule": TO_DO_RULE, "name": "to do", "background_color": "#fff7c2",
              "background_color_alpha": 255}  # fmt: skip


@cache
def layer_styles() -> Mapping[tuple[str, str], str]:
    """(table, style name) -> QML, as stored in layer_styles; the first of a table is its default."""
    styles = {
        ("changes", "verdict"): _style_qml(change_style("verdict")),
        ("changes", "confidence"): _style_qml(change_style("confidence")),
        ("aoi", "outline"): _style_qml([single_symbol("#ffffff", "dash", 0.5)]),
        ("scenes", "footprint"): _style_qml([single_symbol("#7f7f7f", "dot", 0.3)]),
    }
    return MappingProxyType(styles)


def change_style(by: str) -> list[Element]:
    """Everything a layer of changes needs; its symbols by `verdict`, `confidence` or news of the `last night`."""
    symbols = {"verdict": _by_verdict, "confidence": _by_confidence, "last night": _by_news}[by]
    rows = xml_element(
        "conditionalstyles",
        None,
        xml_element("rowstyles", None, xml_element("style", _TO_DO_ROW)),
        xml_element("fieldstyles"),
    )
    return [_temporal_settings(), symbols(), _label_settings(), rows, *form_elements()]


def _label_settings() -> Element:
    """The label of each change beside its outline, so that it covers nothing; none where a change is withdrawn."""
    buffer = {"bufferDraw": 1, "bufferSize": 0.8, "bufferSizeUnits": "MM", "bufferColor": "27,28,31,255",
              "bufferOpacity": 1}  # fmt: skip
    text = {"fieldName": _LABEL, "isExpression": 1, "fontFamily": "Sans", "fontSize": 9, "fontSizeUnit": "Point",
            "fontWeight": 75, "textColor": "255,255,255,255", "textOpacity": 1}  # fmt: skip
    # 8: outside of polygons
    place = {"placement": 8, "polygonPlacementFlags": 2, "dist": 0.5, "distUnits": "MM", "priority": 5}
    shown = {"obstacle": 1, "displayAll": 0, "upsidedownLabels": 0, "fontMinPixelSize": 3, "fontMaxPixelSize": 10000}
    style = xml_element("text-style", text, xml_element("text-buffer", buffer))
    where = xml_element("placement", place), xml_element("rendering", shown)
    settings = xml_element("settings", {"calloutType": "simple"}, style, *where)
    return xml_element("labeling", {"type": "simple"}, settings)


def single_symbol(code: str, style: str, width: float) -> Element:
    """One symbol for all features."""
    symbols = xml_element("symbols", None, outline_symbol("0", code, style=style, width=width))
    return _renderer_element("singleSymbol", None, symbols)


def _temporal_settings() -> Element:
    """From first_seen on, without an end: with last_seen as the end, alerts would vanish under the time slider."""
    when = {"enabled": 1, "mode": 2, "startField": "first_seen", "endField": "", "limitMode": 0, "accumulate": 0,
            "durationUnit": "min", "fixedDuration": 0}  # fmt: skip
    return xml_element("temporal", when, xml_element("fixedRange", None, xml_element("start"), xml_element("end")))


def _by_verdict() -> Element:
    judged = [_Class(verdict, verdict, code) for verdict, code in VERDICT_COLOURS.items()]
    # what the evidence took back needs no verdict and must not look like work; '' also takes NULL
    gone = _Class("withdrawn", "withdrawn by the evidence", GONE, width=0.3, style="dot")
    return _categorised_renderer(_VERDICT, [_Class("", "to do", TO_DO), *judged, gone])


def _by_news() -> Element:
    """Highlight the changes of the last night; only the project can, because the rule reads another layer."""
    return _categorised_renderer(
        _IS_NEWS,
        [_Class("new", "new or changed last night", "#ff2fd0", width=1.1), _Class("known", "known", GONE, width=0.4)],
    )


def _by_confidence() -> Element:
    ranges = [
        xml_element("range", {"lower": low, "upper": high, "symbol": index, "label": f"{low}–{high}", "render": "true"})
        for index, (low, high, _) in enumerate(CONFIDENCE_STEPS)
    ]
    symbols = [outline_symbol(str(index), code) for index, (_, _, code) in enumerate(CONFIDENCE_STEPS)]
    parts = xml_element("ranges", None, *ranges), xml_element("symbols", None, *symbols)
    return _renderer_element("graduatedSymbol", "confidence", *parts)


@dataclass(frozen=True, slots=True)
class _Class:
    """One class of a legend. width: mm."""

    value: str
    label: str
    code: str
    width: float = 0.7
    style: str = "solid"


def _categorised_renderer(attribute: str, classes: Sequence[_Class]) -> Element:
    categories = [
        xml_element(
            "category", {"value": c.value, "label": c.label, "symbol": index, "render": "true", "type": "string"}
        )
        for index, c in enumerate(classes)
    ]
    symbols = [
        outline_symbol(
            str(i),
            c.code,
            style=c.style,
            width=c.width,
            width_if=_ON_ITS_PAGE.format(width=c.width),
            style_if=_BY_KIND.format(style=c.style),
        )
        for i, c in enumerate(classes)
    ]
    parts = xml_element("categories", None, *categories), xml_element("symbols", None, *symbols)
    return _renderer_element("categorizedSymbol", attribute, *parts)


def _renderer_element(kind: str, attribute: str | None, *parts: Element) -> Element:
    plain = {"type": kind, "forceraster": 0, "symbollevels": 0, "enableorderby": 0}
    by = {} if attribute is None else {"attr": attribute}
    if kind == "graduatedSymbol":
        by["graduatedMethod"] = "GraduatedColor"
    return xml_element("renderer-v2", {**plain, **by}, *parts)


def _style_qml(children: Sequence[Element]) -> str:
    root = {"version": VERSION, "styleCategories": "AllStyleCategories", **label_attribute(children)}
    return xml_document(xml_element("qgis", root, *children))


def label_attribute(children: Sequence[Element]) -> dict[str, int]:
    """The attribute that switches labels on, for the root of a style that has some."""
    return {"labelsEnabled": 1} if any(child.tag == "labeling" for child in children) else {}
