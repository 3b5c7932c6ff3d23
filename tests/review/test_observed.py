"""What could have been missed: gaps, ground never seen, refused scenes, the curve of a site's own test."""

import json

import numpy as np
import pytest
import rasterio

from pipeline.review.contents import read_contents
from pipeline.review.detection_default import TARGET, default_curve
from pipeline.review.folder import Folder
from pipeline.review.observed import UNREADABLE, Gap, read_curve, read_observed
from pipeline.review.report import write_report
from tests.review.review_files import connect


def observed(folder):
    return read_observed(Folder(folder), read_contents(folder / "review.gpkg"))


def page(folder):
    write_report(Folder(folder))
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_winter_without_a_clear_look_is_named(folder):
    assert observed(folder).gaps == ()
    assert "No 30 days passed without a clear look." in page(folder)
    with connect(folder) as db:
        db.execute("UPDATE scenes SET clear_share = 0.2 WHERE time BETWEEN '2023-04-01' AND '2023-05-30'")
    seen = observed(folder)
    assert seen.gaps == (Gap("2023-03-21", "2023-06-04"),) and seen.gaps[0].days == 75
    text = page(folder)
    assert "No clear look from 21 March 2023 to 4 June 2023" in text and "(75 days)" in text


def test_the_time_since_the_last_clear_look_is_a_gap_too(folder):
    with connect(folder) as db:
        db.execute("UPDATE scenes SET used = 0, reason = 'cloud' WHERE time > '2023-06-10'")
    seen = observed(folder)
    assert seen.gaps[0].end == "2023-08-03" and seen.clear[-1] == "2023-06-04"
    assert dict(seen.refused)["cloud"] == 4 and seen.recent > 0


def test_ground_that_no_look_showed_is_counted(folder):
    with rasterio.open(folder / "score.tif") as source:
        profile, data = source.profile, source.read()
    data[:, :, :30] = np.nan
    with rasterio.open(folder / "score.tif", "w", **{**profile, "driver": "GTiff"}) as target:
        target.write(data)
    # the site spans columns 5 to 55
    assert observed(folder).unseen == pytest.approx(0.5, abs=0.02)
    assert "50 % of the area was never seen" in page(folder)


def test_refused_scenes_are_counted_by_reason(folder):
    assert observed(folder).refused == (("too little clear ground", 1),)
    assert "1 × too little clear ground" in page(folder)


def test_the_curve_of_a_site_stands_in_a_report_made_after_it_was_measured(folder):
    assert "looks of another site" in page(folder)
    rows = {"20x20 m": [[0.2, 0.1, 0.4], [0.5, 0.09, 0.91], [None, None, None]], "60x100 m": [[1.0, 0.6, 1.0]] * 3}
    record = {"sentence": "A curve of its own.", "within": [3, 5, 10], "rows": rows}
    (folder / "sensitivity.json").write_text(json.dumps(record))
    text = page(folder)
    assert "A curve of its own." in text and "50 % (9 to 91)" in text and "no trial" in text
    assert "of buildings of 20x20 m 50 % were found in a test." in text and "another site" not in text
    rows["20x20 m"][1] = [0.0, 0.0, 0.4]
    (folder / "sensitivity.json").write_text(json.dumps({**record, "rows": rows, "sentence": "See `a command`."}))
    text = page(folder)
    assert "of buildings of 20x20 m none was found in a test." in text and "See <code>a command</code>." in text


def test_what_could_have_been_missed_is_answered_by_the_curve_of_looks_that_scatter_as_much(folder):
    levels = json.loads(TARGET.read_text())["levels"]
    quiet, *_, loud = sorted(level["noise"] for level in levels)
    assert default_curve(0.0)["noise"] == quiet and default_curve(quiet + 1e-6)["noise"] > quiet
    assert default_curve(1.0)["noise"] == loud and default_curve(float("nan")) is None
    # the looks here scatter by 0.003 of reflectance
    text = page(folder)
    assert "Not measured here" in text and "(0.0030 here)" in text and "groundbreak sensitivity made-place" in text
    share = default_curve(0.003)["rows"]["30x60 m"][1][0]
    assert f"30x60 m in {share:.0%}" in text and "the looks of another site" in text
    with connect(folder) as db:
        db.execute("DELETE FROM provenance WHERE key = 'noise'")
    assert "was not measured" in page(folder)


@pytest.mark.parametrize("content", ["", "[]", '{"sentence"', '{"rows": 3, "sentence": "x"}'])
def test_a_torn_file_of_the_curve_says_so_and_stops_nothing(folder, content):
    (folder / "sensitivity.json").write_text(content)
    assert read_curve(folder / "sensitivity.json").sentence == UNREADABLE
    assert UNREADABLE in page(folder).replace("<code>", "`").replace("</code>", "`")
