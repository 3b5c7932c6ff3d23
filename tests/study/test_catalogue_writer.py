from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import rasterio
from odc.geo.geobox import GeoBox

from pipeline.study.catalogue_writer import relink_asset, write_catalogue, write_item

GRID = GeoBox.from_bbox((500000, 4400000, 501000, 4400600), crs="EPSG:32652", resolution=10, tight=True)
TIME = datetime(2024, 3, 5, 2, 6, 41, tzinfo=UTC)


def write(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    red = rng.integers(1, 5000, GRID.shape, dtype="uint16")
    scl = rng.integers(0, 11, GRID.shape, dtype="uint8")
    properties = {"s2:processing_baseline": "05.10"}
    item = write_item(folder, "one", TIME, {"red": (red, GRID), "scl": (scl, GRID)}, properties, offset=-0.1)
    write_catalogue(folder, "place", "A place", "Made for a test.", [item])
    return item


def test_a_catalogue_opens_with_pystac_and_its_pixels_come_back(tmp_path: Path) -> None:
    write(tmp_path)
    (item,) = pystac.Catalog.from_file(str(tmp_path / "catalog.json")).get_items()
    assert item.datetime == TIME
    assert item.assets["red"].extra_fields["raster:bands"][0]["offset"] == -0.1
    with rasterio.open(item.assets["red"].get_absolute_href()) as source:
        assert source.crs == "EPSG:32652" and source.transform == GRID.affine
        expected = np.random.default_rng(1).integers(1, 5000, GRID.shape, dtype="uint16")
        np.testing.assert_array_equal(source.read(1), expected)
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name)
    first = {p.relative_to(tmp_path / "a"): p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    second = {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*") if p.is_file()}
    assert first == second and len(first) == 4


def test_an_asset_of_another_catalogue_can_be_pointed_at(tmp_path: Path) -> None:
    item = write(tmp_path / "archive")
    ready = pystac.Item.from_file(str(item)).assets["red"].to_dict()
    ready["href"] = "./red.tif"
    other = tmp_path / "other"
    pixels = (np.zeros(GRID.shape, "uint8"), GRID)
    write_item(other, "two", TIME, {"red": relink_asset(ready, item, other / "two"), "scl": pixels}, {})
    linked = pystac.Item.from_file(str(other / "two" / "two.json")).assets["red"]
    assert linked.href.startswith("../../archive/one/") or "archive/one/red.tif" in linked.get_absolute_href()
    with rasterio.open(other / "two" / linked.href) as source:
        assert source.shape == tuple(GRID.shape)
