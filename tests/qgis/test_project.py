import shutil
from pathlib import Path

import pytest

from pipeline.model.alert import Kind
from pipeline.review.qgis_form import ORDER, TO_DO
from tests.review import made
from tests.review.conftest import put

HOSTILE = "<script>alert(1)</script> [% env('HOME') %] \"룡성\" & 'ŏ'"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty alerts of one confidence, one of them first: more than QGIS sorts without comparing equals."""
    path = tmp_path_factory.mktemp("out") / "made-place"
    kinds = [Kind.NEW_STRUCTURE, Kind.CLEARED_GROUND]
    alerts = [
        made.alert(n, row=8 * (n // 5), col=11 * (n % 5), confidence=0.95 if n == 0 else 0.7, kind=kinds[n % 2])
        for n in range(20)
    ]
    put(path, alerts, site=made.site(HOSTILE), max_timelines=18)
    return path


@pytest.fixture(scope="session")
def seen(run, folder, tmp_path_factory):
    pictures = tmp_path_factory.mktemp("pictures")
    return {**run("look.py", folder, pictures), "pictures": pictures}


def test_every_layer_is_valid_and_qgis_has_nothing_to_complain_about(seen):
    assert seen["read"] and seen["bad"] == 0 and not seen["error"]
    # thirteen, and a raster for each of the four looks at the ends of brackets and pairs
    assert len(seen["valid"]) == 13 + 4 and all(seen["valid"].values())
    assert seen["messages"] == []
    assert seen["crs"] == "EPSG:32652" and seen["template"]


def test_a_name_full_of_markup_is_shown_as_it_is(seen):
    assert seen["title"] == HOSTILE


def test_the_themes_show_what_they_say(seen):
    themes = {name: [each.removeprefix("groundbreak_") for each in ids] for name, ids in seen["themes"].items()}
    assert themes["Before"] == ["changes", "aoi", "before"]
    assert themes["After"] == ["changes", "aoi", "after"]
    assert themes["Change"] == ["changes", "aoi", "score", "after"]
    assert themes["After, false colour"] == ["changes", "aoi", "after_fc"]
    assert themes["Last night"] == ["changes", "aoi", "after"]
    assert [each.removeprefix("groundbreak_") for each in seen["checked"]] == ["after", "aoi", "changes"]


def test_the_watched_area_fills_the_view_at_first(seen):
    # the area is 500 m wide and begins 50 m inside its grid
    west, south, east, north = (50 - 20, -550 - 20, 550 + 20, -50 + 20)
    there = [made.LEFT + west, made.TOP + south, made.LEFT + east, made.TOP + north]
    assert seen["view"] == [pytest.approx(edge, abs=3) for edge in there]


def test_the_themes_are_no_blank_pictures(seen):
    colours = seen["colours"]
    assert colours["After"][3] - colours["Before"][3] > 60
    red, _, blue, _ = colours["Change"]
    assert red - blue > 60
    assert all(seen["outlined"].values()) and min(seen["many_colours"].values()) > 50


@pytest.mark.parametrize("layer", ["in project", "alone"])
def test_the_form_serves_the_analyst_in_the_project_and_from_the_file_alone(seen, layer):
    layer = seen[layer]
    assert layer["renderer"] == "categorizedSymbol" and layer["colour of no verdict"] == "#ffe119"
    assert layer["widgets"] == {
        "verdict": "ValueMap",
        "note": "TextEdit",
        "reviewed_at": "DateTime",
        "picture": "ExternalResource",
    }
    assert layer["choices"] == ["to do", "construction", "other change", "no change", "uncertain"]
    assert layer["alias"] == "Area (m²)" and layer["default on update"] and layer["soft"]
    assert layer["read only"] == ["kind", "reviewed_at"]
    assert layer["tabs"] == ["Verdict", "Machine", "Stamp"]
    assert layer["picture"] == "timeline/a000000000000000.png"
    assert "/pair/" in layer["tip"] and "/timeline/" in layer["tip"]
    assert layer["time"] == [True, "first_seen"]
    assert layer["rows"] == [TO_DO] and layer["sort"] == ORDER
    assert layer["types"]["first_seen"] == "Date" and layer["types"]["reviewed_at"] == "DateTime"


def test_where_there_is_no_timeline_picture_words_stand_in_the_tip(seen):
    assert [drawn for drawn, _ in seen["tips"]].count(False) == 2
    for drawn, tip in seen["tips"]:
        assert ("No timeline picture" in tip, "/timeline/" in tip, "/pair/" in tip) == (not drawn, drawn, drawn)
        assert "[%" not in tip and "Eval Error" not in tip


def test_switching_styles_keeps_the_form(seen):
    assert seen["renderers"] == {
        "verdict": ["categorizedSymbol", "Verdict"],
        "confidence": ["graduatedSymbol", "Verdict"],
        "last night": ["categorizedSymbol", "Verdict"],
    }


def test_the_atlas_makes_a_page_an_alert_even_where_confidences_are_equal(seen):
    assert seen["atlas"] == [True, "groundbreak_changes", 20]
    assert seen["page"] == 0 and seen["pdf"] == 0
    # new structures first, the surest on top; both maps in one scale with 400 m around the outline
    assert seen["pages"][0] == "A1" and {int(label[1:]) % 2 for label in seen["pages"][:10]} == {1}
    assert [context for context, _ in seen["first page"]] == [pytest.approx(400, rel=0.02)] * 2
    assert len({round(scale) for _, scale in seen["first page"]}) == 1
    assert (seen["pictures"] / "alerts.pdf").read_bytes().startswith(b"%PDF")


def test_bookmarks_time_and_relation_are_there(seen):
    assert HOSTILE in seen["bookmarks"] and len(seen["bookmarks"]) == 1 + 20
    # an outline of 80 m with 200 m on each side
    assert seen["bookmarks"]["A1: new structure, 2023-03-21"] == pytest.approx(480)
    assert seen["time"] == "2023-01-05"


def test_a_change_leads_to_its_looks_and_to_what_its_ground_was(seen):
    assert len(seen["relations"]["looks"]) == 15
    assert seen["relations"]["phases"] == [
        "2023-01-05  vegetated, 0.98",
        "2023-03-21  built, 0.91",
    ]


def test_the_time_slider_shows_no_picture_before_the_day_it_was_taken(seen):
    # before.tif is of 19 February, after.tif of 3 August; the roof came in March
    assert seen["slider"] == {
        "2023-02-01": [],
        "2023-02-25": ["before", "before_fc"],
        "2023-04-15": ["before", "before_fc"],
        "2023-07-25": ["before", "before_fc"],
        "2023-08-20": ["after", "after_fc", "score"],
    }


def test_the_time_slider_shows_the_looks_at_the_ends_of_the_brackets_one_at_a_time(seen):
    # the bracket is 6 to 21 March: no raster of a day before the 21st is taken after it, and none shows the roof
    assert seen["looks"] == {
        "2023-02-01": [],
        "2023-02-25": ["2023-02-19"],
        "2023-04-15": ["2023-03-21"],
        "2023-07-25": ["2023-03-21"],
        "2023-08-20": ["2023-08-03"],
    }
    themes = {name: [each.removeprefix("groundbreak_") for each in ids] for name, ids in seen["themes"].items()}
    assert themes["Through time"] == ["changes", "aoi", "look_03", "look_02", "look_01", "look_00"]


def test_each_outline_has_its_label_and_a_line_for_its_change_type(seen):
    for layer in ("in project", "alone"):
        assert sorted(filter(None, seen["labels"][layer])) == sorted(f"A{n}" for n in range(1, 21))
    assert set(seen["lines"].values()) == {"solid", "dash"}


def test_the_rasters_look_right_at_a_double_click_with_one_stretch(seen):
    before, after = seen["rasters"]["before"], seen["rasters"]["after"]
    assert before[:3] == ["multibandcolor", True, [1, 2, 3]] and before[3:] == after[3:]
    assert seen["rasters"]["score"] == ["singlebandpseudocolor", True]


def test_a_folder_that_was_moved_is_still_whole(run, folder, tmp_path):
    elsewhere = tmp_path / "Ryŏngsŏng 룡성 (a b)"
    shutil.copytree(folder, elsewhere)
    seen = run("look.py", elsewhere, tmp_path)
    assert seen["bad"] == 0 and all(seen["valid"].values()) and seen["messages"] == []


def test_a_project_of_many_alerts_has_no_more_layers_than_that_of_few(run, folder, seen, tmp_path):
    alerts = [made.alert(n, outline=made.outline(n % 50, n // 50 * 2, 1, 1)) for n in range(100)]
    put(tmp_path / "crowd", alerts, made.looks(count=8), after_scene="scene-07", max_timelines=2)
    crowd = run("look.py", tmp_path / "crowd", tmp_path)
    assert crowd["atlas"][2] == 100 and crowd["bad"] == 0
    layers, of_few = ({each for each in found["valid"] if "look" not in each} for found in (crowd, seen))
    assert layers == of_few
