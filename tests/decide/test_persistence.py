"""Evidence: what cannot be seen says nothing, no look decides alone, and cloud never makes more change."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from pipeline.decide.persistence import CAP_NATS, CEILING_NATS, FLOOR_NATS, Trace, begin, step
from pipeline.decide.score import score

SHAPE, BANDS, THRESHOLD = (5, 6), 3, 4.0
SIGMAS = arrays(np.float32, (8, *SHAPE), elements=st.floats(-2, 12, width=32))
SEEN = arrays(bool, (8, *SHAPE))
SHOWN = np.random.default_rng(2).normal(0.1, 0.02, (BANDS, *SHAPE)).astype(np.float32)
NOT_GREEN = np.zeros(SHAPE, bool)


def folded(sigmas: np.ndarray, clear: np.ndarray) -> list[Trace]:
    """The trace before all looks and after each; sigmas, clear: (look, row, col)."""
    traces = [begin(BANDS, SHAPE)]
    for index, (each, seen) in enumerate(zip(sigmas, clear, strict=True)):
        hidden = np.where(seen, each, np.nan).astype(np.float32)
        traces.append(step(traces[-1], index, hidden, SHOWN, NOT_GREEN, THRESHOLD))
    return traces


@settings(max_examples=50, deadline=None)
@given(SIGMAS, SEEN)
def test_what_cannot_be_seen_says_nothing(sigmas: np.ndarray, clear: np.ndarray) -> None:
    traces = folded(sigmas, clear)
    for before, after, seen in zip(traces, traces[1:], clear, strict=False):
        assert (after.log_odds == before.log_odds)[~seen].all()
        assert (after.onset == before.onset)[~seen].all()


@settings(max_examples=50, deadline=None)
@given(SIGMAS, SEEN)
def test_no_look_decides_alone_and_nothing_is_ever_beyond_doubt(sigmas: np.ndarray, clear: np.ndarray) -> None:
    traces = folded(sigmas, clear)
    for before, after in pairwise(traces):
        assert np.abs(after.log_odds - before.log_odds).max() <= CAP_NATS + 1e-5
        assert after.log_odds.min() >= FLOOR_NATS and after.log_odds.max() <= CEILING_NATS
    assert (traces[1].peak < THRESHOLD).all()


def test_after_a_quiet_while_two_looks_do_not_confirm_and_three_do() -> None:
    sigmas = np.concatenate([np.full((3, *SHAPE), -2), np.full((3, *SHAPE), 12)])
    traces = folded(sigmas, np.ones(sigmas.shape, bool))
    assert (traces[5].peak < THRESHOLD).all()
    assert (traces[6].peak >= THRESHOLD).all() and (traces[6].first == 3).all()


@settings(max_examples=50, deadline=None)
@given(SIGMAS, SEEN, SEEN)
def test_cloud_over_looks_that_show_a_change_never_makes_more_of_it(
    sigmas: np.ndarray, clear: np.ndarray, cloud: np.ndarray
) -> None:
    showing = np.abs(sigmas) + 3
    more, less = folded(showing, clear)[-1], folded(showing, clear & ~cloud)[-1]
    assert (less.log_odds <= more.log_odds + 1e-5).all()
    assert ((more.peak >= THRESHOLD) | (less.peak < THRESHOLD)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(0, 0.5))
def test_a_score_is_blind_to_how_loud_a_look_is_as_a_whole_and_silent_under_cloud(
    seed: int, gain: float, cloud: float
) -> None:
    rng = np.random.default_rng(seed)
    white = rng.normal(0, 1, (BANDS, 40, 40)).astype(np.float32)
    covers = ndimage.gaussian_filter(rng.normal(0, 1, (40, 40)), 4)
    hidden = covers < np.quantile(covers, cloud)
    white[:, hidden] = np.nan
    plain, louder = score(white), score(np.float32(gain) * white)
    assert (np.isnan(plain) == hidden).all()
    assert np.allclose(plain, louder, rtol=1e-3, atol=1e-3, equal_nan=True)


def test_a_change_as_sure_as_can_be_takes_the_place_of_one_that_is_over() -> None:
    sigmas = np.concatenate([np.full((count, *SHAPE), sigma) for count, sigma in ((6, 0), (8, 12), (9, 0), (3, 12))])
    traces = folded(np.concatenate([sigmas, np.full((6, *SHAPE), 12)]), np.ones((32, *SHAPE), bool))
    assert (traces[26].first == 6).all() and (traces[26].ended >= 14).all(), "three looks prove no more than eight did"
    assert (traces[-1].first == 23).all() and (traces[-1].ended < 0).all()
