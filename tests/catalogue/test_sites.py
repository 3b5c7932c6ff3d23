"""AOI files to sites: what is refused, and that every refusal names its file and feature."""

import json
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import MultiPolygon, box, mapping

from pipeline.catalogue.sites import SitesRead, read_sites
from pipeline.model.settings import Settings, override
from tests import world


def read(folder: Path, *features: dict[str, Any], **top: Any) -> SitesRead:
    path = folder / "s.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features), **top}))
    return read_sites([path])


def refused(found: SitesRead) -> str:
    """The one fault, with its place checked."""
    assert not found.sites
    (fault,) = found.faults
    assert "s.geojson" in fault.where
    return str(fault)


@pytest.mark.parametrize(("lon", "lat"), [(127.0, 40.0), (26.2, 45.0), (26.0, -45.0), (179.9, 0.1)])
def test_parts_that_lie_far_apart_make_no_grid(lon: float, lat: float, tmp_path: Path) -> None:
    parts = MultiPolygon([box(0, 45, 0.01, 45.01), box(lon, lat, lon + 0.01, lat + 0.01)])
    line = refused(read(tmp_path, world.feature(geometry=mapping(parts))))
    assert "feature 1, place" in line and "make its parts sites of their own" in line


def test_the_limit_of_a_grid_is_twice_that_of_an_aoi(tmp_path: Path) -> None:
    limits = override(Settings(), {"search.max_area_km2": 10}, "test")
    file = world.write_sites(tmp_path / "s.geojson", [world.feature(geometry=mapping(box(21, 45, 21.035, 45.025)))])
    assert [site.id for site in read_sites([file], limits).sites] == ["place"]
    far = mapping(MultiPolygon([box(21, 45, 21.005, 45.005), box(21.05, 45.05, 21.055, 45.055)]))
    world.write_sites(file, [world.feature(geometry=far)])
    assert "above the limit of 20" in str(read_sites([file], limits).faults[0])
