"""`groundbreak review` in a real browser, by keys alone."""

import json
import shutil
import subprocess

from tests.browser.conftest import HERE
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import TWO, rows
from tests.review.reviewing import reviewing

HOSTILE = "<script>window.hacked = 1</script> \"'>"


def test_an_evening_of_verdicts_by_keys_alone(look, tmp_path):
    folder = tmp_path / "place"
    put(folder, TWO, site=made.site(HOSTILE))
    with reviewing(folder) as address:
        done = subprocess.run([shutil.which("node"), str(HERE / "review.mjs"), address, str(tmp_path)], cwd=HERE,
                              capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["console"] == [] and seen["requests"] == [], seen
    assert seen["at_first"]["now"] == "A1: New structure" and seen["at_first"]["left"] == "2 of 2 without a verdict"
    assert seen["at_first"]["day"] == "after, 2023-08-03 •" and seen["blinked"]["day"] == "before, 2023-03-06"
    assert seen["stepped"]["day"].startswith("2023-03-21") and seen["stepped"]["roll"] != seen["blinked"]["roll"]
    _, _, width, height = seen["far"]
    assert seen["far"][:2] == [0, 0] and seen["near"] == [width / 4, height / 4, width / 2, height / 2]
    assert seen["judged"]["now"] == "A2: New structure" and seen["judged"]["left"] == "1 of 2 without a verdict"
    assert seen["back"]["now"] == "A1: New structure" and seen["back"]["left"] == "every change has a verdict"
    assert seen["overflow"] == dict.fromkeys(seen["overflow"], 0)
    for where, violations in seen["axe"].items():
        assert isinstance(violations, list), violations
        assert not [each for each in violations if each[0] in ("serious", "critical")], (where, violations)
    stored = rows(folder)
    assert (stored[TWO[0].id]["verdict"], stored[TWO[0].id]["note"]) == ("construction", "steel frame 1 c")
    assert stored[TWO[1].id]["verdict"] == "no change"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "1 construction (by verdict) found" in page, "the report is written again at the end"


def test_however_many_changes_one_picture_is_loaded_and_a_verdict_touches_two_rows(look, tmp_path):
    folder, count = tmp_path / "place", 12
    shapes = [made.outline(n % 20 + 10, n // 20 * 2 + 10, 1, 1) for n in range(count)]
    put(folder, [made.alert(n, outline=shape) for n, shape in enumerate(shapes)], made.looks(count=8))
    with reviewing(folder) as address:
        done = subprocess.run([shutil.which("node"), str(HERE / "opened.mjs"), address], cwd=HERE,
                              capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    asked = {phase: [row[:2] for row in rows if row[1] != "favicon.ico"] for phase, rows in seen["asked"].items()}
    assert seen["console"] == [] and seen["open"]["rows"] == count
    assert asked["open"] == [["GET", ""], ["GET", "changes"], ["GET", "strip"]]
    assert asked["verdict"] == [["POST", "verdict"], ["GET", "strip"]]
    assert seen["verdict"]["kept"] == count, "no row of the list is made again"
