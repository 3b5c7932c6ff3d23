"""Who is told what: each alert in each status once on each channel, whatever fails, and no secret anywhere."""

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from pipeline.model.alert import Kind, Status
from pipeline.model.errors import GroundbreakError, SettingsError
from pipeline.model.settings import Notify, Settings, override_settings, settings_digest
from pipeline.notify import channels as ways
from pipeline.notify.channels import Secrets, UndeliveredError, open_channels, read_secrets
from pipeline.review.geoblob import register_functions
from pipeline.run.notifications import Notified, notify
from tests.review import made
from tests.review.conftest import put
from tests.run.servers import Hook, Post, mail_server, webhook

NOW = datetime(2024, 3, 1, 3, 20, tzinfo=UTC)
SITE = "made-place"
ATOM = "{http://www.w3.org/2005/Atom}"
TOKEN = "T0K3N-of-the-hook"


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """out/ of a place with a confirmed alert and a provisional one."""
    out = tmp_path_factory.mktemp("first") / "out"
    put(out / SITE, [made.alert(1), made.alert(2, row=30, col=30, status=Status.PROVISIONAL, confirmed_at=None)])
    return out


@pytest.fixture
def out(first_night: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first_night, tmp_path / "out"))


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as server:
        yield server


@pytest.fixture
def post() -> Iterator[Post]:
    with mail_server() as server:
        yield server


def letters_to(post: Post, **changes: object) -> Notify:
    plain = {
        "smtp_host": "127.0.0.1",
        "smtp_port": post.port,
        "smtp_security": "none",
        "mail_to": ("desk@example.org",),
    }
    return Notify.model_validate({**plain, **changes})


def night(
    out: Path, hook: Hook | None = None, settings: Notify | None = None, after: int = 0, **more: bool
) -> Notified:
    secrets = Secrets(webhook_url=f"{hook.url}/{TOKEN}" if hook else "")
    return notify(out, [SITE], settings or Notify(), NOW + timedelta(days=after), secrets, **more)


def move_on(out: Path, number: int = 2, status: str = "confirmed") -> None:
    """What the next night's publishing does to an alert."""
    with contextlib.closing(sqlite3.connect(out / SITE / "review.gpkg")) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET status = ? WHERE change_id = ?", [status, f"a{number:015d}"])


def plain_of(mail: EmailMessage) -> str:
    return str(mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]


def page_of(mail: EmailMessage) -> str:
    return str(mail.get_body(("html",)).get_content())  # type: ignore[union-attr]


def told_of(hook: Hook) -> list[list[tuple[str, str]]]:
    return [sorted((alert["change_id"][-1], alert["status"]) for alert in body["alerts"]) for body in hook.bodies]


def entries(out: Path) -> list[ET.Element]:
    return ET.parse(out / "feed.xml").getroot().findall(f"{ATOM}entry")


def test_a_first_night_is_one_digest_and_says_that_it_is_what_stands(out: Path, hook: Hook, post: Post) -> None:
    assert night(out, hook, letters_to(post)).alerts == {"webhook": 2, "mail": 2, "feed": 2}
    assert told_of(hook) == [[("1", "confirmed"), ("2", "provisional")]]
    assert hook.bodies[0]["first"] is True
    assert len(post.letters) == 1
    assert post.letters[0]["Subject"] == "Made Place: from the history: 2 new structures"


def test_each_alert_in_each_status_is_told_once_over_many_nights(out: Path, hook: Hook, post: Post) -> None:
    settings = letters_to(post)
    for after, status in enumerate(("provisional", "confirmed", "confirmed", "provisional", "confirmed", "finished")):
        move_on(out, 2, status)
        night(out, hook, settings, after)
    assert told_of(hook) == [[("1", "confirmed"), ("2", "provisional")], [("2", "confirmed")], [("2", "finished")]]
    assert [body["first"] for body in hook.bodies] == [True, False, False]
    assert len(post.letters) == 3
    assert len(entries(out)) == 4


def test_an_idle_night_sends_nothing_and_leaves_the_feed_as_it_was(out: Path, hook: Hook) -> None:
    night(out, hook)
    before = (out / "feed.xml").read_bytes()
    night(out, hook, after=1)
    assert len(hook.requests) == 1
    assert (out / "feed.xml").read_bytes() == before


def test_what_the_analyst_rejected_is_not_told(out: Path, hook: Hook) -> None:
    with contextlib.closing(sqlite3.connect(out / SITE / "review.gpkg")) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET verdict = 'no change' WHERE change_id LIKE '%1'")
    night(out, hook)
    assert told_of(hook) == [[("2", "provisional")]]


@pytest.mark.parametrize("answer", [500, 404, 302, 400])
def test_a_failing_webhook_is_asked_again_and_stops_no_other_channel(
    out: Path, hook: Hook, post: Post, answer: int
) -> None:
    hook.answer = answer
    told = night(out, hook, letters_to(post))
    assert [str(error) for error in told.errors] == [f"answered {answer} (webhook): {ways.FIX}"]
    assert told.alerts == {"mail": 2, "feed": 2}
    assert len(hook.requests) == 1, "a redirect was followed, or a try was repeated"
    hook.answer = 200
    assert night(out, hook, letters_to(post), 1).alerts == {"webhook": 2, "mail": 0, "feed": 0}
    assert told_of(hook)[0] == told_of(hook)[1]
    assert hook.bodies[0]["key"] == hook.bodies[1]["key"]
    assert hook.bodies[1]["first"] is True
    assert len(post.letters) == 1


@pytest.mark.parametrize("answer", ["451 later", "550 not here"])
def test_a_failing_mail_server_is_asked_again(out: Path, post: Post, answer: str) -> None:
    post.answer = answer
    assert len(night(out, settings=letters_to(post)).errors) == 1
    post.answer = "250 taken"
    assert not night(out, settings=letters_to(post)).errors
    assert len(post.letters) == 1


def test_a_server_that_is_gone_is_asked_once_a_night_not_once_a_site(out: Path) -> None:
    shutil.copytree(out / SITE, out / "another")
    secrets = Secrets(webhook_url="http://127.0.0.1:9/x")
    told = notify(out, [SITE, "another"], Notify(), NOW, secrets)
    assert len(told.errors) == 1 and told.alerts["feed"] == 4
    with webhook() as hook:
        told = notify(out, [SITE, "another"], Notify(), NOW, Secrets(webhook_url=hook.url))
        assert told.alerts["webhook"] == 4
        assert [body["site"] for body in hook.bodies] == [SITE, "another"]


def killed_before_writing_down(monkeypatch: pytest.MonkeyPatch, out: Path, hook: Hook | None = None) -> None:
    """A night that ends when something has been told and the ledger does not know it yet."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.run.ledger.Ledger.mark_notified", killed)
        with pytest.raises(KeyboardInterrupt):
            night(out, hook)


def test_a_kill_between_sending_and_writing_down_repeats_the_message_under_its_old_key(
    out: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before_writing_down(monkeypatch, out, hook)
    night(out, hook, after=1)
    night(out, hook, after=2)
    first, again = hook.requests
    assert first[2]["Idempotency-Key"] == again[2]["Idempotency-Key"] == hook.bodies[0]["key"]
    assert len(entries(out)) == 2


def test_a_kill_after_the_feed_was_written_neither_doubles_nor_loses_an_entry(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before_writing_down(monkeypatch, out)
    before = entries(out)
    night(out, after=1)
    assert len(before) == len(entries(out)) == 2


def test_a_channel_set_up_later_begins_with_what_is_new(out: Path, hook: Hook) -> None:
    night(out)
    night(out, hook, after=1)
    assert not hook.requests
    move_on(out)
    night(out, hook, after=2)
    assert told_of(hook) == [[("2", "confirmed")]]
    assert hook.bodies[0]["first"] is False


def test_a_lost_ledger_repeats_nothing(out: Path, hook: Hook, post: Post) -> None:
    night(out, hook, letters_to(post))
    (out / ".groundbreak" / "ledger.sqlite").write_bytes(b"garbage" * 400)
    move_on(out)
    night(out, hook, letters_to(post), 1)
    assert told_of(hook)[1:] == [[("2", "confirmed")]]
    assert len(post.letters) == 2
    assert len(entries(out)) == 3


@pytest.mark.parametrize("text", [None, b"<feed", b'<!DOCTYPE x [<!ENTITY a "b">]><feed>&a;</feed>'])
def test_a_lost_feed_is_made_again_and_no_channel_repeats_itself(out: Path, hook: Hook, text: bytes | None) -> None:
    night(out, hook)
    (out / "feed.xml").unlink()
    if text is not None:
        (out / "feed.xml").write_bytes(text)
    night(out, hook, after=1)
    assert len(entries(out)) == 2
    assert len(hook.requests) == 1


def test_a_replay_writes_the_feed_and_tells_nobody(out: Path, hook: Hook) -> None:
    assert night(out, hook, send=False).alerts == {"feed": 2}
    assert not hook.requests


def test_a_site_without_an_alert_greets_nobody_and_its_first_alert_is_news(tmp_path: Path, hook: Hook) -> None:
    out = tmp_path / "out"
    put(out / SITE, [])
    night(out, hook)
    assert not hook.requests
    put(out / SITE, [made.alert(1)])
    night(out, hook, after=1)
    assert [body["first"] for body in hook.bodies] == [False]


def test_a_mail_names_place_and_links_and_shows_the_pictures_in_its_text(out: Path, post: Post) -> None:
    night(out, settings=letters_to(post, base_url="https://example.org/watch/"))
    mail = post.letters[0]
    plain, page = plain_of(mail), page_of(mail)
    for part in ("made-place/report.html#c-a000000000000001", "made-place/timeline/a000000000000001.png"):
        assert f"https://example.org/watch/{part}" in plain and f"https://example.org/watch/{part}" in page
    assert "39.100000, 129.000000" in plain
    pictures = {part["Content-ID"].strip("<>"): part for part in mail.walk() if part.get_content_type() == "image/png"}
    assert sorted(re.findall(r'src="cid:([^"]+)"', page)) == sorted(pictures) and len(pictures) == 2
    stored = {path.name: path.read_bytes() for path in (out / SITE / "timeline").glob("*.png")}
    for part in pictures.values():
        assert part.get_content_disposition() == "inline" and part.get_content() == stored[str(part.get_filename())]


def test_many_sites_are_one_mail_with_new_structures_first_then_corrections_counts_and_failures(
    out: Path, post: Post
) -> None:
    settings = letters_to(post)
    for name in ("second", "third"):
        shutil.copytree(out / SITE, out / name)
    sites = [SITE, "second", "third"]
    assert not notify(out, sites, settings, NOW, Secrets()).errors
    assert [mail["Subject"] for mail in post.letters] == ["3 sites: from the history: 6 new structures"]
    put(out / "second", [made.alert(1), made.alert(3, row=40, kind=Kind.CLEARED_GROUND)])
    put(out / "third", [made.alert(1), made.alert(2, row=30, col=30), made.alert(3, row=45)])
    told = notify(out, sites, settings, NOW, Secrets(), failures=["far: no answer (host): try again; failed tonight"])
    mail = post.letters[1]
    assert len(post.letters) == 2 and told.alerts["mail"] == 4
    assert mail["Subject"] == "2 sites: 2 new structures, 1 other change, 1 correction"
    for text in (plain_of(mail), page_of(mail)):
        order = ["confirmed at made place", "withdrawn at made place", "1 cleared ground", "far: no answer"]
        places = [text.lower().index(each) for each in order]
        assert places == sorted(places)
    assert [notify(out, sites, settings, NOW, Secrets()).alerts["mail"] for _ in range(2)] == [0, 0]


def test_sites_that_failed_alone_are_no_reason_for_a_mail(out: Path, post: Post) -> None:
    night(out, settings=letters_to(post))
    notify(out, [SITE], letters_to(post), NOW, Secrets(), failures=["far: no answer; failed tonight"])
    assert len(post.letters) == 1


def test_a_mail_over_very_many_alerts_stays_small(out: Path, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.notify.mail.MAX_PICTURES_BYTES", 500_000)
    put(out / SITE, [made.alert(number, row=1 + number) for number in range(1, 41)], max_timelines=40)
    night(out, settings=letters_to(post))
    mail = post.letters[0]
    pictures = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert "and 20 more, in the report" in plain_of(mail)
    assert 0 < len(pictures) <= 8 and sum(len(part.get_content()) for part in pictures) <= 500_000


def refute(out: Path, how: str) -> None:
    """What makes an alert no longer true: later looks, a person, or the end of the change itself."""
    change = {"withdrawn": "status = 'withdrawn'", "rejected": "verdict = 'no change'", "ended": "status = 'finished'"}
    with contextlib.closing(sqlite3.connect(out / SITE / "review.gpkg")) as db, db:
        register_functions(db)
        db.execute(f"UPDATE changes SET {change[how]} WHERE change_id LIKE '%1'")
        if how == "ended":
            db.execute("UPDATE changes SET last_seen = '2023-05-01', ended = '2023-05-01' WHERE change_id LIKE '%1'")


@pytest.mark.parametrize("how", ["withdrawn", "rejected", "ended"])
def test_whoever_was_notified_gets_a_correction_once(out: Path, hook: Hook, post: Post, how: str) -> None:
    settings = letters_to(post)
    night(out, hook, settings)
    refute(out, how)
    for after in (1, 2):
        night(out, hook, settings, after)
    assert told_of(hook)[1:] == [[("1", how)]]
    assert [mail["Subject"] for mail in post.letters[1:]] == ["Made Place: 1 correction"]
    assert entries(out)[0].findtext(f"{ATOM}title") == f"Made Place: new structure, {how}"


def test_nobody_gets_a_correction_of_what_they_were_not_notified_of(out: Path, hook: Hook, post: Post) -> None:
    settings = letters_to(post, kinds=("demolished",))
    night(out, hook, settings)
    refute(out, "withdrawn")
    night(out, hook, settings, 1)
    assert not hook.requests and not post.letters


def test_a_correction_reaches_a_channel_whose_thresholds_have_risen_since(out: Path, post: Post) -> None:
    night(out, settings=letters_to(post))
    refute(out, "withdrawn")
    night(out, settings=letters_to(post, min_confidence=0.99), after=1)
    text = plain_of(post.letters[1])
    assert post.letters[1]["Subject"] == "Made Place: 1 correction"
    assert "Withdrawn at Made Place: " in text and "withdrawn after later looks" in text


def test_a_corrected_alert_that_is_confirmed_again_is_news_again_and_can_be_corrected_again(
    out: Path, hook: Hook
) -> None:
    for after, status in enumerate(("confirmed", "withdrawn", "provisional", "confirmed", "confirmed", "withdrawn")):
        move_on(out, 1, status)
        night(out, hook, after=after)
    of_one = [status for body in told_of(hook) for change, status in body if change == "1"]
    assert of_one == ["confirmed", "withdrawn", "confirmed", "withdrawn"]


def test_what_a_person_has_confirmed_is_not_corrected_by_the_machine(out: Path, hook: Hook) -> None:
    night(out, hook)
    with contextlib.closing(sqlite3.connect(out / SITE / "review.gpkg")) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET verdict = 'construction'")
    move_on(out, 1, "withdrawn")
    night(out, hook, after=1)
    assert len(hook.requests) == 1


def test_a_lost_ledger_still_corrects_what_the_feed_has_and_repeats_no_correction(out: Path, hook: Hook) -> None:
    night(out, hook)
    (out / ".groundbreak" / "ledger.sqlite").unlink()
    refute(out, "withdrawn")
    night(out, hook, after=1)
    (out / ".groundbreak" / "ledger.sqlite").unlink()
    night(out, hook, after=2)
    assert told_of(hook)[1:] == [[("1", "withdrawn")]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [({"kinds": ("cleared ground",)}, ["2"]), ({"min_confidence": 0.8}, ["1"]), ({"kinds": ()}, [])],
)
def test_thresholds_by_change_type_and_confidence_hold_for_messages_and_not_for_the_feed(
    tmp_path: Path, hook: Hook, post: Post, wanted: dict[str, object], expected: list[str]
) -> None:
    out = tmp_path / "out"
    put(out / SITE, [made.alert(1), made.alert(2, row=30, kind=Kind.CLEARED_GROUND, confidence=0.7)])
    night(out, hook, letters_to(post, **wanted))
    assert [change for body in told_of(hook) for change, _ in body] == expected
    assert len(post.letters) == len(expected)
    assert len(entries(out)) == 2
    night(out, hook, letters_to(post), 1)
    assert sorted(change for body in told_of(hook) for change, _ in body) == ["1", "2"]


def test_a_chat_gets_one_text_whose_special_letters_are_harmless(tmp_path: Path, hook: Hook) -> None:
    out = tmp_path / "out"
    put(out / SITE, [made.alert(1)], site=made.site("Plant <!channel> & Sons"))
    night(out, hook, Notify(webhook="slack"))
    (body,) = hook.bodies
    assert list(body) == ["text"]
    assert "Plant &lt;!channel&gt; &amp; Sons" in body["text"] and "New structure, about" in body["text"]


def test_a_name_cannot_write_headers_of_a_letter(tmp_path: Path, post: Post) -> None:
    out = tmp_path / "out"
    put(out / SITE, [made.alert(1)], site=made.site("Plant\r\nBcc: all@example.org"))
    night(out, settings=letters_to(post))
    assert post.letters[0]["Bcc"] is None


def test_a_name_cannot_write_markup_into_a_mail(tmp_path: Path, post: Post) -> None:
    out = tmp_path / "out"
    put(out / SITE, [made.alert(1)], site=made.site("<img src=http://x.invalid/><script>alert(1)</script>"))
    night(out, settings=letters_to(post))
    page = page_of(post.letters[0])
    assert "<script>" not in page and "src=http" not in page.replace("&lt;img src=http", "")


def test_simulated_places_say_so_on_every_channel(tmp_path: Path, hook: Hook, post: Post) -> None:
    out = tmp_path / "out"
    put(out / SITE, [made.alert(1)], site=made.site(simulated="buildings drawn in"))
    night(out, hook, letters_to(post))
    assert "simulated" in post.letters[0]["Subject"]
    assert hook.bodies[0]["simulated"] is True and "simulated" in hook.bodies[0]["text"]
    assert "simulated" in entries(out)[0].findtext(f"{ATOM}title", "")


def test_the_feed_is_atom_with_stable_ids_and_links_that_lead_somewhere(out: Path) -> None:
    night(out, settings=Notify(base_url="https://example.org/watch"))
    root = ET.parse(out / "feed.xml").getroot()
    assert root.tag == f"{ATOM}feed"
    for element in (root, *entries(out)):
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"{ATOM}{name}")) == 1
        datetime.fromisoformat(element.findtext(f"{ATOM}updated", ""))
        assert element.findtext(f"{ATOM}id", "").startswith("urn:uuid:")
    assert root.findtext(f"{ATOM}author/{ATOM}name")
    assert {link.get("rel") for link in root.findall(f"{ATOM}link")} == {"self", "alternate"}
    ids = [entry.findtext(f"{ATOM}id") for entry in entries(out)]
    assert len(set(ids)) == 2
    for entry in entries(out):
        links = {link.get("rel"): link for link in entry.findall(f"{ATOM}link")}
        assert links["alternate"].get("href", "").startswith("https://example.org/watch/made-place/report.html#c-")
        picture = out / links["enclosure"].get("href", "").removeprefix("https://example.org/watch/")
        assert int(links["enclosure"].get("length", 0)) == picture.stat().st_size
    (out / "feed.xml").unlink()
    shutil.rmtree(out / ".groundbreak")
    night(out, after=5)
    assert sorted(ids) == sorted(entry.findtext(f"{ATOM}id") for entry in entries(out))


def secrets_of(environment: dict[str, str]) -> Secrets:
    return read_secrets(environment)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/T0K3N", "http://", "T0K3N", "http://h:99999/T0K3N"])
def test_an_address_of_another_kind_is_refused_without_being_shown(url: str) -> None:
    other = {"GROUNDBREAK_WEBHOOK_URL": "https://a.example/", "GROUNDBREAK_PING_URL": "https://b.example/"}
    for name in other:
        found = secrets_of({**other, name: url})
        (error,) = found.errors
        assert "T0K3N" not in str(error) + repr(found) and name in str(error)
        assert {found.webhook_url, found.ping_url} == {"", *other.values()} - {other[name]}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/T0K3N", "http://127.0.0.1/T0K3N with spaces", "http://T0K3N.invalid/x",
                                 "http://[::1]:9/T0K3N"])  # fmt: skip
def test_no_error_contains_an_address(url: str) -> None:
    with pytest.raises(UndeliveredError) as caught:
        ways.ping_monitor(url)
    assert "T0K3N" not in str(caught.value)
    assert "T0K3N" not in repr(Secrets(ping_url=url, webhook_url=url, smtp_password=url))
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_password_goes_over_no_open_wire() -> None:
    settings = Notify(mail_to=("a@example.org",), smtp_host="mail.example.org", smtp_user="u", smtp_security="none")
    ways_open, (error,) = open_channels(settings, Secrets(smtp_password="pw"))
    assert not ways_open and "in the open" in str(error)


def test_a_wrong_password_is_an_error_that_does_not_contain_it(out: Path) -> None:
    with mail_server(password=b"right") as post:
        settings = letters_to(post, smtp_user="desk")
        told = notify(out, [SITE], settings, NOW, Secrets(smtp_password="wr0ng-one"))
        assert ["wr0ng-one" in str(error) for error in told.errors] == [False]
        assert not notify(out, [SITE], settings, NOW, Secrets(smtp_password="right")).errors
        assert len(post.letters) == 1


def test_no_secret_is_left_in_any_file_or_log(out: Path, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    with mail_server(password=b"pa55w0rd") as post:
        settings = letters_to(post, smtp_user="desk")
        for after, answer in enumerate((500, 200)):
            hook.answer = answer
            secrets = Secrets(webhook_url=f"{hook.url}/{TOKEN}", smtp_password="pa55w0rd")
            told = notify(out, [SITE], settings, NOW + timedelta(days=after), secrets)
            assert TOKEN not in repr(told) and "pa55w0rd" not in repr(told)
        assert post.letters and hook.requests[-1][1] == f"/{TOKEN}"
    for path in filter(Path.is_file, out.rglob("*")):
        content = path.read_bytes()
        assert TOKEN.encode() not in content and b"pa55w0rd" not in content, path
    assert TOKEN not in caplog.text and "pa55w0rd" not in caplog.text


def test_an_aoi_file_cannot_say_who_is_told_and_telling_changes_no_result() -> None:
    with pytest.raises(SettingsError, match="cannot be set for one site"):
        override_settings(Settings(), {"notify.smtp_host": "elsewhere.example.org"}, "aoi")
    assert settings_digest(Settings(notify=Notify(mail_to=("a@example.org",)))) == settings_digest(Settings())


def test_a_review_file_that_cannot_be_read_keeps_the_others_told(out: Path, hook: Hook) -> None:
    (out / "broken").mkdir()
    (out / "broken" / "review.gpkg").write_bytes(b"garbage" * 400)
    told = notify(out, ["broken", SITE], Notify(), NOW, Secrets(webhook_url=hook.url))
    assert len(told.errors) == 1 and isinstance(told.errors[0], GroundbreakError)
    assert told_of(hook) == [[("1", "confirmed"), ("2", "provisional")]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for this machine, signed by itself."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("openssl is missing; under CI it must be there")
        pytest.skip("this machine has no openssl")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    words = (
        f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=mail -addext subjectAltName=IP:127.0.0.1 -keyout {path}"
    )
    done = subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    with path.open("ab") as handle:
        handle.write(done.stdout)
    return path


def tls_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_letter_and_password_go_through_tls_to_a_server_that_can_prove_its_name(
    out: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    secrets = Secrets(smtp_password="right")
    with mail_server(tls_of(certificate), b"right", implicit=security == "tls") as post:
        settings = letters_to(post, smtp_user="desk", smtp_security=security)
        (error,) = notify(out, [SITE], settings, NOW, secrets).errors
        assert "SSLCertVerificationError" in str(error) and not post.letters
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert not notify(out, [SITE], settings, NOW, secrets).errors
        assert len(post.letters) == 1


def test_a_server_without_tls_gets_neither_letter_nor_password(out: Path) -> None:
    with mail_server(password=b"right") as post:
        settings = letters_to(post, smtp_user="desk", smtp_security="starttls")
        (error,) = notify(out, [SITE], settings, NOW, Secrets(smtp_password="right")).errors
        assert "SMTPNotSupportedError" in str(error)
        assert not post.letters


@contextlib.contextmanager
def dripping() -> Iterator[int]:
    """A server that sends a byte of its first line now and then, for ever; its port."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def serve() -> None:
            peers: list[socket.socket] = []
            while not over.wait(0.02):
                with contextlib.suppress(TimeoutError):
                    peers.append(server.accept()[0])
                for peer in peers:
                    with contextlib.suppress(OSError):
                        peer.send(b"2")
            for peer in peers:
                peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


def test_servers_that_drip_are_given_up(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "DEADLINE_S", 0.5)
    with dripping() as port:
        settings = Notify(mail_to=("a@example.org",), smtp_host="127.0.0.1", smtp_port=port, smtp_security="none")
        told = notify(out, [SITE], settings, NOW, Secrets(webhook_url=f"http://127.0.0.1:{port}/x"))
        with pytest.raises(UndeliveredError):
            ways.ping_monitor(f"http://127.0.0.1:{port}/x")
    assert sorted(error.where for error in told.errors) == ["mail", "webhook"] and told.alerts == {"feed": 2}


def test_a_webhook_that_hangs_costs_a_night_one_timeout(out: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(out / SITE, out / "another")
    monkeypatch.setattr(ways, "TIMEOUT_S", 0.2)
    hook.called = lambda: time.sleep(0.6)
    told = notify(out, [SITE, "another"], Notify(), NOW, Secrets(webhook_url=hook.url))
    assert [str(error) for error in told.errors] == [f"does not answer: TimeoutError (webhook): {ways.FIX}"]
