"""Residuals against the seasonal prediction: like ground that changes alike leaves none, a roof leaves its own."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.decide.residuals import (
    CAP_SIGMAS,
    MISSING,
    QUANTUM,
    SCALES,
    build_baseline,
    reflectance_of,
    residual_of,
)
from pipeline.model.imagery import NOISE_FLOOR
from tests.decide.scenes import BANDS, BUILDING, ROOF, SIDE, clouded, painted, unchanged

BASELINE = build_baseline([unchanged(index) for index in range(8)])


def browned():
    """A look in which leaves turned brown: the green share of every pixel has another spectrum, plus noise."""
    change = np.array([[0.0], [0.0], [0.02], [-0.20], [0.06]])
    green = (BASELINE.mean[3] - 0.22) / 0.16
    values = BASELINE.mean + change[:, :, None] * green + np.random.default_rng(1).normal(0, 0.004, BASELINE.mean.shape)
    return replace(unchanged(20), reflectance=values.astype(np.float32))


def test_a_season_that_changes_like_ground_alike_is_explained() -> None:
    look = browned()
    raw = np.abs(look.reflectance - BASELINE.mean)[3].mean()
    values, clear = reflectance_of(np.stack([residual_of(look, BASELINE).pooled[0]]))
    assert raw > 0.08, "the season itself is large"
    assert clear.all()
    assert np.quantile(np.abs(values), 0.99) < 0.01


def test_a_roof_in_another_season_leaves_its_own_residual_and_no_other_ground_does() -> None:
    look = browned()
    values = look.reflectance.copy()
    wanted = np.array([0.01, 0.01, 0.01, 0.02, 0.02], np.float32)
    values[(slice(None), *BUILDING)] += wanted[:, None, None]
    residual = residual_of(replace(look, reflectance=values), BASELINE)
    plane, _ = reflectance_of(np.stack([residual.pooled[0]]))
    np.testing.assert_allclose(plane[0, :, 34:36, 35:39].mean(axis=(1, 2)), wanted, atol=0.004)
    assert np.abs(plane[0, :, :20].mean(axis=(1, 2))).max() < 0.001


def test_a_look_with_too_little_clear_ground_is_missing() -> None:
    look = clouded(unchanged(9), (slice(0, SIDE - 4), slice(0, SIDE)))
    residual = residual_of(look, BASELINE)
    assert np.isinf(residual.noise).all()
    for plane in residual.pooled:
        assert (plane == MISSING).all()
        values, clear = reflectance_of(np.stack([plane]))
        assert not clear.any() and (values == 0).all()


def test_ground_under_cloud_is_missing_and_the_rest_is_not() -> None:
    look = clouded(unchanged(9), (slice(20, 40), slice(20, 40)))
    residual = residual_of(look, BASELINE)
    for plane, (_, stride) in zip(residual.pooled, SCALES, strict=True):
        hidden = np.zeros((SIDE, SIDE), bool)
        hidden[20:40, 20:40] = True
        hidden = hidden[::stride, ::stride]
        assert plane.shape == (len(BANDS), *hidden.shape)
        assert (plane[:, hidden] == MISSING).all()
        assert (plane[:, ~hidden] != MISSING).all()


def test_counts_keep_a_reflectance_to_half_a_count() -> None:
    values = np.random.default_rng(2).uniform(-0.5, 0.5, (3, 2, 6, 7))
    clear = np.random.default_rng(3).random((3, 6, 7)) < 0.8
    counts = np.where(clear[:, None], np.rint(values / QUANTUM), MISSING).astype(np.int16)
    back, known = reflectance_of(counts)
    np.testing.assert_array_equal(known, clear)
    assert np.abs(back - values)[np.broadcast_to(clear[:, None], back.shape)].max() <= 0.51 * QUANTUM
    assert (back[np.broadcast_to(~clear[:, None], back.shape)] == 0).all()


def test_a_flash_is_cut_to_a_number_of_sigmas() -> None:
    look = painted(unchanged(9), BUILDING, 3 * ROOF)
    residual = residual_of(look, BASELINE)
    values, _ = reflectance_of(np.stack([residual.pooled[0]]))
    length = np.sqrt(np.mean((values[0] / residual.noise[:, None, None]) ** 2, axis=0))
    assert length[34:36, 35:39].min() > 0.8 * CAP_SIGMAS and length.max() <= 1.01 * CAP_SIGMAS


def test_the_noise_of_a_look_is_its_own_spread_and_never_nil() -> None:
    assert residual_of(unchanged(9), BASELINE).noise == pytest.approx(0.004, rel=0.3)
    exact = replace(unchanged(9), reflectance=BASELINE.mean)
    assert (residual_of(exact, BASELINE).noise >= NOISE_FLOOR).all()


def test_holes_of_the_baseline_get_the_median_of_their_band() -> None:
    looks = [clouded(unchanged(index), (slice(0, 3), slice(0, 3))) for index in range(5)]
    baseline = build_baseline(looks)
    assert np.isfinite(baseline.mean).all()
    np.testing.assert_allclose(baseline.mean[:, 0, 0], np.median(baseline.mean[:, 4:], axis=(1, 2)), rtol=0.05)
