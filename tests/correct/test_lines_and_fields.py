"""Gain, offset and field by hand: both spreads decide the slope, the prior draws it, blocks have medians."""

import math

import numpy as np
import pytest

from pipeline.correct.normalise import (
    FIELD_BLOCK,
    GAIN_SIGMA,
    OFFSET_SIGMA,
    SAMPLES,
    SLOPE_RANGE,
    Radiometry,
    _fit_field,
    _fit_line,
    _LineSums,
    _make_blocks,
    _surface_terms,
    apply_radiometry,
    fit_radiometry,
)
from pipeline.correct.seasonal_prediction import MIN_PIXELS, predict_season
from pipeline.model.imagery import NOISE_FLOOR
from pipeline.numerics.robust import worst_band_weights
from tests.correct.scenery import SIZE, ground, patch

X = np.linspace(0.05, 0.45, 401)
ONE = np.ones(X.size)
ALL = np.ones((SIZE, SIZE), bool)


def _solve_line(x: np.ndarray, y: np.ndarray, weights: np.ndarray, scale: float) -> tuple[float, float]:
    return _LineSums(x, y).solve(weights, scale)


def test_a_line_through_all_points_is_found_but_for_the_prior_of_its_offset() -> None:
    gain, offset = _solve_line(X, 1.2 * X - 0.01, ONE, 0.0)
    assert (gain, offset) == (pytest.approx(1.2), pytest.approx(-0.01))
    assert _solve_line(X, X, ONE, 0.0) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))


@pytest.mark.parametrize("scale", [0.02, 0.2])
def test_an_offset_is_drawn_to_zero_by_the_scatter_of_the_ground(scale: float) -> None:
    _, offset = _solve_line(X, X + 0.03, ONE, scale)
    assert offset == pytest.approx(0.03 * OFFSET_SIGMA**2 / (OFFSET_SIGMA**2 + scale**2 / SAMPLES))


def test_a_gain_is_drawn_to_one_as_far_as_both_regressions_disagree() -> None:
    noise = np.random.default_rng(1).normal(0, 0.08, X.size)
    y = 1.3 * X + noise
    gain, _ = _solve_line(X, y, ONE, 0.0)
    correlation = np.corrcoef(X, y)[0, 1]
    variance = (1 - correlation**2) / SAMPLES + (SLOPE_RANGE * math.log(correlation)) ** 2
    wanted = math.exp(math.log(y.std() / X.std()) * GAIN_SIGMA**2 / (GAIN_SIGMA**2 + variance))
    assert gain == pytest.approx(wanted, rel=1e-6) and 1 < gain < y.std() / X.std()
    swapped, _ = _solve_line(y, X, ONE, 0.0)
    assert gain * swapped == pytest.approx(1), "the two images are treated alike"


def test_ground_without_weight_takes_no_part_in_a_line() -> None:
    y = 0.9 * X + 0.02
    y[:100] = 0.9
    weights = np.where(np.arange(X.size) < 100, 0.0, 1.0)
    assert _solve_line(X, y, weights, 0.0) == (pytest.approx(0.9), pytest.approx(0.02))
    assert np.isfinite(_solve_line(X, y, 0 * weights, 0.1)).all()


def test_uncorrelated_ground_keeps_its_gain() -> None:
    rng = np.random.default_rng(2)
    gain, _ = _solve_line(rng.normal(0, 1, 500), rng.normal(0, 3, 500), np.ones(500), 0.0)
    assert gain == pytest.approx(1, abs=0.02)


def test_the_scatter_of_a_line_is_that_of_steady_ground() -> None:
    rng = np.random.default_rng(3)
    y = 1.1 * X + 0.01 + rng.normal(0, 0.004, X.size)
    y[::10] += 0.3
    gain, offset, scatter = _fit_line(X, y, ONE)
    assert gain == pytest.approx(1.1, rel=0.01) and offset == pytest.approx(0.01, abs=0.002)
    assert scatter == pytest.approx(0.004, rel=0.25)
    steady = np.where(np.arange(X.size) < 300, 1.0, 0.0)
    y[300:] = 3 * X[300:]
    gain, _, scatter = _fit_line(X, y, steady)
    assert gain == pytest.approx(1.1, rel=0.02) and scatter == pytest.approx(0.0045, rel=0.3)
    assert np.isfinite(_fit_line(X, y, 0 * steady)).all(), "without steady ground all of it counts"


def test_ground_that_stepped_in_one_band_is_not_steady() -> None:
    residual = np.random.default_rng(4).normal(0, 0.01, (3, 1000))
    residual[1, :5] = 0.2
    weights = worst_band_weights(residual, NOISE_FLOOR)
    assert (weights[:5] == 0).all() and np.median(weights) > 0.6
    assert (worst_band_weights(np.zeros((2, 9)), NOISE_FLOOR) == 1).all()


def test_terms_of_a_field_are_those_of_the_second_order_over_the_chip() -> None:
    terms = _surface_terms((3, 5))
    assert terms.shape == (5, 3, 5)
    np.testing.assert_allclose(terms[:, 0, 4], [1, -1, 1, -1, 1])
    np.testing.assert_allclose(terms[:, 1, 1], [-0.5, 0, 0.25, 0, 0], atol=1e-7)


def test_blocks_have_the_upper_median_of_their_usable_pixels() -> None:
    good = np.ones((64, 64), bool)
    good[:8, :8] = np.arange(64).reshape(8, 8) < 64 // 3
    good[8:16, :8] = np.arange(64).reshape(8, 8) < 64 // 3 - 1
    made = _make_blocks(good)
    assert made is not None and FIELD_BLOCK == 8
    values = np.random.default_rng(5).normal(0, 1, (2, 64, 64))
    found = made.medians(values)
    assert found.shape == (2, 63), "a block with less than a third of its pixels does not count"
    own = np.sort(values[0, :8, :8][good[:8, :8]])
    assert found[0, 0] == pytest.approx(own[len(own) // 2], rel=1e-6)
    assert found[1, -1] == pytest.approx(np.sort(values[1, 56:, 56:].ravel())[32], rel=1e-6)
    np.testing.assert_allclose(
        made.design[:, -1], [1, *_surface_terms((64, 64))[:, 56:, 56:].mean(axis=(1, 2))], rtol=1e-5
    )
    assert _make_blocks(good[:, :32]) is None


def test_a_field_counts_as_far_as_it_brings_the_blocks_together() -> None:
    made = _make_blocks(np.ones((96, 96), bool))
    assert made is not None
    noise = np.random.default_rng(6).normal(0, 0.01, made.design.shape[1])
    truth = np.array([0.02, 0.03, -0.02, 0.01, 0.0, 0.015])
    np.testing.assert_allclose(_fit_field(made.design, truth @ made.design), truth[1:], atol=1e-4)
    assert np.abs(_fit_field(made.design, noise)).max() < 0.005
    np.testing.assert_allclose(_fit_field(made.design, truth @ made.design + noise), truth[1:], atol=0.012)
    spiked = truth @ made.design
    spiked[::9] += 0.5
    np.testing.assert_allclose(_fit_field(made.design, spiked), truth[1:], atol=1e-3)


def test_a_correction_is_a_gain_an_offset_and_the_field_taken_off() -> None:
    field = np.zeros((2, 5))
    field[1] = [0.1, 0, 0, 0, 0.2]
    made = Radiometry(gain=(2.0, 1.0), offset=(0.5, 0.0), scatter=(0, 0), field=field)
    found = apply_radiometry(np.ones((2, 3, 5)), made)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], 2.5)
    np.testing.assert_allclose(found[1, 0], 1 - 0.1 * np.linspace(-1, 1, 5) - 0.2, rtol=1e-6)


def test_a_look_is_fitted_only_where_it_and_its_expectation_are_known() -> None:
    look, expected = ground() / 1.1, ground()
    look[:, :20], expected[:, 20:40], usable = np.nan, np.nan, ALL & ~patch(40, 0, 20, SIZE)
    look[:, 40:60] = 0.9
    found = fit_radiometry(look, expected, usable)
    assert found is not None
    np.testing.assert_allclose(found.gain, 1.1, rtol=0.01)
    assert not found.field.any(), "too little ground for a field"
    few = np.zeros_like(ALL)
    few.flat[:199] = True
    assert fit_radiometry(ground(), ground(), few) is None
    few.flat[199] = True
    assert fit_radiometry(ground(), ground(), few) is not None


def test_a_season_that_the_history_predicts_is_no_haze() -> None:
    row, _ = np.indices((SIZE, SIZE)) / SIZE
    season = ground() * (1 + 0.3 * row)
    plain, known = fit_radiometry(season, ground(), ALL), fit_radiometry(season, ground(), ALL, season)
    assert plain is not None and known is not None
    assert np.abs(plain.field).max() > 0.01 and not known.field.any()
    hazy = fit_radiometry(season + 0.03 * row**2, ground(), ALL, season)
    assert hazy is not None and np.abs(hazy.field).max() > 0.002


def test_an_expectation_is_one_linear_map_of_all_bands_with_a_constant() -> None:
    before = ground()
    turned = np.array(
        [[1.1, 0, 0, 0, 0], [0, 0.9, 0.2, 0, 0], [0.1, 0, 1, 0, 0], [0, 0, 0, 0.7, 0], [0, 0, 0, 0.1, 1.0]]
    )
    wanted = np.einsum("ij,jrc->irc", turned, before) + np.array([0.01, 0, -0.01, 0.02, 0])[:, None, None]
    wanted += np.random.default_rng(7).normal(0, 0.001, wanted.shape)
    look = wanted.copy()
    look[:, :30, :30] = 0.6
    found = predict_season(before, look, ALL)
    assert found is not None and found.dtype == np.float32
    assert np.abs(np.median(found - wanted, axis=(1, 2))).max() < 0.001
    assert np.quantile(np.abs(found - wanted), 0.99) < 0.01


def test_ground_that_is_not_usable_or_not_known_does_not_shape_an_expectation() -> None:
    before, look = ground(), 1.2 * ground()
    look[:, :50] = np.random.default_rng(8).uniform(0, 1, (5, 50, SIZE))
    found = predict_season(before, look, ~patch(0, 0, 50, SIZE))
    assert found is not None
    np.testing.assert_allclose(found, 1.2 * before, atol=0.004)
    look[:, :50] = np.nan
    np.testing.assert_allclose(predict_season(before, look, ALL), found, atol=1e-6)
    few = np.zeros_like(ALL)
    few.flat[: MIN_PIXELS - 1] = True
    assert predict_season(before, 1.2 * before, few) is None
    few.flat[MIN_PIXELS - 1] = True
    assert predict_season(before, 1.2 * before, few) is not None
