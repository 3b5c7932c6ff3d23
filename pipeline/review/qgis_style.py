"""How the layers of review.gpkg look and behave in QGIS: symbols, form, defaults, tip, table."""

from pipeline.review.qgis_xml import VERSION, Element, document, element, option, outline_symbol
from pipeline.review.schema import ANALYST, MACHINE, VERDICTS

VERDICT_COLOURS = dict(zip(VERDICTS, ("#e6194b", "#f58231", "#3cb44b", "#911eb4"), strict=True))
TO_DO = "#ffe119"
CONFIDENCE_STEPS = ((0.0, 0.5, "#2c7bb6"), (0.5, 0.7, "#abd9e9"), (0.7, 0.85, "#fdae61"), (0.85, 1.0, "#d7191c"))
PICTURE = "'timeline/' || \"change_id\" || '.png'"
NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
"""How QGIS writes NULL in a value map."""

_WIDGETS = {
    "verdict": ("ValueMap", {"map": [{"to do": NULL}, *({verdict: verdict} for verdict in VERDICTS)]}),
    "note": ("TextEdit", {"IsMultiline": True, "UseHtml": False}),
    "reviewed_at": ("DateTime", {"allow_null": True, "display_format": "yyyy-MM-dd HH:mm", "calendar_popup": True}),
    "confidence": (
        "Range",
        {"Style": "SpinBox", "Precision": 2, "Min": 0.0, "Max": 1.0, "Step": 0.01, "AllowNull": True},
    ),
    "picture": (
        "ExternalResource",
        {
            "DocumentViewer": 1,
            "DocumentViewerHeight": 220,
            "DocumentViewerWidth": 0,
            "FileWidget": False,
            "FileWidgetButton": False,
            "RelativeStorage": 1,
            "StorageMode": 0,
        },
    ),
}
_ALIASES = {
    "verdict": "Verdict",
    "note": "Note",
    "reviewer": "Reviewer",
    "reviewed_at": "Reviewed (UTC)",
    "area_m2": "Area (m²)",
    "area_error_m2": "Area error, 1 sigma (m²)",
    "last_clear_before": "Last clear look without",
    "first_seen": "First look with",
    "confirmed_at": "Confirmed",
    "last_seen": "Last seen",
    "confidence": "Confidence",
    "looks_seen": "Looks that saw it",
    "looks_clear": "Looks that could have",
    "picture": "Timeline",
    "before_scene": "Scene before",
    "after_scene": "Scene after",
    "lon": "Longitude",
    "lat": "Latitude",
}
_REVIEWER = 'if("verdict" is null and "note" is null, null, @user_account_name)'
_WANTS_NOTE = (
    "\"verdict\" is null or \"verdict\" not in ('no change','other change') or length(trim(coalesce(\"note\",''))) > 0"
)
_TIP = """<b>[% "kind" %]</b>, [% "status" %] ([% round("confidence", 2) %])<br>\
[% "last_clear_before" %] to [% "first_seen" %], [% round("area_m2") %] m²
<br><img src="file:///[% @project_folder %]/timeline/[% "change_id" %].png" width="240">"""
_FIRST_TAB = (
    "picture",
    "verdict",
    "note",
    "status",
    "kind",
    "confidence",
    "area_m2",
    "area_error_m2",
    "last_clear_before",
    "first_seen",
    "confirmed_at",
    "last_seen",
    "looks_seen",
    "looks_clear",
)
_HIDDEN = ("fid", "site", "picture")


def styles() -> dict[tuple[str, str], str]:
    """(table, style name) -> QML, as stored in layer_styles; the first of a table is its default."""
    return {
        ("changes", "verdict"): _qml(change_style("verdict")),
        ("changes", "confidence"): _qml(change_style("confidence")),
        ("aoi", "outline"): _qml([single("#ffffff", "dash", 0.5)]),
        ("scenes", "footprint"): _qml([single("#7f7f7f", "dot", 0.3)]),
    }


def change_style(by: str) -> list[Element]:
    """Everything a layer of changes needs, its symbols by `verdict` or by `confidence`."""
    temporal = element(
        "temporal",
        {
            "enabled": 1,
            "mode": 2,
            "startField": "first_seen",
            "endField": "",
            "limitMode": 0,
            "accumulate": 0,
            "durationUnit": "min",
            "fixedDuration": 0,
        },
        element("fixedRange", None, element("start"), element("end")),
    )
    return [temporal, _by_verdict() if by == "verdict" else _by_confidence(), *_form()]


def single(code: str, style: str, width: float) -> Element:
    """One symbol for all features."""
    symbols = element("symbols", None, outline_symbol("0", code, style=style, width=width))
    return element(
        "renderer-v2", {"type": "singleSymbol", "forceraster": 0, "symbollevels": 0, "enableorderby": 0}, symbols
    )


def _by_verdict() -> Element:
    # '' also takes NULL
    classes = [(verdict, verdict, code) for verdict, code in VERDICT_COLOURS.items()] + [("", "to do", TO_DO)]
    categories = [
        element("category", {"value": value, "label": label, "symbol": index, "render": "true", "type": "string"})
        for index, (value, label, _) in enumerate(classes)
    ]
    symbols = [outline_symbol(str(index), code) for index, (_, _, code) in enumerate(classes)]
    return element(
        "renderer-v2",
        {"type": "categorizedSymbol", "attr": "verdict", "forceraster": 0, "symbollevels": 0, "enableorderby": 0},
        element("categories", None, *categories),
        element("symbols", None, *symbols),
    )


def _by_confidence() -> Element:
    ranges = [
        element("range", {"lower": low, "upper": high, "symbol": index, "label": f"{low}–{high}", "render": "true"})
        for index, (low, high, _) in enumerate(CONFIDENCE_STEPS)
    ]
    symbols = [outline_symbol(str(index), code) for index, (_, _, code) in enumerate(CONFIDENCE_STEPS)]
    return element(
        "renderer-v2",
        {
            "type": "graduatedSymbol",
            "attr": "confidence",
            "graduatedMethod": "GraduatedColor",
            "forceraster": 0,
            "symbollevels": 0,
            "enableorderby": 0,
        },
        element("ranges", None, *ranges),
        element("symbols", None, *symbols),
    )


def _form() -> list[Element]:
    fields = ("fid", *MACHINE, *ANALYST, "picture")
    index = {name: position for position, name in enumerate(fields)}

    def tab(title: str, names: tuple[str, ...]) -> Element:
        inside = [element("attributeEditorField", {"name": n, "index": index[n], "showLabel": 1}) for n in names]
        return element(
            "attributeEditorContainer",
            {
                "name": title,
                "columnCount": 1,
                "showLabel": 1,
                "groupBox": 0,
                "visibilityExpressionEnabled": 0,
                "visibilityExpression": "",
            },
            *inside,
        )

    widgets = [
        element(
            "field",
            {"name": name, "configurationFlags": "None"},
            element("editWidget", {"type": kind}, element("config", None, option(config))),
        )
        for name, (kind, config) in _WIDGETS.items()
    ]
    columns = [
        element("column", {"type": "field", "name": name, "hidden": int(name in _HIDDEN), "width": -1})
        for name in (
            "verdict",
            "note",
            "status",
            "kind",
            "confidence",
            *(n for n in fields if n not in ("verdict", "note", "status", "kind", "confidence")),
        )
    ]
    to_do = {"rule": '"verdict" is null', "name": "to do", "background_color": "#fff7c2", "background_color_alpha": 255}
    rest = tuple(name for name in MACHINE if name not in _FIRST_TAB)
    return [
        element("fieldConfiguration", None, *widgets),
        element(
            "aliases",
            None,
            *[element("alias", {"field": f, "name": n, "index": index[f]}) for f, n in _ALIASES.items()],
        ),
        element(
            "defaults", None, element("default", {"field": "reviewer", "expression": _REVIEWER, "applyOnUpdate": 1})
        ),
        element(
            "constraints",
            None,
            element(
                "constraint",
                {"field": "note", "constraints": 4, "exp_strength": 2, "notnull_strength": 0, "unique_strength": 0},
            ),
        ),
        element(
            "constraintExpressions",
            None,
            element("constraint", {"field": "note", "exp": _WANTS_NOTE, "desc": "a rejection wants a note"}),
        ),
        element(
            "expressionfields",
            None,
            element(
                "field",
                {
                    "name": "picture",
                    "expression": PICTURE,
                    "type": 10,
                    "typeName": "string",
                    "subType": 0,
                    "length": 0,
                    "precision": 0,
                    "comment": "",
                },
            ),
        ),
        element(
            "attributetableconfig",
            {"actionWidgetStyle": "dropDown", "sortExpression": '"confidence"', "sortOrder": 1},
            element("columns", None, *columns),
        ),
        element("conditionalstyles", None, element("rowstyles", None, element("style", to_do)), element("fieldstyles")),
        element("editorlayout", text="tablayout"),
        element(
            "attributeEditorForm",
            None,
            tab("Verdict", _FIRST_TAB),
            tab("Machine", rest),
            tab("Stamp", ("reviewer", "reviewed_at")),
        ),
        element(
            "editable",
            None,
            *[element("field", {"name": n, "editable": int(n in ("verdict", "note"))}) for n in fields],
        ),
        element(
            "previewExpression",
            text="coalesce(\"verdict\", '· to do') || '  ' || round(\"confidence\", 2) || '  ' || \"kind\"",
        ),
        element("mapTip", text=_TIP),
    ]


def _qml(children: list[Element]) -> str:
    return document(element("qgis", {"version": VERSION, "styleCategories": "AllStyleCategories"}, *children))
