import contextlib
import csv
import io
import json
import re
import sqlite3
import zipfile
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pystac
import pytest
from defusedxml.ElementTree import fromstring
from PIL import Image
from shapely.geometry import Polygon, box, shape

from pipeline.model.errors import GroundbreakError, ReviewError, UsageError
from pipeline.review.export import KINDS, export_site
from pipeline.review.folder import Folder
from pipeline.review.lonlat import lonlat_bounds, to_lonlat
from pipeline.review.report import write_report
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import TWO, connect, judge

HOSTILE = '=HYPERLINK("http://x","<script>&\'")'


@pytest.fixture
def judged(folder):
    judge(folder, TWO[0].id, "construction", HOSTILE)
    judge(folder, TWO[1].id, "no change", "a field")
    return Folder(folder)


def test_geojson_is_lon_lat_counter_clockwise_without_a_crs(judged):
    page = json.loads(export_site(judged, "geojson").read_text(encoding="utf-8"))
    assert page["type"] == "FeatureCollection" and "crs" not in page
    (feature,) = page["features"]
    outline = shape(feature["geometry"])
    assert isinstance(outline, Polygon) and outline.exterior.is_ccw
    assert 128 < outline.centroid.x < 130 and 39 < outline.centroid.y < 40
    assert feature["bbox"] == list(outline.bounds)
    assert feature["id"] == TWO[0].id and feature["properties"]["note"] == HOSTILE
    assert "4,800 m²" in feature["properties"]["description"]


def test_rejected_and_withdrawn_changes_are_not_passed_on_as_found(judged):
    assert len(json.loads(export_site(judged, "geojson").read_text())["features"]) == 1


def test_an_outline_across_the_antimeridian_is_cut():
    both = to_lonlat(box(730_000, 5_000_000, 745_000, 5_010_000), "EPSG:32660")
    assert both.geom_type == "MultiPolygon"
    west, _, east, _ = lonlat_bounds(both)
    assert west > 179 and east < -179
    assert max(part.bounds[2] - part.bounds[0] for part in both.geoms) < 1


def test_an_outline_that_crosses_itself_is_passed_on_as_the_ground_it_encloses():
    knot = Polygon([(500_000, 4_330_000), (500_080, 4_329_940), (500_080, 4_330_000), (500_000, 4_329_940)])
    found = to_lonlat(knot, "EPSG:32652")
    assert found.is_valid and len(found.geoms) == 2 and lonlat_bounds(found)[0] < lonlat_bounds(found)[2]


def test_kml_holds_names_dates_and_pictures_in_one_file(judged):
    with zipfile.ZipFile(export_site(judged, "kml")) as archive:
        names = archive.namelist()
        root = fromstring(archive.read("doc.kml"))
    space = {"k": "http://www.opengis.net/kml/2.2"}
    (mark,) = root.findall(".//k:Placemark", space)
    assert re.fullmatch(r"A1: Construction \(verdict of [-0-9]{10}\), 2023-03-21", mark.find("k:name", space).text)
    page = mark.find("k:description", space).text
    assert f"files/{TWO[0].id}.png" in page and f"files/{TWO[0].id}.png" in names
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert mark.find("k:TimeSpan/k:begin", space).text == "2023-03-21"


def test_what_is_simulated_says_so_wherever_it_is_sent(tmp_path):
    put(tmp_path / "x", TWO, site=made.site(simulated="drawn by a program"))
    folder = Folder(tmp_path / "x")
    features = json.loads(export_site(folder, "geojson").read_text(encoding="utf-8"))["features"]
    assert all(f["properties"]["description"].startswith("[simulated] A") for f in features)
    with zipfile.ZipFile(export_site(folder, "kml")) as archive:
        text = archive.read("doc.kml").decode()
    assert "Simulated: drawn by a program" in text and text.count("[simulated] A") == len(TWO)
    catalog = pystac.Catalog.from_file(str(export_site(folder, "stac") / "catalog.json"))
    titles = [i.properties["title"] for i in catalog.get_items(recursive=True) if i.id.startswith("a")]
    assert len(titles) == len(TWO) and all(title.startswith("[simulated]") for title in titles)


def test_csv_runs_no_formula_and_reads_back(judged):
    text = export_site(judged, "csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["change_id"] for row in rows] == [alert.id for alert in TWO]
    assert rows[0]["note"] == "'" + HOSTILE and rows[1]["verdict"] == "no change"
    assert rows[0]["outline_wkt"].startswith("POLYGON")
    assert [row["label"] for row in rows] == ["A1", "A2"]
    assert rows[0]["attribution"] == "Contains modified Copernicus Sentinel data"


def test_stac_says_from_which_looks_a_change_was_derived(judged):
    catalog = pystac.Catalog.from_file(str(export_site(judged, "stac") / "catalog.json"))
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    change = items[TWO[0].id]
    sources = [link.get_absolute_href() for link in change.get_links("derived_from")]
    assert len(sources) == 15
    assert pystac.Item.from_file(sources[0]).id == "scene-00"
    assert change.properties["groundbreak:verdict"] == "construction"
    assert change.properties["groundbreak:label"] == "A1" and set(change.assets) == {"timeline", "pair", "looks"}
    for asset in change.assets.values():
        assert not asset.href.startswith("/")
    assert change.assets["looks"].href.endswith(".jpg") and change.assets["looks"].media_type == "image/jpeg"
    assert change.get_collection().extra_fields["groundbreak:attribution"].startswith("Contains modified")
    assert TWO[1].id not in items


def test_a_figure_stands_alone_in_print_and_is_the_same_every_time(judged, tmp_path):
    place = export_site(judged, "figure")
    assert sorted(file.name for file in place.iterdir()) == ["A1.png", "A1.svg"]
    with Image.open(place / "A1.png") as picture:
        assert picture.size[0] == 1600
    text = (place / "A1.svg").read_text(encoding="utf-8")
    for said in ("2023-03-06", "2023-08-03", "39.100000, 129.000000", "Copernicus", "A1: Construction", "grid north"):
        assert f"<!-- {said}" in text or said in text, said
    first = contents_of(place)
    assert contents_of(export_site(judged, "figure")) == first


@pytest.mark.parametrize("ending", ["webp", "gif"])
def test_a_film_shows_every_clear_look_once(judged, ending):
    place = export_site(judged, "film")
    with Image.open(place / f"A1.{ending}") as film:
        assert film.n_frames == 14, "one of the 15 looks is half under cloud"
        before = np.asarray(film.convert("RGB")).astype(int)
        film.seek(13)
        after = np.asarray(film.convert("RGB")).astype(int)
    middle = slice(150, 250)
    assert after[middle, middle].mean() > before[middle, middle].mean() + 5


def contents_of(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_stac_replaces_its_own_earlier_export_and_an_empty_folder_and_nothing_else(judged, tmp_path):
    theirs, empty = tmp_path / "theirs", tmp_path / "empty"
    theirs.mkdir()
    empty.mkdir()
    for name, text in (
        ("thesis.txt", "years"),
        ("catalog.json", '{"type": "Catalog", "id": "made-place", "links": []}'),
    ):
        (theirs / name).write_text(text)
        before = contents_of(theirs)
        with pytest.raises(UsageError, match="something else stands there"):
            export_site(judged, "stac", theirs)
        with pytest.raises(UsageError, match="something else stands there"):
            export_site(judged, "stac", theirs / "thesis.txt")
        assert contents_of(theirs) == before
    first = contents_of(export_site(judged, "stac", empty))
    assert first and contents_of(export_site(judged, "stac", empty)) == first


def test_a_folder_with_a_dot_in_its_name_holds_all_of_an_export(judged, tmp_path):
    place = export_site(judged, "stac", tmp_path / "stac-2026.11")
    assert (place / "catalog.json").is_file() and [each.name for each in tmp_path.glob("stac*")] == ["stac-2026.11"]
    assert len(list(pystac.Catalog.from_file(str(place / "catalog.json")).get_items(recursive=True))) > 2


@pytest.mark.parametrize("kind", ["geojson", "kml", "csv", "zip"])
def test_no_file_of_the_results_is_exported_over(judged, kind):
    before = judged.gpkg.read_bytes()
    with pytest.raises(UsageError, match="own results"):
        export_site(judged, kind, judged.gpkg)
    assert judged.gpkg.read_bytes() == before
    assert export_site(judged, kind) == export_site(judged, kind), "the usual place is written again"


def test_another_sites_export_is_not_replaced(judged, tmp_path):
    put(tmp_path / "other", TWO, site=replace(made.site(), id="other-place"))
    kept = export_site(Folder(tmp_path / "other"), "stac", tmp_path / "sent")
    with pytest.raises(UsageError, match="something else stands there"):
        export_site(judged, "stac", kept)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_folder_one_stands_in_is_no_place_to_export_to(judged, kind, place, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(GroundbreakError, match="stands there"):
        export_site(judged, kind, Path(place))
    assert (tmp_path / "here").is_dir()


def test_a_zip_opens_elsewhere_with_the_verdicts_even_from_an_open_session(judged, tmp_path):
    session = sqlite3.connect(judged.gpkg)
    session.execute("PRAGMA journal_mode = WAL")
    session.execute("UPDATE review_log SET note = 'in the wal'")
    session.commit()
    with zipfile.ZipFile(export_site(judged, "zip", tmp_path / "sent.zip")) as archive:
        archive.extractall(tmp_path / "there")
    session.close()
    there = tmp_path / "there" / "made-place"
    assert {"review.gpkg", "review.qgz", "report.html", "before.tif"} <= {file.name for file in there.iterdir()}
    with contextlib.closing(sqlite3.connect(there / "review.gpkg")) as db, db:
        assert db.execute("SELECT note FROM review_log").fetchone()[0] == "in the wal"
    db.close()
    assert not put(there, TWO).notes


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_contents_give_the_same_bytes(judged, kind, tmp_path):
    one, two = (export_site(judged, kind, tmp_path / name) for name in ("one", "two"))
    if one.is_dir():
        assert sorted(f.name for f in one.rglob("*")) == sorted(f.name for f in two.rglob("*"))
    else:
        assert one.read_bytes() == two.read_bytes()


def test_an_unknown_form_and_a_missing_site_are_one_clear_line(judged, tmp_path):
    with pytest.raises(UsageError, match="no such form"):
        export_site(judged, "shapefile")
    with pytest.raises(ReviewError, match="groundbreak detect"):
        export_site(Folder(tmp_path / "nowhere"), "csv")


def test_the_providers_items_are_one_click_away_in_report_and_exports_and_nothing_else_is_a_link(judged, tmp_path):
    before = "https://provider.example/items/before?a=1&b=2"
    items = {"scene-04": [before], "scene-14": ["javascript:alert(1)", "/archive/item.json"]}
    with connect(judged.path) as db:
        db.execute("UPDATE provenance SET value = ? WHERE key = 'items'", [json.dumps(items)])
    (feature,) = json.loads(export_site(judged, "geojson").read_text())["features"]
    assert (feature["properties"]["before_item"], feature["properties"]["after_item"]) == (before, None)
    rows = list(csv.DictReader(io.StringIO(export_site(judged, "csv").read_bytes().decode("utf-8-sig"), newline="")))
    assert (rows[0]["before_item"], rows[0]["after_item"], rows[0]["simulated"]) == (before, "", "")
    table = geopandas.read_parquet(export_site(judged, "geoparquet"))
    assert list(table["before_item"]) == [before] * 2 and list(table["label"]) == ["A1", "A2"]
    assert set(table["attribution"]) == {"Contains modified Copernicus Sentinel data"}
    with zipfile.ZipFile(export_site(judged, "kml")) as archive:
        space = {"k": "http://www.opengis.net/kml/2.2"}
        page = fromstring(archive.read("doc.kml")).find(".//k:Placemark/k:description", space).text
    assert f'<a href="{before.replace("&", "&amp;")}">look before at the provider</a>' in page
    write_report(judged)
    report = judged.report.read_text(encoding="utf-8")
    links = re.findall(r'<a[^>]* href="([^"#]+)"', report)
    assert before.replace("&", "&amp;") in links and "javascript" not in report and "local.json" not in report
