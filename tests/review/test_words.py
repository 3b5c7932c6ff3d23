"""No word of the field stands on a page that the help on the same page does not explain."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.model.alert import Kind, State, Status
from pipeline.model.imagery import Reason
from pipeline.review.contents import read_contents
from pipeline.review.index import write_index
from pipeline.review.server import review_page
from tests.review import made
from tests.review.conftest import put

TERMS = {
    r"looks?": "look", r"scenes?": "scene", r"acquisitions?": "scene", r"new structures?": "new structure",
    r"cleared ground|resurfaced|demolished": "new structure", r"began": "began", r"persistent": "persistent",
    r"finished": "finished", r"withdrawn": "withdrawn", r"verdicts?": "verdict", r"to do": "to do",
    r"confidence": "confidence", r"vegetated|bare|built before": "ground", r"±": "area", r"scores?|threshold": "score",
    r"brightness|reflectance": "brightness", r"NDVI": "NDVI", r"clear share": "clear share",
    r"shift|reliability": "shift",
    r"offset|DN": "offset", r"items?": "item", r"simulated": "simulated", r"settings": "settings",
    r"reference system|EPSG": "reference system", r"bands?|B\d[\dA]": "band",
    r"registration|registered|misregistration|correlation|sigmas?": "registration", r"twins?": "twin",
    r"history|level|collection": "history", r"assets?": "asset", r"baseline": "processing baseline",
    r"interval": "interval", r"outlines?": "outline", r"grid north": "grid north", r"UTC": "UTC", r"GeoJSON": "GeoJSON",
}  # fmt: skip
"""Words of the field, as a pattern, and the line of the help that explains them."""
PLAIN = {
    "after", "area", "before", "built", "change", "decided by", "gaps", "how big", "how sure", "label",
    "last clear look", "last look", "last seen", "latitude, longitude", "limit", "made by", "newest change",
    "not seen", "not there", "note", "other changes", "place", "program", "refused scenes", "seen in", "since when",
    "site", "site outline from", "size", "state", "there", "value", "why", "clear", "ended",
}  # fmt: skip
"""Names of columns and figures that need no explanation, or only that of the words in them."""


class Page(HTMLParser):
    """Visible words of a page outside its help, the names that the help explains, and those of columns and figures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.helped: set[str] = set()
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in ("img", "meta", "link", "input", "br", "path", "circle", "image", "use"):
            self.open.append((tag, values.get("class") or ""))
        self.said += [values[name] or "" for name in ("alt", "aria-label") if name in values]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self.open]
        if not data.strip() or {"script", "style", "title"} & set(tags):
            return
        if any(name == "help" for _, name in self.open):
            self.helped |= {data.strip().lower()} if tags[-1] == "dt" else set()
            return
        self.said.append(data)
        if tags[-1] == "dt" or (tags[-1] == "th" and "thead" in tags):
            self.names.add(data.strip().lower())

    def unexplained(self) -> set[str]:
        """Terms on the page without a line in its help."""
        said = " ".join(self.said)
        return {
            help_name for pattern, help_name in TERMS.items()
            if help_name.lower() not in self.helped
            and re.search(rf"(?<![\w-])(?:{pattern})(?![\w-])", said, re.IGNORECASE)
        }  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """Of a simulated site with every change type and status."""
    out = tmp_path_factory.mktemp("out")
    kinds, states = list(Kind), [Status.CONFIRMED, Status.FINISHED, Status.WITHDRAWN, Status.PROVISIONAL]
    alerts = [made.alert(n, outline=made.outline(8 * n, 20, 4, 4), kind=kinds[n % len(kinds)], status=states[n % 4])
              for n in range(6)]  # fmt: skip
    put(out / "place", alerts, site=made.site(simulated="ground of another place, buildings drawn by a program"))
    write_index(out)
    texts = {
        "report": (out / "place" / "report.html").read_text("utf-8"),
        "index": (out / "index.html").read_text("utf-8"),
        "review": review_page(read_contents(out / "place" / "review.gpkg"), "token"),
    }
    return {name: Page(text) for name, text in texts.items()}


@pytest.mark.parametrize("name", ["report", "index", "review"])
def test_each_word_of_the_field_is_explained_on_its_page(pages, name):
    assert len(pages[name].helped) >= 9 and len(pages[name].said) > 20
    assert pages[name].unexplained() == set()


def test_each_reason_state_and_type_is_made_of_words_that_the_report_explains(pages):
    report = Page("")
    report.helped = pages["report"].helped
    report.said = [str(each) for kind in (Reason, State, Kind, Status) for each in kind]
    report.said += ["correlation peak 4.1 sigmas, 6.0 needed", "baseline 05.09", "0.03 px of shift"]
    assert report.unexplained() == set()


@pytest.mark.parametrize("name", ["report", "index", "review"])
def test_a_new_column_or_figure_is_either_plain_or_explained(pages, name):
    page = pages[name]
    left = {each for each in page.names if re.sub(r" \(.*\)$", "", each) not in PLAIN | page.helped}
    explained = {each for each in left if any(re.search(rf"\b(?:{p})\b", each, re.IGNORECASE) for p in TERMS)}
    assert left - explained == set()


def test_the_help_has_no_line_twice_and_the_glossary_the_same_words():
    words = Path("pipeline/review/templates/words.j2").read_text("utf-8")
    names = re.findall(r"^  '([^']+)': '", words, re.MULTILINE)
    assert len(names) == len(set(names)) >= 30
    assert set(TERMS.values()) <= set(names)
