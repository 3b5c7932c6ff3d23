"""The form, table and map tip of the layer `changes`: fields that the analyst edits, and read-only ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.review.qgis_xml import Element, option_element, xml_element
from pipeline.review.schema import ANALYST, MACHINE, VERDICTS

NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
"""How QGIS writes NULL in a value map."""
_LACKS = "not file_exists(@project_folder || '/{folder}/' || \"change_id\" || '.png')"
PICTURE = "if(\"change_id\" is null, null, 'timeline/' || \"change_id\" || '.png')"
NO_PICTURE = "No timeline picture: withdrawn, or not among those drawn for the site"
FIELDS = ("fid", *MACHINE, *ANALYST, "picture", "no_picture", "sureness")
TO_DO = '"verdict" is null and "status" is not \'withdrawn\''
"""Filter of the changes without a verdict; withdrawn ones need none."""
FILTERS = {
    "to do": TO_DO,
    "to do, likely": f'{TO_DO} and "confidence" >= 0.8',
    "to do, doubtful": f'{TO_DO} and "confidence" < 0.8',
    "rejected": "\"verdict\" in ('no change', 'other change')",
}
"""Name -> filter, as the table offers them: to do first, because an evening begins there."""

_VIEWER = {
    "DocumentViewer": 1, "DocumentViewerHeight": 260, "DocumentViewerWidth": 0, "FileWidget": True,
    "FileWidgetButton": False, "RelativeStorage": 1, "StorageMode": 0, "UseLink": True, "FullUrl": False,
}  # fmt: skip
_WIDGETS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "verdict": ("ValueMap", {"map": [{"to do": NULL}, *({verdict: verdict} for verdict in VERDICTS)]}),
    # one line: in a box of several, Tab is a letter, and what is typed lands behind the word NULL
    "note": ("TextEdit", {"IsMultiline": False, "UseHtml": False}),
    "reviewed_at": ("DateTime", {"allow_null": True, "display_format": "yyyy-MM-dd HH:mm", "calendar_popup": True}),
    "confidence": ("Range", {"Style": "SpinBox", "Precision": 2, "Min": 0.0, "Max": 1.0, "Step": 0.01,
                             "AllowNull": True}),
    "picture": ("ExternalResource", _VIEWER),
}  # fmt: skip
_ALIASES = {
    "change_id": "Change", "label": "Label", "sureness": "Confidence", "verdict": "Verdict", "note": "Note",
    "reviewer": "Reviewer", "reviewed_at": "Reviewed (UTC)", "area_m2": "Area (m²)",
    "area_error_m2": "Area error, 1 sigma (m²)",
    "last_clear_before": "Last clear look without", "first_seen": "First look with", "confirmed_at": "Persistent since",
    "last_seen": "Last seen", "ended": "Ended", "confidence": "Confidence", "looks_seen": "Looks that saw it",
    "looks_clear": "Looks that could have", "picture": "Timeline", "before_scene": "Scene before",
    "after_scene": "Scene after", "lon": "Longitude", "lat": "Latitude", "status": "Status", "kind": "Kind",
}  # fmt: skip
_FACTS = (
    "label", "kind", "status", "sureness", "area_m2", "area_error_m2", "last_clear_before", "first_seen",
    "confirmed_at", "last_seen", "ended", "looks_seen", "looks_clear",
)  # fmt: skip
_TABS = {
    "Machine": ("change_id", "site", "before_scene", "after_scene", "lon", "lat"),
    "Stamp": ("reviewer", "reviewed_at"),
}
PHASES = "phases"
"""The relation of a change to what its ground was and became."""
_PHASE_FIELDS = {
    "fid": "fid", "change_id": "Change", "state": "Ground", "from_after": "Last clear look before",
    "from": "First look", "to": "Last look", "to_before": "First clear look after", "probability": "Probability",
}  # fmt: skip
_PHASE_LINE = """to_string("from") || '  ' || "state" || ', ' || \
if("probability" >= 0.995, 'above 0.99', format_number("probability", 2))"""
"""A phase in lists: its first day, by which they are sorted, then its state."""
_HIDDEN = ("fid", "site", "picture", "no_picture", "confidence")
# the first cell is the current one of a table that opens: a letter there gives the first verdict
_FIRST_COLUMNS = ("verdict", "label", "note", "kind", "sureness", "area_m2", "first_seen", "status")
_REVIEWER = 'if("verdict" is null and "note" is null, null, @user_account_name)'
_WANTS_NOTE = (
    "\"verdict\" is null or \"verdict\" not in ('no change','other change') or length(trim(coalesce(\"note\",''))) > 0"
)
ORDER = 'if("status" = \'withdrawn\', 0, if("kind" = \'new structure\', 2, 1)) + coalesce("confidence", 1) / 2'
"""Sort key of table and atlas: new structures, other changes, withdrawn ones; the surest first in each."""
NAME = """coalesce("label", if("change_id" is null, 'D' || "fid", "change_id"))"""
"""Name of a change: its label, or D and the row number if the analyst drew it."""
SURENESS = (
    "if(\"confidence\" >= 0.995, 'above 0.99', if(\"confidence\" < 0.005, 'below 0.01', "
    'format_number("confidence", 2)))'
)
"""Confidence as it is printed: never 1.00 and never 0.00."""
# the list of the form view is sorted by its text, so that text begins with the class of confidence, and no verdict
# moves a row; a comma stands only before the verdict
_PREVIEW = (
    f"case when \"change_id\" is null then '0 drawn by the analyst · ' || {NAME} "
    f"when \"status\" = 'withdrawn' then '4 withdrawn · ' || {NAME} || ' · ' || \"kind\" "
    "else case when \"confidence\" >= 0.8 then '1 high' when \"confidence\" >= 0.5 then '2 moderate' else '3 low' end "
    f"|| ' · ' || {NAME} || ' · ' || \"kind\" || ' · ' || to_string(round(\"area_m2\")) || ' m² · ' "
    "|| coalesce(format_date(\"first_seen\", 'MMM yyyy'), '') end || coalesce(', ' || \"verdict\", '')"
)
# simple tags and 240 pixels: QGIS 3.40 shows tips in a plain text browser of that width
_TIP = """<b>[% {name} %]: [% coalesce("verdict" || ' (verdict)', "kind", 'drawn by the analyst') %]</b>\
[% if("verdict" is null or "change_id" is null, '', '<br>classified as ' || "kind") %]\
[% coalesce(', confidence ' || {sure}, '') %]<br>\
[% coalesce('not there ' || "last_clear_before" || ', ', '') || coalesce('there ' || "first_seen" || ', ', '') %]\
[% coalesce(round("area_m2") || ' ± ' || round("area_error_m2") || ' m²', '') %]\
[% if("status" = 'withdrawn', ', withdrawn after later looks', if("confirmed_at" is null, '', ', persistent')) %]
[% if("change_id" is null, '', if({no_pair}, '', '<br><img src="file:///' || @project_folder || '/pair/' ||\
 "change_id" || '.png" width="240">') || if({no_timeline}, '<br><i>{words}</i>', '<br><img src="file:///' ||\
 @project_folder || '/timeline/' || "change_id" || '.png" width="240">')) %]""".format(
    name=NAME, sure=SURENESS, no_pair=_LACKS.format(folder="pair"), no_timeline=_LACKS.format(folder="timeline"),
    words=NO_PICTURE,
)  # fmt: skip


def form_elements() -> list[Element]:
    """All parts of the layer's style but its symbols and its time."""
    index = {name: position for position, name in enumerate(FIELDS)}
    return [
        xml_element("fieldConfiguration", None, *[_widget_element(name, *made) for name, made in _WIDGETS.items()]),
        xml_element(
            "aliases",
            None,
            *[
                xml_element("alias", {"field": field, "name": name, "index": index[field]})
                for field, name in _ALIASES.items()
            ],
        ),
        xml_element(
            "defaults", None, xml_element("default", {"field": "reviewer", "expression": _REVIEWER, "applyOnUpdate": 1})
        ),
        *_note_constraint(),
        xml_element(
            "expressionfields",
            None,
            _computed_field("picture", PICTURE),
            _computed_field("no_picture", f"'{NO_PICTURE}'"),
            _computed_field("sureness", SURENESS),
        ),
        _attribute_table(),
        xml_element("editorlayout", text="tablayout"),
        xml_element(
            "storedexpressions",
            None,
            *[
                xml_element("storedexpression", {"name": name, "expression": rule, "tag": 1})
                for name, rule in FILTERS.items()
            ],
        ),
        xml_element(
            "attributeEditorForm",
            None,
            _verdict_tab(index),
            *[_container_element(title, _field_elements(names, index)) for title, names in _TABS.items()],
        ),
        xml_element(
            "editable",
            None,
            *[xml_element("field", {"name": name, "editable": int(name in ("verdict", "note"))}) for name in FIELDS],
        ),
        xml_element("previewExpression", text=_PREVIEW),
        xml_element("mapTip", text=_TIP),
    ]


def _widget_element(name: str, kind: str, config: Mapping[str, Any]) -> Element:
    editor = xml_element("editWidget", {"type": kind}, xml_element("config", None, option_element(config)))
    return xml_element("field", {"name": name, "configurationFlags": "None"}, editor)


def _note_constraint() -> tuple[Element, Element]:
    """Soft constraint: QGIS warns about a rejection without a note, and saves it."""
    strength = {"field": "note", "constraints": 4, "exp_strength": 2, "notnull_strength": 0, "unique_strength": 0}
    rule = {"field": "note", "exp": _WANTS_NOTE, "desc": "a rejection wants a note"}
    return (
        xml_element("constraints", None, xml_element("constraint", strength)),
        xml_element("constraintExpressions", None, xml_element("constraint", rule)),
    )


def _computed_field(name: str, expression: str) -> Element:
    """A field computed by QGIS. A picture's relative path resolves against the project's folder."""
    kind = {"type": 10, "typeName": "string", "subType": 0, "length": 0, "precision": 0, "comment": ""}
    return xml_element("field", {"name": name, "expression": expression, **kind})


def _attribute_table() -> Element:
    """Verdicts first; rows by `ORDER`."""
    names = (*_FIRST_COLUMNS, *(name for name in FIELDS if name not in _FIRST_COLUMNS))
    columns = [xml_element("column", {"type": "field", "name": name, "hidden": int(name in _HIDDEN), "width": -1})
               for name in names]  # fmt: skip
    order = {"actionWidgetStyle": "dropDown", "sortExpression": ORDER, "sortOrder": 1}
    return xml_element("attributetableconfig", order, xml_element("columns", None, *columns))


def _verdict_tab(index: Mapping[str, int]) -> Element:
    """First tab: the editable fields, then the timeline or the reason why it is missing, then the facts."""
    lacks = _LACKS.format(folder="timeline")
    return _container_element(
        "Verdict",
        [
            *_field_elements(("verdict", "note"), index),
            _container_element(
                "Timeline", _field_elements(("picture",), index, label=False), group=True, shown_if=f"not ({lacks})"
            ),
            _container_element(
                "No timeline", _field_elements(("no_picture",), index, label=False), group=True, shown_if=lacks
            ),
            _container_element("What the looks say", _field_elements(_FACTS, index), group=True),
        ],
    )


def phase_table() -> list[Element]:
    """Names of the columns of the table of phases, its order, and how its rows are listed in the form of a change."""
    order = {"sortExpression": '"change_id" || "from"', "sortOrder": 0}
    columns = [xml_element("column", {"type": "field", "name": name, "hidden": int(name == "fid"), "width": -1})
               for name in _PHASE_FIELDS]  # fmt: skip
    index = {name: position for position, name in enumerate(_PHASE_FIELDS)}
    shown = [name for name in _PHASE_FIELDS if name not in ("fid", "change_id")]
    return [
        xml_element(
            "aliases",
            None,
            *[
                xml_element("alias", {"field": field, "name": name, "index": index[field]})
                for field, name in _PHASE_FIELDS.items()
            ],
        ),
        xml_element("attributetableconfig", order, xml_element("columns", None, *columns)),
        xml_element("editorlayout", text="tablayout"),
        xml_element("attributeEditorForm", None, _container_element("Phase", _field_elements(shown, index))),
        xml_element("previewExpression", text=_PHASE_LINE),
    ]


def _field_elements(names: Sequence[str], index: Mapping[str, int], *, label: bool = True) -> list[Element]:
    return [xml_element("attributeEditorField", {"name": n, "index": index[n], "showLabel": int(label)}) for n in names]


def _container_element(title: str, inside: Sequence[Element], *, group: bool = False, shown_if: str = "") -> Element:
    look = {"columnCount": 1, "showLabel": int(not shown_if), "groupBox": int(group),
            "visibilityExpressionEnabled": int(bool(shown_if)), "visibilityExpression": shown_if}  # fmt: skip
    return xml_element("attributeEditorContainer", {"name": title, **look}, *inside)
