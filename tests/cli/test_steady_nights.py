"""One slow, silent or broken part of a night: every other site is published, and nothing depends on the log."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import dead_host
from pipeline.catalogue import fetch
from pipeline.catalogue.fetch import FetchError
from pipeline.catalogue.scenes import FoundScenes
from pipeline.model.errors import CatalogueError
from pipeline.model.settings import Settings
from pipeline.run import searches
from pipeline.run.process_site import SiteJob
from pipeline.run.searches import PostponedError, search_sites
from tests import world
from tests.cli.conftest import Command
from tests.review import made

NOTHING = FoundScenes(scenes=(), rejections=(), errors=())
RUN = "import sys; from pipeline.cli.main import run; run(sys.argv[1:])"


def job(number: int, host: str) -> SiteJob:
    site = replace(made.site(), id=f"{host}-{number}")
    until = datetime(2024, 1, 1, tzinfo=UTC)
    source = f"https://{host}.invalid/v1"
    return SiteJob(site=site, source=source, collection=None, start=None, until=until, settings=Settings())


def refused() -> FetchError:
    return FetchError("no answer", "there", "try again later")


def test_a_silent_host_is_left_alone_after_two_searches_and_tried_once_at_the_end() -> None:
    asked: list[str] = []

    def search(each: SiteJob) -> FoundScenes:
        asked.append(each.site.id)
        if each.site.id.startswith("dead"):
            time.sleep(0.05)
            raise refused()
        return NOTHING

    jobs = [*(job(n, "dead") for n in range(100)), *(job(n, "well") for n in range(20))]
    answers = [each for batch in search_sites(jobs, search) for each in batch]
    assert len(answers) == 120 and len({each.job.site.id for each in answers}) == 120
    dead = [each for each in answers if each.job.site.id.startswith("dead")]
    assert sum(each.found is not None for each in answers) == 20
    assert sum(isinstance(each.error, PostponedError) for each in dead) == 100 - sum(
        a.startswith("dead") for a in asked
    )
    assert sum(each.startswith("dead") for each in asked) <= searches.HOST_THREADS + searches.BROKEN_AFTER + 1


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_host_that_puts_everything_off_is_left_alone_like_a_silent_one(status: int) -> None:
    asked: list[str] = []

    def search(each: SiteJob) -> FoundScenes:
        asked.append(each.site.id)
        raise FetchError(f"the server answers {status}", "there", "try again later", status)

    answers = [each for batch in search_sites([job(n, "busy") for n in range(50)], search) for each in batch]
    assert len(answers) == 50 and len(asked) <= searches.HOST_THREADS + searches.BROKEN_AFTER + 1


def test_a_host_that_answers_again_is_searched_to_the_end() -> None:
    until = time.monotonic() + 0.4

    def search(each: SiteJob) -> FoundScenes:
        if time.monotonic() < until:
            time.sleep(0.1)
            raise refused()
        return NOTHING

    answers = [each for batch in search_sites([job(n, "late") for n in range(30)], search) for each in batch]
    assert len(answers) == 30
    failed = sum(each.error is not None for each in answers)
    assert failed <= 3 * searches.HOST_THREADS or failed == 30 - sum(each.found is not None for each in answers)


def test_an_answer_that_refuses_one_search_says_nothing_of_the_host() -> None:
    def search(each: SiteJob) -> FoundScenes:
        raise FetchError("the server answers 400", "there", "ask otherwise", 400)

    answers = [each for batch in search_sites([job(n, "picky") for n in range(9)], search) for each in batch]
    assert [type(each.error) for each in answers] == [FetchError] * 9


def test_a_search_without_end_fails_alone_and_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "SEARCH_SECONDS", 0.5)
    monkeypatch.setattr(searches, "GATHER_SECONDS", 0.1)
    hold = threading.Event()

    def search(each: SiteJob) -> FoundScenes:
        if each.site.id.startswith("slow"):
            hold.wait(20)
        return NOTHING

    began = time.monotonic()
    batches = list(search_sites([job(0, "slow"), *(job(n, "well") for n in range(5))], search))
    hold.set()
    assert time.monotonic() - began < 5
    assert {each.job.site.id for each in batches[0]} == {f"well-{n}" for n in range(5)}
    (late,) = batches[-1]
    assert isinstance(late.error, CatalogueError) and "not done after" in str(late.error)


def test_a_night_over_a_dead_host_publishes_the_healthy_sites_first_and_asks_the_dead_one_few_times() -> None:
    done = dead_host.measured(100, answer_s=0.002, silence_s=0.5)
    assert done.asked <= searches.HOST_THREADS + searches.BROKEN_AFTER + 1
    assert done.before > 0 and done.healthy_s < done.all_s


@contextmanager
def dripping() -> Iterator[str]:
    """A server that sends a byte of its headers every 50 ms, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            server.settimeout(0.1)
            while not over.is_set():
                try:
                    peer, _ = server.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=drip, args=(peer,), daemon=True).start()

        def drip(peer: socket.socket) -> None:
            with peer:
                try:
                    peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not over.wait(0.05):
                        peer.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        finally:
            over.set()
            thread.join()


def test_healthy_sites_are_published_beside_a_server_that_drips(
    command: Command, catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "DEADLINE_S", 1.0)
    Path("groundbreak.toml").write_text('[search]\nasset_hosts = ["127.0.0.1"]\n')
    with dripping() as address:
        places = [
            world.feature(address, id="far"),
            world.feature(address, id="far-too"),
            world.feature(str(catalogue), id="near"),
        ]
        done = command("nightly", "--sites", world.write_sites(tmp_path / "s.geojson", places), "--workers", 1)
    assert done.code == 3 and Path("out/near/review.gpkg").exists()
    sites = [json.loads(line)["site"] for line in done.out.splitlines() if '"site"' in line]
    assert sorted(sites) == ["far", "far-too", "near"]


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", ">/dev/full 2>/dev/full", "<&- >&- 2>&-"])
def test_results_do_not_depend_on_where_the_log_goes(sites: Path, tmp_path: Path, streams: str) -> None:
    if "full" in streams and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    script = f'exec "{sys.executable}" -c "{RUN}" nightly --sites sites.geojson --workers 1 {streams}'
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/place/report.html").exists() and (tmp_path / "out/index.html").exists()
    assert (tmp_path / "out/groundbreak.prom").exists()
