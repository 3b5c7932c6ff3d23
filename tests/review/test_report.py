import base64
import json
import re
from datetime import date
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
import rasterio

from pipeline.model.alert import Kind
from pipeline.model.errors import ReviewError
from pipeline.review import report
from pipeline.review.descriptions import (
    describe_change,
    describe_confidence,
    describe_phases,
    describe_update,
    format_confidence,
    round_area,
)
from pipeline.review.folder import Folder
from pipeline.review.index import write_index
from pipeline.review.maps import read_evidence, read_pair
from pipeline.review.report import write_report
from pipeline.review.stretch import Stretch
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import TWO, judge, rows
from tests.review.reviewing import reviewing
from tests.review.test_server import ask

HOSTILE = "<script>window.hacked = 1</script> \"'>"


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words, self._silent = "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_data(self, data):
        self.words += "" if self._silent else data


def test_a_report_asks_the_network_for_nothing_and_allows_only_its_own_script(published):
    text = (published / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "Content-Security-Policy" in a.values())
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and policy.count("'sha256-") == 2
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            if name in attributes and tag != "use":
                assert attributes[name].startswith(("data:", "#")), (tag, attributes[name][:60])
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes)


def test_a_hostile_name_and_note_are_text_everywhere(tmp_path):
    put(tmp_path / "x", TWO, site=made.site(HOSTILE, simulated=HOSTILE), cautions=(HOSTILE,))
    judge(tmp_path / "x", TWO[0].id, "no change", HOSTILE)
    write_report(Folder(tmp_path / "x"))
    write_index(tmp_path)
    for path in (tmp_path / "x" / "report.html", tmp_path / "index.html"):
        text = path.read_text(encoding="utf-8")
        assert "window.hacked" in text and "<script>window" not in text
        assert [tag for tag, _ in Page(text).tags].count("script") == 1


def test_a_report_tells_numbers_reasons_and_provenance(published):
    text = (published / "report.html").read_text(encoding="utf-8")
    for words_ in (
        "Made Place", "2 new structures found.", "only 5 looks of history", "4,800 ± 120",
        "2023-03-06", "39.100000, 129.000000", "too little clear ground", "0.03", "&lt;i&gt;cloud&lt;/i&gt;",
        "baseline 05.09", "+0.120, -0.300", "0123456789abcdef", "scene-03", "Contains modified Copernicus",
    ):  # fmt: skip
        assert words_ in text, words_


def test_a_card_says_what_the_ground_was_and_became(published):
    text = (published / "report.html").read_text(encoding="utf-8")
    assert "<dt>Ground</dt><dd>vegetated, built since March 2023</dd>" in text


def test_phases_in_words_join_equal_states_and_say_doubt():
    def row(state, day, probability=0.95):
        return {"state": state, "from": day, "probability": probability}

    assert describe_phases([]) == ""
    assert describe_phases([row("bare", "2020-01-02")]) == "bare before and after"
    rows = [row("vegetated", "2020-01-02"), row("bare", "2021-11-03", 0.6), row("built", "2022-01-04")]
    rows.append(row("built", "2022-06-04"))
    assert describe_phases(rows) == "vegetated, probably bare from November 2021, built since January 2022"
    rows = [row("vegetated", "2018-01-02"), row("other", "2018-05-03"), row("vegetated", "2018-07-04")]
    assert describe_phases(rows) == "vegetated, other ground from May 2018, vegetated again since July 2018"


def test_the_map_bears_the_labels_of_the_cards_and_a_scale(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_LABELS", 2)
    alerts = [made.alert(n, outline=made.outline(8 * n, 20, 2, 2), confidence=0.9 - n / 10) for n in range(3)]
    put(tmp_path / "x", alerts, made.looks(count=8), after_scene="scene-07")
    text = (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
    spots = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" dy="-.9em">(A\d)</text>', text)
    # rows and columns of the outlines' middles: the map of these looks is 60 pixels wide, as they are
    assert spots == [("21.0", "1.0", "A1"), ("21.0", "9.0", "A2")] and "labels of the 2 surest" in text
    assert f'id="c-{alerts[0].id}"' in text and '<h3 id="A3"><span class="name">A3</span> New structure' in text
    assert re.search(r'<path class="bar-line" d="M38.8 58.8h20.0"/>', text) and ">200 m</text>" in text


def test_two_changes_on_one_outline_both_have_their_label_on_the_map(tmp_path):
    alerts = [
        made.alert(1),
        made.alert(2, kind=Kind.RESURFACED, last_clear_before=date(2023, 5, 20), first_seen=date(2023, 6, 4)),
        made.alert(3, outline=made.outline(10, 14, 6, 8), confidence=0.6),
    ]
    put(tmp_path / "x", alerts, kinds=("new structure", "resurfaced"))
    text = (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" dy="-.9em">(A\d)</text>', text)
    spots = {label: (float(x), float(y)) for x, y, label in found}
    size = float(re.search(r'class="number" font-size="([\d.]+)"', text)[1])
    # the roof came last, so its label is A3; A2 is 4 pixels beside, further than its letters reach
    assert spots["A1"] == (14.0, 13.0) and spots["A2"] == (18.0, 13.0)
    assert spots["A3"][0] == 14.0 and abs(spots["A3"][1] - 13.0) > 0.9 * size


def test_a_verdict_comes_before_the_classification_and_counts_as_built(tmp_path):
    alerts = [made.alert(1, kind=Kind.CLEARED_GROUND), made.alert(2, row=30, col=30, kind=Kind.CLEARED_GROUND)]
    put(tmp_path / "x", alerts)
    text = (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
    assert "No new structure was found. Also changed: 2 places of cleared ground, folded below." in text
    judge(tmp_path / "x", alerts[0].id, "construction")
    write_report(Folder(tmp_path / "x"))
    text = (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
    assert "1 construction (by verdict) found. Also changed: 1 place of cleared ground, folded below." in text
    (heading,) = re.findall(r'<span class="name">A1</span> ([^<]*)</h3>', text)
    assert heading.startswith("Construction (verdict of ")
    assert "a person confirmed 1 as construction" in text.lower()


def test_no_status_of_the_program_reads_like_the_word_of_a_person(published):
    text = (published / "report.html").read_text(encoding="utf-8")
    assert "onfirmed" not in Page(text).words and "No person has looked yet" in text
    assert "persistent since 20 April 2023" in text


def test_the_setting_of_a_site_says_which_change_types_are_shown_at_first(tmp_path):
    alerts = [made.alert(1, kind=Kind.CLEARED_GROUND), made.alert(2, row=30, col=30)]
    put(tmp_path / "x", alerts)
    folded = (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
    assert folded.index('id="A2"') < folded.index('id="others"') < folded.index('id="A1"')
    put(tmp_path / "x", alerts, kinds=("new structure", "cleared ground"))
    assert 'id="others"' not in (tmp_path / "x" / "report.html").read_text(encoding="utf-8")


def test_a_new_structure_comes_before_a_surer_change_of_another_type(tmp_path):
    alerts = [made.alert(1, kind=Kind.RESURFACED, confidence=0.99), made.alert(2, row=30, col=30, confidence=0.7)]
    put(tmp_path / "x", alerts, kinds=("new structure", "resurfaced"))
    text = (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
    assert re.search(r'The surest: <a href="#(A\d)"', text)[1] == "A2"
    assert text.index('id="A2"') < text.index('id="A1"')


def test_a_link_of_a_report_shows_what_it_is_about(tmp_path):
    put(tmp_path / "x", TWO, site=made.site(simulated="buildings"), base_url="https://example.org/out")
    said = {a["property"]: a["content"] for t, a in Page((tmp_path / "x" / "report.html").read_text()).tags
            if t == "meta" and "property" in a}  # fmt: skip
    assert said["og:title"] == "Made Place: what was built"
    assert said["og:description"].startswith("Simulated. 2 new structures found.")
    assert said["og:image"] == f"https://example.org/out/made-place/pair/{TWO[0].id}.png"
    assert said["og:url"] == "https://example.org/out/made-place/report.html"


def test_a_card_gives_its_change_away_as_geojson(published):
    page = Page((published / "report.html").read_text(encoding="utf-8"))
    links = [a for t, a in page.tags if t == "a" and "download" in a]
    assert [a["download"] for a in links] == ["made-place-A1.geojson", "made-place-A2.geojson"]
    feature = json.loads(base64.b64decode(links[0]["href"].split(",", 1)[1]))
    assert feature["properties"]["label"] == "A1" and feature["properties"]["change_id"] == TWO[0].id
    assert feature["properties"]["attribution"] == "Contains modified Copernicus Sentinel data"


def test_a_report_without_strips_still_opens_with_its_sentences(folder):
    for name in ("looks", "timeline", "pair"):
        for file in (folder / name).iterdir():
            file.write_bytes(b"torn") if name == "looks" else file.unlink()
    write_report(Folder(folder))
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert 'class="first alone"' in text and "2 new structures found" in text and 'class="swipe"' not in text


def test_verdicts_given_since_stand_in_a_report_made_anew(folder):
    judge(folder, TWO[0].id, "no change", "a ploughed field")
    write_report(Folder(folder))
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "1 new structure found." in text and "a ploughed field" in text and "rejected by a person: 1" in text
    assert "1 other was rejected by a person" in text


def test_a_report_embeds_only_as_many_pictures_as_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_PICTURES", 3)
    alerts = [made.alert(n, outline=made.outline(8 * n, 20, 2, 2)) for n in range(5)]
    put(tmp_path / "x", alerts, made.looks(count=8), after_scene="scene-07")
    text = (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
    assert text.count('class="timeline"') == 3
    assert len(re.findall(r'<path class="outline new"', text)) == len(alerts)
    assert "Pictures of 3 changes are in this page" in text


def test_a_missing_picture_is_one_clear_line(folder):
    (folder / "after.tif").unlink()
    with pytest.raises(ReviewError, match="cannot be read"):
        write_report(Folder(folder))


def test_an_alert_in_words_carries_both_ends_of_the_bracket(published):
    facts = rows(published)[TWO[0].id]
    bracket = (
        "about 4,800 m²: not there on 2023-03-06, there on 2023-03-21, persistent in later looks since 2023-04-20, "
        "seen in 9 of 10 clear looks; "
    )
    assert describe_change(facts) == f"A1: New structure, {bracket}high confidence (0.90); no verdict yet"
    judged = {**facts, "verdict": "construction", "reviewed_at": "2026-11-30T10:00:00Z"}
    assert describe_change(judged) == (
        f"A1: Construction (verdict of 2026-11-30), {bracket}classified as new structure, high confidence (0.90)"
    )


def test_what_the_program_took_back_is_neither_sure_nor_open(published):
    facts = {**rows(published)[TWO[0].id], "status": "withdrawn"}
    assert describe_change(facts) == (
        "A1: New structure, about 4,800 m²: not there on 2023-03-06, there on 2023-03-21, seen in 9 of 10 clear looks, "
        "withdrawn after later looks"
    )


def test_no_alert_is_called_certain_and_none_impossible():
    assert (
        describe_confidence(0.999) == "high confidence (above 0.99)"
        and describe_confidence(0.001) == "low confidence (below 0.01)"
    )
    assert (
        format_confidence(0.994) == "0.99"
        and format_confidence(0.995) == "above 0.99"
        and format_confidence(0.006) == "0.01"
    )


def test_areas_are_rounded_to_what_the_outline_carries():
    assert [round_area(a) for a in (7.0, 96.0, 451.0, 4754.3, 181_500.0)] == ["7", "96", "450", "4,800", "180,000"]


def test_news_are_counted_new_ones_first():
    news = [{"as_of": "2023-08-03T00:00:00Z", "event": e} for e in ("withdrawn", "new", "new", "confirmed")]
    assert describe_update(news).endswith("2023-08-03: 2 new, 1 confirmed, 1 withdrawn.") and describe_update([]) == ""


def test_where_all_is_new_nothing_is_called_news(published):
    page = (published / "report.html").read_text()
    assert "The last news" not in page and 'class="fresh"' not in page


def test_a_map_shows_the_ground_that_was_measured_and_outlines_lie_right_on_it(folder):
    with rasterio.open(folder / "before.tif") as source:
        profile, data = source.profile, source.read()
    for name in ("before", "after"):
        data[:, :, :20] = 0
        with rasterio.open(folder / f"{name}.tif", "w", **{**profile, "driver": "GTiff"}) as target:
            target.write(data)
    before, after = read_pair(folder / "before.tif", folder / "after.tif", Stretch())
    veil = read_evidence(folder / "score.tif", before)
    assert before.pixels.shape[:2] == after.pixels.shape[:2] == veil.pixels.shape[:2] == (60, 43)
    assert before.path(made.outline(10, 27, 6, 8)).startswith("M18.0 16.0")
    # the second alert lies at row 30, column 30
    assert veil.pixels[32, 30 - 17 + 2, 3] > 100 and veil.pixels[50, 20, 3] == 0


def test_every_word_of_the_trade_on_a_page_is_explained_there(folder):
    pages = {"report": (folder / "report.html").read_text(encoding="utf-8")}
    pages["index"] = write_index(folder.parent).read_text(encoding="utf-8")
    with reviewing(folder) as address:
        pages["review"] = ask(address, f"/?{urlsplit(address).query}")[1]
    for name, page in pages.items():
        body, _, help_ = page.partition('<details class="help">')
        explained = {word.lower() for word in re.findall(r"<dt>([^<]+)</dt>", help_.partition("</details>")[0])}
        text = re.sub(r"<(script|style|svg)\b.*?</\1>|<[^>]+>", " ", body, flags=re.DOTALL).lower()
        used = {word for word in TRADE if re.search(rf"\b{word}", text)}
        assert len(used) >= 2 and used <= explained, (name, used - explained)


TRADE = (
    "look", "scene", "persistent", "finished", "withdrawn", "verdict", "confidence", "score", "brightness", "ndvi",
    "shift", "offset", "clear share", "reference system", "simulated", "to do", "new structure", "settings", "label",
)  # fmt: skip
