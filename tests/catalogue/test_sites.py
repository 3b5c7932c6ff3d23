"""AOI files to sites: what is refused, and that every refusal names its file and feature."""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
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


LOCAL = 'LOCAL_CS["our yard",UNIT["metre",1]]'


@pytest.mark.parametrize(
    "crs",
    [
        *({"type": "name", "properties": wrong} for wrong in (None, [], "EPSG:32634", {"name": None}, {"name": [1]})),
        *({"type": "name", "properties": {"name": name}} for name in (LOCAL, "IAU_2015:30100", "{x", "\ud800", "")),
        [], ["EPSG:32634"], 32634, "our yard", {}, {"type": "EPSG", "properties": {"code": "yard"}},
    ],
)  # fmt: skip
def test_a_coordinate_system_that_is_none_is_one_line(crs: object, tmp_path: Path) -> None:
    assert "unknown coordinate system" in refused(read(tmp_path, world.feature(), crs=crs))


def test_a_geopackage_in_a_plan_of_its_own_is_one_line(tmp_path: Path) -> None:
    path, shapes = tmp_path / "s.gpkg", shapely.to_wkb(np.array([box(0, 0, 100, 100)]))
    pyogrio.raw.write(path, shapes, [np.array(["a"], object)], ["id"], geometry_type="Polygon", crs=LOCAL)
    (fault,) = read_sites([path]).faults
    assert "our yard" in fault.what and fault.where == str(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_kmz_that_is_damaged_inside_is_one_line(packing: int, tmp_path: Path) -> None:
    path = tmp_path / "s.kmz"
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("doc.kml", "<kml>" + "".join(map(str, range(3000))) + "</kml>")
    whole = path.read_bytes()
    for place in range(40, 1000, 7):
        path.write_bytes(whole[:place] + bytes(255 - byte for byte in whole[place : place + 40]) + whole[place + 40 :])
        (fault,) = read_sites([path]).faults
        assert fault.where == str(path) and "None" not in fault.what


@pytest.mark.parametrize("south", [84.5, 83.99, -80.5, -85])
def test_a_place_beyond_utm_is_named_by_file_and_feature(south: float, tmp_path: Path) -> None:
    polar = world.feature(geometry=mapping(box(20, south, 20.1, south + 0.1)))
    found = read(tmp_path, world.feature(id="good"), polar)
    (fault,) = found.faults
    assert "outside UTM" in fault.what and fault.where.endswith("s.geojson, feature 2, place")
    assert [site.id for site in found.sites] == ["good"]


def test_the_day_that_ends_a_site_is_meant_whole(tmp_path: Path) -> None:
    (site,) = read(tmp_path, world.feature(start="2024-03-27", end="2024-03-27")).sites
    assert site.start == datetime(2024, 3, 27, tzinfo=UTC)
    assert site.end == datetime(2024, 3, 27, 23, 59, 59, 999999, tzinfo=UTC)
    (site,) = read(tmp_path, world.feature(end="2024-03-27T00:00")).sites
    assert site.end == datetime(2024, 3, 27, tzinfo=UTC)


def test_a_site_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    assert "before it starts" in refused(read(tmp_path, world.feature(start="2024-03-28", end="2024-03-27")))


@pytest.mark.parametrize("text", ["soon", "9999-12-31T23:00-05:00", 7, "2024-02-30", [], True])
def test_a_date_that_is_none_is_one_line(text: object, tmp_path: Path) -> None:
    assert "is no date" in refused(read(tmp_path, world.feature(end=text)))
