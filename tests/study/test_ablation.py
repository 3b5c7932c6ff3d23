"""The ablation: every idea can be switched off from outside, and what is left still gives an answer."""

from dataclasses import replace
from datetime import date
from unittest.mock import Mock

import pytest
from shapely.geometry import box

from benchmarks import ablation
from benchmarks.ablation import IDEAS, Idea, Period
from pipeline.catalogue.sites import read_sites
from pipeline.evaluation.reviewed import Truth
from tests import world

ROWS, COLS = world.BUILDING
HALL = box(
    world.LEFT + 10 * COLS.start, world.TOP - 10 * ROWS.stop, world.LEFT + 10 * COLS.stop, world.TOP - 10 * ROWS.start
)


@pytest.fixture(scope="module")
def period(tmp_path_factory: pytest.TempPathFactory) -> Period:
    """A hall among fields, seen eight times before and eight after it was built."""
    catalogue = world.catalogue(tmp_path_factory.mktemp("period"), dates=16, built_from=8)
    sites = world.write_sites(catalogue.parent / "sites.geojson", [world.feature(str(catalogue))])
    (site,) = read_sites((sites,)).sites
    truth = Truth(
        id="hall", role="change", kind="new structure", size="60x80 m", outline=HALL, begins=date(2020, 6, 20)
    )
    site, looks = ablation._corrected(site, str(catalogue))
    return Period(site=site, catalogue=str(catalogue), looks=looks, truths=(truth,), quiet=False)


def test_nothing_switched_off_finds_the_hall_and_makes_a_row(period: Period, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.evaluation.measures.GRACE_DAYS", 0)
    shipped = Idea(name="as shipped", patches={})
    row = ablation._row(
        shipped, [(False, ablation.measured(shipped, period)), (True, ablation.measured(shipped, period))]
    )
    assert row[:3] == ("as shipped", "1 of 1", "1 of 1") and float(row[5]) > 0.5


@pytest.mark.parametrize("idea", IDEAS, ids=lambda idea: idea.name)
def test_each_idea_is_replaced_where_the_decision_uses_it(
    idea: Idea, period: Period, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.evaluation.measures.GRACE_DAYS", 0)
    replaced = {name: Mock(side_effect=other) for name, other in idea.patches.items()}
    found = ablation.measured(replace(idea, patches=replaced), period)
    if idea.name != "renewals":
        assert all(other.called for other in replaced.values())
    assert len(found.sought) == 1
