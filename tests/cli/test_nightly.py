"""`nightly`: only what is new, quiet else, whole again after what went wrong."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from pipeline.catalogue.scenes import FoundScenes
from pipeline.run import nightly
from pipeline.run.lock import output_lock
from pipeline.run.process_site import SiteJob
from tests import world
from tests.cli.conftest import Command
from tests.run.servers import webhook


def rows_of(path: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        return db.execute("SELECT * FROM changes ORDER BY change_id").fetchall()


@pytest.fixture
def growing(catalogue: Path, tmp_path: Path) -> Path:
    """A catalogue of which only the first seven scenes are listed yet."""
    copy = tmp_path / "catalogue"
    shutil.copytree(catalogue.parent, copy)
    whole = json.loads((copy / "catalog.json").read_text())
    (copy / "whole.json").write_text(json.dumps(whole))
    whole["links"] = whole["links"][:8]
    (copy / "catalog.json").write_text(json.dumps(whole))
    return copy / "catalog.json"


def complete(catalog: Path) -> None:
    (catalog.parent / "whole.json").replace(catalog)


def test_a_second_night_does_nothing_and_says_so(command: Command, sites: Path) -> None:
    assert command("nightly", "--sites", sites).code == 0
    before = Path("out/place/review.gpkg").read_bytes()
    again = command("nightly", "--sites", sites)
    assert again.code == 4
    assert Path("out/place/review.gpkg").read_bytes() == before


def test_nights_one_by_one_give_what_one_run_gives(command: Command, growing: Path, tmp_path: Path) -> None:
    sites = world.write_sites(tmp_path / "sites.geojson", [world.feature(str(growing))])
    assert command("nightly", "--sites", sites).code == 0
    complete(growing)
    second = command("nightly", "--sites", sites)
    assert second.code == 0
    assert json.loads(second.out.splitlines()[-1])["new"] == 3
    assert command("detect", "--sites", sites, "--out", "at-once").code == 0
    nights, once = rows_of(Path("out/place/review.gpkg")), rows_of(Path("at-once/place/review.gpkg"))
    drop_id = [[cell for cell in row if cell not in (row[0],)] for row in (*nights, *once)]
    assert len(nights) == len(once) == 1
    assert drop_id[0] == drop_id[1]


def test_a_past_night_is_replayed_into_a_folder_of_its_own(command: Command, sites: Path) -> None:
    command("nightly", "--sites", sites)
    refused = command("nightly", "--sites", sites, "--until", "2020-05-25")
    assert refused.code == 3 and "--out" in refused.errors[0]
    assert command("nightly", "--sites", sites, "--until", "2020-05-25", "--out", "replay").code == 0
    assert rows_of(Path("replay/place/review.gpkg")) == []


def test_a_day_that_is_none_is_said_once_before_anything_is_made(
    command: Command, catalogue: Path, tmp_path: Path
) -> None:
    places = [
        {**world.feature(str(catalogue)), "properties": {"id": id, "catalog": str(catalogue)}} for id in ("a", "b")
    ]
    done = command("nightly", "--until", "2020-13-45", "--sites", world.write_sites(tmp_path / "s.geojson", places))
    assert done.code == 2 and len(done.errors) == 1 and "--until" in done.errors[0]
    assert not Path("out").exists()


def test_a_damaged_ledger_is_set_aside_and_built_again(command: Command, sites: Path) -> None:
    command("nightly", "--sites", sites)
    before = rows_of(Path("out/place/review.gpkg"))
    Path("out/.groundbreak/ledger.sqlite").write_bytes(b"garbage" * 400)
    assert command("nightly", "--sites", sites).code == 0
    assert rows_of(Path("out/place/review.gpkg")) == before


def test_two_runs_over_one_folder_do_not_meet(command: Command, sites: Path, tmp_path: Path) -> None:
    with output_lock(tmp_path / "out"):
        done = command("nightly", "--sites", sites)
    assert done.code == 3 and "another run" in done.errors[0]


def test_a_silent_archive_is_named(command: Command, sites: Path) -> None:
    done = command("nightly", "--sites", sites, "--until", "2020-12-31")
    assert "no new scene for 184 days" in done.err


def test_the_monitor_gets_its_figures(command: Command, sites: Path) -> None:
    command("nightly", "--sites", sites)
    text = Path("out/groundbreak.prom").read_text()
    assert 'groundbreak_sites{outcome="judged"} 1.0' in text
    assert 'groundbreak_scenes{outcome="used",reason=""} 10.0' in text
    assert 'groundbreak_told_alerts{channel="feed"} 1.0' in text
    assert "groundbreak_untold_messages 0.0" in text


def test_a_night_tells_what_it_found_and_pings_and_a_quiet_one_only_pings(
    command: Command, sites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as hook:
        monkeypatch.setenv("GROUNDBREAK_WEBHOOK_URL", f"{hook.url}/hook-T0K3N")
        monkeypatch.setenv("GROUNDBREAK_PING_URL", f"{hook.url}/ping-T0K3N")
        said = [command("nightly", "--sites", sites), command("nightly", "--sites", sites)]
        assert [each.code for each in said] == [0, 4]
        asked = [(method, path) for method, path, _, _ in hook.requests]
        assert asked == [("POST", "/hook-T0K3N"), ("GET", "/ping-T0K3N"), ("GET", "/ping-T0K3N")]
    said.append(command("nightly", "--sites", sites))
    assert "note: does not answer: Connection refused (ping): it is tried again the next night" in said[-1].err
    assert said[-1].code == 4
    assert not any("T0K3N" in each.out + each.err for each in said)
    assert Path("out/feed.xml").read_text().count("<entry>") == 1


def test_what_nobody_foresaw_at_one_site_stops_no_other(
    command: Command, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [
        {**world.feature(str(catalogue)), "properties": {"id": id, "catalog": str(catalogue)}} for id in ("a", "b")
    ]
    sites = world.write_sites(tmp_path / "sites.geojson", places)

    def find_scenes(job: SiteJob) -> FoundScenes:
        if job.site.id == "a":
            raise ZeroDivisionError("of nothing")
        return known(job)

    known = nightly.find_scenes
    monkeypatch.setattr(nightly, "find_scenes", find_scenes)
    done = command("nightly", "--sites", sites)
    assert done.code == 3 and len(done.errors) == 1 and "unexpected ZeroDivisionError" in done.errors[0]
    assert Path("out/b/review.gpkg").exists()


def test_a_night_in_which_a_site_failed_does_not_ping(
    command: Command, sites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("out/place").mkdir(parents=True)
    Path("out/place/review.gpkg").write_bytes(b"foreign" * 400)
    with webhook() as hook:
        monkeypatch.setenv("GROUNDBREAK_PING_URL", hook.url)
        assert command("nightly", "--sites", sites).code == 3
        assert not hook.requests


def test_a_secret_of_another_kind_is_named_and_not_shown(
    command: Command, sites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDBREAK_WEBHOOK_URL", "T0K3N")
    done = command("--debug", "nightly", "--sites", sites)
    assert done.code == 0
    assert done.err.count("GROUNDBREAK_WEBHOOK_URL") == 1 and "T0K3N" not in done.err + done.out


def test_a_wrong_address_of_one_channel_does_not_silence_the_others(
    command: Command, sites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("groundbreak.toml").write_text('[notify]\nmail_to = ["a@example.org"]\nsmtp_user = "a"\n'
                                        'smtp_host = "mail.example.org"\nsmtp_security = "none"\n')  # fmt: skip
    with webhook() as hook:
        monkeypatch.setenv("GROUNDBREAK_WEBHOOK_URL", hook.url)
        monkeypatch.setenv("GROUNDBREAK_PING_URL", "T0K3N")
        done = command("nightly", "--sites", sites)
        assert done.code == 0 and [each[0] for each in hook.requests] == ["POST"]
        assert [done.err.count(name) for name in ("GROUNDBREAK_PING_URL", "in the open")] == [1, 1]
        monkeypatch.setenv("GROUNDBREAK_WEBHOOK_URL", "T0K3N")
        monkeypatch.setenv("GROUNDBREAK_PING_URL", hook.url)
        assert command("nightly", "--sites", sites).code == 4
        assert [each[0] for each in hook.requests] == ["POST", "GET"]


@pytest.mark.parametrize("name", ["nightly", "detect"])
def test_a_wrong_waiting_time_is_refused_before_any_work(
    name: str, command: Command, sites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDBREAK_LOCK_SECONDS", "soon")
    done = command(name, "--sites", sites)
    assert done.code == 2 and not Path("out").exists()
    (line,) = done.errors
    assert line.startswith("error: not a waiting time: 'soon' (GROUNDBREAK_LOCK_SECONDS): give seconds from 0 to")


@pytest.mark.parametrize("name", ["nightly", "detect"])
@pytest.mark.parametrize("out", ["file", "file/deeper", "gone", "old"])
def test_results_are_not_written_to_what_is_no_folder(name: str, out: str, command: Command, sites: Path) -> None:
    Path("file").write_text("notes")
    Path("gone").symlink_to("nowhere")
    Path("old").mkdir()
    Path("old/.groundbreak").write_text("notes")
    done = command(name, "--sites", sites, "--out", out)
    blocking = {"old": "old/.groundbreak"}.get(out, out.partition("/")[0])
    fix = "name a folder with --out, or move that away"
    assert done.code == 2 and done.errors == [f"error: {blocking} is no folder (--out {out}): {fix}"]
    assert Path("file").read_text() == "notes"
