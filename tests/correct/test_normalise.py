"""Normalisation: what the air and the sun did is undone, what the ground did is not."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.correct.normalise import apply_radiometry, fit_radiometry
from pipeline.correct.seasonal_prediction import predict_season
from tests.correct.scenery import SIZE, ground, patch

ALL = np.ones((SIZE, SIZE), bool)
CHANGE = patch(10, 10, 30, 32)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_gain_offset_and_change_over_a_tenth_leave_half_a_percent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = ground()
    gain, offset = rng.uniform(0.8, 1.2, 5)[:, None, None], rng.uniform(-0.02, 0.02, 5)[:, None, None]
    look = (truth - offset) / gain + rng.normal(0, 0.002, truth.shape)
    look[:, CHANGE] += 0.2
    found = fit_radiometry(look, truth, ALL)
    assert found is not None
    error = (apply_radiometry(look, found) - truth)[:, ~CHANGE]
    assert np.abs(np.median(error, axis=1)).max() < 0.002
    # the noise, stretched by the gain, is 0.0024: nothing else may be left
    assert np.quantile(np.abs(error), 0.95, axis=1).max() < 0.006
    assert np.median((apply_radiometry(look, found) - truth)[:, CHANGE]) > 0.12


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_what_gain_and_offset_a_look_came_with_leaves_no_trace(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gain, offset = rng.uniform(0.85, 1.15, 5)[:, None, None], rng.uniform(-0.02, 0.02, 5)[:, None, None]
    look = ground() + rng.normal(0, 0.004, (5, SIZE, SIZE))
    look[:, CHANGE] += 0.1
    plain, changed = fit_radiometry(look, ground(), ALL), fit_radiometry(gain * look + offset, ground(), ALL)
    assert plain is not None and changed is not None
    assert np.abs(apply_radiometry(look, plain) - apply_radiometry(gain * look + offset, changed)).max() < 0.002
    assert np.allclose(plain.scatter, changed.scatter, rtol=0.02)


def test_a_smooth_haze_is_taken_off_and_leaves_the_change() -> None:
    truth = ground()
    row, col = np.indices((SIZE, SIZE)) / SIZE
    haze = 0.03 * (0.2 + row**2 + 0.3 * col)
    look = truth + haze * np.array([1, 0.8, 0.6, 0.4, 0.2])[:, None, None]
    look[:, CHANGE] += 0.1
    found = fit_radiometry(look, truth, ALL)
    assert found is not None
    error = (apply_radiometry(look, found) - truth)[:, ~CHANGE]
    assert np.quantile(np.abs(error), 0.95) < 0.005
    assert np.median((apply_radiometry(look, found) - truth)[:, CHANGE]) > 0.08


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_hair_more_of_haze_moves_no_pixel_by_more_than_twice_its_own(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.004, (5, SIZE, SIZE))
    row, col = np.indices((SIZE, SIZE)) / SIZE
    haze, amounts = row**2 + 0.3 * col, np.linspace(0, 0.004, 41)
    made = []
    for amount in amounts:
        look = ground() + noise + amount * haze
        found = fit_radiometry(look, ground(), ALL)
        assert found is not None
        made.append(apply_radiometry(look, found))
    assert max(np.abs(one - two).max() for one, two in pairwise(made)) < 2 * amounts[1] * haze.max()


def test_unrelated_ground_keeps_its_contrast() -> None:
    found = fit_radiometry(ground(3), ground(77), ALL)
    assert found is not None
    assert np.allclose(found.gain, 1, atol=0.02)


def test_too_few_pixels_give_no_fit_rather_than_a_wild_one() -> None:
    assert fit_radiometry(ground(), ground(), patch(0, 0, 10, 10)) is None
    assert predict_season(ground(), ground(), patch(0, 0, 10, 10)) is None


def test_expectation_follows_the_season_and_ignores_cloud_over_a_third() -> None:
    before = ground()
    season = np.array([1.1, 1.0, 1.4, 0.6, 1.2])[:, None, None]
    look = before * season + 0.01
    cloud = patch(0, 0, SIZE, SIZE // 3)
    look[:, cloud] = 0.5
    found = predict_season(before, look, ALL)
    assert found is not None
    assert np.abs(found - (before * season + 0.01)).max() < 0.01


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_scatter_is_the_noise_that_is_left(factor: float) -> None:
    noise = np.random.default_rng(5).normal(0, 0.01 * factor, (5, SIZE, SIZE))
    found = fit_radiometry(ground() + noise, ground(), ALL)
    assert found is not None
    assert np.allclose(found.scatter, 0.01 * factor, rtol=0.2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_season_and_a_change_of_a_third_of_the_ground_do_not_stretch_the_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    season = 0.02 * ndimage.gaussian_filter(rng.standard_normal((5, SIZE, SIZE)), (0, 8, 8)) * 8
    look = ground() + season + rng.normal(0, 0.004, (5, SIZE, SIZE))
    plain = fit_radiometry(look, ground(), ALL, ground())
    where = patch(0, 0, SIZE, SIZE // 3)
    look[:, where] = 0.3 * look[:, where] + np.array([0.16, 0.13, 0.10, 0.15, 0.2])[:, None]
    found = fit_radiometry(look, ground(), ALL, ground())
    assert plain is not None and found is not None
    assert np.abs(np.array(found.gain) - plain.gain).max() < 0.1
    kept = (apply_radiometry(look, found) - apply_radiometry(look, plain))[:, ~where]
    assert np.abs(np.median(kept, axis=1)).max() < 0.015


def test_a_gain_of_an_older_processor_beyond_the_prior_is_followed_where_the_ground_is_alike() -> None:
    found = fit_radiometry(ground() / 1.35, ground(), ALL, ground() / 1.35)
    assert found is not None
    assert np.allclose(found.gain, 1.35, atol=0.01)
