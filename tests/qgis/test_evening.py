import contextlib
import re
import sqlite3

import pytest

from tests.review import made
from tests.review.conftest import put

SURE = [0.999, 0.6, 0.97, 0.7, 0.91, 0.85, 0.55, 0.9]
"""Confidences of eight alerts, so that their order is not that of their rows; the last but one is withdrawn."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two nights: the second brings one alert, withdraws another, and draws one picture too few."""
    path = tmp_path_factory.mktemp("out") / "made-place"
    alerts = [
        made.alert(n, outline=made.outline(12 * (n // 4) + 2, 12 * (n % 4) + 2), confidence=sure)
        for n, sure in enumerate(SURE)
    ]
    put(path, alerts[:-1])
    tonight = [*alerts[:6], alerts[7]]
    put(path, tonight, max_timelines=6)
    return path


@pytest.fixture(scope="module")
def evening(run, folder, tmp_path_factory):
    return run("evening.py", folder, tmp_path_factory.mktemp("pictures"))


def test_words_stand_in_the_form_where_there_is_no_picture(evening, folder):
    drawn = [each for each, _, _ in evening["forms"]]
    assert drawn.count(False) == 1
    for there, lines, images in evening["forms"]:
        assert ("No timeline picture" in lines, images) == (not there, int(there)), lines


def test_next_and_previous_go_by_confidence_and_the_map_follows(evening):
    # the last of them is withdrawn
    words = ["1 high" if sure >= 0.8 else "2 moderate" if sure >= 0.5 else "3 low" for sure in SURE]
    begun = [line.split(" · ")[0] for line in evening["list"]]
    assert begun == sorted(begun) and begun.count("4 withdrawn") == 1 and set(begun) <= {*words, "4 withdrawn"}
    assert all(re.search(r" · A\d · new structure · \d+ m² · [A-Z][a-z]+ 2023$", line) for line in evening["list"][:-1])
    assert evening["walked"] == [1, 2, 1]


def test_a_verdict_takes_one_letter_and_tab_leads_to_an_empty_note(evening):
    assert evening["letters"] == {"c": "construction", "o": "other change", "u": "uncertain", "n": "no change"}
    assert evening["by keys"]["verdict"] == "no change" and evening["by keys"]["note"] == 'a "field"'


def test_one_verdict_is_given_to_many_and_each_is_signed_stamped_and_logged(evening, folder):
    surest = sorted(range(len(SURE)), key=lambda n: -SURE[n])
    words = {key: row["verdict"] for key, row in evening["after"].items() if row["verdict"]}
    expected = {f"a{n:015d}": "uncertain" for n in surest[1:4]} | {f"a{surest[0]:015d}": "no change"}
    assert evening["saved"] and words == expected and evening["stamped"] == 4
    assert all(row["reviewer"] for row in evening["after"].values() if row["verdict"])
    with contextlib.closing(sqlite3.connect(folder / "review.gpkg")) as db, db:
        logged = dict(db.execute("SELECT change_id, verdict FROM review_log").fetchall())
        stamps = [row[0] for row in db.execute("SELECT reviewed_at FROM changes WHERE verdict IS NOT NULL")]
    db.close()
    assert logged == expected and all(stamp.endswith("Z") for stamp in stamps)


def test_what_is_to_do_is_two_clicks_away_and_no_verdict_moves_a_row(evening):
    assert evening["filters"] == {"to do": 3, "to do, likely": 1, "to do, doubtful": 2, "rejected": 1}
    assert len(evening["list to do"]) == 3
    assert [line.split(",")[0] for line in evening["list after"]] == evening["list"]
    assert evening["list after"][0].endswith(", no change")


def test_what_the_last_night_brought_stands_out(evening):
    fresh = {key for key, said in evening["last night"] if said == "new"}
    assert fresh == {"a000000000000006", "a000000000000007"}


def test_a_withdrawn_change_does_not_look_like_work(evening):
    assert evening["classes"]["a000000000000006"] == "withdrawn by the evidence"
    assert evening["classes"]["a000000000000001"] == "to do"
