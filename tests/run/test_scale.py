"""Small versions of what the benchmarks measure of scale: counts and answers, never seconds."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import pipeline.run.looks as correcting
from pipeline.catalogue.sites import read_sites
from pipeline.correct import reference
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run.checked_files import CheckedFiles
from pipeline.run.nightly import run_night
from pipeline.run.process_site import SiteJob, process_site
from tests import world

HISTORIES = (21, 29)
"""Lengths at which a night founds and calibrates nothing anew."""
DAYS = 10


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    world.catalogue(folder / "catalogue", dates=max(HISTORIES) + 1, built_from=9, days=DAYS)
    features = [world.feature(id=f"site-{number}", name=f"Site {number}") for number in range(3)]
    world.write_sites(folder / "sites.geojson", features)
    return folder


def asked(place: Path, dates: int, out: Path) -> list[SiteJob]:
    until = world.FIRST + timedelta(days=DAYS * (dates - 1), hours=12)
    catalog = str(next((place / "catalogue").glob("catalog.json")))
    return [
        SiteJob(site=site, source=catalog, collection=None, start=None, until=until, settings=Settings(),
                 memory=out / ".groundbreak" / "memory" / site.id)
        for site in read_sites([place / "sites.geojson"]).sites
    ]  # fmt: skip


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    calls, function = list[Any](), getattr(module, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, run)
    return calls


def test_a_night_registers_and_reads_as_much_after_a_long_history_as_after_a_short_one(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = []
    for history in HISTORIES:
        before, tonight = (asked(place, dates, tmp_path / str(history))[0] for dates in (history, history + 1))
        process_site(before, no_progress)
        with monkeypatch.context() as patch:
            fits = counted(patch, reference, "estimate_shift")
            drafts = counted(patch, correcting, "make_unregistered")
            written = counted(patch, CheckedFiles, "write")
            process_site(tonight, no_progress)
            work.append((len(fits), len(drafts), len(written)))
    assert work[0] == work[1] and work[0][1] == 1


def test_sites_of_one_night_cost_and_tell_alike(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = asked(place, HISTORIES[0], tmp_path)
    process_site(before[0], no_progress)
    for each in before[1:]:
        assert each.memory is not None and before[0].memory is not None
        shutil.copytree(before[0].memory, each.memory)
    drafts = counted(monkeypatch, correcting, "make_unregistered")
    outcomes = list(run_night(asked(place, HISTORIES[0] + 1, tmp_path), tmp_path, 1, no_progress))
    assert len(drafts) == len(before) == len(outcomes)
    told = [
        [(alert.status, alert.outline.wkb) for alert in each.outcome.decision.alerts]
        for each in outcomes
        if each.outcome is not None and each.outcome.decision is not None
    ]
    assert len(told) == len(before) and told[0] and all(each == told[0] for each in told)
