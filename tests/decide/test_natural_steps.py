"""Parts of the screening by hand: quiet windows, trimmed covariances, samples, chunks, and capped residuals."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.decide import residuals as residuals_module
from pipeline.decide import screening
from pipeline.decide.objects import (
    StepObject,
    _around_both,
    _join_objects,
    _mean_series,
    _touches_side,
    _window_around,
    put_in_window,
    widen_window,
)
from pipeline.decide.residuals import (
    BASELINE_LOOKS,
    CAP_SIGMAS,
    CLUSTERS,
    MISSING,
    QUANTUM,
    SCALES,
    Baseline,
    Residual,
    _smooth_plane,
    build_baseline,
    reflectance_of,
    residual_of,
)
from pipeline.decide.screening import (
    _covariance_limit,
    _less_median,
    _pixel_chunks,
    _quiet_steps,
    _sample_clusters,
    _trimmed_covariance,
    leaf_to_soil,
)
from pipeline.decide.steps import Times
from pipeline.model.bands import Band
from pipeline.model.imagery import NOISE_FLOOR
from tests.decide.scenes import BANDS, SIDE, clouded, unchanged


def test_steps_are_taken_against_the_median_of_their_band() -> None:
    np.testing.assert_array_equal(_less_median(np.array([[1.0, 2, 9], [5, 5, 6]], np.float32)), [[-1, 0, 7], [0, 0, 1]])


def test_the_quiet_half_of_the_windows_is_kept_whole() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.normal(0, size, (2, 50)).astype(np.float32) for size in (3.0, 1.0, 4.0, 2.0)]
    found = _quiet_steps(parts)
    np.testing.assert_array_equal(found, np.concatenate([parts[1], parts[3]], axis=1))
    np.testing.assert_array_equal(_quiet_steps(parts[:1]), parts[0])


def test_a_covariance_leaves_out_the_largest_steps_and_has_a_floor() -> None:
    rng, truth = np.random.default_rng(2), np.array([[4.0, 1.0], [1.0, 2.0]]) * 1e-4
    steps = rng.multivariate_normal([0, 0], truth, 8000).T
    plain = _trimmed_covariance(steps)
    steps[:, :80] = 0.5
    np.testing.assert_allclose(_trimmed_covariance(steps), plain, atol=0.2e-4)
    assert 0.8 < plain[0, 0] / truth[0, 0] < 1 and 0.8 < plain[1, 1] / truth[1, 1] < 1.05
    still = _trimmed_covariance(np.zeros((2, 100)))
    np.testing.assert_allclose(still, screening.FLOOR**2 * np.eye(2), rtol=1e-6)


def test_the_range_of_natural_steps_is_that_of_brightness_and_a_little_of_everything() -> None:
    ground = np.array([[0.1, 0.2, 0.3], [0.4, 0.4, 0.1]], np.float32)
    other = screening.OTHER**2 * np.eye(2)
    np.testing.assert_allclose(
        _covariance_limit(ground, 0.5), 0.25 * np.outer([0.2, 0.4], [0.2, 0.4]) + other, rtol=1e-6
    )
    np.testing.assert_allclose(_covariance_limit(ground[:, :0], 0.5), 0.25 * np.full((2, 2), 0.01) + other, rtol=1e-6)


def test_chunks_hold_every_pixel_once_and_pixels_of_one_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "CHUNK", 7)
    cover = np.random.default_rng(3).integers(0, CLUSTERS, 100).astype(np.int8)
    chunks = list(_pixel_chunks(cover))
    assert sorted(np.concatenate([where for _, where in chunks]).tolist()) == list(range(100))
    assert all((cover[where] == cluster).all() and 0 < where.size <= 7 for cluster, where in chunks)


def residuals(looks: int, side: int, value: float = 0.0) -> list[Residual]:
    planes = [np.full((2, side, side), round(value / QUANTUM), np.int16)[:, ::stride, ::stride] for _, stride in SCALES]
    return [Residual(pooled=tuple(planes), noise=np.full(2, 0.004, np.float32)) for _ in range(looks)]


def test_samples_are_every_nth_pixel_of_clusters_that_are_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "SAMPLE", 50)
    cover = np.zeros((60, 60), np.int8)
    cover.flat[: screening.LEAST_SAMPLE] = 1
    cover.flat[100 : 100 + 72] = 2
    baseline = Baseline(mean=np.zeros((2, 60, 60), np.float32), cover=cover)
    times = Times(days=np.arange(8) * 10, weights=np.ones(8))
    found = _sample_clusters(baseline, residuals(8, 60), times, 0)
    assert sorted(found) == [0, 2], "cluster 1 is less than two hundredths of the site"
    assert found[2].clear.shape == (8, 72) and found[0].clear.shape == (8, -(-(3600 - 112) // ((3600 - 112) // 50)))
    assert _sample_clusters(baseline, residuals(8, 60), times, 1)[0].clear.shape[1] <= 60


@pytest.mark.parametrize("contrast", [0.1, 0.2, 0.8])
def test_the_axis_is_shorter_where_the_greenest_ground_is_hardly_greener(contrast: float) -> None:
    near = np.where(np.arange(100) < 30, 0.2, 0.2 * (1 + contrast) / (1 - contrast))
    mean = np.stack([np.full(100, 0.2), near]).reshape(2, 10, 10).astype(np.float32)
    found = leaf_to_soil(Baseline(mean=mean, cover=np.zeros((10, 10), np.int8)), (Band.B04, Band.B08))
    expected = (0.2 - near[-1]) * min(contrast / screening.GREEN_CONTRAST, 1)
    np.testing.assert_allclose(found, [0, expected], rtol=1e-4, atol=1e-8)


def test_the_baseline_is_the_median_of_clear_looks_and_holes_get_that_of_their_band() -> None:
    looks = [unchanged(index) for index in range(5)]
    hole, part = (slice(0, 3), slice(0, 3)), (slice(20, 22), slice(20, 22))
    looks = [clouded(each, hole) for each in looks]
    looks[0] = clouded(looks[0], part)
    found = build_baseline(looks)
    np.testing.assert_allclose(
        found.mean[:, 40, 40], np.median([each.reflectance[:, 40, 40] for each in looks], axis=0)
    )
    np.testing.assert_allclose(
        found.mean[:, 20, 20], np.median([each.reflectance[:, 20, 20] for each in looks[1:]], axis=0)
    )
    assert len({tuple(each) for each in found.mean[:, :3, :3].reshape(5, -1).T.tolist()}) == 1
    assert abs(found.mean[0, 0, 0] - np.median(found.mean[0, 5:])) < 0.002
    assert set(np.unique(found.cover)) <= set(range(CLUSTERS)) and found.cover.shape == (SIDE, SIDE)
    bright = replace(looks[0], reflectance=looks[0].reflectance + 1)
    many = build_baseline([*looks[:1] * BASELINE_LOOKS, *[bright] * 99])
    np.testing.assert_allclose(many.mean[:, 40, 40], looks[0].reflectance[:, 40, 40])


def test_a_residual_is_what_a_look_does_apart_from_ground_like_it_and_its_noise() -> None:
    looks = [unchanged(index) for index in range(6)]
    baseline, plot = build_baseline(looks), (slice(40, 52), slice(40, 52))
    changed = looks[2].reflectance.copy()
    changed[(slice(None), *plot)] += 0.05
    one, other = residual_of(looks[2], baseline), residual_of(replace(looks[2], reflectance=changed), baseline)
    values = [reflectance_of(each.pooled[0][None])[0][0] for each in (one, other)]
    np.testing.assert_allclose((values[1] - values[0])[:, 46, 46], 0.05, atol=0.002)
    assert np.abs((values[1] - values[0])[:, 5:30, 5:30]).max() < 0.002
    assert 0.8 * 0.004 < one.noise.min() <= one.noise.max() < 1.3 * 0.004
    assert one.pooled[1].shape == (len(BANDS), 36, 36) and one.pooled[0].dtype == np.int16


def test_a_flash_is_shortened_and_keeps_its_direction() -> None:
    looks = [unchanged(index) for index in range(6)]
    baseline, plot = build_baseline(looks), (slice(40, 56), slice(40, 56))
    flash = looks[2].reflectance.copy()
    flash[(slice(None), *plot)] += np.array([2.0, 2.0, 2.0, 1.0, 1.0])[:, None, None]
    found = residual_of(replace(looks[2], reflectance=flash), baseline)
    step = reflectance_of(found.pooled[0][None])[0][0][:, 48, 48]
    assert np.sqrt(np.mean((step / found.noise) ** 2)) == pytest.approx(CAP_SIGMAS, rel=0.02)
    np.testing.assert_allclose(step / step[0], [1, 1, 1, 0.5, 0.5], rtol=0.05)


def test_a_look_without_enough_ground_has_no_residual() -> None:
    looks = [unchanged(index) for index in range(6)]
    found = residual_of(clouded(looks[0], (slice(0, SIDE - 4), slice(0, SIDE))), build_baseline(looks))
    assert np.isinf(found.noise).all() and all((plane == MISSING).all() for plane in found.pooled)
    assert [plane.shape for plane in found.pooled] == [(5, 72, 72), (5, 36, 36)]


def test_a_mean_is_over_usable_pixels_where_they_are_enough() -> None:
    known = np.zeros((30, 30), bool)
    known[:, :15] = True
    known[5, 25] = True
    off = np.where(known, 0.02, 0.0)[None].astype(np.float32)
    found = _smooth_plane(off, known, 1.0, 1)
    assert set(np.unique(found[0][:, :15])) == {round(0.02 / QUANTUM)} and (found[0][:, 15:] == MISSING).all()
    assert _smooth_plane(off, known, 1.0, 2).shape == (1, 15, 15)
    huge = np.where(known, 9.0, 0.0)[None].astype(np.float32)
    assert (
        _smooth_plane(huge, known, 1.0, 1).max() == -MISSING - 1
        and _smooth_plane(-huge, known, 1.0, 1)[0, 3, 3] == MISSING + 1
    )
    assert residuals_module.LEAST_SHARE < 0.5


def test_counts_are_reflectance_and_zero_where_missing() -> None:
    counts = np.array([[[100, MISSING], [-40, MISSING]]], np.int16)
    values, clear = reflectance_of(counts)
    np.testing.assert_allclose(values, [[[100 * QUANTUM, 0], [-40 * QUANTUM, 0]]])
    assert clear.tolist() == [[True, False]] and NOISE_FLOOR > QUANTUM


def test_windows_are_widened_within_the_grid_and_parts_placed_in_them() -> None:
    window = (slice(2, 5), slice(6, 8))
    wide = widen_window(window, 3, (6, 20))
    assert wide == (slice(0, 6), slice(3, 11))
    part = np.arange(6).reshape(3, 2) + 1
    found = put_in_window(part, window, wide)
    assert found.shape == (6, 8) and found.sum() == part.sum() and found.dtype == part.dtype
    np.testing.assert_array_equal(found[2:5, 3:5], part)
    assert _window_around((1, 9), 3, (6, 11)) == (slice(0, 5), slice(6, 11))
    assert _around_both(window, (slice(4, 9), slice(1, 3))) == (slice(2, 9), slice(1, 8))


def test_a_region_touches_a_side_of_its_window_that_is_no_side_of_the_grid() -> None:
    window, shape = (slice(0, 5), slice(3, 8)), (5, 20)
    for place, expected in (((0, 2), False), ((4, 2), False), ((2, 0), True), ((2, 4), True), ((2, 2), False)):
        where = np.zeros((5, 5), bool)
        where[place] = True
        assert _touches_side(where, window, shape) is expected
        turned = _touches_side(where.T, window[::-1], shape[::-1])
        assert turned is expected
    assert not _touches_side(np.ones((5, 5), bool), (slice(0, 5), slice(0, 5)), (5, 5))


def test_a_mean_series_is_over_clear_pixels_and_unknown_where_less_than_half_are() -> None:
    values = np.zeros((3, 1, 2, 2), np.float32)
    clear = np.ones((3, 2, 2), bool)
    values[0, 0] = [[1, 2], [9, 9]]
    values[1, 0, 0, 0], clear[1, 0, 1] = 4, False
    clear[2] = False
    where = np.array([[True, True], [False, False]])
    found = _mean_series(values, clear, where)
    assert found[:2, 0].tolist() == [1.5, 4.0] and np.isnan(found[2, 0])


def test_two_objects_join_to_all_their_ground_with_the_dates_of_the_first() -> None:
    def made(window: tuple[slice, slice], level: float) -> StepObject:
        shape = tuple(each.stop - each.start for each in window)
        where = np.ones(shape, bool)
        return StepObject(window=window, where=where, core=where, share=np.full(shape, level), found=None, index=0,
                          episode=None, peak=level)  # type: ignore[arg-type]  # fmt: skip

    one, other = made((slice(2, 5), slice(3, 6)), 0.6), made((slice(4, 8), slice(5, 9)), 0.9)
    found = _join_objects(one, other)
    assert found.window == (slice(2, 8), slice(3, 9)) and found.peak == one.peak
    assert found.where.sum() == 9 + 16 - 1 == found.core.sum()
    assert found.share[2, 2] == 0.9 and found.share[0, 0] == 0.6 and found.share[0, 5] == 0
