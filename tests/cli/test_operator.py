"""What the operator of many sites reads: status, log lines, metrics, the dead-man's switch, messages on failures."""

import json
import os
import stat
from pathlib import Path

import pytest

from pipeline.catalogue.fetch import FetchError
from pipeline.run import nightly
from pipeline.run.process_site import SiteJob
from tests import world
from tests.cli.conftest import Command, Outcome
from tests.run.servers import mail_server, webhook


@pytest.fixture
def many(catalogue: Path, tmp_path: Path) -> Path:
    """Eleven sites, one of which has a catalogue that is gone."""
    bad = tmp_path / "gone.json"
    bad.write_text("{}")
    places = [world.feature(str(catalogue), id=f"well-{n:02d}") for n in range(10)]
    return world.write_sites(tmp_path / "many.geojson", [*places, world.feature(str(bad), id="bad")])


def lines_of(done: Outcome) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches that find nothing new, for nights in which only the bookkeeping counts."""
    from pipeline.catalogue.scenes import FoundScenes

    def find_scenes(job: SiteJob) -> FoundScenes:
        if job.site.id == "bad":
            raise FetchError("no answer: refused", "https://x.invalid", "try again later")
        return FoundScenes(scenes=(), rejections=(), errors=())

    monkeypatch.setattr(nightly, "find_scenes", find_scenes)


def test_a_night_in_which_few_sites_fail_pings_and_one_in_which_many_do_does_not(
    command: Command, many: Path, quick: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with webhook() as hook:
        monkeypatch.setenv("GROUNDBREAK_PING_URL", hook.url)
        done = command("nightly", "--sites", many)
        assert done.code == 3 and [each[0] for each in hook.requests] == ["GET"]
        Path("groundbreak.toml").write_text("[notify]\nping_failed_share = 0.05\n")
        assert command("nightly", "--sites", many).code == 3
        assert len(hook.requests) == 1


def test_a_site_that_goes_on_failing_is_reported_once_and_again_after_it_recovered(
    command: Command, many: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("groundbreak.toml").write_text("[notify]\nescalate_after = 3\n")
    with webhook() as hook:
        monkeypatch.setenv("GROUNDBREAK_WEBHOOK_URL", hook.url)
        for night in range(1, 6):
            command("nightly", "--sites", many)
            assert len(hook.bodies) == (night >= 3)
        (body,) = hook.bodies
        assert body["text"] == "groundbreak: 1 site failed 3 nights in a row"
        assert body["sites"][0].startswith("bad: no answer: refused") and "never looked at" in body["sites"][0]
        shown = json.loads(command("status", "--json").out)
        (entry,) = (each for each in shown if each["site"] == "bad")
        assert entry["failures"] == 5 and entry["success"] == "" and "no answer" in entry["error"]


def test_a_message_that_no_channel_took_is_sent_the_next_night(command: Command, many: Path, quick: None) -> None:
    with mail_server() as post:
        Path("groundbreak.toml").write_text(
            f'[notify]\nescalate_after = 1\nmail_to = ["a@b.org"]\nsmtp_host = "127.0.0.1"\nsmtp_port = {post.port}\n'
            'smtp_security = "none"\n'
        )
        post.answer = "451 later"
        assert "the mail was refused" in command("nightly", "--sites", many).err
        assert not post.letters
        post.answer = "250 taken"
        command("nightly", "--sites", many)
        command("nightly", "--sites", many)
        assert [letter["Subject"] for letter in post.letters] == ["groundbreak: 1 site failed 1 nights in a row"]


def test_status_is_a_table_with_the_failing_sites_first(command: Command, many: Path, quick: None) -> None:
    assert command("status").code == 2
    command("nightly", "--sites", many)
    done = command("status")
    rows = [line for line in done.out.splitlines() if line.strip().startswith(("bad", "well"))]
    assert len(rows) == 11 and rows[0].split()[:3] == ["bad", "never", "never"]


def test_lines_have_time_level_and_run_and_a_last_one_has_the_sums(command: Command, many: Path, quick: None) -> None:
    lines = lines_of(command("nightly", "--sites", many))
    assert len(lines) == 12 and len({line["run"] for line in lines}) == 1
    assert all(str(line["time"]).endswith("+00:00") and line["level"] in ("info", "error") for line in lines)
    assert lines[-1]["event"] == "night ended" and lines[-1]["sites"] == 11 and lines[-1]["failed"] == 1
    (bad,) = (line for line in lines if line.get("site") == "bad")
    assert bad["level"] == "error" and bad["failures"] == 1


def test_errors_name_their_site_and_equal_ones_are_one_line(
    command: Command, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_scenes(job: SiteJob) -> None:
        raise FetchError("the server answers 400", "https://x.invalid", "ask otherwise", 400)

    monkeypatch.setattr(nightly, "find_scenes", find_scenes)
    done = command("nightly", "--sites", many)
    assert len(done.errors) == 2
    assert "well-00" in done.errors[0] and "10 more sites" in done.errors[1]


def test_series_never_vanish(command: Command, tmp_path: Path) -> None:
    archive = world.catalogue(tmp_path / "archive", dates=12)
    sites = world.write_sites(tmp_path / "sites.geojson", [world.feature(str(archive))])

    def series() -> set[str]:
        text = Path("out/groundbreak.prom").read_text()
        return {line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")}

    def values() -> dict[str, float]:
        text = Path("out/groundbreak.prom").read_text()
        return {a: float(b) for a, b in (x.rsplit(" ", 1) for x in text.splitlines() if not x.startswith("#"))}

    command("nightly", "--sites", sites)
    first, figures = series(), values()
    command("nightly", "--sites", sites)
    assert series() == first
    key = 'groundbreak_alerts{kind="new structure",status="confirmed"}'
    assert values()[key] == figures[key] == 1.0
    assert values()['groundbreak_site_consecutive_failures{site="place"}'] == 0
    assert values()['groundbreak_site_last_success_timestamp_seconds{site="place"}'] > 1.7e9
    Path("out/place/review.gpkg").write_bytes(b"garbage" * 1000)
    before = values()["groundbreak_last_success_timestamp_seconds"]
    assert command("nightly", "--sites", sites).code == 3
    assert series() == first
    assert values()["groundbreak_last_success_timestamp_seconds"] == before
    assert values()['groundbreak_site_consecutive_failures{site="place"}'] == 1


def test_sites_of_a_broken_aoi_file_count_as_failed_and_their_series_stay(
    command: Command, many: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> dict[str, int]:
        return {each["site"]: each["failures"] for each in json.loads(command("status", "--json").out)}

    Path("aois").mkdir()
    Path("aois/one.geojson").write_bytes(many.read_bytes())
    world.write_sites(Path("aois/two.geojson"), [world.feature("empty.json", id="other")])
    Path("aois/empty.json").write_text("{}")
    with webhook() as hook:
        monkeypatch.setenv("GROUNDBREAK_PING_URL", hook.url)
        assert command("nightly").code == 3 and len(hook.requests) == 1
        Path("aois/one.geojson").write_text("{ broken")
        command("nightly")
        assert len(hook.requests) == 1, "eleven of twelve sites are gone, and the switch was told that all is well"
    assert failing()["well-03"] == 1 and "no AOI file" in command("status").out
    text = Path("out/groundbreak.prom").read_text()
    assert 'groundbreak_site_consecutive_failures{site="well-03"} 1.0' in text
    assert 'groundbreak_sites{outcome="failed"}' in text


def test_a_site_whose_catalogue_is_gone_from_the_disk_counts_as_failed(command: Command, sites: Path) -> None:
    document = json.loads(sites.read_text())
    document["features"][0]["properties"]["catalog"] = "nowhere/catalog.json"
    sites.write_text(json.dumps(document))
    for night in (1, 2):
        command("nightly", "--sites", sites)
        (entry,) = json.loads(command("status", "--json").out)
        assert entry["failures"] == night and "no such catalogue" in entry["error"]


def test_under_the_units_umask_others_may_read_what_is_published(command: Command, sites: Path) -> None:
    text = (Path(__file__).parents[2] / "deploy" / "groundbreak.service").read_text()
    (umask,) = (line.partition("=")[2] for line in text.splitlines() if line.startswith("UMask="))
    before = os.umask(int(umask, 8))
    try:
        command("nightly", "--sites", sites)
    finally:
        os.umask(before)
    published = [
        "groundbreak.prom",
        "index.html",
        "feed.xml",
        "place/report.html",
        "place/after.tif",
        "place/review.qgz",
    ]
    published.append(str(next(Path("out/place/timeline").iterdir()).relative_to("out")))
    for name in published:
        assert (Path("out") / name).stat().st_mode & stat.S_IROTH, name
    assert Path("out/place").stat().st_mode & stat.S_IXOTH


def test_a_file_of_variables_is_read_as_it_stands(
    command: Command, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as hook:
        file = tmp_path / "groundbreak.env"
        file.write_text(f"# secrets\nexport OTHER='a b'\nGROUNDBREAK_WEBHOOK_URL={hook.url}/T0K3N?a=1&b=$HOME\n")
        monkeypatch.setenv("GROUNDBREAK_WEBHOOK_URL", "")
        monkeypatch.delenv("GROUNDBREAK_WEBHOOK_URL")
        assert command("--env-file", file, "nightly", "--sites", sites).code == 0
        assert [path for _, path, _, _ in hook.requests] == ["/T0K3N?a=1&b=$HOME"]
    os.environ.pop("GROUNDBREAK_WEBHOOK_URL")
    assert os.environ.pop("OTHER") == "a b"
