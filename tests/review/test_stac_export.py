"""The STAC export as others read it: valid, credited, loaded by odc-stac, leading to the provider's items."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio

from pipeline.model.credit import LEGAL_NOTICE
from pipeline.review.export import export_site
from pipeline.review.folder import Folder
from tests.review import made
from tests.review.conftest import put

PROVIDERS_ITEM = "https://stac.example.org/collections/sentinel-2-l2a/items/S2B_52SCH_20230105_0_L2A"


@pytest.fixture
def catalog(folder: Path) -> pystac.Catalog:
    return pystac.Catalog.from_file(str(export_site(Folder(folder), "stac") / "catalog.json"))


def test_every_object_is_valid_and_every_collection_says_whose_data_it_is(catalog: pystac.Catalog) -> None:
    catalog.validate()
    collections = list(catalog.get_children())
    assert [each.id for each in collections] == ["made-place-changes", "made-place-scenes", "made-place-rasters"]
    for collection in collections:
        collection.validate()
        assert collection.license == "other" and collection.get_single_link("license").href == LEGAL_NOTICE
        roles = {role for provider in collection.providers for role in provider.roles}
        assert roles == {"producer", "licensor", "processor"} and "Copernicus" in collection.description
    items = list(catalog.get_items(recursive=True))
    assert len(items) == 2 + 15 + 3
    for item in items:
        # the schemas of extensions are on the network; the core schema is checked here
        item.stac_extensions = []
        item.validate()


def test_links_have_titles_and_collections_have_summaries(catalog: pystac.Catalog) -> None:
    objects = [catalog, *catalog.get_children(), *catalog.get_items(recursive=True)]
    links = [
        link for each in objects for link in each.links if link.rel in ("derived_from", "item", "child", "license")
    ]
    assert {link.rel for link in links} == {"derived_from", "item", "child", "license"}
    assert all(link.title for link in links)
    changes, scenes, rasters = (each.summaries.to_dict() for each in catalog.get_children())
    confidences = [
        item.properties["groundbreak:confidence"] for item in catalog.get_child("made-place-changes").get_items()
    ]
    assert changes["groundbreak:confidence"] == {"minimum": min(confidences), "maximum": max(confidences)}
    assert changes["groundbreak:kind"] == ["new structure"]
    assert "groundbreak:shift_row_px" in scenes and rasters["proj:code"] == [made.CRS]


def test_a_raster_item_describes_its_file(catalog: pystac.Catalog) -> None:
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    before = items["made-place-before"]
    path = before.assets["data"].get_absolute_href()
    with rasterio.open(path) as source:
        assert before.properties["proj:code"] == f"EPSG:{source.crs.to_epsg()}" == made.CRS
        assert before.properties["proj:shape"] == list(source.shape)
        assert before.properties["proj:transform"][:6] == list(source.transform)[:6]
        names = [text.split()[0] for text in source.descriptions]
    facts = json.loads(Path(before.self_href).read_text())["assets"]["data"]
    assert facts["href"] == "./made-place-before.tif"
    for form in ("bands", "eo:bands"):
        assert [band["name"] for band in facts[form]] == names
    assert {band["scale"] for band in facts["raster:bands"]} == {0.0001}
    assert {band["nodata"] for band in facts["bands"]} == {0}
    assert before.datetime is not None
    # one column of numbers for all items, as stac-geoparquet makes it
    score = items["made-place-score"].assets["data"].extra_fields
    assert "nodata" not in score["bands"][0] and "nodata" not in score["raster:bands"][0]
    (source_link,) = before.get_links("derived_from")
    assert source_link.get_absolute_href().endswith("scene-03.json")


def test_odc_stac_loads_the_rasters_by_their_common_names(catalog: pystac.Catalog, folder: Path) -> None:
    odc = pytest.importorskip("odc.stac")
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    loaded = odc.load([items["made-place-before"], items["made-place-after"]], bands=["red", "nir"])
    assert loaded.odc.crs.epsg == 32652 and loaded.sizes["time"] == 2
    with rasterio.open(folder / "before.tif") as source:
        np.testing.assert_array_equal(loaded.red[0], source.read(1))
    assert odc.load([items["made-place-score"]]).data.dtype == np.float32


def test_a_look_leads_to_the_item_that_it_was_made_of(tmp_path: Path) -> None:
    alerts, looks = [made.alert(1)], list(made.looks([made.alert(1).outline]))
    granule = replace(looks[0].scene.granules[0], href=PROVIDERS_ITEM)
    looks[0] = replace(looks[0], scene=replace(looks[0].scene, granules=(granule,)))
    put(tmp_path / "made-place", alerts, tuple(looks))
    catalog = pystac.Catalog.from_file(str(export_site(Folder(tmp_path / "made-place"), "stac") / "catalog.json"))
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    assert [link.href for link in items["scene-00"].get_links("derived_from")] == [PROVIDERS_ITEM]
    assert not items["scene-01"].get_links("derived_from")


def test_an_export_of_an_earlier_release_is_replaced(folder: Path) -> None:
    place = export_site(Folder(folder), "stac")
    catalog = json.loads((place / "catalog.json").read_text())
    catalog["links"] = [link for link in catalog["links"] if "rasters" not in link["href"]]
    (place / "catalog.json").write_text(json.dumps(catalog))
    assert (export_site(Folder(folder), "stac") / "made-place-rasters").is_dir()
