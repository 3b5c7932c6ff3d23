"""AOI files to sites: what is refused, and that every refusal names its file and feature."""

import json
import socket
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyogrio
import pytest
import shapely
from shapely.geometry import MultiPolygon, box, mapping

from pipeline.catalogue import sites as sites_module
from pipeline.catalogue.sites import SitesRead, read_sites
from pipeline.model.errors import SiteError
from pipeline.model.settings import Settings, override_settings
from pipeline.run.selection import site_job
from tests import world


def read(folder: Path, *features: dict[str, Any], **top: Any) -> SitesRead:
    path = folder / "s.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features), **top}))
    return read_sites([path])


def refused(found: SitesRead) -> str:
    """The one error, with its place checked."""
    assert not found.sites
    (error,) = found.errors
    assert "s.geojson" in error.where
    return str(error)


@pytest.mark.parametrize(("lon", "lat"), [(127.0, 40.0), (26.2, 45.0), (26.0, -45.0), (179.9, 0.1)])
def test_parts_that_lie_far_apart_make_no_grid(lon: float, lat: float, tmp_path: Path) -> None:
    parts = MultiPolygon([box(0, 45, 0.01, 45.01), box(lon, lat, lon + 0.01, lat + 0.01)])
    line = refused(read(tmp_path, world.feature(geometry=mapping(parts))))
    assert "feature 1, place" in line and "make its parts sites of their own" in line


def test_the_limit_of_a_grid_is_twice_that_of_an_aoi(tmp_path: Path) -> None:
    limits = override_settings(Settings(), {"search.max_area_km2": 10}, "test")
    file = world.write_sites(tmp_path / "s.geojson", [world.feature(geometry=mapping(box(21, 45, 21.035, 45.025)))])
    assert [site.id for site in read_sites([file], limits).sites] == ["place"]
    far = mapping(MultiPolygon([box(21, 45, 21.005, 45.005), box(21.05, 45.05, 21.055, 45.055)]))
    world.write_sites(file, [world.feature(geometry=far)])
    assert "above the limit of 20" in str(read_sites([file], limits).errors[0])


def test_holes_are_cut_out_of_their_shell_when_rings_are_repaired(tmp_path: Path) -> None:
    shell, edge = box(21, 45, 21.01, 45.01), box(21.005, 45, 21.02, 45.01)
    full = world.feature(geometry=_with_hole(shell, shell))
    assert "its rings leave no area" in refused(read(tmp_path, full))
    (half,) = read(tmp_path, world.feature(geometry=_with_hole(shell, edge))).sites
    assert half.aoi.area == pytest.approx(shell.area / 2)
    parts = MultiPolygon([shapely.Polygon(shell.exterior, [shell.exterior]), box(21.02, 45, 21.03, 45.01)])
    (one,) = read(tmp_path, world.feature(geometry=mapping(parts))).sites
    assert one.aoi.equals(box(21.02, 45, 21.03, 45.01))


CORNERS = [[21, 45], [21.01, 45], [21.01, 45.01], [21, 45.01], [21, 45]]


@pytest.mark.parametrize(
    "coordinates",
    [
        [[[*corner, 412.5, 3] for corner in CORNERS]],
        [[[*CORNERS[0], 412.5], *CORNERS[1:]]],
        [CORNERS, []],
    ],
    ids=["measures", "one height", "a hole without corners"],
)  # fmt: skip
def test_what_a_polygon_has_besides_its_corners_is_left_out(tmp_path: Path, coordinates: list[Any]) -> None:
    (site,) = read(tmp_path, world.feature(geometry={"type": "Polygon", "coordinates": coordinates})).sites
    assert site.aoi.equals(box(21, 45, 21.01, 45.01)) and not site.aoi.has_z


def test_a_collection_inside_a_collection_is_read(tmp_path: Path) -> None:
    inner = {"type": "GeometryCollection", "geometries": [mapping(box(21, 45, 21.01, 45.01))]}
    (site,) = read(tmp_path, world.feature(geometry={"type": "GeometryCollection", "geometries": [inner]})).sites
    assert site.aoi.equals(box(21, 45, 21.01, 45.01))


def test_a_value_that_no_check_has_foreseen_is_an_error_of_its_feature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = {"type": "Polygon", "coordinates": [[[10**400, 45], *CORNERS[1:]]]}
    found = read(tmp_path, world.feature(geometry=far, id="far"), world.feature(id="good"))
    assert [site.id for site in found.sites] == ["good"] and "feature 1" in found.errors[0].where
    grid = sites_module.site_grid
    monkeypatch.setattr(sites_module, "site_grid", lambda aoi: grid(aoi) if aoi.area < 1e-3 else [][1])
    found = read(tmp_path, world.feature(geometry=mapping(box(21, 45, 21.1, 45.1)), id="odd"), world.feature(id="good"))
    assert [site.id for site in found.sites] == ["good"]
    assert "cannot be understood: IndexError" in found.errors[0].what and "feature 1" in found.errors[0].where


def test_a_name_without_end_is_cut(tmp_path: Path) -> None:
    (site,) = read(tmp_path, world.feature(name="long " * 50_000)).sites
    assert len(site.name) == 200 and site.name.endswith("…")


def _with_hole(shell: shapely.Polygon, hole: shapely.Polygon) -> dict[str, Any]:
    return dict(mapping(shapely.Polygon(shell.exterior, [hole.exterior])))


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
    (error,) = read_sites([path]).errors
    assert "our yard" in error.what and error.where == str(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_kmz_that_is_damaged_inside_is_one_line(packing: int, tmp_path: Path) -> None:
    path = tmp_path / "s.kmz"
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("doc.kml", "<kml>" + "".join(map(str, range(3000))) + "</kml>")
    whole = path.read_bytes()
    for place in range(40, 1000, 7):
        path.write_bytes(whole[:place] + bytes(255 - byte for byte in whole[place : place + 40]) + whole[place + 40 :])
        (error,) = read_sites([path]).errors
        assert error.where == str(path) and "None" not in error.what


@pytest.mark.parametrize("south", [84.5, 83.99, -80.5, -85])
def test_a_place_beyond_utm_is_named_by_file_and_feature(south: float, tmp_path: Path) -> None:
    polar = world.feature(geometry=mapping(box(20, south, 20.1, south + 0.1)))
    found = read(tmp_path, world.feature(id="good"), polar)
    (error,) = found.errors
    assert "outside UTM" in error.what and error.where.endswith("s.geojson, feature 2, place")
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


RING = [(21.0, 45.0), (21.01, 45.0), (21.01, 45.01), (21.0, 45.01), (21.0, 45.0)]
L = box(21, 45, 21.01, 45.01).difference(box(21.005, 45.005, 21.02, 45.02))


def kml(coordinates: str, extra: str = "", inside: str = "") -> str:
    return f"""<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><name>place</name>{extra}<MultiGeometry>
<Polygon><outerBoundaryIs><LinearRing><coordinates>{coordinates}</coordinates></LinearRing></outerBoundaryIs></Polygon>
{inside}</MultiGeometry></Placemark></Document></kml>"""


SPELLINGS = {
    "by the standard": ("{},{},0", " "), "without heights": ("{},{}", " "), "line by line": ("{},{},0", "\n\t"),
    "blanks after commas": ("{}, {}, 0", " "), "blanks around commas": ("{} , {} , 0", "\n"),
    "commas between corners": ("{},{},0", ","), "commas and blanks": ("{}, {}, 0", ", "),
    "commas without heights": ("{},{}", ","), "a comma at the end": ("{},{},0", ", "),
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_corner_of_a_kml_is_kept_however_it_is_written(tmp_path: Path, spelling: str) -> None:
    form, between = SPELLINGS[spelling]
    corners = [(round(x, 6), round(y, 6)) for x, y in L.exterior.coords]
    text = between.join(form.format(x, y) for x, y in corners) + ("," if spelling == "a comma at the end" else "")
    (tmp_path / "s.kml").write_text(kml(text))
    (site,) = read_sites([tmp_path / "s.kml"]).sites
    assert site.aoi.symmetric_difference(L).area < 1e-12


@pytest.mark.parametrize(
    "text",
    ["21,45 21.01 45", "21 45 21.01 45 21.01 45.01", "21,45,21.01,45,21.01,45.01", "21,,45 21,45 22,45", "a,b c,d e,f",
     "nan,45 21,45 22,45", "", "21,45"],
)  # fmt: skip
def test_corners_that_cannot_be_told_apart_are_refused_and_none_is_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.kml").write_text(kml(text))
    found = read_sites([tmp_path / "s.kml"])
    assert not found.sites and "placemark 1" in str(found.errors[0])


def test_what_lies_beside_a_polygon_in_a_kml_is_named(tmp_path: Path) -> None:
    ring = " ".join(f"{x},{y}" for x, y in RING)
    pin = "<Point><coordinates>21,45</coordinates></Point>"
    (tmp_path / "s.kml").write_text(kml(ring, inside=pin))
    found = read_sites([tmp_path / "s.kml"])
    assert len(found.sites) == 1 and any("Point beside its polygon left out" in note for note in found.notes)
    twice = kml(ring).replace(
        "</LinearRing>", f"</LinearRing><LinearRing><coordinates>{ring}</coordinates></LinearRing>"
    )
    (tmp_path / "s.kml").write_text(twice)
    assert "2 outer rings" in str(read_sites([tmp_path / "s.kml"]).errors[0])


def test_a_kmz_packed_on_a_mac_is_read_and_so_is_every_kml_in_it(tmp_path: Path) -> None:
    ring = " ".join(f"{x},{y}" for x, y in RING)
    with zipfile.ZipFile(tmp_path / "s.kmz", "w") as archive:
        for name in ("__MACOSX/._doc.kml", "._doc.kml", ".DS_Store", "layers/.#more.kml"):
            archive.writestr(name, b"\x00\x05\x16\x07 no KML at all")
        archive.writestr("doc.kml", kml(ring))
        archive.writestr("layers/more.kml", kml(ring).replace("place", "more"))
    found = read_sites([tmp_path / "s.kmz"])
    assert not found.errors and [site.id for site in found.sites] == ["place", "more"]


@pytest.mark.parametrize("given", [7, 7.0, "7", "7.0"])
@pytest.mark.parametrize("kind", ["geojson", "geojson member", "kml"])
def test_a_whole_number_is_an_id(tmp_path: Path, given: object, kind: str) -> None:
    ring = " ".join(f"{x},{y}" for x, y in RING)
    feature = world.feature(geometry=mapping(box(21, 45, 21.01, 45.01)))
    feature["properties"].pop("id")
    if kind == "kml":
        data = f'<ExtendedData><Data name="ID"><value>{given}</value></Data></ExtendedData>'
        (tmp_path / "s.kml").write_text(kml(ring, data))
        found = read_sites([tmp_path / "s.kml"])
    elif kind == "geojson":
        feature["properties"]["Id"] = given
        found = read(tmp_path, feature)
    else:
        found = read(tmp_path, feature | {"id": given})
    assert [site.id for site in found.sites] == ["7"], found.errors


@pytest.mark.parametrize(
    "crs",
    ["EPSG:32634", "urn:ogc:def:crs:EPSG::32634", {"type": "EPSG", "properties": {"code": 32634}},
     {"type": "EPSG", "properties": {"code": "EPSG:32634"}}, {"type": "name", "properties": {"name": "EPSG:32634"}}],
    ids=str,
)  # fmt: skip
def test_a_coordinate_system_is_understood_in_every_form(tmp_path: Path, crs: object) -> None:
    plane = [[[500000, 4983000], [501000, 4983000], [501000, 4984000], [500000, 4984000], [500000, 4983000]]]
    found = read(tmp_path, world.feature(geometry={"type": "Polygon", "coordinates": plane}), crs=crs)
    assert found.sites[0].aoi.bounds == pytest.approx((21.0, 45.0, 21.0127, 45.009), abs=2e-3)
    assert any("converted" in note for note in found.notes)


def test_polygons_of_a_collection_are_kept_and_the_rest_is_named(tmp_path: Path) -> None:
    parts = [mapping(box(21, 45, 21.01, 45.01)), {"type": "Point", "coordinates": [21, 45]}]
    found = read(tmp_path, world.feature(geometry={"type": "GeometryCollection", "geometries": parts}))
    assert found.sites[0].aoi.area == pytest.approx(1e-4) and any("Point beside" in note for note in found.notes)


HIDDEN = ("._s.geojson", ".#s.geojson", ".s.geojson.swp.json", "~s.geojson", "#s.geojson#", "s.geojson~", ".DS_Store")


def test_what_editors_and_systems_leave_in_a_folder_is_not_read(tmp_path: Path) -> None:
    world.write_sites(tmp_path / "s.geojson", [world.feature()])
    for name in HIDDEN:
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / ".#link.geojson").symlink_to("user@host.1234:5678")
    found = read_sites([tmp_path])
    assert not found.errors and len(found.sites) == 1


@pytest.mark.parametrize("key", ["search.asset_hosts", "search.catalog", "search.asset_folders", "search.max_area_km2"])
def test_an_aoi_file_does_not_set_what_is_trusted(tmp_path: Path, key: str) -> None:
    value = 9e9 if key.endswith("km2") else ["169.254.169.254"]
    assert f"{key} cannot be set in an AOI file" in refused(read(tmp_path, world.feature(settings={key: value})))


INSIDE = [
    "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
    "http://0/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest",
    "http://10.0.0.8/stac", "http://localhost:80/", "http://me.localhost/", "http://localhost./",
    "http://db.internal/", "http://[fe80::1%25eth0]/", "http://100.64.0.1/", "http://[::]/",
    "http://user@127.0.0.1/", "http://127\u30020\u30020\u30021/", "http://\u2460\u2461\u2466.0.0.1/",
    "http://localhost\u3002/", "http://\uff4cocalhost/",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_a_catalogue_inside_the_network_is_not_asked_on_the_word_of_an_aoi_file(tmp_path: Path, address: str) -> None:
    assert "on this machine or its network" in refused(read(tmp_path, world.feature(address)))
    trusting = override_settings(Settings(), {"search.asset_hosts": (urlsplit(address).hostname,)}, "test")
    assert read_sites([tmp_path / "s.geojson"], trusting).sites


def test_a_name_that_leads_inside_the_network_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    (site,) = read(tmp_path, world.feature("https://inside.example.org/")).sites
    with pytest.raises(SiteError, match="on this machine or its network"):
        site_job(site, Settings(), catalog=None, start=None, end=None)
    with pytest.raises(SiteError):
        site_job(site, Settings(), catalog=site.catalog, start=None, end=None)
    trusting = override_settings(Settings(), {"search.catalog": "https://inside.example.org/v1"}, "test")
    assert site_job(site, trusting, catalog=None, start=None, end=None).source == site.catalog


@pytest.mark.parametrize("catalog", ["s3://bucket/x", "ftp://example.org/x", "file://server/x"])
def test_a_catalogue_that_is_not_read_is_told_with_the_feature(tmp_path: Path, catalog: str) -> None:
    assert "feature 1" in refused(read(tmp_path, world.feature(catalog)))


@pytest.mark.parametrize("name", ["con", "nul", "aux", "prn", "com1", "lpt9"])
def test_the_name_of_a_device_is_no_folder_name(tmp_path: Path, name: str) -> None:
    """Windows has no folder of that name, and results move from machine to machine."""
    assert f"write it as {name}-site" in refused(read(tmp_path, world.feature(id=name)))
    (site,) = read(tmp_path, world.feature(id=None, name=name.upper())).sites
    assert site.id == f"{name}-site"


@pytest.mark.parametrize("edges", [(179.99, 180.01), (-180.01, -179.99), (190.0, 190.02)])
def test_a_longitude_beyond_180_degrees_is_named_with_its_fix(tmp_path: Path, edges: tuple[float, float]) -> None:
    text = refused(read(tmp_path, world.feature(geometry=mapping(box(edges[0], 10, edges[1], 10.02)))))
    assert "beyond 180 degrees" in text and "-170" in text


@pytest.mark.parametrize(
    "geometry", ["POLYGON ((0 0, 1 1, 1 0, 0 0))", {}, {"rings": [[[1, 1]]]}, {"type": "Polygon"}, [1, 2], 7]
)
def test_a_geometry_of_another_notation_is_named_without_words_of_python(tmp_path: Path, geometry: object) -> None:
    found = read(tmp_path, {"type": "Feature", "properties": {"id": "x"}, "geometry": geometry})
    assert "geometry cannot be read: it is not that of GeoJSON" in refused(found)


@pytest.mark.parametrize("name", ["s.shp", "s.zip", "s.fgb", "s.parquet", "places", "s.geojson"])
def test_a_file_of_another_format_is_named_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"fgb\3\0\0\1\0" + bytes(range(256)))
    (error,) = read_sites([tmp_path / name]).errors
    assert "neither GeoJSON, GPKG nor KML" in str(error) and name in error.where


def test_files_of_other_formats_beside_aoi_files_are_named(tmp_path: Path) -> None:
    world.write_sites(tmp_path / "s.geojson", [world.feature()])
    for name in ("places.shp", "places.dbf", "more.zip", "README.md"):
        (tmp_path / name).write_bytes(b"x")
    found = read_sites([tmp_path])
    assert len(found.sites) == 1 and not found.errors
    assert [note.partition(": ")[0] for note in found.notes] == [str(tmp_path / n) for n in ("more.zip", "places.shp")]


@pytest.mark.parametrize("name", ["s.kml", "s.json", "s.geojson"])
def test_a_format_is_known_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / "packed").mkdir()
    text = (
        "<kml><Placemark><name>A</name><Polygon><outerBoundaryIs><LinearRing><coordinates>21,45 21.01,45 21.01,45.01 "
    )
    text += "21,45</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></kml>"
    with zipfile.ZipFile(tmp_path / "packed" / name, "w") as archive:
        archive.writestr("doc.kml", text)
    shapes = shapely.to_wkb(np.array([world.aoi()]))
    names = [np.array(["place"], object)]
    pyogrio.raw.write(tmp_path / "s.gpkg", shapes, names, ["id"], geometry_type="Polygon", crs="EPSG:4326")
    (tmp_path / "s.gpkg").rename(tmp_path / name)
    assert [site.id for site in read_sites([tmp_path / "packed" / name, tmp_path / name]).sites] == ["a", "place"]
