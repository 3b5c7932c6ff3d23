"""Pairs of looks: the score of a pixel against the unchanged majority, its damping factors, and the alerts."""

from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import box

from pipeline.model.alert import Decision, Kind, Status
from pipeline.model.bands import Band
from pipeline.model.imagery import Why
from pipeline.model.settings import Settings
from pipeline.pair import score as pairscore
from pipeline.pair.detector import LOW, THRESHOLD, decide_pair
from pipeline.pair.score import (
    LEAST_DIFFERENCE,
    LEAST_MIDDLE,
    LEAST_TEXTURE,
    _cluster_distance,
    _fill_gaps,
    _standardise_distance,
    _texture_share,
)
from tests.decide.scenes import BANDS, BUILDING, LEFT, SIDE, TOP, clouded, painted, unchanged

BRICK = np.array([0.20, 0.24, 0.30, 0.33, 0.38])
BEFORE, AFTER = unchanged(0), painted(unchanged(1), BUILDING, BRICK)
ALL = np.ones((SIDE, SIDE), bool)


def pair_of(inside: np.ndarray | None = None, before=BEFORE, after=AFTER) -> Decision:
    return decide_pair("place", before, after, Settings(), inside)


def test_a_roof_is_one_provisional_alert_between_the_two_looks() -> None:
    decision = pair_of()
    (alert,) = decision.alerts
    truth = box(LEFT + 330, TOP - 380, LEFT + 410, TOP - 320)
    assert alert.outline.intersection(truth).area / alert.outline.union(truth).area > 0.55
    assert (alert.status, alert.confirmed_at, alert.kind) == (Status.PROVISIONAL, None, Kind.NEW_STRUCTURE)
    assert (alert.last_clear_before, alert.first_seen, alert.last_seen) == (
        BEFORE.time.date(), AFTER.time.date(), AFTER.time.date()
    )  # fmt: skip
    assert (alert.before_scene, alert.after_scene) == (decision.before_scene, decision.after_scene) == ("s00", "s01")
    assert (alert.looks_seen, alert.looks_clear) == (1, 1)
    assert alert.area_m2 == pytest.approx(alert.outline.area)
    assert alert.area_error_m2 == pytest.approx(35 * np.sqrt(alert.outline.length / 10))
    assert 20 < alert.lon < 22 and 45 < alert.lat < 46


def test_both_looks_are_observations_and_the_later_one_has_the_score_of_the_peak() -> None:
    decision = pair_of()
    (alert,) = decision.alerts
    old, new = decision.observations
    assert (old.scene, old.score, old.seen, old.time) == ("s00", 0.0, False, BEFORE.time)
    assert (new.scene, new.seen, new.time) == ("s01", True, AFTER.time)
    assert (old.change_id, new.change_id) == (alert.id, alert.id)
    assert old.clear_share == new.clear_share == 1.0
    assert new.score is not None and new.score > THRESHOLD
    assert alert.confidence == pytest.approx(1 / (1 + np.exp(-(new.score - THRESHOLD) / 4)))
    assert np.nanmax(decision.evidence.score) == pytest.approx(new.score - THRESHOLD, abs=1e-5)


def test_the_evidence_is_dated_inside_outlines_and_not_known_where_nothing_was_measured() -> None:
    why = BEFORE.why.copy()
    why[:5] = np.uint8(Why.NODATA)
    decision = pair_of(before=replace(BEFORE, why=why))
    assert np.isnan(decision.evidence.score[:5]).all() and np.isfinite(decision.evidence.score[5:]).all()
    assert set(np.unique(decision.evidence.since)) == {-1, 1}
    assert (decision.evidence.score[decision.evidence.since == 1] >= LOW - THRESHOLD).all()
    assert decision.threshold == 0 and "no history" in decision.cautions[0]


def test_unchanged_ground_has_no_alert() -> None:
    assert pair_of(after=unchanged(1)).alerts == ()


def test_an_alert_has_to_reach_into_the_area() -> None:
    inside = np.zeros((SIDE, SIDE), bool)
    assert pair_of(inside).alerts == () and pair_of(inside).observations == ()
    inside[34, 36] = True
    assert len(pair_of(inside).alerts) == 1


def test_the_clear_share_is_that_of_the_pixels_of_the_alert() -> None:
    rows, cols = BUILDING
    old, _ = pair_of(before=clouded(BEFORE, (rows, slice(cols.start, (cols.start + cols.stop) // 2)))).observations
    assert 0.3 < old.clear_share < 0.8


def test_what_turns_green_is_damped_and_water_only_where_it_was_water_before() -> None:
    bands = (Band.B03, Band.B04, Band.B08)
    spectra = {"leaf": (0.06, 0.04, 0.38), "limit": (0.1, 0.11, 0.29), "soil": (0.08, 0.10, 0.22),
               "water": (0.06, 0.04, 0.02)}  # fmt: skip

    def factor(before: str, after: str) -> float:
        one, two = (np.array(spectra[each])[:, None, None] for each in (before, after))
        return float(pairscore._plausibility(bands, one, two)[0, 0])

    assert factor("soil", "leaf") < 0.02
    assert factor("leaf", "soil") > 0.6 and factor("leaf", "soil") == pytest.approx(factor("water", "soil"), rel=0.1)
    assert factor("soil", "limit") == pytest.approx(0.5, abs=0.01), "half at the limit of NDVI"
    assert factor("water", "water") < 0.01 < 0.9 < factor("soil", "water")
    assert (pairscore._plausibility(bands[:2], np.zeros((2, 4, 5)), np.ones((2, 4, 5))) == np.ones((4, 5))).all()


def test_ground_is_textured_only_where_both_dates_have_contrast() -> None:
    bands = (Band.B02, Band.B03, Band.B04)
    flat = np.full((3, 40, 40), 0.1)
    rough = flat * np.exp(np.random.default_rng(1).normal(0, 0.2, (40, 40)))
    middle = (slice(15, 25), slice(15, 25))
    assert (_texture_share(bands, rough, rough)[middle] == 1).all()
    for one, two in ((flat, rough), (rough, flat), (flat, flat)):
        np.testing.assert_allclose(_texture_share(bands, one, two), LEAST_TEXTURE, atol=1e-6)
    faint = flat * np.exp(np.random.default_rng(1).normal(0, 0.05, (40, 40)))
    np.testing.assert_allclose(
        _texture_share(bands, faint, faint), _texture_share(bands, 3 * faint, 2 * faint), rtol=1e-6
    )
    assert 0.4 < _texture_share(bands, faint, faint)[middle].mean() < 0.8


def test_contrast_of_bands_beyond_the_visible_is_no_texture() -> None:
    bands = (Band.B02, Band.B03, Band.B04, Band.B08)
    image = np.full((4, 30, 30), 0.1)
    image[3] *= np.exp(np.random.default_rng(1).normal(0, 0.5, (30, 30)))
    np.testing.assert_allclose(_texture_share(bands, image, image), LEAST_TEXTURE, atol=1e-6)


def test_a_score_is_in_spreads_above_the_median_and_never_finer_than_noise() -> None:
    measured = np.ones((1, 5), bool)
    raw = np.array([[1.0, 2.0, 3.0, 4.0, 9.0]])
    np.testing.assert_allclose(_standardise_distance(raw, measured, 5), (raw - 3) / 1.4826)
    measured[0, 4] = False
    np.testing.assert_allclose(_standardise_distance(raw, measured, 5), (raw - 2.5) / 1.4826)
    steady = np.array([[2.0, 2.0, 2.0, 2.0, 3.0]])
    np.testing.assert_allclose(_standardise_distance(steady, np.ones((1, 5), bool), 8)[0, 4], 1 / 0.25)
    low = np.zeros((1, 5))
    np.testing.assert_allclose(_standardise_distance(low, np.ones((1, 5), bool), 2), -LEAST_MIDDLE / 0.5)


def test_a_distance_is_the_change_in_spreads_of_the_majority() -> None:
    rng = np.random.default_rng(5)
    given = np.full((4000, 2), 0.2)
    change = rng.normal((0.03, 0), (0.02, 0.05), (4000, 2))
    change[0] = 0.03 + 10 * np.hypot(0.02, LEAST_DIFFERENCE), 0
    found = _cluster_distance(given, given + change, 1, True)
    # the spread of a normal distribution without its tail is a tenth too small
    assert found[0] == pytest.approx(10 / np.sqrt(2), rel=0.12)
    assert np.sqrt(np.mean(found[1:] ** 2)) == pytest.approx(1, rel=0.12)


def test_correlated_bands_make_a_change_against_their_correlation_larger() -> None:
    rng = np.random.default_rng(6)
    light = rng.normal(0, 0.05, (4000, 1))
    change = np.concatenate([light, light], axis=1) + rng.normal(0, 0.001, (4000, 2))
    change[0], change[1] = (0.05, -0.05), (0.05, 0.05)
    rotated, plain = (_cluster_distance(np.full((4000, 2), 0.2), 0.2 + change, 1, each) for each in (True, False))
    assert rotated[0] > 5 * rotated[1] and plain[0] == pytest.approx(plain[1], rel=0.05)


def test_ground_that_changes_alike_is_compared_with_its_own_cluster() -> None:
    rng = np.random.default_rng(7)
    given = np.where(np.arange(4000) < 2000, 0.1, 0.4)[:, None] + rng.normal(0, 0.01, (4000, 2))
    change = np.where(given > 0.25, 0.1, 0.0) + rng.normal(0, 0.01, (4000, 2))
    apart, together = (_cluster_distance(given, given + change, clusters, True) for clusters in (2, 1))
    assert np.median(apart[2000:]) < 1.2 and np.median(apart[:2000]) < 1.2
    change[5] = 0.1
    assert (
        _cluster_distance(given, given + change, 2, True)[5] > 2 * _cluster_distance(given, given + change, 1, True)[5]
    )
    assert np.median(together) < 1.5


def test_what_was_not_measured_is_filled_with_the_median_of_its_band() -> None:
    image = np.stack([np.arange(6.0).reshape(2, 3), 10 + np.arange(6.0).reshape(2, 3)])
    measured = np.array([[True, True, True], [False, False, False]])
    found = _fill_gaps(image, measured)
    np.testing.assert_array_equal(found[:, 1], [[1, 1, 1], [11, 11, 11]])
    np.testing.assert_array_equal(found[:, 0], image[:, 0])


def test_the_score_is_zero_where_nothing_was_measured_and_supported_by_neighbours() -> None:
    measured = ALL.copy()
    measured[:, :6] = False
    one = painted(unchanged(1), (slice(34, 35), slice(36, 37)), BRICK)
    scores = [pairscore.score_pair(BANDS, BEFORE.reflectance, each.reflectance, measured) for each in (one, AFTER)]
    assert all(each.dtype == np.float32 and each.shape == measured.shape and each.min() >= 0 for each in scores)
    assert all((each[:, :6] == 0).all() for each in scores)
    assert scores[1][34, 36] > 1.5 * scores[0][34, 36] > 0
    assert scores[1][32:38, 33:41].mean() > 5 * np.median(scores[1])
    assert (scores[1] <= pairscore.CEILING).all()


@pytest.mark.parametrize("factor", ["_texture_share", "_plausibility"])
def test_smooth_and_green_ground_scores_less_in_proportion(factor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for share in (1.0, 0.125):
        monkeypatch.setattr(pairscore, factor, lambda bands, *images, share=share: np.full((SIDE, SIDE), share))
        found.append(pairscore.score_pair(BANDS, BEFORE.reflectance, AFTER.reflectance, ALL))
    np.testing.assert_allclose(found[1], 0.125 * found[0], rtol=1e-4)
