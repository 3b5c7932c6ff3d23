"""The +1000 offset by hand: quantiles of counts, what levels agree, which claim is settled how."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.correct.offset import (
    MAX_DIFFERENCE,
    MIN_ANCHORS,
    MIN_MAJORITY,
    OFFSET_DN,
    OFFSET_LEVEL,
    QUANTILES,
    REFUTED_DN,
    SAME_LEVEL,
    SATURATED_DN,
    WRAPPED_DN,
    DeclaredGranule,
    Offset,
    _match_levels,
    _quantiles,
    dark_floor,
    dn_quantiles,
    resolve_declared,
    resolve_offset,
)
from pipeline.model.bands import Band
from pipeline.model.imagery import DeclaredOffset, Raster, Reason, Rejection, Scene
from tests.correct.scenery import GRID, SIZE, chip, ground

SCENE: Scene = chip(ground(), 0)[0].scene
BANDS = (Band.B02, Band.B03, Band.B04, Band.B11)
SURE, UNSURE = (DeclaredOffset(dn=0, reason="metadata", certain=each) for each in (True, False))
NONE = DeclaredOffset(dn=None, reason="no flag", certain=False)
PLUS_SURE, PLUS_UNSURE = (DeclaredOffset(dn=OFFSET_DN, reason="flag", certain=each) for each in (True, False))


def answer(claim: DeclaredOffset, floor: float, expected: float | None = None) -> int | None:
    """The offset by a floor in all bands, None where it is refused."""
    known = None if expected is None else dict.fromkeys(BANDS, expected)
    found = resolve_offset(claim, dict.fromkeys(BANDS, floor), known, scene=SCENE)
    return found.dn if isinstance(found, Offset) else None


def test_quantiles_of_counts_are_those_of_the_values() -> None:
    rng = np.random.default_rng(1)
    for size in (1, 2, 7, 1000):
        values = rng.integers(0, 50, size)
        np.testing.assert_allclose(_quantiles(np.bincount(values, minlength=60)), np.quantile(values, QUANTILES))


def test_levels_leave_out_nodata_wrapped_and_saturated_values() -> None:
    made = chip(ground(), 0)[0]
    values = np.full((SIZE, SIZE), 500, np.uint16)
    values[:40] = np.resize(np.array([0, WRAPPED_DN, WRAPPED_DN + 5, SATURATED_DN], np.uint16), (40, SIZE))
    values[-1, -1] = WRAPPED_DN - 1
    planes = {Band.B02: values, Band.B03: np.zeros_like(values)}
    made = replace(made, dn={band: Raster(grid=GRID, data=plane) for band, plane in planes.items()})
    found = dn_quantiles(made)
    assert list(found) == [Band.B02] and found[Band.B02].tolist() == [500, 500]
    assert dark_floor(made) == {Band.B02: 500.0}
    high = replace(made, dn={Band.B02: Raster(grid=GRID, data=np.full((SIZE, SIZE), WRAPPED_DN - 1, np.uint16))})
    assert dn_quantiles(high)[Band.B02].tolist() == [WRAPPED_DN - 1] * 2


@pytest.mark.parametrize("claim", [SURE, UNSURE, NONE])
def test_dark_ground_proves_that_nothing_was_added(claim: DeclaredOffset) -> None:
    assert answer(claim, REFUTED_DN - 1) == 0
    assert answer(claim, REFUTED_DN) == (0 if claim is SURE else None)


def test_dark_ground_refutes_a_claimed_offset_and_says_by_how_much() -> None:
    found = resolve_offset(PLUS_SURE, {Band.B02: 900.0, Band.B03: 700.0}, scene=SCENE)
    assert isinstance(found, Rejection) and found.reason is Reason.OFFSET
    assert (found.value, found.limit, found.scene, found.time) == (700.0, REFUTED_DN, SCENE.id, SCENE.time)
    assert "darker" in found.note
    assert answer(PLUS_SURE, REFUTED_DN) == OFFSET_DN and answer(PLUS_UNSURE, REFUTED_DN) is None
    empty = resolve_offset(NONE, {}, scene=SCENE)
    assert isinstance(empty, Rejection) and empty.value == float("inf")


def test_the_history_settles_what_the_metadata_leave_open() -> None:
    for claim in (UNSURE, NONE, SURE):
        assert answer(claim, 2000, 0.2) == 0 and answer(claim, 2300, 0.2) == 0
    for claim in (PLUS_UNSURE, NONE, PLUS_SURE):
        assert answer(claim, 3000, 0.2) == OFFSET_DN
    assert answer(SURE, 3000, 0.2) is None and answer(PLUS_SURE, 2000, 0.2) is None, "contradicted"
    found = resolve_offset(SURE, dict.fromkeys(BANDS, 3000.0), dict.fromkeys(BANDS, 0.2), scene=SCENE)
    assert isinstance(found, Rejection) and (found.value, found.limit) == (pytest.approx(0.1), SAME_LEVEL)
    assert answer(SURE, 4000, 0.2) == 0 and answer(UNSURE, 4000, 0.2) is None, "the history does not know"


def lift(*values: float, bands: tuple[Band, ...] = BANDS) -> dict[Band, float]:
    return dict(zip(bands, values, strict=True))


def test_levels_agree_with_the_history_or_are_lifted_alike_in_all_bands() -> None:
    assert _match_levels(lift(0, 0.01, -0.01, 0)) == 0
    assert _match_levels(lift(*[SAME_LEVEL] * 4)) == 0 and _match_levels(lift(*[SAME_LEVEL + 0.001] * 4)) is None
    assert _match_levels(lift(-0.3, 0.01, 0.01, 0.01)) == 0, "one band may be far off"
    assert _match_levels(lift(*[0.1] * 4)) == OFFSET_DN
    assert (
        _match_levels(lift(*[OFFSET_LEVEL[0]] * 4)) == OFFSET_DN
        and _match_levels(lift(0.1, 0.1, 0.1, OFFSET_LEVEL[0] - 0.001)) is None
    )
    assert _match_levels(lift(0.1, 0.1, 0.1, MAX_DIFFERENCE)) == OFFSET_DN
    assert _match_levels(lift(0.1, 0.1, 0.1, MAX_DIFFERENCE + 0.001)) is None
    assert (
        _match_levels(lift(*[OFFSET_LEVEL[1]] * 4)) == OFFSET_DN
        and _match_levels(lift(*[OFFSET_LEVEL[1] + 0.001] * 4)) is None
    )
    assert _match_levels({}) is None


def test_haze_is_not_the_offset_and_leaves_are_not_compared() -> None:
    visible = (Band.B02, Band.B03, Band.B04)
    assert _match_levels(lift(0.1, 0.1, 0.1, bands=visible)) is None, "without the short wave it may be haze"
    assert _match_levels(lift(0.1, 0.1, 0.1, 0.0)) is None
    assert _match_levels(lift(0.0, 0.0, 0.0, 0.4, bands=(*visible, Band.B08))) == 0
    assert _match_levels({Band.B08: 0.0}) is None


def granule(claim: DeclaredOffset, level: float) -> DeclaredGranule:
    """A granule with one level, its darkest ground a tenth below; DN."""
    pair = np.array([0.9 * level, level])
    return DeclaredGranule(declared=claim, levels=dict.fromkeys(BANDS, pair))


def settled(*granules: DeclaredGranule) -> list[tuple[int | None, bool]]:
    return [(claim.dn, claim.certain) for (claim,) in resolve_declared([[each] for each in granules])]


def test_three_proved_looks_settle_the_others() -> None:
    proved = [granule(UNSURE, 800)] * MIN_ANCHORS
    assert settled(*proved, granule(NONE, 900), granule(NONE, 1800))[MIN_ANCHORS:] == [(0, True), (OFFSET_DN, True)]
    assert settled(*proved, granule(PLUS_UNSURE, 1800))[-1] == (OFFSET_DN, True)
    assert settled(*proved, granule(UNSURE, 1800))[-1] == (None, False), "its flag is refuted by the others"
    assert settled(*proved, granule(SURE, 1800))[-1] == (None, False)
    assert settled(*proved, granule(PLUS_SURE, 1800))[-1] == (OFFSET_DN, True)
    assert settled(*proved, granule(NONE, 2600))[-1] == (None, False), "another level altogether"


def test_without_proof_certain_metadata_are_the_anchors_and_then_a_majority() -> None:
    bright = [granule(SURE, 3000)] * MIN_ANCHORS
    assert settled(*bright, granule(NONE, 3000), granule(NONE, 4000))[MIN_ANCHORS:] == [(0, True), (OFFSET_DN, True)]
    assert settled(*bright[1:], granule(NONE, 3000))[-1] == (None, False)
    flagged = [granule(UNSURE, 3000)] * MIN_MAJORITY
    assert settled(*flagged) == [(0, True)] * MIN_MAJORITY
    assert settled(*flagged[1:]) == [(0, False)] * (MIN_MAJORITY - 1)
    assert settled(*flagged, granule(PLUS_UNSURE, 3000))[0] == (0, False), "of two minds"
    assert settled(*flagged, granule(NONE, 3000))[-1] == (None, False), "a majority settles only what claims the same"


def test_the_history_is_reflectance_and_not_dn() -> None:
    anchors = [granule(PLUS_SURE, 3000), granule(SURE, 2000), granule(SURE, 2000)]
    assert settled(*anchors, granule(NONE, 2000), granule(NONE, 3000))[3:] == [(0, True), (OFFSET_DN, True)]
