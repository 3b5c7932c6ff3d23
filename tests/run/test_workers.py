"""Sites judged side by side: answers in the order asked, and never more of them waiting than one a worker and one."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import pytest

import pipeline.run.workers as workers
from pipeline.catalogue.sites import read_sites
from pipeline.model.settings import Settings
from pipeline.run.correcting import Progress
from pipeline.run.judge import Question, quiet
from tests import world


class Bench:
    """Judges by saying the site's name, and counts what is out: begun, and not yet taken."""

    def __init__(self) -> None:
        self.lock, self.out, self.most = Lock(), 0, 0

    def judge(self, question: Question, step: Progress) -> str:
        with self.lock:
            self.out += 1
            self.most = max(self.most, self.out)
        return question.site.id

    def taken(self) -> None:
        with self.lock:
            self.out -= 1


@pytest.mark.parametrize(("count", "side"), [(2, 2), (3, 2), (9, 2), (3, 8)])
def test_answers_come_in_order_and_few_wait(
    count: int, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write_sites(tmp_path / "sites.geojson", [world.feature("catalog.json")])
    site = read_sites([tmp_path / "sites.geojson"]).sites[0]
    until = datetime(2030, 1, 1, tzinfo=UTC)
    asked = [
        Question(site=replace(site, id=f"s{number}"), source="", collection=None, start=None, until=until,
                 settings=Settings()) for number in range(count)
    ]  # fmt: skip
    bench = Bench()
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda size, mp_context: ThreadPoolExecutor(size))
    said = []
    for question, answer in workers.answers(bench.judge, asked, side, None, quiet):
        said.append((question.site.id, answer()))
        bench.taken()
    assert said == [(f"s{number}", f"s{number}") for number in range(count)]
    assert bench.most <= min(side, count) + 1
