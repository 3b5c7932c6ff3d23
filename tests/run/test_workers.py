"""Sites judged side by side: answers in the order asked, and never more of them waiting than one a worker and one."""

import errno
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import pipeline.run.workers as workers
from pipeline.catalogue.sites import read_sites
from pipeline.model.errors import DecisionError
from pipeline.model.progress import Progress, no_progress
from pipeline.model.settings import Settings
from pipeline.run.detect import as_site_error
from pipeline.run.process_site import SiteJob
from pipeline.run.threads import one_thread
from tests import world


class Bench:
    """Judges by saying the site's name, and counts what is out: begun, and not yet taken."""

    def __init__(self) -> None:
        self.lock, self.out, self.most = Lock(), 0, 0

    def judge(self, job: SiteJob, step: Progress) -> str:
        with self.lock:
            self.out += 1
            self.most = max(self.most, self.out)
        return job.site.id

    def taken(self) -> None:
        with self.lock:
            self.out -= 1


def asked(folder: Path, count: int) -> list[SiteJob]:
    world.write_sites(folder / "sites.geojson", [world.feature("catalog.json")])
    site = read_sites([folder / "sites.geojson"]).sites[0]
    until = datetime(2030, 1, 1, tzinfo=UTC)
    return [
        SiteJob(site=replace(site, id=f"s{number}"), source="", collection=None, start=None, until=until,
                 settings=Settings()) for number in range(count)
    ]  # fmt: skip


def killed_at_two(job: SiteJob, step: Progress) -> str:
    """As the system does it where memory ends."""
    if job.site.id == "s2":
        os.kill(os.getpid(), signal.SIGKILL)
    return job.site.id


def test_a_process_that_is_killed_costs_its_own_site_and_no_other(tmp_path: Path) -> None:
    said = []
    for job, answer in workers.run_jobs(killed_at_two, asked(tmp_path, 6), 2, None, no_progress):
        try:
            said.append(answer())
        except DecisionError as error:
            said.append(f"{job.site.id} {error.what.split(',')[0]}")
    assert said == ["s0", "s1", "s2 the process that judges it was killed", "s3", "s4", "s5"]


@pytest.mark.parametrize(("count", "side"), [(2, 2), (3, 2), (9, 2), (3, 8)])
def test_answers_come_in_order_and_few_wait(
    count: int, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda size, mp_context: ThreadPoolExecutor(size))
    said = []
    for job, answer in workers.run_jobs(bench.judge, asked(tmp_path, count), side, None, no_progress):
        said.append((job.site.id, answer()))
        bench.taken()
    assert said == [(f"s{number}", f"s{number}") for number in range(count)]
    assert bench.most <= min(side, count) + 1


def test_linear_algebra_has_one_thread_until_the_last_judgement_is_done() -> None:
    def most() -> int:
        return max(each["num_threads"] for each in threadpool_info())

    with threadpool_limits(2):
        before = most()
        one, two = one_thread(), one_thread()
        one.__enter__()
        two.__enter__()
        assert most() == 1
        one.__exit__(None, None, None)
        assert most() == 1
        two.__exit__(None, None, None)
        assert most() == before == 2


def test_a_full_disk_is_reported_as_one_and_not_as_an_unexpected_error(tmp_path: Path) -> None:
    site = asked(tmp_path, 1)[0].site.id
    line = str(as_site_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.chip"), site))
    assert line.startswith("No space left on device: x.chip (s0): see to the disk")
    assert str(as_site_error(ValueError("of nothing"), site)).startswith("unexpected ValueError: of nothing (s0)")
