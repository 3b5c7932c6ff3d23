import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.catalogue.hrefs import AllowList
from pipeline.catalogue.items import parse_item
from pipeline.catalogue.product import Product
from pipeline.catalogue.providers import known_hosts
from pipeline.catalogue.static import ReadResult
from pipeline.model.bands import ANALYSIS, Band
from pipeline.model.errors import CatalogueError
from pipeline.model.imagery import Level

DATA = Path(__file__).parents[1] / "data"
SAME = "S2B_20240305T020641"
"""Most golden items are this one datatake, filed by different providers."""


def load(name: str) -> dict[str, Any]:
    (path,) = DATA.glob(f"{name}.json")
    return json.loads(path.read_text())


def parse(raw: dict[str, Any], folder: Path = DATA) -> Product:
    return parse_item(raw, AllowList(base=str(folder / "item.json"), folder=folder, hosts=known_hosts()))


@pytest.mark.parametrize(
    ("name", "provider", "claim", "certain", "scl_end", "red_end"),
    [
        ("earth_search_v1_l2a/S2B*20240305*", "earth-search-v1-l2a", 0, False, "SCL.tif", "B04.tif"),
        ("earth_search_v1_c1_l2a/*", "earth-search-v1-c1-l2a", 1000, True, "SCL.tif", "B04.tif"),
        ("earth_search_v1_l1c/*", "earth-search-v1-l1c", 1000, True, None, "B04.jp2"),
        ("earth_search_v0_l2a/S2B*20240305*", "earth-search-v0-l2a", 0, False, "SCL.tif", "B04.tif"),
        ("planetary_computer/*", "planetary-computer", 1000, True, "SCL_20m.tif", "B04_10m.tif"),
        ("cdse_l2a/*", "cdse-l2a", 1000, True, "SCL_20m.jp2", "R10m/T52SCH_20240305T020641_B04_10m.jp2"),
    ],
)  # fmt: skip
def test_one_acquisition_is_read_alike_from_every_provider(
    name: str, provider: str, claim: int, certain: bool, scl_end: str | None, red_end: str
) -> None:
    product = parse(load(name))
    granule = product.granule
    assert product.provider == provider and product.datatake == SAME
    assert (granule.declared_offset.dn, granule.declared_offset.certain) == (claim, certain)
    assert set(ANALYSIS) <= set(granule.assets) and granule.assets[Band.B04].endswith(red_end)
    assert (granule.scl is None) if scl_end is None else str(granule.scl).endswith(scl_end)
    assert granule.crs == "EPSG:32652" and granule.tile == "52SCH" and granule.baseline == "05.10"
    assert product.platform == "sentinel-2b" and product.relative_orbit == 103
    assert product.sun in (None, (50.0, 155.0))
    assert granule.generated is not None and granule.footprint.area > 0.5


@pytest.mark.parametrize(
    ("name", "claim", "words"),
    [
        ("earth_search_v1_l2a/S2A*20240310*", None, "is false"),
        ("earth_search_v1_l2a/*20200711*", 0, "baseline 02.14"),
        ("earth_search_v0_l2a/*20220212*", None, "missing at baseline unknown"),
        ("earth_search_v0_l2a/*20200706*", 0, "sensed before 2022-01-25"),
        ("stactools/*", 1000, "-0.1 stated"),
    ],
)
def test_the_offset_is_claimed_by_the_providers_habit_and_not_by_raster_bands(
    name: str, claim: int | None, words: str
) -> None:
    found = parse(load(name)).granule.declared_offset
    assert found.dn == claim and words in found.reason


def test_a_missing_flag_decides_nothing() -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    del raw["properties"]["earthsearch:boa_offset_applied"]
    assert parse(raw).granule.declared_offset.dn is None


def test_jp2_of_an_item_with_removed_offset_are_as_esa_made_them() -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    raw["assets"] = {key: asset for key, asset in raw["assets"].items() if key.endswith("-jp2")}
    product = parse(raw)
    assert product.granule.declared_offset.dn == 1000 and product.granule.assets[Band.B02].endswith(".jp2")
    raw["assets"] |= {"red": load("earth_search_v1_l2a/S2B*20240305*")["assets"]["red"]}
    assert parse(raw).granule.declared_offset.dn is None


def test_a_catalogue_that_contradicts_the_baseline_decides_nothing() -> None:
    raw = load("cdse_l2a/*")
    for asset in raw["assets"].values():
        asset |= {"raster:offset": 0} if "raster:offset" in asset else {}
    assert parse(raw).granule.declared_offset.dn is None


def test_a_jp2_under_the_key_of_a_cog_is_known_by_its_type() -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    raw["assets"]["red"] |= {"type": "image/jp2", "href": "s3://sentinel-s2-l2a/x/B04.jp2"}
    raw["assets"]["red-jp2"] |= {"type": "image/tiff; application=geotiff", "href": "s3://sentinel-cogs/x/B04.tif"}
    assert parse(raw).granule.assets[Band.B04] == "s3://sentinel-cogs/x/B04.tif"


def test_a_mirror_under_another_collection_is_known_by_the_bucket() -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*") | {"collection": "our-own-copy"}
    del raw["properties"]["earthsearch:boa_offset_applied"]
    product = parse(raw)
    assert product.provider == "earth-search-v1-l2a" and product.granule.declared_offset.dn is None


def test_a_statement_of_offset_0_counts_in_a_catalogue_of_ones_own() -> None:
    raw = load("stactools/*")
    for asset in raw["assets"].values():
        if "raster:bands" in asset:
            asset["raster:bands"][0]["offset"] = 0
    assert parse(raw).granule.declared_offset.dn == 0
    raw["assets"]["red"]["raster:offset"] = -0.1
    assert parse(raw).granule.declared_offset.dn is None
    del raw["assets"]["red"]["raster:offset"]
    raw["assets"]["red"]["raster:bands"][0].pop("offset")
    assert parse(raw).granule.declared_offset.dn is None


def test_coarser_copies_of_a_band_are_not_taken() -> None:
    product = parse(load("stactools/*"))
    assert product.granule.assets[Band.B04].endswith("B04_10m.jp2")
    assert product.granule.footprint.bounds == (-180, 66, 180, 66.8)


def test_a_footprint_wider_than_half_the_globe_is_cut_at_the_antimeridian() -> None:
    raw = load("stactools/*")
    ring = [[179.0, 66.0], [-179.2, 66.0], [-179.2, 66.8], [179.0, 66.8], [179.0, 66.0]]
    raw["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    assert parse(raw).granule.footprint.area == pytest.approx(1.8 * 0.8)


@pytest.mark.parametrize("key", ["proj:epsg", "proj:code", "proj:wkt2", "proj:projjson"])
def test_the_crs_is_found_wherever_a_version_puts_it(key: str) -> None:
    from pyproj import CRS

    raw = load("earth_search_v1_l2a/S2B*20240305*")
    del raw["properties"]["proj:epsg"]
    values = {"proj:epsg": 32652, "proj:code": "EPSG:32652", "proj:wkt2": CRS(32652).to_wkt(),
              "proj:projjson": CRS(32652).to_json_dict()}  # fmt: skip
    raw["properties"][key] = values[key]
    assert parse(raw).granule.crs == "EPSG:32652"
    raw["properties"] |= {"proj:code": "EPSG:None", key: values[key]} if key != "proj:code" else {}
    assert parse(raw).granule.crs == "EPSG:32652"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "../../etc/x"}, "no plain name"),
        ({"id": 7}, "no plain name"),
        ({"properties": None}, "properties is missing"),
        ({"assets": []}, "assets is list"),
        ({"assets": {}}, "no asset is a known band"),
        ({"geometry": None, "bbox": None}, "neither geometry nor bbox"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0]]]}}, "geometry"),
        ({"geometry": {"type": "Point", "coordinates": [127, 40]}}, "no area"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[3e5, 4e6], [4e5, 4e6], [4e5, 5e6], [3e5, 4e6]]]}}, "spans"),
    ],
)
def test_a_broken_item_is_told_by_its_field(change: dict[str, Any], words: str) -> None:
    with pytest.raises(CatalogueError, match=words):
        parse(load("earth_search_v1_l2a/S2B*20240305*") | change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"datetime": "yesterday"}, "datetime"),
        ({"datetime": None}, "datetime"),
        ({"datetime": "1970-01-01T00:00:00Z"}, "before the launch"),
        ({"proj:epsg": 99}, "CRS 'EPSG:99' is unknown"),
        ({"s2:product_type": "S2MSI1C"}, "L1C and L2A at once"),
    ],
)
def test_a_broken_property_is_told_by_its_name(change: dict[str, Any], words: str) -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    raw["properties"] |= change
    with pytest.raises(CatalogueError, match=words):
        parse(raw)


UNKNOWN: list[object] = [float("nan"), "n/a", "", None, [], {}, True, 1e308, "NaN", -1]


@pytest.mark.parametrize("value", UNKNOWN, ids=str)
def test_optional_metadata_that_are_nonsense_are_unknown_and_refuse_nothing(value: object) -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    raw["properties"] |= dict.fromkeys(
        ("eo:cloud_cover", "s2:nodata_pixel_percentage", "sat:relative_orbit", "s2:generation_time", "proj:epsg",
         "view:sun_azimuth", "view:sun_elevation", "s2:processing_baseline", "platform", "updated", "created"), value,
    )  # fmt: skip
    for asset in raw["assets"].values():
        asset |= {"gsd": value, "roles": value, "proj:shape": value, "bands": value}
    product = parse(raw)
    assert product.cloud_percent is None and product.nodata_percent is None
    assert product.relative_orbit in (None, 103)
    assert set(ANALYSIS) <= set(product.granule.assets)


@pytest.mark.parametrize("stated", ["N0510", "0510", "", "latest", [], 510.0])
def test_a_baseline_in_another_notation_is_read_or_taken_from_the_name(stated: object) -> None:
    raw = load("earth_search_v1_c1_l2a/*")
    raw["properties"]["s2:processing_baseline"] = stated
    assert parse(raw).granule.baseline == "05.10"
    raw["properties"]["s2:processing_baseline"] = "99.99"
    assert parse(raw).granule.baseline is None


@pytest.mark.parametrize("stated", [None, "", "now", "2024-03-05T24:00:00Z", "2024-03-05T02:13:60Z", 1709604780])
def test_a_time_that_cannot_be_read_is_taken_from_the_other_field(stated: object) -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    raw["properties"]["datetime"] = stated
    raw["properties"]["start_datetime"] = "2024-03-05T02:17:00Z"
    assert parse(raw).time == datetime(2024, 3, 5, 2, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value"), [("platform", "landsat-8"), ("platform", "Sentinel-1A"), ("constellation", "PlanetScope")]
)
def test_an_item_of_another_satellite_is_refused(field: str, value: str) -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    raw["properties"][field] = value
    with pytest.raises(CatalogueError, match="not Sentinel-2"):
        parse(raw)


def test_an_item_that_no_check_has_foreseen_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    far = raw | {"geometry": {"type": "Polygon", "coordinates": [[[10**400, 1], [2, 1], [2, 2], [10**400, 1]]]}}
    result, allowed = ReadResult(), AllowList(base=str(DATA / "item.json"), folder=DATA, hosts=known_hosts())
    for each in (far, raw):
        result.add(each, allowed)
    assert len(result.products) == len(result.errors) == 1 and "not that of GeoJSON" in result.errors[0].what
    monkeypatch.setattr("pipeline.catalogue.static.parse_item", lambda *_: {}["no such"])
    result.add(raw, allowed)
    assert "cannot be understood: KeyError" in result.errors[1].what and raw["id"] in result.errors[1].where


@pytest.mark.parametrize("extra", [[412.5, 3.0], [412.5]], ids=str)
def test_a_footprint_with_more_numbers_a_corner_is_flat(extra: list[float]) -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    flat = parse(raw).granule.footprint
    (ring,) = raw["geometry"]["coordinates"]
    raw["geometry"]["coordinates"] = [[[*ring[0], *extra], *ring[1:]], []]
    assert parse(raw).granule.footprint.equals(flat)


def test_optional_numbers_as_text_are_numbers() -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    raw["properties"] |= {"eo:cloud_cover": "12.5", "proj:epsg": "32652", "sat:relative_orbit": 103.0}
    product = parse(raw)
    assert product.cloud_percent == 12.5 and product.granule.crs == "EPSG:32652" and product.relative_orbit == 103


def test_a_footprint_with_heights_is_flat() -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    flat = parse(raw).granule.footprint
    (ring,) = raw["geometry"]["coordinates"]
    raw["geometry"]["coordinates"] = [[[*corner[:2], 412.5] for corner in ring]]
    assert parse(raw).granule.footprint == flat and not parse(raw).granule.footprint.has_z
    west, south, east, north = flat.bounds
    raw |= {"geometry": {"type": "Polygon", "coordinates": []}, "bbox": [west, south, 0.0, east, north, 900.0]}
    assert parse(raw).granule.footprint.bounds == flat.bounds


@pytest.mark.parametrize("id", ["urn:eop:S2B:52SCH", "S2B 52SCH (2)", "szene-é", "x" * 200, "a~b", "#7"])
def test_an_id_of_any_alphabet_is_read(id: str) -> None:
    assert parse(load("earth_search_v1_l2a/S2B*20240305*") | {"id": id}).granule.id == id


@pytest.mark.parametrize("id", ["a/b", "a\\b", "..", ".hidden", "a\nb", "a\x1b[2Jb", "x" * 201, "\u202eb"])
def test_an_id_with_parts_of_a_path_or_signs_that_do_not_print_is_refused(id: str) -> None:
    with pytest.raises(CatalogueError, match="no plain name"):
        parse(load("earth_search_v1_l2a/S2B*20240305*") | {"id": id})


@pytest.mark.parametrize(
    "names",
    [
        ("B2", "B3", "B4", "B8", "B8A", "B11", "B12"),
        ("b02", "b03", "b04", "b08", "b8a", "b11", "b12"),
        ("Band 2", "Band 3", "Band 4", "Band 8", "Band 8A", "Band 11", "Band 12"),
        ("T52SCH_B02_10m", "T52SCH_B03_10m", "T52SCH_B04_10m", "T52SCH_B08_10m", "x_B8A_20m", "x_B11_20m", "x_B12_20m"),
    ],
)
def test_bands_of_a_catalogue_of_ones_own_are_known_in_any_usual_spelling(names: tuple[str, ...]) -> None:
    raw = load("stactools/*")
    asset = {"type": "image/tiff", "raster:bands": [{"scale": 0.0001, "offset": 0}]}
    bands = [Band(name) for name in ("B02", "B03", "B04", "B08", "B8A", "B11", "B12")]
    raw["assets"] = {name: {**asset, "href": f"{band}.tif"} for name, band in zip(names, bands, strict=True)}
    raw["assets"] |= {"B04_60m": {**asset, "href": "coarse.tif"}, "visual": {**asset, "href": "picture.tif"}}
    found = parse(raw).granule.assets
    assert {band: Path(href).stem for band, href in found.items()} == {band: band.value for band in bands}


@pytest.mark.parametrize("scale", [0.001, 1, 0.00001, "0.001"])
@pytest.mark.parametrize("place", ["raster:bands", "no list", "second entry", "bands", "asset", "item"])
def test_another_scale_than_that_of_sentinel_2_is_refused_by_name(scale: object, place: str) -> None:
    raw = load("stactools/*")
    right = {"scale": 0.0001}
    changes: dict[str, dict[str, Any]] = {
        "raster:bands": {"raster:bands": [{"scale": scale}]},
        "no list": {"raster:bands": {"scale": scale}},
        "second entry": {"raster:bands": [right, {"scale": scale}]},
        "bands": {"bands": [{"raster:scale": scale}]},
    }
    target = raw["properties"] if place == "item" else raw["assets"]["red"]
    target |= changes.get(place, {"raster:scale": scale})
    with pytest.raises(CatalogueError, match=r"scale .* is stated"):
        parse(raw)


@pytest.mark.parametrize("href", ["day\\red.tif", ".\\day\\red.tif", "day%5Cred.tif", "./day/red%2Etif", "day/red.tif"])
def test_a_local_href_is_read_however_its_path_was_written(tmp_path: Path, href: str) -> None:
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "red.tif").write_bytes(b"")
    raw = load("stactools/*")
    raw["assets"]["red"]["href"] = href
    assert parse(raw, tmp_path).granule.assets[Band.B04] == str((tmp_path / "day" / "red.tif").resolve())


@pytest.mark.parametrize("href", ["C:\\data\\red.tif", "..\\..\\private\\red.tif", "%2e%2e/%2e%2e/private/red.tif"])
def test_no_spelling_of_a_path_leads_out(tmp_path: Path, href: str) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "red.tif").write_bytes(b"")
    (tmp_path / "a" / "b").mkdir(parents=True)
    raw = load("stactools/*")
    raw["assets"]["red"]["href"] = href
    with pytest.raises(CatalogueError, match=r"leads out|path of Windows"):
        parse(raw, tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("href", "words"),
    [
        ("file:///etc/passwd", "leads out"),
        ("/etc/passwd", "leads out"),
        ("../../../outside/B04.tif", "leads out"),
        ("file://server/share/B04.tif", "another machine"),
        ("/vsicurl/http://10.0.0.1/B04.tif", "no plain path"),
        ("zip+%2Fvsizip/x", "no plain path"),
        ("http://127.0.0.1/B04.tif", "this machine or its network"),
        ("http://169.254.169.254/latest/meta-data", "this machine or its network"),
        ("http://[::1]/B04.tif", "this machine or its network"),
        ("https://example.org/B04.tif", "no host of its catalogue"),
        ("https://sentinel-cogs.s3.us-west-2.amazonaws.com.example.org/B04.tif", "no host of its catalogue"),
        ("https://sentinel-cogs.s3.us-west-2.amazonaws.com@example.org/B04.tif", "no host of its catalogue"),
        ("http://[::1/B04.tif", "is no address"),
        ("https://sentinel-cogs.s3.us-west-2.amazonaws.com:[443/B04.tif", "is no address"),
        ("ftp://example.org/B04.tif", "uses ftp"),
        ("B04\n.tif", "no plain path"),
        ("", "href is"),
        (None, "href is"),
        (["B04.tif"], "href is"),
    ],
)
def test_an_href_that_leads_astray_is_refused(href: object, words: str) -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    raw["assets"]["red"]["href"] = href
    raw["assets"].pop("red-jp2")
    with pytest.raises(CatalogueError, match=words):
        parse(raw)


def test_an_absurd_size_is_refused() -> None:
    raw = load("earth_search_v1_l2a/S2B*20240305*")
    raw["assets"]["red"]["proj:shape"] = [10**9, 10**9]
    with pytest.raises(CatalogueError, match="proj:shape"):
        parse(raw)


def test_every_recorded_item_is_read(shared: Path) -> None:
    count = 0
    for path in sorted((shared / "stac_items").rglob("*.json")):
        document = json.loads(path.read_text())
        for raw in document.get("features", [document]):
            if "assets" in raw:
                product = parse(raw, path.parent)
                count += 1
                assert product.granule.crs and product.granule.tile and product.datatake and product.relative_orbit
                assert product.granule.declared_offset.dn is not None or raw["id"] == "S2B_31TCJ_20220823_0_L2A"
    assert count == 29


def test_the_recorded_acquisition_filed_four_times_is_one(shared: Path) -> None:
    products = [parse(json.loads(p.read_text()), p.parent) for p in (shared / "stac_items").rglob("*20EPT_2025*.json")]
    products += [
        parse(json.loads(path.read_text()), path.parent) for path in (shared / "stac_items").rglob("*T20EPT*.json")
    ]
    assert {product.datatake for product in products} == {"S2B_20250731T131909"}
    by_provider = {product.provider: product for product in products}
    assert {name: each.granule.declared_offset.dn for name, each in by_provider.items()} == {
        "earth-search-v0-l2a": 0, "earth-search-v1-l2a": 0, "earth-search-v1-c1-l2a": 1000, "earth-search-v1-l1c": 1000,
    }  # fmt: skip
    assert by_provider["earth-search-v1-l1c"].level is Level.L1C
    assert by_provider["earth-search-v1-l2a"].time == datetime(2025, 7, 31, 13, 19, 22, 930000, tzinfo=UTC)


def test_the_address_of_an_item_is_kept_without_a_signature() -> None:
    raw = load("earth_search_v1_l2a/S2B_52SCH_20240305_0_L2A")
    address = "https://stac.example.org/v1/collections/sentinel-2-l2a/items/S2B_52SCH_20240305_0_L2A"
    for query in ("", "?sig=secret"):
        raw["links"] = [{"rel": "root", "href": "https://stac.example.org"}, {"rel": "self", "href": address + query}]
        assert parse(raw).granule.href == address
    for links in ([{"rel": "self", "href": "./item.json"}], [{"rel": "self"}, 3], None):
        raw["links"] = links
        assert parse(raw).granule.href is None
