"""How the layers of review.gpkg are drawn in QGIS, and the styles stored in the file itself."""

from collections.abc import Sequence

from pipeline.review.qgis_form import form
from pipeline.review.qgis_xml import VERSION, Element, document, element, outline_symbol
from pipeline.review.schema import VERDICTS

VERDICT_COLOURS = dict(zip(VERDICTS, ("#e6194b", "#f58231", "#3cb44b", "#911eb4"), strict=True))
TO_DO = "#ffe119"
CONFIDENCE_STEPS = ((0.0, 0.5, "#2c7bb6"), (0.5, 0.7, "#abd9e9"), (0.7, 0.85, "#fdae61"), (0.85, 1.0, "#d7191c"))
STYLES = ("verdict", "confidence", "last night")
"""Named styles of the layer `changes`; the first is shown at first."""
_IS_NEWS = """if(coalesce(array_contains(aggregate('groundbreak_news', 'array_agg', "change_id", "latest"),\
 "change_id"), false), 'new', 'known')"""
_TO_DO_ROW = {"rule": '"verdict" is null', "name": "to do", "background_color": "#fff7c2",
              "background_color_alpha": 255}  # fmt: skip


def styles() -> dict[tuple[str, str], str]:
    """(table, style name) -> QML, as stored in layer_styles; the first of a table is its default."""
    return {
        ("changes", "verdict"): _qml(change_style("verdict")),
        ("changes", "confidence"): _qml(change_style("confidence")),
        ("aoi", "outline"): _qml([single("#ffffff", "dash", 0.5)]),
        ("scenes", "footprint"): _qml([single("#7f7f7f", "dot", 0.3)]),
    }


def change_style(by: str) -> list[Element]:
    """Everything a layer of changes needs; its symbols by `verdict`, `confidence` or news of the `last night`."""
    symbols = {"verdict": _by_verdict, "confidence": _by_confidence, "last night": _by_news}[by]
    rows = element("conditionalstyles", None, element("rowstyles", None, element("style", _TO_DO_ROW)),
                   element("fieldstyles"))  # fmt: skip
    return [_time(), symbols(), rows, *form()]


def single(code: str, style: str, width: float) -> Element:
    """One symbol for all features."""
    symbols = element("symbols", None, outline_symbol("0", code, style=style, width=width))
    return _renderer("singleSymbol", None, symbols)


def _time() -> Element:
    """From first_seen on, without an end: with last_seen as the end, alerts would vanish under the time slider."""
    when = {"enabled": 1, "mode": 2, "startField": "first_seen", "endField": "", "limitMode": 0, "accumulate": 0,
            "durationUnit": "min", "fixedDuration": 0}  # fmt: skip
    return element("temporal", when, element("fixedRange", None, element("start"), element("end")))


def _by_verdict() -> Element:
    # '' also takes NULL
    classes = [(verdict, verdict, code, 0.7) for verdict, code in VERDICT_COLOURS.items()]
    return _categorised("verdict", [*classes, ("", "to do", TO_DO, 0.7)])


def _by_news() -> Element:
    """What the last night brought stands out; the project alone can say it, as it asks another layer."""
    return _categorised(
        _IS_NEWS, [("new", "new or changed last night", "#ff2fd0", 1.1), ("known", "known", "#9aa0a6", 0.4)]
    )


def _by_confidence() -> Element:
    ranges = [
        element("range", {"lower": low, "upper": high, "symbol": index, "label": f"{low}–{high}", "render": "true"})
        for index, (low, high, _) in enumerate(CONFIDENCE_STEPS)
    ]
    symbols = [outline_symbol(str(index), code) for index, (_, _, code) in enumerate(CONFIDENCE_STEPS)]
    parts = element("ranges", None, *ranges), element("symbols", None, *symbols)
    return _renderer("graduatedSymbol", "confidence", *parts)


def _categorised(attribute: str, classes: Sequence[tuple[str, str, str, float]]) -> Element:
    """classes: (value, label, colour, width in mm)."""
    categories = [
        element("category", {"value": value, "label": label, "symbol": index, "render": "true", "type": "string"})
        for index, (value, label, _, _) in enumerate(classes)
    ]
    symbols = [outline_symbol(str(i), code, width=width) for i, (_, _, code, width) in enumerate(classes)]
    parts = element("categories", None, *categories), element("symbols", None, *symbols)
    return _renderer("categorizedSymbol", attribute, *parts)


def _renderer(kind: str, attribute: str | None, *parts: Element) -> Element:
    plain = {"type": kind, "forceraster": 0, "symbollevels": 0, "enableorderby": 0}
    by = {} if attribute is None else {"attr": attribute}
    if kind == "graduatedSymbol":
        by["graduatedMethod"] = "GraduatedColor"
    return element("renderer-v2", {**plain, **by}, *parts)


def _qml(children: Sequence[Element]) -> str:
    return document(element("qgis", {"version": VERSION, "styleCategories": "AllStyleCategories"}, *children))
