"""`groundbreak review`: what it stores, and what it refuses to any page but its own."""

import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.model.errors import UsageError
from pipeline.review.contents import read_contents, read_overview
from pipeline.review.server import review_page
from pipeline.review.verdicts import MAX_NOTE, give_verdict
from tests.review.review_files import TWO, connect, digests, rows
from tests.review.reviewing import reviewing

ONE = TWO[0].id


@pytest.fixture(scope="module")
def site(tmp_path_factory, published):
    return Path(shutil.copytree(published, tmp_path_factory.mktemp("reviewed") / "made-place"))


@pytest.fixture(scope="module")
def address(site):
    with reviewing(site) as found:
        yield found


def ask(address, path, body=None, **changes):
    """(status, answer) of a request that our own page would make, but for `changes` of its headers."""
    parts = urlsplit(address)
    base = f"{parts.scheme}://{parts.netloc}"
    headers = {"X_Token": parse_qs(parts.query)["token"][0], "Origin": base, **changes}
    sent = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, sent)
    for _ in range(50):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode(), refused.headers
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def test_a_verdict_is_stored_stamped_and_logged(site, address):
    status, answer, _ = ask(address, f"/verdict/{ONE}", {"verdict": "construction", "note": " seen "})
    row = rows(site)[ONE]
    assert status == 200 and (row["verdict"], row["note"]) == ("construction", "seen")
    assert row["reviewer"] == json.loads(answer)["reviewer"] and row["reviewed_at"].endswith("Z")
    ask(address, f"/verdict/{ONE}", {"verdict": None, "note": None})
    row = rows(site)[ONE]
    assert row["verdict"] is row["note"] is row["reviewer"] is None
    with connect(site) as db:
        assert [each[0] for each in db.execute("SELECT verdict FROM review_log ORDER BY fid")] == ["construction", None]


def test_the_changes_and_the_looks_of_one_are_listed(address):
    _, answer, _ = ask(address, "/changes")
    assert [(each["label"], each["waits"]) for each in json.loads(answer)] == [("A1", True), ("A2", True)]
    _, answer, _ = ask(address, f"/strip/{ONE}")
    strip = json.loads(answer)
    assert len(strip["frames"]) == 14 and strip["data"].startswith("data:image/jpeg;base64,")
    assert json.loads(ask(address, "/strip/none")[1]) is None


def test_a_list_of_changes_reads_no_row_for_each_look(folder):
    whole = read_contents(folder / "review.gpkg")
    with connect(folder) as db:
        db.execute("DROP TABLE observations")
    short = read_contents(folder / "review.gpkg", looks=False)
    assert [change.facts for change in short.changes] == [change.facts for change in whole.changes]
    assert whole.looks and not short.looks and review_page(read_overview(folder / "review.gpkg"), "x")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"X_Token": None}, 403),
        ({"X_Token": "guessed"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": None}, 403),
        ({"Host": "evil.example"}, 400),
        ({"Content_Length": "50000"}, 413),
    ],
)
def test_another_page_can_give_no_verdict(site, address, changes, expected):
    before = rows(site)[ONE]
    body = {"verdict": "construction", "note": "forged"}
    if expected == 413:
        body["note"], changes = "x" * 50_000, {}
    assert ask(address, f"/verdict/{ONE}", body, **changes)[0] == expected
    assert rows(site)[ONE] == before


def test_the_page_wants_the_token_and_carries_a_strict_policy(address):
    parts = urlsplit(address)
    assert ask(address, "/?token=guessed")[0] == 403
    status, page, headers = ask(address, f"/?{parts.query}")
    assert status == 200 and "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in page and "unsafe" not in page and headers["Cache-Control"] == "no-store"
    assert ask(address, f"/?{parts.query}", Host="evil.example")[0] == 400


@pytest.mark.parametrize(
    "body", [{}, [], {"verdict": "maybe", "note": None}, {"verdict": 3, "note": None},
             {"verdict": None, "note": "x" * (MAX_NOTE + 1)}],
)  # fmt: skip
def test_what_is_no_verdict_is_answered_in_words_and_changes_nothing(site, address, body):
    before = rows(site)
    status, answer, _ = ask(address, f"/verdict/{ONE}", body)
    assert status == 400 and json.loads(answer)["error"] and rows(site) == before
    assert ask(address, "/verdict/none", {"verdict": "construction", "note": None})[0] == 400


def test_a_verdict_that_finds_the_file_locked_says_so_and_changes_nothing(folder, monkeypatch):
    monkeypatch.setattr("pipeline.review.verdicts.WAIT_SECONDS", 0.2)
    holder = connect(folder)
    holder.execute("BEGIN IMMEDIATE")
    before = digests(folder)
    with pytest.raises(Exception, match="locked"):
        give_verdict(folder / "review.gpkg", ONE, "construction", None, "ana")
    holder.execute("ROLLBACK")
    holder.close()
    assert digests(folder) == before
    with pytest.raises(UsageError, match="no change"):
        give_verdict(folder / "review.gpkg", "none", "construction", None, "ana")
