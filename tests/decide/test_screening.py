"""The screening of pixels: incremental equals whole, and natural steps are those of episodes that reverted."""

import numpy as np
import pytest

from pipeline.decide.residuals import CLUSTERS, QUANTUM, SCALES, WEIGHTS, Baseline, Residual
from pipeline.decide.screening import (
    LARGE_SHARE,
    Natural,
    _cut_covariance,
    _upper_quantile,
    advance_each,
    advance_screening,
    begin_screening,
    leaf_to_soil,
    natural_steps,
    times_of,
)
from pipeline.decide.steps import DURATIONS, Times
from pipeline.model.bands import Band
from tests.decide.scenes import BANDS, GRASS, SOIL

SIDE, LOOKS, NOISE = 24, 40, 0.004
FIELDS = (slice(0, SIDE), slice(0, SIDE // 3))
"""A third of the pixels."""
ALONG = np.array([0.03, 0.03, 0.03])
ACROSS = np.array([0.03, -0.03, 0.0])


def plain_baseline(level: float = 0.2) -> Baseline:
    """Three bands of one reflectance, one land-cover cluster."""
    return Baseline(mean=np.full((3, SIDE, SIDE), level, np.float32), cover=np.zeros((SIDE, SIDE), np.int8))


def residuals_of(values: np.ndarray) -> list[Residual]:
    """Residuals of (look, band, row, col) reflectance, all clear."""
    counts = np.rint(values / QUANTUM).astype(np.int16)
    noise = np.full(values.shape[1], NOISE, np.float32)
    return [Residual(pooled=tuple(each[:, ::stride, ::stride] for _, stride in SCALES), noise=noise) for each in counts]


def noise_only(seed: int = 1, looks: int = LOOKS) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, NOISE, (looks, 3, SIDE, SIDE))


def times(looks: int = LOOKS) -> Times:
    return Times(days=737_000 + 15 * np.arange(looks), weights=np.ones(looks))


def stepped(values: np.ndarray, first: int, last: int, ground: tuple, step: np.ndarray) -> np.ndarray:
    out = values.copy()
    out[(slice(first, last), slice(None), *ground)] += step[:, None, None]
    return out


def natural_of(values: np.ndarray) -> Natural:
    return natural_steps(plain_baseline(), residuals_of(values), times(), np.zeros(3))


def spread_along(natural: Natural, direction: np.ndarray, duration: int) -> float:
    unit = direction / np.linalg.norm(direction)
    return float(np.sqrt(unit @ natural.covariances[0, 0, duration] @ unit))


@pytest.mark.parametrize("count", [1, 2, 11, 40, 1001])
def test_the_size_of_a_window_is_a_quantile_of_its_steps(count: int) -> None:
    steps = np.abs(np.random.default_rng(count).normal(0, 0.02, (3, count))).astype(np.float32)
    np.testing.assert_allclose(_upper_quantile(steps), np.quantile(steps, LARGE_SHARE, axis=1), rtol=1e-6)


def test_several_portions_give_the_bits_of_a_screening_of_all() -> None:
    values = stepped(noise_only(), 21, LOOKS, (slice(4, 8), slice(12, 16)), np.array([0.1, 0.1, 0.1]))
    baseline, residuals, natural = plain_baseline(), residuals_of(values), natural_of(values)
    early, late = (
        advance_screening(begin_screening(baseline), baseline, natural, residuals[:count], times(count))
        for count in (20, 36)
    )
    for found in advance_each([(early, (30,)), (late, (38, LOOKS))], baseline, natural, residuals, times()):
        count = found.count
        whole = advance_screening(begin_screening(baseline), baseline, natural, residuals[:count], times(count))
        for name in ("score", "start", "stop"):
            for one, other in zip(getattr(whole, name), getattr(found, name), strict=True):
                np.testing.assert_array_equal(one, other)


def test_two_portions_give_the_bits_of_one() -> None:
    values = stepped(noise_only(), 21, LOOKS, (slice(4, 8), slice(12, 16)), np.array([0.1, 0.1, 0.1]))
    baseline, residuals, natural = plain_baseline(), residuals_of(values), natural_of(values)
    whole = advance_screening(begin_screening(baseline), baseline, natural, residuals, times())
    for count in (9, 22, 30):
        part = advance_screening(begin_screening(baseline), baseline, natural, residuals[:count], times(count))
        both = advance_screening(part, baseline, natural, residuals, times())
        assert (part.count, both.count) == (count, LOOKS)
        for name in ("score", "start", "stop"):
            for one, other in zip(getattr(whole, name), getattr(both, name), strict=True):
                np.testing.assert_array_equal(one, other)


def test_the_window_of_a_pixel_begins_with_its_step_and_its_score_grows_with_it() -> None:
    baseline = plain_baseline()
    natural = natural_of(noise_only(seed=9))
    score = []
    for size in (0.03, 0.06):
        values = stepped(noise_only(), 21, LOOKS, (slice(4, 8), slice(12, 16)), size * np.ones(3))
        found = advance_screening(begin_screening(baseline), baseline, natural, residuals_of(values), times())
        inside = (slice(4, 8), slice(12, 16))
        assert np.mean(found.start[0][inside] == 21) > 0.8
        outside = np.ones((SIDE, SIDE), bool)
        outside[inside] = False
        assert found.score[0][inside].min() > 1.5 * np.median(found.score[0][outside])
        score.append(np.median(found.score[0][inside]))
    assert score[1] == pytest.approx(2 * score[0], rel=0.25)


def test_what_all_the_ground_of_a_cluster_does_is_no_step() -> None:
    baseline, natural = plain_baseline(), natural_of(noise_only(seed=9))
    everywhere = (slice(0, SIDE), slice(0, SIDE))
    quiet = advance_screening(begin_screening(baseline), baseline, natural, residuals_of(noise_only()), times())
    shifted = stepped(noise_only(), 21, LOOKS, everywhere, np.array([0.1, 0.1, 0.1]))
    found = advance_screening(begin_screening(baseline), baseline, natural, residuals_of(shifted), times())
    assert np.median(found.score[0]) < 1.1 * np.median(quiet.score[0])


def test_fields_that_go_bare_and_green_again_widen_the_covariance_along_their_axis_only() -> None:
    values = noise_only()
    for first in (8, 18, 28):
        values = stepped(values, first, first + 5, FIELDS, ALONG)
    natural = natural_of(values)
    assert spread_along(natural, ALONG, 1) > 3 * spread_along(natural, ACROSS, 1)
    assert spread_along(natural, ALONG, 1) > 0.015


@pytest.mark.parametrize(("looks", "first"), [(90, 45), (90, 60), (40, 30)])
def test_steps_that_last_are_not_natural(looks: int, first: int) -> None:
    values = stepped(noise_only(looks=looks), first, looks, FIELDS, ALONG)
    natural = natural_steps(plain_baseline(), residuals_of(values), times(looks), np.zeros(3))
    for duration in range(len(DURATIONS)):
        assert spread_along(natural, ALONG, duration) < 0.15 * np.linalg.norm(ALONG)


def test_episodes_say_nothing_of_steps_of_most_of_a_year() -> None:
    looks = 110
    values = stepped(noise_only(looks=looks), 40, 62, FIELDS, ALONG)
    natural = natural_steps(plain_baseline(), residuals_of(values), times(looks), np.zeros(3))
    assert spread_along(natural, ALONG, len(DURATIONS)) < 0.35 * np.linalg.norm(ALONG)


def test_a_whitener_makes_natural_steps_of_unit_length() -> None:
    factor = np.random.default_rng(4).normal(0, 0.01, (3, 3))
    covariances = np.broadcast_to(factor @ factor.T + 1e-5 * np.eye(3), (len(SCALES), CLUSTERS, 4, 3, 3))
    white = Natural(covariances=np.array(covariances)).whitener(1, 2, 3)
    np.testing.assert_allclose(white @ covariances[1, 2, 3] @ white.T, np.eye(3), atol=1e-3)


def test_a_covariance_is_cut_only_where_it_is_too_large() -> None:
    largest = np.diag([4.0, 9.0, 1.0])
    small = np.array([[1.0, 0.5, 0], [0.5, 2.0, 0], [0, 0, 0.5]])
    np.testing.assert_allclose(_cut_covariance(small, largest), small, atol=1e-12)
    np.testing.assert_allclose(
        _cut_covariance(np.diag([100.0, 2.0, 3.0]), largest), np.diag([4.0, 2.0, 1.0]), atol=1e-9
    )
    rng = np.random.default_rng(3)
    for _ in range(20):
        one, two = (each @ each.T + 0.1 * np.eye(3) for each in rng.normal(0, 1, (2, 3, 3)))
        cut = _cut_covariance(one, two)
        for rest in (one - cut, two - cut):
            assert np.linalg.eigvalsh(rest).min() > -1e-9


def test_a_look_weighs_by_the_inverse_of_its_noise_variance() -> None:
    noise = (0.004, 0.004, 0.004, 0.004 * 2**0.5, 0.04, 0.001, np.inf)
    made = [Residual(pooled=(), noise=np.full(3, each, np.float32)) for each in noise]
    weights = times_of(made, list(range(7)), 3).weights
    np.testing.assert_allclose(weights, [1, 1, 1, 0.5, WEIGHTS[0], WEIGHTS[1], WEIGHTS[0]], rtol=1e-5)


def test_noise_of_later_looks_leaves_the_weights_of_the_first_ones_alone() -> None:
    made = [Residual(pooled=(), noise=np.full(3, each, np.float32)) for each in (0.004, 0.005, 0.006, 0.01, 0.02, 0.03)]
    np.testing.assert_array_equal(
        times_of(made, list(range(6)), 3).weights[:3], times_of(made[:3], [0, 1, 2], 3).weights
    )


def test_the_axis_runs_from_leaf_to_soil_and_is_short_without_leaf() -> None:
    share = np.random.default_rng(2).uniform(0, 1, (SIDE, SIDE))
    mixed = share * GRASS[:, None, None] + (1 - share) * SOIL[:, None, None]
    soil = 0.8 * SOIL[:, None, None] + 0.4 * share * SOIL[:, None, None]
    cover = np.zeros((SIDE, SIDE), np.int8)
    axis = leaf_to_soil(Baseline(mean=mixed.astype(np.float32), cover=cover), BANDS)
    unit = (SOIL - GRASS) / np.linalg.norm(SOIL - GRASS)
    assert axis @ unit / np.linalg.norm(axis) > 0.99
    assert 0.5 * np.linalg.norm(SOIL - GRASS) < np.linalg.norm(axis) <= np.linalg.norm(SOIL - GRASS)
    bare = leaf_to_soil(Baseline(mean=soil.astype(np.float32), cover=cover), BANDS)
    assert np.linalg.norm(bare) < 0.1 * np.linalg.norm(axis)
    visible = leaf_to_soil(Baseline(mean=mixed[:3].astype(np.float32), cover=cover), (Band.B02, Band.B03, Band.B04))
    assert visible @ (SOIL - GRASS)[:3] > 0
