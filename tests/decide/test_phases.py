"""Classes of ground, the phases of a series, and the type of change that follows from them."""

import numpy as np
import pytest

from pipeline.decide.detections import _since_built
from pipeline.decide.ground import STATES, built_odds, is_canopy, log_likelihood, log_posterior
from pipeline.decide.kinds import CLEAR_EDGE, kind
from pipeline.decide.object_series import Episode
from pipeline.decide.phases import Phase, phases_of
from pipeline.model.alert import Kind, State
from pipeline.model.bands import ANALYSIS
from pipeline.study.materials import CLEARED, RED_TILE, ROOFS, WATER, levels
from tests.decide.scenes import BUILDING, GRASS, ROOF, decided, looks_with

GREEN = np.array([0.03, 0.06, 0.04, 0.36, 0.38, 0.18, 0.09])
SOIL, CONCRETE = levels(CLEARED, ANALYSIS), levels(ROOFS["concrete"], ANALYSIS)


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
    spectrum = levels(ROOFS[roof], ANALYSIS)
    assert state_of(spectrum) is State.BUILT
    assert built_odds(ANALYSIS, spectrum[None])[0] > 2


def test_leaf_soil_and_water_are_not_built() -> None:
    assert state_of(GREEN) is State.VEGETATED
    assert state_of(SOIL) is State.BARE
    for ground in (GREEN, SOIL, levels(RED_TILE, ANALYSIS)):
        assert built_odds(ANALYSIS, ground[None])[0] < 0
    assert state_of(levels(WATER, ANALYSIS)) is not State.BUILT


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


def test_woods_are_a_closed_canopy_and_grass_and_soil_are_not() -> None:
    assert is_canopy(ANALYSIS, np.array([0.02, 0.04, 0.025, 0.30, 0.33, 0.16, 0.08]))
    for ground in (SOIL, CONCRETE, np.array([0.05, 0.09, 0.08, 0.30, 0.33, 0.26, 0.15])):
        assert not is_canopy(ANALYSIS, ground)
    assert not is_canopy(ANALYSIS[:3], GREEN[:3])


@pytest.mark.parametrize(
    ("past", "now", "edges", "expected"),
    [
        (State.VEGETATED, State.BUILT, 1.0, Kind.NEW_STRUCTURE),
        (State.BARE, State.BUILT, 9.0, Kind.NEW_STRUCTURE),
        (State.BUILT, State.BUILT, CLEAR_EDGE + 0.1, Kind.RESURFACED),
        (State.BUILT, State.BUILT, CLEAR_EDGE - 0.1, Kind.NEW_STRUCTURE),
        (State.BUILT, State.BARE, CLEAR_EDGE + 0.1, Kind.DEMOLISHED),
        (State.VEGETATED, State.BARE, 1.0, Kind.CLEARED_GROUND),
        (State.VEGETATED, State.WATER, 9.0, Kind.CLEARED_GROUND),
    ],
)
def test_the_type_of_change_follows_from_the_states(past: State, now: State, edges: float, expected: Kind) -> None:
    assert kind(past, now, edges) is expected


def test_an_alert_has_its_phases_with_the_days_beside_them() -> None:
    (alert,) = [each for each in decided(looks_with(20, (8, 99, BUILDING, ROOF))).alerts if each.confirmed_at]
    past, now = alert.phases
    assert (past.state, now.state) == (State.VEGETATED, State.BUILT)
    assert (past.begins_after, past.ends, past.ends_before) == (None, alert.last_clear_before, alert.first_seen)
    assert (now.begins_after, now.begins, now.ends_before) == (past.ends, alert.first_seen, None)
    assert GRASS[3] > GRASS[2]


def episode(first: int, before: int, looks: int) -> Episode:
    seen = np.arange(looks) >= first
    return Episode(
        first=first, onset=first, before=before, last=looks - 1, ended=False, seen=seen, looks_seen=looks - first,
        looks_clear=looks - first,
    )  # fmt: skip


def phase(state: State, first: int, last: int) -> Phase:
    return Phase(state=state, first=first, last=last, probability=1.0)


def test_a_structure_is_dated_by_the_phase_in_which_it_was_built() -> None:
    clear = np.ones(30, bool)
    clear[12] = False
    phases = phase(State.BARE, 0, 9), phase(State.BUILT, 10, 19), phase(State.BUILT, 20, 29)
    dated = _since_built(episode(20, 19, 30), phases, clear)
    assert dated is not None
    assert (dated.before, dated.first, dated.last) == (9, 10, 29)
    assert (dated.looks_seen, dated.looks_clear) == (19, 19)
    assert not dated.seen[:10].any() and not dated.seen[12] and dated.seen[10:12].all() and dated.seen[13:].all()


@pytest.mark.parametrize(
    "phases",
    [
        (phase(State.BUILT, 0, 19), phase(State.BUILT, 20, 29)),
        (phase(State.VEGETATED, 0, 9), phase(State.BARE, 10, 19), phase(State.BUILT, 20, 29)),
        (phase(State.BARE, 0, 9), phase(State.BUILT, 10, 19), phase(State.BARE, 20, 29)),
        (phase(State.BARE, 0, 9), phase(State.BUILT, 10, 19)),
        (),
    ],
    ids=["always built", "a cleared yard", "demolished", "no clear look since", "no clear look"],
)
def test_other_changes_keep_the_date_of_their_step(phases: tuple[Phase, ...]) -> None:
    assert _since_built(episode(20, 19, 30), phases, np.ones(30, bool)) is None
