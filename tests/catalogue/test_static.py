import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import shapely
from shapely.geometry import box, shape

from pipeline.catalogue.scenes import FoundScenes, read_named_scenes, search_scenes
from pipeline.catalogue.static import read_static
from pipeline.model.errors import CatalogueError
from pipeline.model.grid import site_grid
from pipeline.model.imagery import Reason
from pipeline.model.settings import Settings, override_settings
from pipeline.model.site import Site
from pipeline.study.catalogue_writer import write_catalogue, write_item
from tests.peer.range_server import serve
from tests.world import GRID10

END = datetime(2030, 1, 1, tzinfo=UTC)


def site() -> Site:
    outline = GRID10.extent.to_crs("EPSG:4326").geom.buffer(-0.002)
    aoi = box(*outline.bounds)
    return Site(id="here", name="Here", aoi=aoi, grid=site_grid(aoi))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A catalogue of three dates."""
    folder = tmp_path / "archive"
    red = np.full(GRID10.shape, 500, np.uint16)
    items = [
        write_item(folder, f"day-{day}", datetime(2024, 3, day, 2, tzinfo=UTC), {"red": (red, GRID10)}, {})
        for day in (1, 6, 11)
    ]
    write_catalogue(folder, "archive", "Archive", "Made for a test.", items)
    return folder


def search(source: Path | str, collection: str | None = None, **window: datetime) -> FoundScenes:
    start, until = window.get("start"), window.get("until", END)
    return search_scenes(site(), str(source), collection, start, until, Settings())


def ids(found: FoundScenes) -> list[str]:
    return [scene.id for scene in found.scenes]


def edit(archive: Path, day: int, change: Any) -> None:
    path = archive / f"day-{day}" / f"day-{day}.json"
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


ALL = ["day-1", "day-6", "day-11"]


def test_a_catalogue_a_folder_of_items_a_collection_and_lines_give_the_same_scenes(
    archive: Path, tmp_path: Path
) -> None:
    wanted = search(archive)
    assert ids(wanted) == ALL and wanted.errors == ()
    assert search(archive / "catalog.json") == wanted
    (archive / "catalog.json").unlink()
    assert search(archive) == wanted
    features = [json.loads(path.read_text()) for path in sorted(archive.glob("*/*.json"), reverse=True)]
    for feature in features:
        feature["assets"]["red"]["href"] = f"{feature['id']}/red.tif"
    (archive / "all.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert search(archive / "all.geojson") == wanted
    (archive / "all.ndjson").write_text("\n".join(json.dumps(feature) for feature in features) + "\n\n")
    assert search(archive / "all.ndjson") == wanted


def test_lines_end_at_newlines_and_nowhere_else(archive: Path) -> None:
    features = [json.loads(path.read_text()) for path in sorted(archive.glob("*/*.json"))]
    for feature in features:
        feature["assets"]["red"]["href"] = f"{feature['id']}/red.tif"
        feature["properties"]["title"] = "one\u2028two\u2029three\x85four"
    lines = [json.dumps(feature, ensure_ascii=False) for feature in features]
    (archive / "all.ndjson").write_text("\r\n".join(lines), encoding="utf-8", newline="")
    found = search(archive / "all.ndjson")
    assert ids(found) == ALL and found.errors == ()


def test_a_bad_line_does_not_affect_the_others(archive: Path) -> None:
    features = [json.loads(path.read_text()) for path in sorted(archive.glob("*/*.json"))]
    for feature in features:
        feature["assets"]["red"]["href"] = f"{feature['id']}/red.tif"
    lines = [json.dumps(feature) for feature in features]
    (archive / "all.NDJSON").write_text("\n".join(["{", lines[0], "[1]", *lines[1:], "torn"]))
    found = search(archive / "all.NDJSON")
    assert ids(found) == ALL
    assert [error.where.rpartition(", ")[2] for error in found.errors] == ["line 3", "line 1", "line 6"]


def test_the_case_of_a_link_relation_says_nothing(archive: Path) -> None:
    path = archive / "catalog.json"
    raw = json.loads(path.read_text())
    for link in raw["links"]:
        link["rel"] = link["rel"].title()
    path.write_text(json.dumps(raw))
    assert ids(search(archive)) == ALL


def test_only_the_period_asked_for_is_given(archive: Path) -> None:
    assert ids(search(archive, start=datetime(2024, 3, 2, tzinfo=UTC))) == ALL[1:]
    assert ids(search(archive, until=datetime(2024, 3, 6, tzinfo=UTC))) == ALL[:1]


def test_items_of_another_collection_are_left_alone(archive: Path) -> None:
    edit(archive, 6, lambda raw: raw.update(collection="theirs"))
    edit(archive, 11, lambda raw: raw.update(collection="ours"))
    assert ids(search(archive, collection="ours")) == ["day-11"]
    assert ids(search(archive, collection="nobody's")) == ["day-1"]


def test_links_in_a_circle_and_items_linked_twice_change_nothing(archive: Path) -> None:
    wanted = search(archive)
    path = archive / "catalog.json"
    catalogue = json.loads(path.read_text())
    catalogue["links"] += [{"rel": "child", "href": "./catalog.json"}, *catalogue["links"][::-1]]
    path.write_text(json.dumps(catalogue))
    assert search(archive) == wanted


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.pop("geometry") and raw.pop("bbox"), "neither geometry nor bbox"),
        (lambda raw: raw.update(id="../day-6"), "no plain name"),
        (lambda raw: raw["assets"]["red"].update(href="file:///etc/hosts"), "item day-6, asset red"),
        (lambda raw: raw["properties"].update(datetime=5), "datetime is '5'"),
        (lambda raw: raw.update(type="Nothing"), "no STAC document"),
    ],
)
def test_one_bad_item_is_one_line_and_takes_no_other_with_it(archive: Path, change: Any, words: str) -> None:
    edit(archive, 6, change)
    found = search(archive)
    assert ids(found) == ["day-1", "day-11"]
    (error,) = found.errors
    assert words in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00\x01", '{"type": "Feature"', "[" * 100_000])
def test_a_document_that_is_no_json_object_is_one_line(archive: Path, text: str) -> None:
    (archive / "day-6" / "day-6.json").write_text(text)
    found = search(archive)
    assert ids(found) == ["day-1", "day-11"] and len(found.errors) == 1
    with pytest.raises(CatalogueError, match="day-6"):
        search(archive / "day-6" / "day-6.json")


def test_a_missing_item_file_is_one_line(archive: Path) -> None:
    shutil.rmtree(archive / "day-6")
    assert ids(search(archive)) == ["day-1", "day-11"]


@pytest.mark.parametrize("href", ["../../secret/item.json", "/etc/item.json", "https://example.org/item.json", 7])
def test_a_link_out_of_the_folder_is_not_followed(archive: Path, href: object) -> None:
    path = archive / "catalog.json"
    catalogue = json.loads(path.read_text())
    catalogue["links"].append({"rel": "item", "href": href})
    path.write_text(json.dumps(catalogue))
    found = search(archive)
    assert ids(found) == ALL and len(found.errors) == 1


def test_a_symbolic_link_out_of_the_folder_is_not_followed(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "private.tif").write_bytes((archive / "day-6" / "red.tif").read_bytes())
    (archive / "day-6" / "red.tif").unlink()
    (archive / "day-6" / "red.tif").symlink_to(tmp_path / "private.tif")
    found = search(archive)
    assert ids(found) == ["day-1", "day-11"] and "leads out" in str(found.errors[0])


def test_pixels_may_be_shared_with_a_catalogue_beside_and_with_nothing_else(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(archive, other)
    edit(archive, 6, lambda raw: raw["assets"]["red"].update(href="../../other/day-6/red.tif"))
    assert ids(search(archive)) == ALL
    (other / "catalog.json").unlink()
    assert ids(search(archive)) == ["day-1", "day-11"]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no STAC document"):
        search(tmp_path)


def test_whole_tile_cloud_above_the_limit_is_a_rejection_with_both_numbers(archive: Path) -> None:
    edit(archive, 6, lambda raw: raw["properties"].update({"eo:cloud_cover": 99.5}))
    found = search(archive)
    assert ids(found) == ["day-1", "day-11"]
    (rejection,) = found.rejections
    assert (rejection.reason, rejection.value, rejection.limit) == (Reason.CLOUD, 99.5, 95.0)


def test_a_trusted_host_may_be_added_in_the_settings(archive: Path) -> None:
    edit(archive, 6, lambda raw: raw["assets"]["red"].update(href="https://tiles.example.org/red.tif"))
    assert len(search(archive).errors) == 1
    trusting = override_settings(Settings(), {"search.asset_hosts": ("tiles.example.org",)}, "test")
    assert search_scenes(site(), str(archive), None, None, END, trusting).errors == ()


def test_one_item_is_found_by_its_file(archive: Path) -> None:
    assert [each.id for each in read_named_scenes(site(), [str(archive / "day-6" / "day-6.json")] * 2, Settings())] == [
        "day-6"
    ]
    with pytest.raises(CatalogueError, match="several acquisitions"):
        read_named_scenes(site(), [str(archive / "catalog.json")], Settings())
    away = Site(id="away", name="Away", aoi=box(10, 10, 10.01, 10.01), grid=site_grid(box(10, 10, 10.01, 10.01)))
    with pytest.raises(CatalogueError, match="does not touch"):
        read_named_scenes(away, [str(archive / "day-6" / "day-6.json")], Settings())


def rows(archive: Path) -> list[dict[str, Any]]:
    """The items as rows of STAC GeoParquet: properties beside id and geometry, the box as a record."""
    found = []
    for path in sorted(archive.glob("*/*.json")):
        raw = json.loads(path.read_text())
        for key, asset in raw["assets"].items():
            asset["href"] = f"{path.parent.name}/{key}.tif"
        west, south, east, north = raw["bbox"]
        moment = datetime.fromisoformat(raw["properties"].pop("datetime"))
        found.append({
            "id": raw["id"], "type": "Feature", "stac_version": "1.0.0", "assets": raw["assets"], "datetime": moment,
            "links": raw["links"], "geometry": shapely.to_wkb(shape(raw["geometry"])), **raw["properties"],
            "bbox": {"xmin": west, "ymin": south, "xmax": east, "ymax": north},
        })  # fmt: skip
    return found


def write_rows(path: Path, found: list[dict[str, Any]]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(found), path)
    return path


def test_a_geoparquet_is_read_like_its_items(archive: Path) -> None:
    wanted = search(archive)
    path = write_rows(archive / "items.parquet", rows(archive))
    assert search(path) == wanted
    (archive / "catalog.json").unlink()
    for each in archive.glob("*/*.json"):
        each.unlink()
    assert search(archive) == wanted


REASONS = {
    "404": "answers 404",
    "cut": "IncompleteRead",
    "html": "a web page instead of data",
    "redirect": "redirected",
}


def test_a_geoparquet_on_a_server_is_read_like_its_items(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served").mkdir()
    write_rows(tmp_path / "served" / "items.parquet", rows(archive))
    monkeypatch.setattr("pipeline.catalogue.fetch.PAUSE_S", 0.0)
    with serve(tmp_path / "served") as server:
        walk = read_static(f"{server.url}/ok/items.parquet")
        assert len(walk.products) == len(rows(archive)) and not walk.errors
        for fault, reason in REASONS.items():
            with pytest.raises(CatalogueError, match=reason):
                read_static(f"{server.url}/{fault}/items.parquet")


def test_a_geoparquet_with_odd_rows_loses_those_alone(archive: Path) -> None:
    found = rows(archive)
    found[0]["geometry"] = b"\x01\x02 no outline"  # its box stands in
    found[1]["assets"] = None
    assert ids(search(write_rows(archive / "items.parquet", found))) == ["day-1", "day-6"]
    assert len(search(archive / "items.parquet").errors) == 1


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(80) + b"PAR1", b'{"type": "Feature"}'])
def test_a_geoparquet_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(CatalogueError, match="no GeoParquet that can be read"):
        search(tmp_path / "x.parquet")


def test_a_table_of_something_else_and_one_without_end_are_refused(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CatalogueError, match="no column 'assets'"):
        search(write_rows(archive / "x.parquet", [{"id": "a", "geometry": b""}]))
    monkeypatch.setattr("pipeline.catalogue.geoparquet.MAX_ROWS", 2)
    with pytest.raises(CatalogueError, match="3 items"):
        search(write_rows(archive / "x.parquet", rows(archive)))


def test_assets_in_a_folder_that_is_trusted_are_read(archive: Path, tmp_path: Path) -> None:
    collection = tmp_path / "elsewhere" / "items.json"
    collection.parent.mkdir()
    features = [json.loads(path.read_text()) for path in sorted(archive.glob("*/*.json"))]
    for feature in features:
        feature["assets"]["red"]["href"] = f"../archive/{feature['id']}/red.tif"
    (archive / "catalog.json").unlink()
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = search(collection)
    assert not found.scenes and all("search.asset_folders" in str(error) for error in found.errors)
    trusting = override_settings(Settings(), {"search.asset_folders": (str(archive),)}, "test")
    assert ids(search_scenes(site(), str(collection), None, None, END, trusting)) == ALL
    features[0]["assets"]["red"]["href"] = "../archive/../private.tif"
    (tmp_path / "private.tif").write_bytes(b"")
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert len(search_scenes(site(), str(collection), None, None, END, trusting).errors) == 1


def test_hidden_files_are_no_items(archive: Path) -> None:
    (archive / "catalog.json").unlink()
    for name in ("._x.json", ".#x.json", "__MACOSX/x.json", ".cache/x.json", "day-1/.x.json"):
        (archive / name).parent.mkdir(exist_ok=True)
        (archive / name).write_bytes(b"\x00\x05\x16\x07")
    found = search(archive)
    assert ids(found) == ALL and found.errors == ()


def test_a_pipe_is_no_document(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "catalog.json")
    with pytest.raises(CatalogueError, match="no such file"):
        search(tmp_path / "catalog.json")
