"""The mean series of one object: its date, which looks saw it, when it was confirmed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decide.object_series import Candidates, episode_of, score_until, score_windows, window_of
from pipeline.decide.steps import Times

BANDS, LOOKS, NOISE = 3, 60, 0.004
STEP = np.array([0.06, 0.05, 0.04])
NATURAL = np.stack([0.01**2 * np.eye(BANDS)] * 4)


def times(looks: int = LOOKS) -> Times:
    return Times(days=737_000 + 12 * np.arange(looks), weights=np.ones(looks))


def series(seed: int = 0, looks: int = LOOKS, noise: float = NOISE) -> np.ndarray:
    """(look, band) residuals without a change."""
    return np.random.default_rng(seed).normal(0, noise, (looks, BANDS))


def found_in(values: np.ndarray) -> Candidates:
    found = score_windows(values, times(len(values)), NATURAL, NOISE**2 * np.eye(BANDS))
    assert found is not None
    return found


def with_step(first: int, seed: int = 0, hidden: tuple[int, ...] = (), looks: int = LOOKS) -> np.ndarray:
    values = series(seed, looks)
    values[first:] += STEP
    values[list(hidden)] = np.nan
    return values


@pytest.mark.parametrize("seed", range(8))
def test_a_step_is_dated_to_its_look_under_noise(seed: int) -> None:
    first = 15 + 4 * seed
    values = with_step(first, seed)
    values += np.random.default_rng(50 + seed).normal(0, 2 * NOISE, values.shape)
    found = found_in(values)
    assert found.dated(found.best) == first
    np.testing.assert_allclose(found.step[found.best], STEP, atol=0.012)


@pytest.mark.parametrize("offset", [-2, -1, 1, 2])
def test_a_window_that_begins_beside_the_step_is_dated_to_the_step(offset: int) -> None:
    found = found_in(with_step(30))
    at = np.flatnonzero((found.start == 30 + offset) & (found.stop == 54 + offset))
    assert at.size == 1
    assert found.dated(int(at[0])) == 30


def test_one_flash_is_no_step_and_the_same_change_that_lasts_is() -> None:
    flash = series()
    flash[30] += 6 * STEP
    lasting = found_in(with_step(30))
    assert found_in(flash).score.max() < 0.3 * lasting.score.max()
    assert found_in(flash).score.max() < 2 * found_in(series()).score.max() + 0.2


def test_ground_that_was_bare_before_is_less_new_when_bare() -> None:
    repeated = with_step(40)
    for first in (8, 20):
        repeated[first : first + 5] += STEP
    novel, other = (found.score[found.start == 40].max() for found in (found_in(with_step(40)), found_in(repeated)))
    assert other < 0.6 * novel


@pytest.mark.parametrize(("before", "factor"), [(20, 1.0), (40, 3.0), (70, 5.0)], ids=["no year", "one", "two"])
def test_ground_that_was_steady_for_years_is_judged_by_its_own_past(before: int, factor: float) -> None:
    """Farmed ground around it steps by the size of this step: the object's own years say that it does not."""
    farmed = np.stack([STEP @ STEP * np.eye(BANDS)] * 4)
    values = with_step(before, looks=before + 20)
    found = score_windows(values, times(len(values)), farmed, NOISE**2 * np.eye(BANDS))
    assert found is not None
    one_step = 1 / np.sqrt(BANDS)
    assert found.score[found.start == before].max() == pytest.approx(one_step * np.sqrt(factor), rel=0.15)


def test_ground_that_steps_every_season_is_judged_by_ground_like_it() -> None:
    season = np.sign(np.sin(2 * np.pi * 12 * np.arange(120) / 182.6))[:, None] * STEP
    farmed = np.stack([STEP @ STEP * np.eye(BANDS)] * 4)
    values = np.where(np.arange(120)[:, None] < 100, season, 2 * STEP) + series(looks=120)
    steady = np.where(np.arange(120)[:, None] < 100, 0, 2 * STEP) + series(looks=120)
    swinging, still = (score_windows(each, times(120), farmed, NOISE**2 * np.eye(BANDS)) for each in (values, steady))
    assert swinging is not None and still is not None
    assert swinging.score.max() < 0.5 * still.score.max()


def test_too_few_clear_looks_make_no_window() -> None:
    values = with_step(30)
    values[:58] = np.nan
    assert score_windows(values, times(), NATURAL, NOISE**2 * np.eye(BANDS)) is None


def test_first_is_the_first_sight_and_before_the_last_clear_look_without_it() -> None:
    found = found_in(with_step(30, hidden=(26, 29, 30, 31, 35)))
    episode = episode_of(found, found.best)
    assert episode is not None
    assert (episode.first, episode.before, episode.last, episode.ended) == (32, 28, 59, False)
    assert episode.seen[32] and not episode.seen[[28, 30, 31, 35]].any()
    assert (episode.looks_seen, episode.looks_clear) == (27, 27)


@pytest.mark.parametrize(("spread", "earliest", "latest"), [(0.001, 29, 34), (0.015, 33, 39)])
def test_a_gradual_change_is_dated_by_its_beginning_where_the_past_is_quiet(
    spread: float, earliest: int, latest: int
) -> None:
    """The change takes the looks 28 to 44. On a noisy past it is seen at half of it, on a quiet one earlier."""
    values = series(noise=spread)
    share = np.clip((np.arange(LOOKS) - 28) / 16, 0, 1)
    values += share[:, None] * 2 * STEP
    found = found_in(values)
    episode = episode_of(found, found.best)
    assert episode is not None
    assert earliest <= episode.first <= latest
    assert episode.before == episode.first - 1


def test_a_change_that_reverts_has_ended_at_its_last_sight() -> None:
    values = with_step(24)
    values[40:] -= STEP
    found = found_in(values)
    at = np.flatnonzero((found.start == 24) & (found.stop == 40))
    episode = episode_of(found, int(at[0]))
    assert episode is not None
    assert (episode.first, episode.last, episode.ended) == (24, 39, True)
    assert (episode.looks_seen, episode.looks_clear) == (16, 16)


def test_a_change_that_returns_in_later_years_has_ended_in_the_first() -> None:
    values = with_step(10)
    for start, stop in ((20, 30), (45, 52)):
        values[start:stop] -= STEP
    found = found_in(values)
    at = np.flatnonzero((found.start == 10) & (found.stop == 18))
    episode = episode_of(found, int(at[0]))
    assert episode is not None
    assert (episode.first, episode.last, episode.ended) == (10, 19, True)


def test_a_slab_before_the_roof_dates_the_object_where_a_year_is_known() -> None:
    slab = np.array([-0.02, -0.03, -0.01])
    values = with_step(50)
    values[46:50] += slab
    found = found_in(values)
    index = int(np.flatnonzero((found.start == 50) & (found.stop == LOOKS))[0])
    episode = episode_of(found, index)
    assert episode is not None
    assert (episode.before, episode.first, episode.onset) == (45, 46, 50)
    assert score_until(found, episode)[47] < 1 <= score_until(found, episode)[-1]
    short = found_in(values[30:])
    episode = episode_of(short, int(np.flatnonzero((short.start == 20) & (short.stop == 30))[0]))
    assert episode is not None
    assert (episode.before, episode.first) == (19, 20)


def test_a_cloud_missed_for_two_looks_ends_nothing() -> None:
    values = with_step(24)
    values[40:42] -= STEP
    found = found_in(values)
    episode = episode_of(found, found.best)
    assert episode is not None
    assert not episode.ended
    assert (episode.looks_seen, episode.looks_clear) == (34, 36)


def test_the_score_until_a_look_is_that_of_the_windows_that_begin_in_the_bracket_and_have_stopped() -> None:
    found = found_in(with_step(30))
    episode = episode_of(found, found.best)
    assert episode is not None
    score = score_until(found, episode)
    assert score.shape == (LOOKS,) and (np.diff(score) >= 0).all()
    assert (score[:32] == 0).all() and score[32] > 0, "three looks with the object"
    outside = replace(found, score=np.where(found.start < 30, 9.0, 0.0))
    assert (score_until(outside, episode) == 0).all()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 5000), first=st.integers(8, 50), size=st.floats(0.3, 2.0), cloudy=st.floats(0.0, 0.5),
    ends=st.booleans(),
)  # fmt: skip
def test_the_looks_of_an_episode_agree_with_each_other(
    seed: int, first: int, size: float, cloudy: float, ends: bool
) -> None:
    values, rng = series(seed, noise=0.01), np.random.default_rng(seed + 1)
    values[first : first + 12 if ends else LOOKS] += size * STEP
    values[rng.random(LOOKS) < cloudy] = np.nan
    found = score_windows(values, times(), NATURAL, 0.01**2 * np.eye(BANDS))
    episode = None if found is None else episode_of(found, found.best)
    if found is None or episode is None:
        return
    clear = np.flatnonzero(np.isfinite(values).all(axis=1))
    earlier = clear[clear < episode.first]
    assert episode.seen[episode.first] and episode.seen[episode.last]
    assert not episode.seen[~np.isfinite(values).all(axis=1)].any()
    assert episode.before == (earlier[-1] if earlier.size else -1)
    assert episode.before < 0 or not episode.seen[episode.before]
    assert episode.first <= episode.last
    assert episode.looks_seen <= episode.looks_clear
    assert episode.looks_seen == episode.seen[episode.first : episode.last + 1].sum() or not episode.ended
    score = score_until(found, episode)
    assert (np.diff(score) >= 0).all() and score[-1] <= found.score.max()


def test_the_score_of_an_object_is_that_of_windows_that_begin_in_its_bracket() -> None:
    """A gap before the object would count as time for which it lasted: then it is compared with quieter ground."""
    values = with_step(40, hidden=tuple(range(36, 40)), looks=58)
    quiet = np.stack([NATURAL[0] * 9] * 3 + [NATURAL[0]])
    found = score_windows(values, times(58), quiet, NOISE**2 * np.eye(BANDS))
    assert found is not None
    episode = episode_of(found, found.best)
    assert episode is not None and (episode.before, episode.first) == (35, 40)
    assert found.start[found.best] == 35
    assert found.start[window_of(found, episode)] in range(36, 41)
    assert found.score[window_of(found, episode)] < found.score.max()
