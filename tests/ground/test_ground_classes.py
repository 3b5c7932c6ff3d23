"""Classes of ground by hand: Gaussian densities of log reflectance, priors, painted roofs, canopy, phases."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.ground.classes import (
    COLOUR,
    DARKEST,
    OUTLIER,
    PAINTED,
    PRIOR,
    SOIL_IN_FIELDS,
    STATES,
    _log_density,
    log_likelihood,
    log_posterior,
    read_learned,
)
from pipeline.ground.phases import BOUNDARY, INDEPENDENT, _partition_series, phases_of
from pipeline.model.alert import State
from pipeline.model.bands import ANALYSIS, Band

RECORD = read_learned("pipeline.ground", "classes.json")
VEGETATED, BARE, BUILT = (STATES.index(each) for each in (State.VEGETATED, State.BARE, State.BUILT))
SPECTRA = np.random.default_rng(1).uniform(0.03, 0.4, (20, len(ANALYSIS)))
LOOSE = 6
"""Looks whose state is not certain."""


def density(spectrum: np.ndarray, state: State, wider: float = 0.0) -> float:
    """Logarithm of the density of one spectrum, but for a constant of the bands, by the textbook."""
    at = [RECORD["bands"].index(band.value) for band in ANALYSIS]
    part = RECORD["classes"][state.value]
    mean, covariance = np.array(part["mean"])[at], np.array(part["covariance"])[np.ix_(at, at)]
    covariance = covariance + wider**2 * np.eye(len(at))
    off = np.log(spectrum) - mean
    return float(-0.5 * off @ np.linalg.inv(covariance) @ off - 0.5 * np.linalg.slogdet(covariance)[1])


def test_a_density_is_that_of_the_textbook() -> None:
    covariance, mean = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([1.0, -1.0])
    values = np.array([[1.0, -1.0], [2.0, 0.0], [-1.0, 3.0]])
    expected = [-0.5 * off @ np.linalg.inv(covariance) @ off - 0.5 * np.log(1.75) for off in values - mean]
    np.testing.assert_allclose(_log_density(values, mean, covariance), expected)


def test_every_state_but_built_is_one_gaussian_and_built_ground_may_be_painted() -> None:
    found = log_likelihood(ANALYSIS, SPECTRA)
    for index, state in enumerate(STATES):
        plain = np.array([density(each, state) for each in SPECTRA])
        if state is State.BUILT:
            painted = np.array([density(each, state, COLOUR) for each in SPECTRA])
            plain = np.log((1 - PAINTED) * np.exp(plain) + PAINTED * np.exp(painted))
        np.testing.assert_allclose(found[:, index], plain, rtol=1e-6)


def test_the_order_of_the_bands_does_not_matter_and_unknown_bands_are_left_out() -> None:
    turned = log_likelihood(ANALYSIS[::-1], SPECTRA[:, ::-1])
    np.testing.assert_allclose(turned, log_likelihood(ANALYSIS, SPECTRA), rtol=1e-9)
    strange = next(band for band in Band if band.value not in RECORD["bands"])
    more = np.concatenate([SPECTRA[:, :2], np.full((20, 1), 0.9), SPECTRA[:, 2:]], axis=1)
    found = log_likelihood((*ANALYSIS[:2], strange, *ANALYSIS[2:]), more)
    np.testing.assert_allclose(found, log_likelihood(ANALYSIS, SPECTRA), rtol=1e-9)


def test_reflectance_below_the_darkest_counts_as_that() -> None:
    dark = np.full((3, len(ANALYSIS)), DARKEST) * [[1.0], [0.1], [-5.0]]
    found = log_likelihood(ANALYSIS, dark)
    np.testing.assert_array_equal(found[1:], found[[0, 0]])


def test_a_look_has_the_probability_of_bayes_and_fields_show_soil() -> None:
    own = np.exp(log_likelihood(ANALYSIS, SPECTRA))
    own[:, VEGETATED] = (1 - SOIL_IN_FIELDS) * own[:, VEGETATED] + SOIL_IN_FIELDS * own[:, BARE]
    joint = own * [PRIOR[state] for state in STATES]
    expected = np.log(np.maximum(joint / joint.sum(axis=1, keepdims=True), np.exp(OUTLIER)))
    np.testing.assert_allclose(log_posterior(ANALYSIS, SPECTRA), expected, atol=1e-9)
    assert sum(PRIOR.values()) == pytest.approx(1)


def evidence(*states: int, sure: float = 2.0) -> np.ndarray:
    """(look, state) log-probabilities of looks, each in favour of one state."""
    out = np.full((len(states), 3), -sure)
    out[np.arange(len(states)), states] = 0.0
    return out


def best_score(each: np.ndarray, least: int = 3) -> float:
    """The highest score of all segmentations, by trying them all."""
    count, best = len(each), -np.inf
    for cuts in range(2 ** (count - 1)):
        edges = [0, *(at for at in range(1, count) if cuts >> (at - 1) & 1), count]
        if min(stop - start for start, stop in pairwise(edges)) >= least:
            parts = [each[start:stop].sum(axis=0).max() / INDEPENDENT for start, stop in pairwise(edges)]
            best = max(best, sum(parts) - BOUNDARY * (len(parts) - 1))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_segmentation_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states = np.repeat(rng.integers(0, 3, 3), rng.integers(3, 5, 3))
    each = evidence(*states, sure=4.0) + rng.normal(0, 1.5, (len(states), 3))
    found = list(_partition_series(each))
    assert [start for start, _, _ in found] == [0, *(stop for _, stop, _ in found[:-1])] and found[-1][1] == len(each)
    assert all(stop - start >= 3 for start, stop, _ in found)
    value = sum(each[start:stop, state].sum() / INDEPENDENT for start, stop, state in found)
    assert value - BOUNDARY * (len(found) - 1) == pytest.approx(best_score(each))


def test_a_boundary_needs_more_evidence_than_it_costs() -> None:
    looks = round(BOUNDARY * INDEPENDENT / 2)
    assert list(_partition_series(evidence(*[0] * 12, *[1] * (looks + 1)))) == [(0, 12, 0), (12, 13 + looks, 1)]
    assert list(_partition_series(evidence(*[0] * 12, *[1] * (looks - 1)))) == [(0, 11 + looks, 0)]
    assert list(_partition_series(evidence(2, 2))) == [(0, 2, 2)] and list(_partition_series(evidence(1)[:0])) == []


def test_the_probability_of_a_phase_rests_on_three_looks_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.ground.phases.log_posterior", lambda bands, spectra: evidence(*[0] * len(spectra)))
    spectra = np.ones((LOOSE + 1, 2))
    spectra[2, 1] = np.nan

    def probability(looks: float) -> float:
        return round(float(1 / (1 + 2 * np.exp(-2.0 * looks))), 3)

    (whole,) = phases_of((), spectra, ())
    assert (whole.first, whole.last, whole.probability) == (0, LOOSE, probability(3))
    one, two = phases_of((), spectra, (3,))
    assert (one.first, one.last, one.probability) == (0, 1, probability(2))
    assert (two.first, two.last, two.probability) == (3, LOOSE, probability(3))
    assert phases_of((), np.full((3, 2), np.nan), ()) == ()
    assert [each.first for each in phases_of((), spectra, (2, 5))] == [0, 3, 5]
