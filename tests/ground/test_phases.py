"""Classes of ground, the phases of a series, and the type of change that follows from them."""

import numpy as np
import pytest

from pipeline.ground.classes import STATES, log_likelihood, log_posterior
from pipeline.ground.phases import phases_of
from pipeline.model.alert import State
from pipeline.model.bands import ANALYSIS
from pipeline.study.materials import CLEARED, ROOFS, WATER, band_levels

GREEN = np.array([0.03, 0.06, 0.04, 0.36, 0.38, 0.18, 0.09])
SOIL, CONCRETE = band_levels(CLEARED, ANALYSIS), band_levels(ROOFS["concrete"], ANALYSIS)


def state_of(spectrum: np.ndarray, bands: int = len(ANALYSIS)) -> State:
    return STATES[int(log_posterior(ANALYSIS[:bands], spectrum[None, :bands]).argmax())]


def series(*parts: tuple[np.ndarray, int], noise: float = 0.03, seed: int = 0) -> np.ndarray:
    """(look, band): each spectrum for a number of looks, under light that differs from look to look."""
    levels_ = np.concatenate([np.repeat(spectrum[None], looks, axis=0) for spectrum, looks in parts])
    light = np.random.default_rng(seed).normal(1, noise, (len(levels_), 1))
    return levels_ * light


def states(spectra: np.ndarray, *boundaries: int) -> list[tuple[State, int, int]]:
    return [(each.state, each.first, each.last) for each in phases_of(ANALYSIS, spectra, boundaries)]


@pytest.mark.parametrize("roof", sorted(ROOFS))
def test_roofs_that_took_no_part_in_the_learning_are_built(roof: str) -> None:
    spectrum = band_levels(ROOFS[roof], ANALYSIS)
    assert state_of(spectrum) is State.BUILT


def test_leaf_soil_and_water_are_not_built() -> None:
    assert state_of(GREEN) is State.VEGETATED
    assert state_of(SOIL) is State.BARE
    assert state_of(band_levels(WATER, ANALYSIS)) is not State.BUILT


def test_three_bands_have_the_same_classes_as_seven() -> None:
    assert state_of(GREEN, 3) is State.VEGETATED
    assert state_of(CONCRETE, 3) is State.BUILT
    marginal = log_likelihood(ANALYSIS[:3], CONCRETE[None, :3])
    assert marginal.shape == (1, len(STATES)) and np.isfinite(marginal).all()


def test_a_hall_on_a_cleared_yard_has_three_phases() -> None:
    found = states(series((GREEN, 20), (SOIL, 14), (CONCRETE, 12)), 20)
    assert found == [(State.VEGETATED, 0, 19), (State.BARE, 20, 33), (State.BUILT, 34, 45)]


def test_a_field_that_is_bare_for_a_season_stays_one_phase() -> None:
    assert states(series((GREEN, 10), (SOIL, 5), (GREEN, 12), (SOIL, 4), (GREEN, 6))) == [(State.VEGETATED, 0, 36)]


def test_a_missed_cloud_makes_no_phase_and_cloudy_looks_belong_to_none() -> None:
    spectra = series((GREEN, 12), (CONCRETE, 12))
    spectra[5] = 0.6
    spectra[12:14] = np.nan
    assert states(spectra, 12) == [(State.VEGETATED, 0, 11), (State.BUILT, 14, 23)]


def test_a_boundary_parts_two_phases_of_one_state_and_two_looks_are_a_phase_if_no_more_are_left() -> None:
    found = states(series((CONCRETE, 10), (0.6 * CONCRETE, 2)), 10)
    assert found == [(State.BUILT, 0, 9), (State.BUILT, 10, 11)]


def test_what_no_look_decides_has_a_low_probability() -> None:
    clear, odd = series((CONCRETE, 6)), series((SOIL, 6))
    (sure,), (unsure,) = phases_of(ANALYSIS, clear, ()), phases_of(ANALYSIS, odd, ())
    assert sure.probability > 0.99 > unsure.probability
