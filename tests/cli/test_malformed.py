"""Bad input of every kind seen in the wild: the right exit code, one clear line, no traceback, nothing harmed."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import mapping

from tests import world
from tests.cli.conftest import Command

Bad = Callable[[Path, Path], list[object]]
SQUARE = list(map(list, world.aoi().exterior.coords))


def geojson(*features: dict[str, Any], **top: Any) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features), **top})


def polygon(ring: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [ring]}


def aoi_text(text: str | bytes, name: str = "bad.geojson") -> Bad:
    def build(folder: Path, catalogue: Path) -> list[object]:
        data = text if isinstance(text, bytes) else text.encode()
        (folder / name).write_bytes(data)
        return ["detect", "--sites", folder / name, "--catalog", catalogue]

    return build


def arguments(*words: object) -> Bad:
    def build(folder: Path, catalogue: Path) -> list[object]:
        world.write_sites(folder / "sites.geojson", [world.feature(str(catalogue))])
        return ["detect", "--sites", folder / "sites.geojson", *words]

    return build


def settings(text: str) -> Bad:
    def build(folder: Path, catalogue: Path) -> list[object]:
        (folder / "groundbreak.toml").write_text(text)
        return arguments()(folder, catalogue)

    return build


def own(**properties: Any) -> Bad:
    def build(folder: Path, catalogue: Path) -> list[object]:
        world.write_sites(folder / "sites.geojson", [world.feature(str(catalogue), **properties)])
        return ["detect", "--sites", folder / "sites.geojson"]

    return build


def far_catalogue(folder: Path, catalogue: Path) -> list[object]:
    good, bad = world.feature(str(catalogue), id="good"), world.feature("x" * 300)
    return ["detect", "--sites", world.write_sites(folder / "sites.geojson", [good, bad])]


def harmed(change: Callable[[Path], None]) -> Bad:
    """A copy of the catalogue with something wrong in it."""

    def build(folder: Path, catalogue: Path) -> list[object]:
        copy = folder / "catalogue"
        shutil.copytree(catalogue.parent, copy)
        change(copy)
        world.write_sites(folder / "sites.geojson", [world.feature(str(copy / "catalog.json"))])
        return ["detect", "--sites", folder / "sites.geojson"]

    return build


def every_item(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def change(copy: Path) -> None:
        for path in copy.glob("place-*/*.json"):
            item = json.loads(path.read_text())
            edit(item)
            path.write_text(json.dumps(item))

    return change


def every_asset(write: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(copy: Path) -> None:
        for path in copy.glob("place-*/*.tif"):
            write(path)

    return change


def one_scene(copy: Path) -> None:
    document = json.loads((copy / "catalog.json").read_text())
    document["links"] = document["links"][:2]
    (copy / "catalog.json").write_text(json.dumps(document))


def filled(value: int) -> Callable[[Path], None]:
    import rasterio

    def write(path: Path) -> None:
        with rasterio.open(path) as old:
            profile, shape = old.profile, old.shape
        scl = path.stem == "scl"
        with rasterio.open(path, "w", **{**profile, "driver": "GTiff", "tiled": False}) as new:
            rng = np.random.default_rng(5)
            cloud = 9 if value else 0
            noise = rng.integers(-300, 300, shape) if value else np.zeros(shape, int)
            plane = np.full(shape, cloud) if scl else np.full(shape, value) + noise
            new.write(plane.astype(profile["dtype"]), 1)

    return every_asset(write)


def wrong_crs(path: Path) -> None:
    import rasterio

    with rasterio.open(path) as old:
        profile, data = old.profile, old.read(1)
    with rasterio.open(path, "w", **{**profile, "driver": "GTiff", "tiled": False, "crs": "EPSG:32735"}) as new:
        new.write(data, 1)


def kmz_bomb(folder: Path, catalogue: Path) -> list[object]:
    with zipfile.ZipFile(folder / "bomb.kmz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("doc.kml", b"<kml>" + b" " * 30_000_000 + b"</kml>")
    return ["detect", "--sites", folder / "bomb.kmz", "--catalog", catalogue]


def unwritable(folder: Path, catalogue: Path) -> list[object]:
    (folder / "taken").write_text("a file where the folder should be")
    return arguments("--out", folder / "taken")(folder, catalogue)


def foreign_review(folder: Path, catalogue: Path) -> list[object]:
    (folder / "out" / "place").mkdir(parents=True)
    (folder / "out" / "place" / "review.gpkg").write_text("not a GeoPackage at all" * 50)
    return arguments()(folder, catalogue)


ENTITY = '<?xml version="1.0"?><!DOCTYPE k [<!ENTITY a "aaaa">]><kml><Placemark><name>&a;</name></Placemark></kml>'
LINK = "<kml><Document><NetworkLink><Link><href>http://example.org/</href></Link></NetworkLink></Document></kml>"
POINT = "<kml><Placemark><name>p</name><Point><coordinates>21,45</coordinates></Point></Placemark></kml>"
BIG = [[20.0, 44.0], [22.0, 44.0], [22.0, 46.0], [20.0, 46.0], [20.0, 44.0]]
CASES: dict[str, tuple[Bad, int, str]] = {
    "no such AOI file": (arguments("--sites", "missing.geojson"), 3, "no such file"),
    "AOI is empty": (aoi_text(""), 2, "empty"),
    "AOI is not JSON": (aoi_text("{nope"), 2, "not JSON"),
    "AOI is JSON but a list": (aoi_text("[1, 2]"), 2, "not GeoJSON"),
    "AOI is not UTF-8": (aoi_text(b'{"type": "\xff\xfe"}'), 2, "UTF-8"),
    "AOI nested without end": (aoi_text("[" * 100_000), 2, "error"),
    "AOI has no features": (aoi_text(geojson()), 2, "no features"),
    "AOI without geometry": (aoi_text(geojson({"type": "Feature", "properties": {"id": "a"}, "geometry": None})), 2, "no geometry"),
    "AOI is a point": (aoi_text(geojson(world.feature(geometry={"type": "Point", "coordinates": [21, 45]}))), 2, "Point"),
    "AOI is a line": (aoi_text(geojson(world.feature(geometry={"type": "LineString", "coordinates": SQUARE}))), 2, "LineString"),
    "AOI with an empty polygon": (aoi_text(geojson(world.feature(geometry={"type": "Polygon", "coordinates": []}))), 2, "empty"),
    "AOI with a broken ring": (aoi_text(geojson(world.feature(geometry=polygon([[21, 45], [21.1]])))), 2, "geometry"),
    "AOI with text as coordinate": (aoi_text(geojson(world.feature(geometry=polygon([["a", "b"]] * 4)))), 2, "geometry"),
    "AOI with lat and lon swapped": (aoi_text(geojson(world.feature(geometry=polygon([[44, 127.0], [44.01, 127.0], [44.01, 127.01], [44, 127.0]])))), 2, "swap"),
    "AOI in metres without a CRS": (aoi_text(geojson(world.feature(geometry=polygon([[500000, 5e6], [501000, 5e6], [501000, 5001000.0], [500000, 5e6]])))), 2, "lon/lat"),
    "AOI with an unknown CRS": (aoi_text(geojson(world.feature(), crs={"type": "name", "properties": {"name": "EPSG:999999"}})), 2, "coordinate system"),
    "AOI at the pole": (aoi_text(geojson(world.feature(geometry=polygon([[0, 88], [1, 88], [1, 89], [0, 88]])))), 2, "UTM"),
    "AOI across the antimeridian": (aoi_text(geojson(world.feature(geometry=polygon([[-179.9, 10], [179.9, 10], [179.9, 10.1], [-179.9, 10]])))), 2, "antimeridian"),
    "AOI far too large": (aoi_text(geojson(world.feature(geometry=polygon(BIG)))), 2, "tile it"),
    "AOI below a pixel": (aoi_text(geojson(world.feature(geometry=polygon([[21, 45], [21.00001, 45], [21.00001, 45.00001], [21, 45]])))), 2, "less than one pixel"),
    "AOI id that is a path": (aoi_text(geojson(world.feature(id="../../etc"))), 2, "safe folder name"),
    "AOI without id and name": (aoi_text(geojson({"type": "Feature", "properties": {}, "geometry": mapping(world.aoi())})), 2, "neither id nor name"),
    "AOI with NaN": (aoi_text(geojson(world.feature()).replace("45.1", "NaN", 1)), 2, "error"),
    "AOI start after end": (own(start="2021-01-01", end="2020-01-01"), 2, "before it starts"),
    "AOI with a bad date": (own(start="soon"), 2, "no date"),
    "AOI with an unknown setting": (own(settings={"decide.min_histroy": 4}), 2, "did you mean"),
    "KML with entities": (aoi_text(ENTITY, "bad.kml"), 2, "entities"),
    "KML with a network link": (aoi_text(LINK, "bad.kml"), 2, "network link"),
    "KML with a point": (aoi_text(POINT, "bad.kml"), 2, "Point"),
    "KML cut in the middle": (aoi_text("<kml><Placemark>", "bad.kml"), 2, "not KML"),
    "KMZ bomb": (kmz_bomb, 2, "unpacks to"),
    "GPKG that is text": (aoi_text("hello", "bad.gpkg"), 2, "GeoPackage"),
    "unknown site": (arguments("plce"), 2, "did you mean place"),
    "unknown flag": (arguments("--catalogue", "x"), 2, "--help"),
    "no such catalogue": (arguments("--catalog", "nowhere"), 2, "no such catalogue"),
    "catalogue of too long a name": (arguments("--catalog", "x" * 300), 2, "File name too long"),
    "catalogue of too long a name at a site": (far_catalogue, 3, "File name too long"),
    "AOI file of too long a name": (arguments("--sites", "x" * 300), 3, "File name too long"),
    "start is no date": (arguments("--start", "yesterday"), 2, "not a date"),
    "dates the wrong way round": (arguments("--start", "2021-01-01", "--end", "2020-01-01"), 2, "swap"),
    "no scene in the period": (arguments("--start", "2001-01-01", "--end", "2001-02-01"), 3, "no scene found"),
    "workers is zero": (arguments("--workers", "0"), 2, "workers"),
    "scene that does not exist": (arguments("--scene", "nowhere.json"), 3, "nowhere.json"),
    "settings are not TOML": (settings("[decide"), 2, "not TOML"),
    "settings with a typo": (settings("[decide]\nmin_histroy = 3\n"), 2, "did you mean decide.min_history"),
    "settings of the wrong type": (settings("[decide]\nmin_history = 'many'\n"), 2, "decide.min_history"),
    "settings out of range": (settings("[correct]\nmin_clear_share = 7\n"), 2, "correct.min_clear_share"),
    "catalogue is not JSON": (harmed(lambda copy: (copy / "catalog.json").write_text("{")), 3, "error"),
    "catalogue without items": (harmed(lambda copy: (copy / "catalog.json").write_text('{"type": "Catalog", "id": "x", "stac_version": "1.0.0", "description": "", "links": []}')), 3, "no scene found"),
    "items are not JSON": (harmed(lambda copy: [p.write_text("{") for p in copy.glob("place-*/*.json")]), 3, "place-"),
    "items without assets": (harmed(every_item(lambda item: item.update(assets={}))), 3, "error"),
    "items without a datetime": (harmed(every_item(lambda item: item["properties"].pop("datetime"))), 3, "datetime"),
    "items elsewhere on Earth": (harmed(every_item(lambda item: item.update(geometry=polygon([[1, 1], [2, 1], [2, 2], [1, 1]]), bbox=[1, 1, 2, 2]))), 3, "error"),
    "assets are gone": (harmed(every_asset(Path.unlink)), 3, "error"),
    "assets are text": (harmed(every_asset(lambda path: path.write_text("not a raster"))), 3, "error"),
    "assets are cut": (harmed(every_asset(lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]))), 3, "error"),
    "assets are empty": (harmed(every_asset(lambda path: path.write_bytes(b""))), 3, "error"),
    "assets in a wrong CRS": (harmed(every_asset(wrong_crs)), 3, "error"),
    "all nodata": (harmed(filled(0)), 3, "error"),
    "all cloud": (harmed(filled(6000)), 3, "error"),
    "one scene only": (harmed(one_scene), 3, "1 usable look"),
    "an output folder that is a file": (unwritable, 2, "--out"),
    "a review file that is none": (foreign_review, 3, "review"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_answered_with_one_clear_line(
    name: str, command: Command, catalogue: Path, tmp_path: Path
) -> None:
    build, code, said = CASES[name]
    words = build(tmp_path, catalogue)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*.gpkg")}
    done = command(*words)
    assert done.code == code, done.err
    assert "Traceback" not in done.err + done.out
    assert done.errors, done.err
    assert said in done.err
    assert all(len(line) < 600 for line in done.errors)
    for path, data in kept.items():
        assert path.read_bytes() == data, "what was there before was touched"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_named(command: Command, sites: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    done = command("detect", "--sites", sites)
    assert done.code == 3
    assert "--out" in done.errors[-1]


def test_bad_features_do_not_take_the_good_one(command: Command, catalogue: Path, tmp_path: Path) -> None:
    good = world.feature(str(catalogue))
    bad = world.feature(id="bad id", name="x")
    sites = world.write_sites(tmp_path / "sites.geojson", [bad, good, good])
    done = command("detect", "--sites", sites)
    assert done.code == 3
    assert len(done.errors) == 2
    assert (tmp_path / "out" / "place" / "review.gpkg").exists()
