"""Sensitivity: what is injected is what is counted, and the counting is honest about what was never clear."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from pipeline.catalogue.sites import read_sites
from pipeline.evaluation.sensitivity import (
    Share,
    Trial,
    draw_events,
    plan_buildings,
    run_round,
    share_within,
    summarise_trials,
)
from pipeline.model.errors import DecisionError
from pipeline.model.imagery import Chip, Look
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run.looks import correct_chips
from pipeline.run.process_site import SiteJob, find_scenes, read_all, with_scenes
from tests import world
from tests.cli.conftest import Command, command  # noqa: F401  (a fixture)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> SiteJob:
    folder = tmp_path_factory.mktemp("sensitivity")
    world.catalogue(folder / "catalogue", dates=16, built_from=None)
    file = world.write_sites(folder / "sites.geojson", [world.feature("catalogue/catalog.json")])
    site = read_sites((file,)).sites[0]
    source = str(folder / "catalogue" / "catalog.json")
    until = datetime(2021, 1, 1, tzinfo=UTC)
    return with_scenes(SiteJob(site=site, source=source, collection=None, start=None, until=until, settings=Settings()))


@pytest.fixture(scope="module")
def read(wanted: SiteJob) -> list[tuple[Chip, ...]]:
    return read_all(wanted, find_scenes(wanted).scenes, no_progress)[0]


@pytest.fixture(scope="module")
def looks(wanted: SiteJob, read: list[tuple[Chip, ...]]) -> tuple[Look, ...]:
    return correct_chips(wanted.site, read, wanted.settings, no_progress)[0]


def test_a_building_stands_in_the_chips_from_its_day_on_and_nowhere_else(
    wanted: SiteJob, read: list[tuple[Chip, ...]], looks: tuple[Look, ...]
) -> None:
    events = plan_buildings(wanted.site, looks, np.random.default_rng(2))
    changed = draw_events(read, looks, events)
    begins = min(event.begins for event in events)
    for before, after in zip(read, changed, strict=True):
        same = all(np.array_equal(before[0].dn[band].data, after[0].dn[band].data) for band in before[0].dn)
        assert same == (before[0].scene.time < begins)


def test_a_large_hall_on_quiet_ground_is_confirmed_and_its_trial_says_after_how_many_looks(
    wanted: SiteJob, read: list[tuple[Chip, ...]], looks: tuple[Look, ...]
) -> None:
    found: list[Trial] = []
    for seed in range(6):
        found += run_round(wanted.site, read, looks, wanted.settings, np.random.default_rng(seed))
    large = [trial for trial in found if trial.size in ("30x60 m", "60x100 m")]
    assert large and sum(trial.needed is not None for trial in large) >= 0.5 * len(large)
    assert all(trial.needed is None or 3 <= trial.needed <= trial.clear for trial in found)


def test_only_trials_that_had_the_looks_are_asked() -> None:
    trials = [Trial(size="20x20 m", material="concrete", clear=clear, needed=needed)
              for clear, needed in ((10, 3), (10, 6), (4, 3), (10, None))]  # fmt: skip
    assert share_within(trials, 5) == Share(hits=1, total=3)
    assert share_within(trials, 10) == Share(hits=2, total=3)
    assert "20x20 m in 33%" in summarise_trials(trials, 3.0)


def test_too_short_a_series_is_refused_in_one_line(wanted: SiteJob, looks: tuple[Look, ...]) -> None:
    with pytest.raises(DecisionError, match="7 usable looks"):
        plan_buildings(wanted.site, looks[:7], np.random.default_rng(1))


def test_the_next_report_says_what_could_not_have_been_seen(wanted: SiteJob, command: Command, tmp_path: Path) -> None:  # noqa: F811
    file = Path(wanted.source).parents[1] / "sites.geojson"
    assert command("sensitivity", "place", "--sites", file, "--rounds", 1).code == 0
    words = json.loads((tmp_path / "out" / "place" / "sensitivity.json").read_text())["sentence"]
    assert (tmp_path / "out" / "place" / "sensitivity.png").stat().st_size > 5000
    assert command("detect", "--sites", file).code in (0, 4)
    assert words.split(",")[0] in (tmp_path / "out" / "place" / "report.html").read_text()
