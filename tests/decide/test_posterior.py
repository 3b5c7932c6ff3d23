"""The probability of a lasting change, and what it confirms, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.decide import posterior
from pipeline.decide.detections import _judge_episode
from pipeline.decide.object_series import Candidates, Episode
from pipeline.decide.posterior import (
    JUDGED,
    LARGE_M2,
    LEAST_SCORE,
    PRIOR_OBJECTS,
    USUAL_REVERTED,
    SitePrior,
    level_of,
    log_odds,
    measure_features,
    reverted_share,
    to_probability,
)
from pipeline.decide.steps import Times
from pipeline.model.alert import LEAST_LOOKS

LOOKS, DAYS = 20, 30
"""A look every thirty days."""


def days(*each: int) -> np.ndarray:
    return np.array(each)


def test_features_are_score_the_shorter_side_the_end_and_the_area() -> None:
    found = measure_features(np.array([2.0, 4.0, 8.0]), days(30, 365, 900), 91, True, 2000.0, np.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(found[:, 0], 1)
    np.testing.assert_allclose(found[:, 1], np.log([2, 4, 8]))
    np.testing.assert_allclose(found[:, 2], np.sqrt(np.array([30, 91, 91]) / 365))
    assert found[:, 3].tolist() == [0, 0, 1], "only the last look knows that the old ground is back"
    np.testing.assert_allclose(found[:, 4], np.log(0.2))
    np.testing.assert_allclose(found[:, 5], np.log([0.1, 0.2, 0.3]))


def test_beyond_a_year_the_least_score_and_half_a_hectare_nothing_more_is_said() -> None:
    one = measure_features(np.array([LEAST_SCORE]), days(365), 365, False, LARGE_M2, HALF)
    np.testing.assert_array_equal(one, measure_features(np.array([0.0]), days(3650), 3650, False, 9e6, HALF))
    assert measure_features(np.array([2.0]), days(0), 50, False, 100.0, HALF)[0, 2] == 0


def test_what_is_stronger_seen_for_longer_or_smaller_is_more_probable_and_what_ended_is_less() -> None:
    def odds(
        score: float = 3.0, lasted: int = 200, known: int = 300, ended: bool = False, area: float = 2000.0,
        reverted: float = 0.3,
    ) -> float:  # fmt: skip
        measured = measure_features(np.array([score]), days(lasted), known, ended, area, np.array([reverted]))
        return float(log_odds(measured)[0])

    assert odds(score=6.0) > odds() > odds(score=2.0)
    assert odds(lasted=300) > odds() > odds(lasted=40) and odds(known=200) == odds() > odds(known=50)
    assert odds(ended=True) < odds() - 2
    assert odds(area=500.0) > odds() > odds(area=5000.0)
    assert odds(reverted=0.1) > odds() > odds(reverted=0.6), "where nothing reverts a lasting change is construction"


def test_the_share_that_reverted_counts_objects_of_known_fate_and_starts_from_the_usual_share() -> None:
    found = reverted_share([1, 1, 3, 5], [3, 5], 5)
    known, gone = np.array([0, 2, 2, 3, 3]), np.array([0, 0, 0, 1, 1])
    np.testing.assert_allclose(found, (gone + USUAL_REVERTED * PRIOR_OBJECTS) / (known + PRIOR_OBJECTS))
    assert found[0] == USUAL_REVERTED
    np.testing.assert_array_equal(reverted_share([], [], 3), np.full(3, USUAL_REVERTED))
    assert reverted_share([0] * 1000, [0] * 1000, 1)[0] > 0.99 and reverted_share([0] * 1000, [], 1)[0] < 0.01


def test_a_stricter_rate_asks_for_a_higher_probability() -> None:
    levels = [level_of(rate) for rate in (0.03, 0.3, 3.0, 30.0)]
    assert levels == sorted(levels, reverse=True)
    assert np.diff(levels) == pytest.approx(np.full(3, levels[1] - levels[0])), "a constant step for every factor"
    assert 0.5 < to_probability(level_of(3.0)) < 0.9
    assert (to_probability(0.0), to_probability(np.log(3.0))) == (0.5, pytest.approx(0.75))


def test_the_weights_are_those_of_the_file_with_its_features() -> None:
    record = posterior.read_learned("pipeline.decide", "posterior.json")
    assert len(record["weights"]) == len(record["features"]) == 6
    assert record["slope"] > 0 and record["made_by"] == "benchmarks/learn_posterior.py"


def candidates(score: float, start: int = 12) -> Candidates:
    """One window from the look `start` to the last look."""
    series = np.zeros((LOOKS, 3))
    return Candidates(
        start=np.array([start]), stop=np.array([LOOKS]), last=np.array([LOOKS - 1]),
        step=np.ones((1, 3)), score=np.array([score]), strength=np.array([score]),
        progress=np.zeros((LOOKS, 1)), past=np.zeros(1), series=series,
        days=np.arange(LOOKS) * DAYS,
    )  # fmt: skip


def episode(first: int = 12, last: int = LOOKS - 1, ended: bool = False) -> Episode:
    seen = np.zeros(LOOKS, bool)
    seen[first : last + 1] = True
    return Episode(first=first, onset=first, before=first - 1, last=last, ended=ended, seen=seen,
                   looks_seen=last - first + 1, looks_clear=LOOKS - first)  # fmt: skip


HALF = np.array([0.5])
TIMES = Times(days=np.arange(LOOKS) * DAYS, weights=np.ones(LOOKS))


def prior(level: float) -> SitePrior:
    """Of a site of which nothing is known."""
    return SitePrior(level, np.full(LOOKS, USUAL_REVERTED))


def judged(found: Candidates, one: Episode, level: float) -> tuple[int, float, np.ndarray]:
    return _judge_episode(TIMES, found, (one,), 2000.0, prior(level))


def test_an_object_is_confirmed_at_the_first_look_that_reaches_the_level() -> None:
    windows = replace(candidates(5.0), start=np.full(8, 12), stop=np.arange(13, 21), score=np.full(8, 5.0))
    every = judged(windows, episode(), -np.inf)
    assert every[0] == 12 + LEAST_LOOKS - 1 and len(every[2]) == 6, "the third look with it"
    odds = log_odds(every[2])
    assert (np.diff(odds) > 0).all() and every[1] == odds[-1]
    assert judged(windows, episode(), float(odds[2]))[0] == 16
    assert judged(windows, episode(), float(odds[-1]) + 0.01)[0] == -1


def test_a_score_within_natural_steps_confirms_nothing_however_long_it_lasts() -> None:
    years = replace(TIMES, days=TIMES.days * 10)
    strong, weak = (
        _judge_episode(years, replace(candidates(score), days=years.days), (episode(),), 500.0, prior(1.0))
        for score in (JUDGED, JUDGED - 0.01)
    )
    assert strong[0] == LOOKS - 1 and strong[1] > 1
    assert weak[0] == -1
    assert weak[1] == strong[1], "no score passes a limit at which the probability drops"


def test_what_ended_stays_confirmed_only_if_it_is_probable_all_the_same() -> None:
    windows = replace(candidates(5.0), start=np.full(8, 12), stop=np.arange(13, 21), score=np.full(8, 5.0))
    standing, gone = (judged(windows, episode(last=17, ended=ended), -np.inf) for ended in (False, True))
    assert gone[1] < standing[1]
    between = (gone[1] + standing[1]) / 2
    assert judged(windows, episode(last=17, ended=True), between)[0] == -1
    assert judged(windows, episode(last=17), between)[0] >= 0
    assert judged(windows, episode(last=17, ended=True), gone[1] - 0.01)[0] >= 0


def test_two_looks_confirm_nothing() -> None:
    assert judged(candidates(9.0), episode(last=13, ended=True), -50.0)[0] == -1


def test_a_structure_dated_by_an_earlier_phase_keeps_the_score_of_the_step_that_stands_out() -> None:
    found, built = candidates(6.0, start=12), episode(first=4)
    alone = judged(found, built, 1.0)
    both = _judge_episode(TIMES, found, (episode(), built), 2000.0, prior(1.0))
    assert alone[0] == -1 and both[0] == LOOKS - 1
    assert np.exp(both[2][-1, 1]) == pytest.approx(6) and both[2][-1, 2] == pytest.approx(np.sqrt(4 * DAYS / 365))
