import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from pipeline.review.index import write_index
from pipeline.review.report import MAX_PICTURES
from pipeline.review.strips import read_strip
from tests.browser.conftest import HERE
from tests.review import made
from tests.review.conftest import put
from tests.review.reviewing import reviewing
from tests.review.test_server import ask

HOSTILE = "<script>window.hacked = 1; alert(1)</script> \"'><img src=x onerror=alert(2)> [% env('HOME') %]"


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sites, one of them of a hostile name with a verdict of hostile words."""
    from tests.review.review_files import judge

    out = tmp_path_factory.mktemp("out")
    put(out / "plain", [made.alert(1), made.alert(2, row=30, col=30, confidence=0.6)])
    alerts = [made.alert(n, row=6 * n, col=6 * n) for n in range(1, 6)]
    hostile = made.site(HOSTILE, simulated=HOSTILE)
    put(out / "hostile", alerts, site=hostile, cautions=(HOSTILE,))
    judge(out / "hostile", alerts[0].id, "construction", HOSTILE)
    judge(out / "hostile", alerts[1].id, "no change", HOSTILE)
    put(out / "hostile", alerts, site=hostile, cautions=(HOSTILE,))
    (out / "torn").mkdir()
    (out / "torn" / "review.gpkg").write_bytes(b"noise" * 500)
    write_index(out)
    return out


def test_the_pages_are_valid_html(packages, pages, tmp_path):
    with reviewing(pages / "plain") as address:
        (tmp_path / "review.html").write_text(ask(address, f"/?{urlsplit(address).query}")[1], encoding="utf-8")
    files = [pages / "index.html", pages / "plain" / "report.html", pages / "hostile" / "report.html"]
    program = HERE / "node_modules" / ".bin" / "html-validate"
    command = [program, "-c", HERE / "htmlvalidate.json", *files, tmp_path / "review.html"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]


def share(clip: str) -> float:
    """How much of the picture shows the look before, per cent."""
    return 100 - float(re.match(r"inset\(0px ([\d.]+)%", clip).group(1))


@pytest.mark.parametrize("name", ["plain/report.html", "hostile/report.html", "index.html"])
def test_a_page_is_sound_at_every_width_and_in_both_schemes(look, pages, name):
    seen = look(pages / name)
    assert seen["requests"] == [] and seen["console"] == [] and seen["dialogs"] == 0
    assert seen["hacked"] is None and seen["images"]
    assert seen["overflow"] == dict.fromkeys(seen["overflow"], 0)
    for where, violations in seen["axe"].items():
        assert isinstance(violations, list), violations
        assert not [each for each in violations if each[0] in ("serious", "critical")], where


def test_the_slider_obeys_mouse_and_keyboard_and_the_switches_work(look, pages):
    seen = look(pages / "plain" / "report.html")
    assert share(seen["at_first"]) == 50
    assert share(seen["by_mouse"]) == pytest.approx(25, abs=1)
    assert share(seen["by_keyboard"]) == 2
    assert seen["veil"] == "visible" and seen["outline"] == "none"


def test_a_swipe_shows_any_two_looks_of_a_change_and_its_film(look, pages):
    swipe = look(pages / "plain" / "report.html")["swipe"]
    assert share(swipe["at_first"]["share"]) == 50 and share(swipe["by_keyboard"]["share"]) == 0
    assert swipe["at_first"]["days"] == ["before 2023-03-06", "after 2023-08-03"]
    assert swipe["chosen"]["days"] == ["before 2023-01-05", "after 2023-08-03"]
    assert swipe["chosen"]["rolls"][0] == "translate(0 0)" != swipe["at_first"]["rolls"][0]
    assert swipe["playing"]["days"][1] == "after 2023-01-05"


def test_a_change_is_saved_as_a_picture_that_can_stand_alone(look, pages):
    seen = look(pages / "plain" / "report.html")
    assert seen["saved"] == "made-place-A1.png"
    with Image.open(seen["shots"] / "saved.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert picture.size[0] == 1600
    halves = [pixels[300:700, left : left + 700].mean() for left in (40, 840)]
    assert halves[1] > halves[0] + 3, "the roof is on the right"
    assert (pixels[-70:] < 120).any(axis=2).sum() > 500, "scale, place and credit stand below"


def test_a_film_of_every_clear_look_is_saved_from_the_page(look, pages):
    seen = look(pages / "plain" / "report.html")
    assert seen["film"] == "made-place-A1.webp"
    strip = read_strip(next((pages / "plain" / "looks").glob("*.jpg")))
    with Image.open(seen["shots"] / "saved.webp") as film:
        assert (film.n_frames, film.size[0]) == (len(strip.frames), 640)
        middles, times = [], []
        for index in range(film.n_frames):
            film.seek(index)
            film.load()
            times.append(film.info["duration"])
            middles.append(np.asarray(film.convert("L")).astype(int)[300:420, 260:380].mean())
    assert times == [500] * (len(times) - 1) + [2000]
    shown = list(zip(middles, (frame.seen for frame in strip.frames), strict=True))
    before, after = (np.mean([value for value, there in shown if there == wanted]) for wanted in (False, True))
    assert after > before + 10, "the roof is there in the frames that the program names"


def test_the_index_is_searched_sorted_and_filtered(look, pages):
    listed = look(pages / "index.html")["listed"]
    assert len(listed["at_first"]) == 3
    assert listed["by_name"] == listed["backwards"][::-1]
    assert listed["searched"] == ["plain/report.html"] and listed["bad"] == ["torn/report.html"]


def test_a_timeline_keeps_its_letters_readable_on_a_narrow_screen(look, pages):
    seen = look(pages / "plain" / "report.html")
    # 928 of the 1,392 pixels it was drawn with: letters of 8 points stay above 8 pixels
    assert len(seen["timeline"]) == 6 and min(seen["timeline"].values()) >= 920


def test_on_paper_before_stands_beside_after_uncut(look, pages):
    seen = look(pages / "plain" / "report.html")
    (after_x, after_width, after_clip), (before_x, before_width, before_clip) = seen["printed"]
    assert before_clip == after_clip == "none"
    assert before_x + before_width <= after_x and before_width == after_width > 200


def test_a_report_of_many_alerts_has_the_pictures_of_a_few(look, tmp_path):
    alerts = [made.alert(n, row=n % 50, col=(n // 50) * 2, outline=made.outline(n % 50, n // 50 * 2, 1, 1))
              for n in range(100)]  # fmt: skip
    put(tmp_path / "crowd", alerts, made.looks(count=8), after_scene="scene-07", max_timelines=40)
    page = (tmp_path / "crowd" / "report.html").read_text("utf-8")
    assert page.count("<article") == page.count('class="timeline"') == MAX_PICTURES < 40
    assert all('loading="lazy"' in each for each in re.findall(r'<img class="timeline"[^>]*>', page))
    assert look(tmp_path / "crowd" / "report.html", "open")["console"] == []
