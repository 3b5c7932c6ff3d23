import json
from pathlib import Path

import pytest

from tests.review import made
from tests.review.conftest import put


def test_a_site_is_exported_in_the_form_asked_for(command, tmp_path):
    put(tmp_path / "out" / "made-place", [made.alert(1)])
    done = command("export", "made-place", "--format", "geojson", "--to", "sent.geojson")
    assert done.code == 0 and "sent.geojson" in done.out
    assert json.loads(Path("sent.geojson").read_text())["features"][0]["id"] == "a000000000000001"


def test_an_unknown_form_is_wrong_usage(command, tmp_path):
    put(tmp_path / "out" / "made-place", [made.alert(1)])
    done = command("export", "made-place", "--format", "shapefile")
    assert done.code == 2 and len(done.errors) == 1


def test_a_report_is_made_anew_and_a_site_without_results_stops_no_other(command, tmp_path):
    put(tmp_path / "out" / "made-place", [made.alert(1)])
    page = tmp_path / "out" / "made-place" / "report.html"
    page.unlink()
    done = command("report", "nowhere", "made-place")
    assert done.code == 3 and len(done.errors) == 1 and "groundbreak detect nowhere" in done.errors[0]
    assert page.exists() and (tmp_path / "out" / "index.html").exists()


@pytest.mark.parametrize("words", [("report",), ("export",), ("review", "--no-browser"), ("export", "--format", "zip")])
def test_a_site_without_results_is_wrong_input_and_the_nearest_name_is_given(command, tmp_path, words):
    put(tmp_path / "out" / "made-place", [made.alert(1)])
    typo, unknown = command(*words, "mad-place"), command(*words, "elsewhere")
    assert (typo.code, unknown.code) == (2, 2)
    assert [line.rsplit(": ", 1)[1] for line in typo.errors] == ["did you mean made-place?"]
    assert "groundbreak detect elsewhere" in unknown.errors[0]
