"""The form, table and map tip of the layer `changes`: what the analyst fills in and what she only reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.review.qgis_xml import Element, element, option
from pipeline.review.schema import ANALYST, MACHINE, VERDICTS

NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
"""How QGIS writes NULL in a value map."""
_LACKS = "not file_exists(@project_folder || '/{folder}/' || \"change_id\" || '.png')"
PICTURE = "if(\"change_id\" is null, null, 'timeline/' || \"change_id\" || '.png')"
NO_PICTURE = "No timeline picture: withdrawn, or beyond the number that is drawn a site"
FIELDS = ("fid", *MACHINE, *ANALYST, "picture")

_VIEWER = {
    "DocumentViewer": 1, "DocumentViewerHeight": 200, "DocumentViewerWidth": 0, "FileWidget": False,
    "FileWidgetButton": False, "RelativeStorage": 1, "StorageMode": 0,
}  # fmt: skip
_WIDGETS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "verdict": ("ValueMap", {"map": [{"to do": NULL}, *({verdict: verdict} for verdict in VERDICTS)]}),
    "note": ("TextEdit", {"IsMultiline": True, "UseHtml": False}),
    "reviewed_at": ("DateTime", {"allow_null": True, "display_format": "yyyy-MM-dd HH:mm", "calendar_popup": True}),
    "confidence": ("Range", {"Style": "SpinBox", "Precision": 2, "Min": 0.0, "Max": 1.0, "Step": 0.01,
                             "AllowNull": True}),
    "picture": ("ExternalResource", _VIEWER),
}  # fmt: skip
_ALIASES = {
    "change_id": "Change", "verdict": "Verdict", "note": "Note", "reviewer": "Reviewer",
    "reviewed_at": "Reviewed (UTC)", "area_m2": "Area (m²)", "area_error_m2": "Area error, 1 sigma (m²)",
    "last_clear_before": "Last clear look without", "first_seen": "First look with", "confirmed_at": "Confirmed",
    "last_seen": "Last seen", "confidence": "Confidence", "looks_seen": "Looks that saw it",
    "looks_clear": "Looks that could have", "picture": "Timeline", "before_scene": "Scene before",
    "after_scene": "Scene after", "lon": "Longitude", "lat": "Latitude", "status": "Status", "kind": "Kind",
}  # fmt: skip
_TABS = {
    "Verdict": (
        "picture", "verdict", "note", "status", "kind", "confidence", "area_m2", "area_error_m2", "last_clear_before",
        "first_seen", "confirmed_at", "last_seen", "looks_seen", "looks_clear",
    ),
    "Machine": ("change_id", "site", "before_scene", "after_scene", "lon", "lat"),
    "Stamp": ("reviewer", "reviewed_at"),
}  # fmt: skip
_HIDDEN = ("fid", "site", "picture")
_FIRST_COLUMNS = ("verdict", "note", "status", "kind", "confidence")
_REVIEWER = 'if("verdict" is null and "note" is null, null, @user_account_name)'
_WANTS_NOTE = (
    "\"verdict\" is null or \"verdict\" not in ('no change','other change') or length(trim(coalesce(\"note\",''))) > 0"
)
_PREVIEW = (
    "coalesce(\"verdict\", '· to do') || '  ' || coalesce(round(\"confidence\", 2), '') "
    "|| '  ' || coalesce(\"kind\", '')"
)
# simple tags and 240 pixels: QGIS 3.40 shows tips in a plain text browser of that width
_TIP = """<b>[% coalesce("kind", 'drawn by the analyst') %]</b>, [% coalesce("status", '') %]\
 [% coalesce('(' || round("confidence", 2) || ')', '') %]<br>\
[% coalesce('not there ' || "last_clear_before" || ', ', '') || coalesce('there ' || "first_seen" || ', ', '') %]\
[% coalesce(round("area_m2") || ' ± ' || round("area_error_m2") || ' m²', '') %]
[% if("change_id" is null, '', if({no_pair}, '', '<br><img src="file:///' || @project_folder || '/pair/' ||\
 "change_id" || '.png" width="240">') || if({no_timeline}, '<br><i>{words}</i>', '<br><img src="file:///' ||\
 @project_folder || '/timeline/' || "change_id" || '.png" width="240">')) %]""".format(
    no_pair=_LACKS.format(folder="pair"), no_timeline=_LACKS.format(folder="timeline"), words=NO_PICTURE
)


def form() -> list[Element]:
    """All parts of the layer's style but its symbols and its time."""
    index = {name: position for position, name in enumerate(FIELDS)}
    return [
        element("fieldConfiguration", None, *[_widget(name, *made) for name, made in _WIDGETS.items()]),
        element("aliases", None, *[element("alias", {"field": field, "name": name, "index": index[field]})
                                   for field, name in _ALIASES.items()]),
        element("defaults", None, element("default", {"field": "reviewer", "expression": _REVIEWER,
                                                      "applyOnUpdate": 1})),
        *_constraint(),
        element("expressionfields", None, _picture()),
        _table(),
        element("editorlayout", text="tablayout"),
        element("attributeEditorForm", None, *[_tab(title, names, index) for title, names in _TABS.items()]),
        element("editable", None, *[element("field", {"name": name, "editable": int(name in ("verdict", "note"))})
                                    for name in FIELDS]),
        element("previewExpression", text=_PREVIEW),
        element("mapTip", text=_TIP),
    ]  # fmt: skip


def _widget(name: str, kind: str, config: Mapping[str, Any]) -> Element:
    editor = element("editWidget", {"type": kind}, element("config", None, option(config)))
    return element("field", {"name": name, "configurationFlags": "None"}, editor)


def _constraint() -> tuple[Element, Element]:
    """A rejection wants a note; soft, so that it warns and does not stop."""
    strength = {"field": "note", "constraints": 4, "exp_strength": 2, "notnull_strength": 0, "unique_strength": 0}
    rule = {"field": "note", "exp": _WANTS_NOTE, "desc": "a rejection wants a note"}
    return (
        element("constraints", None, element("constraint", strength)),
        element("constraintExpressions", None, element("constraint", rule)),
    )


def _picture() -> Element:
    """A field computed by QGIS: a picture's relative path resolves against the project's folder."""
    kind = {"type": 10, "typeName": "string", "subType": 0, "length": 0, "precision": 0, "comment": ""}
    return element("field", {"name": "picture", "expression": PICTURE, **kind})


def _table() -> Element:
    """Verdicts first, surest on top."""
    names = (*_FIRST_COLUMNS, *(name for name in FIELDS if name not in _FIRST_COLUMNS))
    columns = [element("column", {"type": "field", "name": name, "hidden": int(name in _HIDDEN), "width": -1})
               for name in names]  # fmt: skip
    order = {"actionWidgetStyle": "dropDown", "sortExpression": '"confidence"', "sortOrder": 1}
    return element("attributetableconfig", order, element("columns", None, *columns))


def _tab(title: str, names: Sequence[str], index: Mapping[str, int]) -> Element:
    inside = [element("attributeEditorField", {"name": n, "index": index[n], "showLabel": 1}) for n in names]
    look = {"columnCount": 1, "showLabel": 1, "groupBox": 0, "visibilityExpressionEnabled": 0,
            "visibilityExpression": ""}  # fmt: skip
    return element("attributeEditorContainer", {"name": title, **look}, *inside)
