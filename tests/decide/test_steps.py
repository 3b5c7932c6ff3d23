"""Steps by least squares on random series with gaps, beside a dense solution of the same problem."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decide.steps import DURATIONS, LENGTHS, RIDGE, Sums, Times, list_windows, step_of
from pipeline.model.alert import LEAST_LOOKS

BANDS, PIXELS = 2, 5


def random_series(seed: int, looks: int = 40) -> tuple[np.ndarray, np.ndarray, Times]:
    """(look, band, pixel) values, 0 where not clear; (look, pixel), True = clear; their times."""
    rng = np.random.default_rng(seed)
    clear = rng.random((looks, PIXELS)) < 0.7
    values = rng.normal(0, 0.01, (looks, BANDS, PIXELS)).astype(np.float32) * clear[:, None]
    days = 737_000 + np.cumsum(rng.integers(3, 30, looks))
    return values, clear, Times(days=days, weights=rng.uniform(0.2, 2.0, looks))


def dense_step(values: np.ndarray, clear: np.ndarray, times: Times, start: int, stop: int) -> np.ndarray:
    """(band,) step of one pixel: level, harmonic and step fitted together, the ridge as rows of the design."""
    root = np.sqrt(times.weights[:stop] * clear[:stop])[:, None]
    design = np.column_stack([times.seasons[:stop], np.arange(stop) >= start])
    ridge = np.diag([*np.sqrt(RIDGE), 0.0])
    rows = np.vstack([design * root, ridge])
    wanted = np.vstack([values[:stop] * root, np.zeros((4, values.shape[1]))])
    return np.linalg.lstsq(rows, wanted, rcond=None)[0][3]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), start=st.integers(8, 30), length=st.sampled_from(LENGTHS[:6]))
def test_both_step_functions_equal_a_dense_weighted_fit(seed: int, start: int, length: int) -> None:
    values, clear, times = random_series(seed)
    stop = min(start + length, len(values))
    summed, _, enough = Sums(values, clear, times).step(start, stop)
    direct, also_enough = step_of(values, clear, times, start, stop)
    np.testing.assert_array_equal(enough, also_enough)
    np.testing.assert_allclose(summed[:, enough], direct[:, enough], atol=2e-5)
    for pixel in np.flatnonzero(enough):
        dense = dense_step(values[:, :, pixel], clear[:, pixel], times, start, stop)
        np.testing.assert_allclose(direct[:, pixel], dense, atol=2e-5)


def test_a_step_on_a_season_is_estimated_without_the_season() -> None:
    days = 737_000 + 10 * np.arange(110)
    times = Times(days=days, weights=np.ones(110))
    values = (0.03 * times.seasons[:, 1] + 0.05 * (np.arange(110) >= 80))[:, None, None].astype(np.float32)
    step, _, enough = Sums(values, np.ones((110, 1), bool), times).step(80, 110)
    assert enough.all()
    assert step[0, 0] == pytest.approx(0.05, abs=0.003)


def test_a_window_needs_clear_looks_on_both_sides() -> None:
    values, clear, times = random_series(1, looks=12)
    clear[:] = True
    clear[:6, 0], clear[6:9, 1] = False, False
    clear[:4, 2] = False
    values *= clear[:, None]
    for enough in (Sums(values, clear, times).step(6, 9)[2], step_of(values, clear, times, 6, 9)[1]):
        assert not enough[:3].any(), "pixel 2 has two clear looks before the step"
        assert enough[3:].all()


def test_more_looks_leave_the_sums_of_the_first_ones_as_they_are() -> None:
    values, clear, times = random_series(5)
    shorter = Times(days=times.days[:25], weights=times.weights[:25])
    whole, part = Sums(values, clear, times), Sums(values[:25], clear[:25], shorter)
    np.testing.assert_array_equal(whole.count[:26], part.count)
    for start, stop in list_windows(0, 25):
        for one, other in zip(whole.step(start, stop), part.step(start, stop), strict=True):
            np.testing.assert_array_equal(one, other)


def test_windows_of_two_portions_are_those_of_the_whole() -> None:
    assert [*list_windows(0, 17), *list_windows(17, 40)] == list(list_windows(0, 40))
    for start, stop in list_windows(0, 40):
        assert stop - start in LENGTHS and start >= LEAST_LOOKS and stop <= 40
    assert (37, 40) in list(list_windows(39, 40)) and (4, 40) not in list(list_windows(0, 40))


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(10, 14, 0), (10, 16, 1), (3, 100, 0), (8, 60, 1), (20, 50, 2), (40, 80, 3), (80, 84, 0)],
)
def test_the_duration_class_is_that_of_the_shorter_side(start: int, stop: int, expected: int) -> None:
    times = Times(days=737_000 + 10 * np.arange(100), weights=np.ones(100))
    assert DURATIONS == (45, 120, 250)
    assert int(times.duration_class(start, stop)) == expected
