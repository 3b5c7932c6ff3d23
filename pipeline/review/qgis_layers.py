"""The layers of the QGIS project, their tree and their themes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.model.bands import Band
from pipeline.review.folder import AFTER, BEFORE, GPKG, SCORE
from pipeline.review.qgis_form import phase_table
from pipeline.review.qgis_raster import Stretches, false_colour, renderer_pipe, score_style, true_colour
from pipeline.review.qgis_style import STYLES, change_style, label_attribute, single_symbol
from pipeline.review.qgis_xml import Element, option_element, reference_system, xml_element
from pipeline.review.through_time import Shown

LAYERS = (
    ("changes", "Changes", "Review"),
    ("aoi", "Site outline", "Review"),
    ("score", "Evidence", "Evidence"),
    ("scenes", "Scenes", "Evidence"),
    ("after", "After", "Images"),
    ("after_fc", "After, false colour", "Images"),
    ("before", "Before", "Images"),
    ("before_fc", "Before, false colour", "Images"),
    ("phases", "Phases", "Tables"),
    ("observations", "Observations", "Tables"),
    ("review_log", "Verdict log", "Tables"),
    ("news", "News by night", "Tables"),
    ("provenance", "Provenance", "Tables"),
)
"""(name, title, group), the top of the tree first: that is also the order of drawing."""
THROUGH_TIME, LOOKS = "Through time", "Looks"
"""Theme and group of the rasters of looks, of which the time slider shows one at a time."""
THEMES = {
    "Before": ("changes", "aoi", "before"),
    "After": ("changes", "aoi", "after"),
    "Change": ("changes", "aoi", "score", "after"),
    "Last night": ("changes", "aoi", "after"),
    "Before, false colour": ("changes", "aoi", "before_fc"),
    "After, false colour": ("changes", "aoi", "after_fc"),
}
START = "After"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Common properties of the parts of a project: reference system, (left, bottom, right, top), bands as in the files.

    taken: times of the looks before and after. looks: rasters for the time slider, in time order.
    """

    epsg: int
    extent: tuple[float, float, float, float]
    bands: tuple[Band, ...]
    stretches: Stretches
    taken: tuple[datetime, datetime]
    looks: tuple[Shown, ...] = ()

    def attributes(self) -> dict[str, float]:
        """The extent as attributes."""
        return dict(zip(("xmin", "ymin", "xmax", "ymax"), self.extent, strict=True))

    def element(self, tag: str) -> Element:
        """The extent as an element."""
        return xml_element(tag, None, *[xml_element(key, text=value) for key, value in self.attributes().items()])


def layer_id(name: str) -> str:
    """Longer than ten characters: shorter ids are dropped by QGIS, silently."""
    return f"groundbreak_{name}"


def layer_elements(frame: Frame) -> list[Element]:
    """Every layer, in the order of LAYERS."""
    named = [(STYLES[0], None), *((name, change_style(name)) for name in STYLES[1:])]
    true, false = (make(frame.bands, frame.stretches) for make in (true_colour, false_colour))
    made = {
        "changes": _vector_layer(frame, "changes", "Changes", change_style(STYLES[0]), styles=named),
        "aoi": _vector_layer(frame, "aoi", "Site outline", [single_symbol("#ffffff", "dash", 0.5)], read_only=True),
        "score": _raster_layer(frame, "score", "Evidence", SCORE, score_style(), gamma=1.0),
        "scenes": _vector_layer(frame, "scenes", "Scenes", [single_symbol("#7f7f7f", "dot", 0.3)], read_only=True),
        "after": _raster_layer(frame, "after", "After", AFTER, true),
        "after_fc": _raster_layer(frame, "after_fc", "After, false colour", AFTER, false),
        "before": _raster_layer(frame, "before", "Before", BEFORE, true),
        "before_fc": _raster_layer(frame, "before_fc", "Before, false colour", BEFORE, false),
        "phases": _vector_layer(frame, "phases", "Phases", phase_table(), spatial=False, read_only=True),
        "observations": _vector_layer(frame, "observations", "Observations", [], spatial=False, read_only=True),
        "review_log": _vector_layer(frame, "review_log", "Verdict log", [], spatial=False, read_only=True),
        "news": _vector_layer(frame, "news", "News by night", [], spatial=False, read_only=True),
        "provenance": _vector_layer(frame, "provenance", "Provenance", [], spatial=False, read_only=True),
    }
    made |= {
        name: _raster_layer(frame, name, title, shown.file, true, during=(shown.time, shown.until))
        for (name, title, _), shown in zip(_look_layers(frame), reversed(frame.looks), strict=True)
    }
    return [made[name] for name, _, _ in _all_layers(frame)]


def _look_layers(frame: Frame) -> list[tuple[str, str, str]]:
    """(name, title, group) of the rasters of looks, the newest on top."""
    titles = [(index, f"{shown.time:%Y-%m-%d}") for index, shown in enumerate(frame.looks)]
    return [(f"look_{index:02d}", title, LOOKS) for index, title in reversed(titles)]


def _all_layers(frame: Frame) -> list[tuple[str, str, str]]:
    """Every layer, the top of the tree first."""
    split = next(index for index, (_, _, group) in enumerate(LAYERS) if group == "Tables")
    return [*LAYERS[:split], *_look_layers(frame), *LAYERS[split:]]


def layer_order(frame: Frame) -> Element:
    """The order of drawing."""
    return xml_element(
        "layerorder", None, *[xml_element("layer", {"id": layer_id(name)}) for name, _, _ in _all_layers(frame)]
    )


def layer_tree(frame: Frame) -> Element:
    """The layer tree; what the start theme shows is switched on."""
    groups = []
    for group in dict.fromkeys(group for _, _, group in _all_layers(frame)):
        leaves = [
            xml_element(
                "layer-tree-layer",
                {
                    "id": layer_id(name),
                    "name": title,
                    "expanded": int(name == "changes"),
                    "checked": "Qt::Checked" if name in THEMES[START] else "Qt::Unchecked",
                },
                _legend_counts() if name == "changes" else None,
            )
            for name, title, inside in _all_layers(frame)
            if inside == group
        ]
        head = {"name": group, "expanded": int(group not in ("Tables", LOOKS)), "checked": "Qt::Checked"}
        groups.append(xml_element("layer-tree-group", head, *leaves))
    return xml_element("layer-tree-group", None, *groups)


def _legend_counts() -> Element:
    """Legend with the number of changes by verdict, which shows how many have none."""
    return xml_element("customproperties", None, option_element({"showFeatureCount": "1"}))


def map_themes(frame: Frame) -> Element:
    """Map themes; every group has to be listed as checked, or it is switched off."""
    groups = [
        xml_element("checked-group-node", {"id": g}) for g in dict.fromkeys(group for _, _, group in _all_layers(frame))
    ]
    presets = []
    through_time = ("changes", "aoi", *(name for name, _, _ in _look_layers(frame)))
    for theme, names in {**THEMES, **({THROUGH_TIME: through_time} if frame.looks else {})}.items():
        of_changes = "last night" if theme == "Last night" else STYLES[0]
        layers = [
            xml_element(
                "layer", {"id": layer_id(name), "style": of_changes if name == "changes" else "default", "visible": 1}
            )
            for name in names
        ]
        checked = xml_element("checked-group-nodes", None, *groups)
        presets.append(xml_element("visibility-preset", {"name": theme, "has-checked-group-info": 1}, *layers, checked))
    return xml_element("visibility-presets", None, *presets)


def _raster_layer(
    frame: Frame,
    name: str,
    title: str,
    file: str,
    renderer: Element,
    *,
    gamma: float | None = None,
    during: tuple[datetime, datetime | None] | None = None,
) -> Element:
    """during: when the time slider shows it; None for before, after and score, whose time the frame has."""
    manager = xml_element(
        "map-layer-style-manager", {"current": "default"}, xml_element("map-layer-style", {"name": "default"})
    )
    return xml_element(
        "maplayer",
        {"type": "raster", "hasScaleBasedVisibilityFlag": 0, "styleCategories": "AllStyleCategories"},
        xml_element("id", text=layer_id(name)),
        xml_element("datasource", text=f"./{file}"),
        xml_element("layername", text=title),
        xml_element("srs", None, reference_system(frame.epsg)),
        xml_element("provider", text="gdal"),
        manager,
        _shown_while(*(during or _pair_time(frame, name))),
        renderer_pipe(renderer, frame.stretches.gamma if gamma is None else gamma),
    )


def _pair_time(frame: Frame, name: str) -> tuple[datetime, datetime | None]:
    """When before, after or score is shown under the time slider.

    A picture is shown from the day it was taken on, never earlier: it would show buildings before they were built.
    The look before gives way to the look after, and the score belongs to the latter.
    """
    before, after = frame.taken
    return (before, after) if name.startswith("before") else (after, None)


def _shown_while(start: datetime, end: datetime | None) -> Element:
    first, last = (f"{time:%Y-%m-%dT%H:%M:%SZ}" if time else "" for time in (start, end))
    reach = xml_element("fixedRange", None, xml_element("start", text=first), xml_element("end", text=last))
    return xml_element("temporal", {"enabled": 1, "mode": 0, "fetchMode": 0}, reach)


def _vector_layer(
    frame: Frame,
    table: str,
    title: str,
    style: list[Element],
    *,
    spatial: bool = True,
    read_only: bool = False,
    styles: Sequence[tuple[str, list[Element] | None]] = (("default", None),),
) -> Element:
    kept = [
        xml_element(
            "map-layer-style",
            {"name": name},
            None
            if body is None
            else xml_element("qgis", {"styleCategories": "AllStyleCategories", **label_attribute(body)}, *body),
        )
        for name, body in styles
    ]
    attributes: dict[str, Any] = {
        "type": "vector",
        "geometry": "Polygon" if spatial else "No geometry",
        "wkbType": "MultiPolygon" if spatial else "NoGeometry",
        "readOnly": int(read_only),
        "styleCategories": "AllStyleCategories",
        **label_attribute(style),
    }
    return xml_element(
        "maplayer",
        attributes,
        xml_element("id", text=layer_id(table)),
        xml_element("datasource", text=f"./{GPKG}|layername={table}"),
        xml_element("layername", text=title),
        xml_element("srs", None, reference_system(frame.epsg)) if spatial else None,
        xml_element("provider", {"encoding": "UTF-8"}, text="ogr"),
        xml_element("map-layer-style-manager", {"current": styles[0][0]}, *kept),
        *style,
    )
