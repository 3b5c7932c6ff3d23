"""review.qgz: the QGIS project of a site, written without QGIS.

Decisions and their reasons are in docs/review.md: own XML that QGIS 3.22 and 3.40 both open, relative paths, layer ids
longer than ten characters, the time range in two places, one stretch for before and after.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from odc.geo.geom import Geometry

from pipeline.model.alert import Alert, Decision, Kind, Status
from pipeline.model.grid import PIXEL_M
from pipeline.model.imagery import Look
from pipeline.model.site import Site
from pipeline.review.folder import replace_file
from pipeline.review.qgis_form import PHASES
from pipeline.review.qgis_layers import Frame, layer_elements, layer_id, layer_order, layer_tree, map_themes
from pipeline.review.qgis_layout import CONTEXT_M, print_layouts
from pipeline.review.qgis_raster import fit_stretches
from pipeline.review.qgis_xml import VERSION, Element, reference_system, xml_document, xml_element
from pipeline.review.rasters import picture_order
from pipeline.review.stretch import Stretch
from pipeline.review.through_time import Shown

TEMPLATE = 5
"""Version of this project's form; written into it, and survives a save by QGIS."""
BEFORE_VIEW = "Before view"
DOCK_PX = 480
SLENDER, HEADROOM = 1.2, 0.94
"""QGIS 3.22 takes the ratio of the two views' scales at opening for good. Both open on a strip that is higher than
wide, so that their heights decide: they are equal but for the dock's title and tool bar, which take HEADROOM.
"""
VIEW_MARGIN = 0.04
"""Margin around the AOI at opening, as a share of its longer side."""
MAX_BOOKMARKS = 200


def has_been_saved(path: Path) -> bool:
    """Whether QGIS has saved a project: it leaves its user's name in the root. True as well where it is no project."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = next((name for name in archive.namelist() if name.endswith(".qgs")), None)
            return member is None or b"saveUser=" in archive.read(member)[:4000]
    except (zipfile.BadZipFile, OSError):
        return True


def write_project(
    path: Path,
    site: Site,
    decision: Decision,
    looks: Sequence[Look],
    period: tuple[date, date],
    tone: Stretch,
    through_time: Sequence[Shown] = (),
) -> None:
    """The project beside review.gpkg and the COGs of the same folder.

    period: days of the first and last look. through_time: rasters of looks for the time slider.
    """
    box = site.grid.extent.boundingbox
    pair = (decision.before_scene, decision.after_scene)
    shown = {look.scene.id: look for look in looks if look.scene.id in pair}
    frame = Frame(
        epsg=int(str(site.grid.crs).rsplit(":", 1)[-1]),
        extent=(box.left, box.bottom, box.right, box.top),
        bands=picture_order(looks[0].bands),
        stretches=fit_stretches(list(shown.values()), tone),
        taken=(shown[decision.before_scene].time, shown[decision.after_scene].time),
        looks=tuple(through_time),
    )
    text = xml_document(_project_element(site, decision, period, frame))
    with replace_file(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        member = zipfile.ZipInfo("review.qgs", (2020, 1, 1, 0, 0, 0))
        archive.writestr(member, text.encode(), zipfile.ZIP_DEFLATED)


def _project_element(site: Site, decision: Decision, period: tuple[date, date], frame: Frame) -> Element:
    first, last = period
    view = replace(frame, extent=_initial_extent(site))
    stamp = [f"{day.isoformat()}T00:00:00Z" for day in (first, last + timedelta(days=1))]
    return xml_element(
        "qgis",
        {"version": VERSION, "projectname": site.name},
        xml_element("homePath", {"path": ""}),
        xml_element("title", text=site.name),
        xml_element("projectCrs", None, reference_system(frame.epsg)),
        layer_tree(frame),
        _relations_element(),
        _canvas_element(_strip_frame(view, SLENDER), "theMapCanvas"),
        _dock_element(),
        _canvas_element(_strip_frame(view, SLENDER * HEADROOM), BEFORE_VIEW, "Before"),
        xml_element("projectlayers", None, *layer_elements(frame)),
        layer_order(frame),
        _properties_element(stamp),
        map_themes(frame),
        xml_element(
            "projectMetadata",
            None,
            xml_element("title", text=site.name),
            xml_element("abstract", text="written by groundbreak"),
            xml_element("author", text="groundbreak"),
            xml_element("creation", text=stamp[1]),
        ),
        print_layouts(frame),
        _bookmarks_element(site, decision, frame),
        xml_element(
            "ProjectViewSettings",
            {"UseProjectScales": 0},
            xml_element("DefaultViewExtent", view.attributes(), reference_system(frame.epsg)),
        ),
        xml_element(
            "ProjectTimeSettings",
            {"timeStep": 1, "timeStepUnit": "mon", "frameRate": 1, "cumulativeTemporalRange": 0},
            xml_element("TemporalRange", None, xml_element("start", text=stamp[0]), xml_element("end", text=stamp[1])),
        ),
    )


def _initial_extent(site: Site) -> tuple[float, float, float, float]:
    """Extent at opening: the AOI with a margin; the margin of the grid is not monitored."""
    left, bottom, right, top = Geometry(site.aoi, "EPSG:4326").to_crs(str(site.grid.crs)).geom.bounds
    reach = VIEW_MARGIN * max(right - left, top - bottom)
    return left - reach, bottom - reach, right + reach, top + reach


def _strip_frame(frame: Frame, times: float) -> Frame:
    """A pixel wide about the middle of a frame, `times` its longer side high."""
    left, bottom, right, top = frame.extent
    x, y, half = (left + right) / 2, (bottom + top) / 2, times * max(right - left, top - bottom) / 2
    return replace(frame, extent=(x - PIXEL_M / 2, y - half, x + PIXEL_M / 2, y + half))


def _relations_element() -> Element:
    """The looks and the phases of each change."""
    return xml_element(
        "relations",
        None,
        _relation_element("looks", "Looks", "observations"),
        _relation_element(PHASES, "Phases", "phases"),
    )


def _relation_element(name: str, title: str, table: str) -> Element:
    ids = {
        "id": name,
        "name": title,
        "strength": "Association",
        "referencingLayer": layer_id(table),
        "referencedLayer": layer_id("changes"),
    }
    return xml_element(
        "relation", ids, xml_element("fieldRef", {"referencingField": "change_id", "referencedField": "change_id"})
    )


def _canvas_element(frame: Frame, name: str, theme: str | None = None) -> Element:
    return xml_element(
        "mapcanvas",
        {"name": name, "annotationsVisible": 1, **({"theme": theme} if theme else {})},
        xml_element("units", text="meters"),
        frame.element("extent"),
        xml_element("rotation", text=0),
        xml_element("destinationsrs", None, reference_system(frame.epsg)),
    )


def _dock_element() -> Element:
    view = {
        "name": BEFORE_VIEW,
        "synced": 1,
        "scaleSynced": 1,
        "scaleFactor": 1,
        "showCursor": 1,
        "showExtent": 0,
        "showLabels": 1,
        "zoomSelected": 0,
        "floating": 0,
        "area": 2,
        "x": 0,
        "y": 0,
        "width": DOCK_PX,
        "height": 600,
    }
    return xml_element("mapViewDocks", None, xml_element("view", view))


def _properties_element(stamp: Sequence[str]) -> Element:
    def property_(tag: str, kind: str, text: str | int) -> Element:
        return xml_element(tag, {"type": kind}, text=text)

    return xml_element(
        "properties",
        None,
        # without it the project's CRS is ignored
        xml_element("SpatialRefSys", None, property_("ProjectionsEnabled", "int", 1)),
        # without it QGIS 3.40 opens with every alert filtered away by time
        xml_element(
            "TemporalControllerWidget",
            None,
            property_("NavigationMode", "int", 0),
            property_("StartDateTime", "QString", stamp[0]),
            property_("EndDateTime", "QString", stamp[1]),
        ),
        xml_element("Paths", None, property_("Absolute", "bool", "false")),
        xml_element(
            "Measurement",
            None,
            property_("AreaUnits", "QString", "m2"),
            property_("DistanceUnits", "QString", "meters"),
        ),
        xml_element("groundbreak", None, property_("template", "QString", TEMPLATE)),
    )


def _bookmarks_element(site: Site, decision: Decision, frame: Frame) -> Element:
    """The site, then each change that stands with `CONTEXT_M` of ground around it, in the order of the table."""
    alerts = [alert for alert in decision.alerts if alert.status is not Status.WITHDRAWN]
    alerts.sort(key=lambda alert: (alert.kind is not Kind.NEW_STRUCTURE, -alert.confidence, alert.id))
    places = [("site", site.name, _initial_extent(site)), *map(_bookmark_of, alerts[:MAX_BOOKMARKS])]
    shape = "POLYGON(({0} {1}, {2} {1}, {2} {3}, {0} {3}, {0} {1}))"
    marks = [
        xml_element(
            "Bookmark",
            {"id": key, "name": name, "group": "groundbreak", "extent": shape.format(*extent)},
            reference_system(frame.epsg),
        )
        for key, name, extent in places
    ]
    return xml_element("Bookmarks", None, *marks)


def _bookmark_of(alert: Alert) -> tuple[str, str, tuple[float, float, float, float]]:
    """(id, name, extent) of a bookmark."""
    left, bottom, right, top = (float(edge) for edge in alert.outline.bounds)
    reach = CONTEXT_M / 2
    name = f"{alert.label or alert.id}: {alert.kind.value}, {alert.first_seen}"
    return alert.id, name, (left - reach, bottom - reach, right + reach, top + reach)
