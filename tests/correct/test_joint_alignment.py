"""Small chips: one shift for all bands, the stack as a prior, and another place refused."""

import numpy as np
import pytest
from scipy import ndimage

from pipeline.correct.joint_alignment import (
    PRIOR_PX,
    SYSTEMATIC_PX,
    edge_noise,
    estimate_jointly,
    measure_shift,
    shrink_to_prior,
)
from pipeline.model.imagery import Alignment
from tests.correct.scenery import ground

SIZE = (31, 56)
ALL = np.ones(SIZE, bool)


def cut(values: np.ndarray) -> np.ndarray:
    return values[:3, 20 : 20 + SIZE[0], 20 : 20 + SIZE[1]].astype(np.float32)


def moved(shift: tuple[float, float], seed: int = 3, noise: float = 0.002) -> np.ndarray:
    planes = ndimage.shift(ground(seed), (0, *shift), order=5, mode="nearest")
    return cut(planes + np.random.default_rng(5).normal(0, noise, planes.shape))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -0.7), (-1.3, 1.1), (5.2, -3.4)])
def test_a_shift_is_measured_within_its_uncertainty(shift: tuple[float, float]) -> None:
    found = measure_shift(cut(ground()), moved(shift), ALL, 8.0)
    assert found.accepted and found.sigma_px < 0.15
    assert np.abs(np.array(found.shift) - shift).max() < 3 * found.sigma_px


@pytest.mark.parametrize("seed", range(40, 52))
def test_another_place_is_refused_with_a_prior_and_without(seed: int) -> None:
    for prior in (None, PRIOR_PX):
        found = estimate_jointly(cut(ground()), moved((0.2, 0.1), seed), ALL, 8.0, prior)
        assert not found.accepted and "not the same ground" in found.reason


def test_uniform_ground_and_cloud_over_everything_are_refused() -> None:
    flat = np.full((3, *SIZE), 0.2, np.float32)
    assert not estimate_jointly(cut(ground()), flat, ALL, 8.0, PRIOR_PX).accepted
    assert not estimate_jointly(cut(ground()), moved((0, 0)), ~ALL, 8.0, PRIOR_PX).accepted


def test_the_prior_draws_an_uncertain_shift_to_the_stack_and_leaves_a_stray_where_it_is() -> None:
    def of(sigma: float, shift: tuple[float, float] = (0.6, -0.3)) -> Alignment:
        return shrink_to_prior(Alignment(shift=shift, accepted=True, reliability=0.5, sigma_px=sigma), 0.3)

    assert np.allclose(of(0.02).shift, (0.6, -0.3), atol=0.01)
    assert np.allclose(of(0.3).shift, (0.3, -0.15)) and of(0.3).sigma_px == pytest.approx(0.3 / np.sqrt(2))
    assert of(float("inf")).shift == (0.0, 0.0) and of(float("inf")).sigma_px == pytest.approx(0.3)
    assert of(0.3, (3.0, 0.0)).shift == (3.0, 0.0)


def test_less_clear_ground_makes_the_shift_less_certain() -> None:
    part = ALL.copy()
    part[:, :34] = False
    whole, less = (measure_shift(cut(ground()), moved((0.3, 0.2)), each, 8.0) for each in (ALL, part))
    assert less.accepted and less.sigma_px > whole.sigma_px


def test_noise_of_an_uncertain_shift_is_the_slope_of_the_ground_times_it() -> None:
    ramp = np.broadcast_to(0.01 * np.arange(20.0), (2, 15, 20)).copy()
    ramp[1] *= 3
    ramp[:, 0, 0] = np.nan
    assert np.allclose(edge_noise(ramp, 0.5), (0.005, 0.015))


def test_bands_that_repeat_each_other_make_a_shift_no_more_certain() -> None:
    one, two = cut(ground())[:1], moved((0.3, -0.4), noise=0.03)[:1]
    alone, thrice = (
        measure_shift(one, two, ALL, 8.0),
        measure_shift(np.repeat(one, 3, 0), np.repeat(two, 3, 0), ALL, 8.0),
    )
    scatter = [np.sqrt(each.sigma_px**2 - SYSTEMATIC_PX**2) for each in (alone, thrice)]
    assert scatter[1] == pytest.approx(scatter[0], rel=0.15) and scatter[0] > SYSTEMATIC_PX
