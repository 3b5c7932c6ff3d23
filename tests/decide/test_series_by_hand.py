"""Parts of an object's series by hand: windows, spikes, past, gaps, filters, and what ends an object."""

import numpy as np
import pytest

from pipeline.decide.object_series import (
    LARGEST,
    PAST_SHARE,
    RECENT,
    SEEN,
    Candidates,
    Episode,
    _as_before,
    _cumulate,
    _list_windows,
    _mahalanobis_lengths,
    _phases_before,
    _run_back,
    _unseen_runs,
    _upper_quantile,
    _without_spikes,
    episode_of,
    score_until,
    score_windows,
)
from pipeline.decide.steps import LENGTHS, RIDGE, YEAR_DAYS, Times
from pipeline.model.alert import LEAST_LOOKS


def times(looks: int, every: int = 10) -> Times:
    return Times(days=737_000 + every * np.arange(looks), weights=np.ones(looks))


def flags(text: str) -> np.ndarray:
    """1 = True, anything else = False."""
    return np.array([each == "1" for each in text])


def made(progress: list[float], days: np.ndarray | None = None, series: np.ndarray | None = None, start: int = 3,
         stop: int | None = None, past: float = 0.0, score: float = 2.0) -> Candidates:  # fmt: skip
    """One window of a series whose progress is known."""
    column = np.array(progress, float)[:, None]
    return Candidates(
        start=np.array([start]), stop=np.array([len(progress) if stop is None else stop]),
        last=np.array([(len(progress) if stop is None else stop) - 1]), step=np.ones((1, 1)),
        score=np.array([score]), strength=np.array([score]), progress=column, past=np.array([past]),
        series=10 * column if series is None else series, days=10 * np.arange(len(progress)) if days is None else days,
    )  # fmt: skip


def test_windows_begin_and_end_with_a_clear_look_and_have_enough_on_both_sides() -> None:
    clear = flags("1101101110111")
    start, stop = _list_windows(clear)
    pairs = list(zip(start.tolist(), stop.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    for one, other in pairs:
        assert clear[one] and clear[other - 1]
        assert clear[:one].sum() >= LEAST_LOOKS <= clear[one:other].sum()
        assert other - one in LENGTHS or other == clear.size
    assert (4, 8) in pairs and (4, clear.size) in pairs and (3, 9) not in pairs, "look 3 is the third clear one"
    assert not _list_windows(flags("11111"))[0].size and _list_windows(flags("111111"))[0].tolist() == [3]


def test_one_look_alone_is_taken_out_and_a_step_keeps_its_place() -> None:
    values = np.array([[1.0], [1], [9], [1], [0], [5], [5], [2]])
    found = _without_spikes(values, np.array([0, 1, 2, 3, 5, 6, 7]))
    np.testing.assert_array_equal(found[:, 0], [1, 1, 1, 5, 0, 5, 5, 5])
    np.testing.assert_array_equal(_without_spikes(values, np.array([2, 5])), values)


def test_an_upper_quantile_leaves_out_unclear_looks_and_is_zero_without_any() -> None:
    values = np.array([[3.0, np.nan, 5], [1, np.nan, np.nan], [2, np.nan, np.nan], *[[0, np.nan, np.nan]] * 8])
    assert PAST_SHARE == 0.9
    np.testing.assert_array_equal(_upper_quantile(values), [2, 0, 5])


def test_sums_begin_with_nothing() -> None:
    np.testing.assert_array_equal(_cumulate(np.array([[1.0], [2.0]])), [[0], [1], [3]])


def test_gaps_are_the_runs_that_do_not_see() -> None:
    assert list(_unseen_runs(flags("0110100"))) == [(0, 1), (3, 4), (5, 7)]
    assert list(_unseen_runs(flags("111"))) == [] and list(_unseen_runs(flags("00"))) == [(0, 2)]


def test_the_run_that_sees_goes_back_over_cloud_to_the_look_that_did_not() -> None:
    clear = np.array([0, 1, 2, 4, 5, 7])
    assert _run_back(flags("01001101"), clear, 7) == 4
    assert _run_back(flags("11111101"), clear, 5) == 0
    assert _run_back(flags("11001101"), clear, 1) == 0


def test_a_length_is_that_of_mahalanobis_and_the_filter_gives_the_step_the_value_one() -> None:
    rng = np.random.default_rng(1)
    natural = np.stack([each @ each.T + 0.1 * np.eye(3) for each in rng.normal(0, 1, (2, 3, 3))])
    noise, step = np.diag([0.5, 1.0, 2.0]), rng.normal(0, 2, (6, 3))
    weight, duration = rng.uniform(1, 9, 6), np.array([0, 1, 0, 1, 1, 0])
    length, filtered = _mahalanobis_lengths(step, weight, duration, natural, noise)
    for index in range(6):
        covariance = natural[duration[index]] + noise / weight[index]
        inverse = np.linalg.inv(covariance)
        assert length[index] == pytest.approx(np.sqrt(step[index] @ inverse @ step[index]))
        np.testing.assert_allclose(filtered[index], inverse @ step[index] / length[index] ** 2, rtol=1e-6)
    np.testing.assert_allclose((filtered * step).sum(axis=1), 1)


def test_a_step_on_a_season_equals_a_dense_fit() -> None:
    rng, looks = np.random.default_rng(2), 40
    own = Times(days=737_000 + 11 * np.arange(looks), weights=rng.uniform(0.3, 2, looks))
    values = 0.02 * own.seasons[:, 1:] + rng.normal(0, 0.001, (looks, 2)) + 0.05 * (np.arange(looks) >= 25)[:, None]
    found = score_windows(values, own, np.stack([0.01**2 * np.eye(2)] * 4), 0.004**2 * np.eye(2))
    assert found is not None
    (at,) = np.flatnonzero((found.start == 25) & (found.stop == 37))
    smooth, root = _without_spikes(values, np.arange(looks))[:37], np.sqrt(own.weights[:37])[:, None]
    design = np.column_stack([own.seasons[:37], np.arange(37) >= 25])
    rows = np.vstack([design * root, np.diag([*np.sqrt(RIDGE), 0.0])])
    dense = np.linalg.lstsq(rows, np.vstack([smooth * root, np.zeros((4, 2))]), rcond=None)[0]
    np.testing.assert_allclose(found.step[at], dense[3], rtol=1e-6)


def test_progress_is_zero_before_and_one_after_and_unknown_under_cloud() -> None:
    values = np.where(np.arange(40) < 20, 0.0, 0.05)[:, None] * np.array([1.0, -0.5])
    values[[4, 30]] = np.nan
    found = score_windows(values, times(40), np.stack([0.01**2 * np.eye(2)] * 4), 0.004**2 * np.eye(2))
    assert found is not None
    progress = found.progress[:, found.best]
    assert np.isnan(progress[[4, 30]]).all() and found.start[found.best] == 20
    np.testing.assert_allclose(progress[:20][np.isfinite(progress[:20])], 0, atol=1e-6)
    assert 0.9 < np.nanmean(progress[20:]) <= 1.2
    np.testing.assert_allclose(found.series[0], 0)
    np.testing.assert_allclose(found.series[25], values[25] / 0.004)


def test_the_date_is_that_of_least_squares_with_errors_cut_at_half_the_step() -> None:
    assert made([0, 0, 0, 0, 1, 1, 1, 1], start=3).dated(0) == 4
    assert made([0, 0, 0, 1, 1, 1, 1, 1], start=4).dated(0) == 3
    flash = [0, 0, 9, 0, 0, 0, 1, 1, 1, 1]
    assert made(flash, start=6).dated(0) == 6, "a flash costs no more than half a step"
    cloudy = [0, 0, 0, np.nan, np.nan, 1, 1, 1]
    assert made(cloudy, start=5).dated(0) == 5


def test_an_object_is_seen_from_a_limit_between_a_quarter_and_half_of_its_step() -> None:
    quiet = episode_of(made([0, 0, 0, 0, 0, 0.3, 1, 1, 1, 1], start=6), 0)
    noisy = episode_of(made([0, 0.2, -0.2, 0.2, -0.2, 0.3, 1, 1, 1, 1], start=6), 0)
    past = episode_of(made([0, 0, 0, 0, 0, 0.3, 1, 1, 1, 1], start=6, past=0.4), 0)
    assert quiet is not None and noisy is not None and past is not None
    assert (quiet.first, noisy.first, past.first) == (5, 6, 6)
    assert (quiet.before, quiet.looks_seen, quiet.looks_clear, quiet.last, quiet.ended) == (4, 5, 5, 9, False)
    assert episode_of(made([0] * 8, start=4), 0) is None


@pytest.mark.parametrize(("gap", "ended"), [(LEAST_LOOKS - 1, False), (LEAST_LOOKS, True)])
def test_an_object_has_ended_before_the_first_three_clear_looks_without_it(gap: int, ended: bool) -> None:
    progress = [0.0] * 5 + [1.0] * 4 + [0.0] * gap + [1.0] * 3
    found = episode_of(made(progress, start=5, stop=9), 0)
    assert found is not None and found.ended is ended
    assert found.last == (8 if ended else len(progress) - 1)
    assert (found.looks_seen, found.looks_clear) == ((4, 4) if ended else (7, 7 + gap))


def test_another_surface_is_not_the_old_ground_and_a_part_of_the_step_is_no_end() -> None:
    past, shown, gap = np.arange(3), np.arange(3, 6), np.arange(6, 9)
    progress = np.array([0.0] * 3 + [1.0] * 3 + [0.0] * 3)
    series = np.zeros((9, 2))
    series[3:6, 0] = 10
    assert _as_before(series, progress, past, shown, gap)
    other = series.copy()
    for side, expected in ((0.9 * SEEN[1] * 10, True), (1.1 * SEEN[1] * 10, False)):
        other[6:, 1] = side
        assert _as_before(other, progress, past, shown, gap) is expected
    assert not _as_before(series, progress + (np.arange(9) > 5) * 1.1 * SEEN[0], past, shown, gap)
    assert _as_before(other, progress, past[:0], shown, gap), "without a past the progress alone decides"


def test_the_old_ground_is_that_of_the_latest_looks_before() -> None:
    looks = RECENT + 12
    series = np.zeros((looks, 1))
    series[:6], series[RECENT + 6 : RECENT + 9] = 40, 10
    past, shown, gap = np.arange(RECENT + 6), np.arange(RECENT + 6, RECENT + 9), np.arange(RECENT + 9, looks)
    assert _as_before(series, np.zeros(looks), past, shown, gap)


def phases_from(distance: float, years: float = 1.5) -> list[int]:
    """Looks before the first detection that belong to the object; the three before it lie so far off."""
    looks = 40
    days = np.linspace(0, years * YEAR_DAYS, looks).astype(int)
    series = (np.arange(looks) % 3 - 1.0)[:, None] * np.ones(2)
    series[36:39] = [0.0, distance]
    found = made([0.0] * 39 + [1.0], days, series)
    return _phases_before(found, 39, np.delete(np.arange(39), 37)).tolist()


def test_slab_and_frame_are_farther_from_the_old_ground_than_its_own_past() -> None:
    limit = LARGEST * np.sqrt(2)
    assert phases_from(1.2 * limit) == [36, 38]
    assert phases_from(0.8 * limit) == []
    assert phases_from(1.2 * limit, years=1.1) == [], "less than a year is known"


def episode(first: int, onset: int, before: int, seen: str) -> Episode:
    return Episode(first=first, onset=onset, before=before, last=len(seen) - 1, ended=False, seen=flags(seen),
                   looks_seen=1, looks_clear=1)  # fmt: skip


def windows_of(starts: list[int], stops: list[int], scores: list[float]) -> Candidates:
    base = made([0.0] * 12)
    return Candidates(start=np.array(starts), stop=np.array(stops), last=np.array(stops) - 1, step=base.step,
                      score=np.array(scores), strength=np.array(scores),
                      progress=base.progress, past=base.past, series=base.series, days=base.days)  # fmt: skip


def test_windows_of_the_bracket_count_from_the_look_with_which_they_stop() -> None:
    one = episode(4, 5, 2, "000011101111")
    score = score_until(windows_of([4, 5, 3, 2, 6], [9, 11, 7, 5, 6], [2, 3, 1, 9, 9]), one)
    assert score.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
