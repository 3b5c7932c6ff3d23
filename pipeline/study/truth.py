"""Truth of simulated construction, and its AOI file: both state that pixels are simulated."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from shapely.geometry import box, mapping
from shapely.geometry.base import BaseGeometry

from pipeline.study.events import EDGE_PX, PRESENT, Event


def write_truth(
    path: Path,
    crs: str,
    events: Sequence[Event],
    times: Callable[[Event], Sequence[datetime]],
    record: Mapping[str, Any],
) -> Path:
    """Write one feature per event that at least one look could show.

    crs: of the outlines. times: when an event's ground was looked at, in order. record: what was simulated.
    `begins` is the day of the first of them that shows it changed, `last_clear_without` that of the one before.
    """
    features = []
    for event in events:
        seen = [time for time in times(event) if time >= event.begins]
        if not seen or event.role == PRESENT:
            continue
        properties: dict[str, Any] = {
            "id": event.id, "role": event.role, "kind": event.kind, "size": event.size, "material": event.material,
            "begins": str(seen[0].date()), "area_m2": round(event.outline.area, 1), "simulated": True,
        }  # fmt: skip
        earlier = [time for time in times(event) if time < event.begins]
        if earlier:
            properties["last_clear_without"] = str(earlier[-1].date())
        if event.ends is not None:
            properties["ends"] = str(event.ends.date())
        features.append(
            {"type": "Feature", "properties": properties, "geometry": to_lonlat_geometry(event.outline, crs)}
        )
    write_json(path, {"type": "FeatureCollection", "groundbreak": {"simulated": True, **record}, "features": features})
    return path


def write_site(path: Path, id: str, name: str, aoi: Mapping[str, Any], note: str) -> Path:
    """An AOI file of one site (aoi: lon/lat geometry); its catalogue lies beside it."""
    properties = {"id": id, "name": name, "catalog": "catalog.json", "simulated": note}
    write_json(
        path,
        {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": properties, "geometry": aoi}]},
    )
    return path


def inner_area(grid: GeoBox, edge_px: int = EDGE_PX) -> Mapping[str, Any]:
    """A grid less its margin as a lon/lat geometry."""
    rows, cols = grid.shape
    (left, top), (right, bottom) = grid.affine @ (edge_px, edge_px), grid.affine @ (cols - edge_px, rows - edge_px)
    return to_lonlat_geometry(box(left, bottom, right, top), str(grid.crs))


def to_lonlat_geometry(shape: BaseGeometry, crs: str) -> Mapping[str, Any]:
    """A shape of a CRS as a lon/lat GeoJSON geometry, to the centimetre."""
    rounded: Mapping[str, Any] = _round_coordinates(mapping(Geometry(shape, crs).to_crs("EPSG:4326").geom))
    return rounded


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write indented JSON, whose differences are readable."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _round_coordinates(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 7)
    if isinstance(value, Mapping):
        return {key: _round_coordinates(part) for key, part in value.items()}
    return [_round_coordinates(part) for part in value] if isinstance(value, list | tuple) else value
