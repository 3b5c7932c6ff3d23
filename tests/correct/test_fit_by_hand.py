"""Parts of the registration by hand: taps, tiles, structure images, whole-pixel starts, and when a fit is believed."""

import math

import numpy as np
import pytest
from scipy import ndimage

from pipeline.correct import joint_alignment, translation
from pipeline.correct.alignment import FOREIGN_PULL, SAME_GROUND, Options, _assess, _cut_overlap, structure_images
from pipeline.correct.alignment import _find_whole_pixel as peak_of
from pipeline.correct.joint_alignment import (
    FEW_FACTOR,
    GAP_PX,
    LEAST_PRIOR_PX,
    NEAR_SIGMAS,
    OUTLYING,
    PATCH_PIXELS,
    SMALL_PIXELS,
    SYSTEMATIC_PX,
    _accept,
    _find_whole_pixel,
    _joint_uncertainty,
    _lay_side_by_side,
    _roll,
    is_small,
    shrink_to_prior,
)
from pipeline.correct.translation import (
    MEDIAN_OF,
    Fit,
    _gaussian_kernel,
    _limit_step,
    _sample,
    _spline_taps,
    _sum_tiles,
    _uncertainty,
    sample_median,
)
from pipeline.model.imagery import Alignment

SIDE = 64
ALL = np.ones((SIDE, SIDE), bool)


def texture(seed: int = 1, sigma: float = 1.5) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE)), sigma).astype(np.float32)


def fitted(
    row: float = 0.0, col: float = 0.0, sigma: float = 0.02, correlation: float = 0.9, patches: float = 30.0
) -> Fit:
    return Fit(np.array([row, col]), sigma, correlation, patches, 3000)


@pytest.mark.parametrize("t", [0.0, 0.25, 0.7])
def test_taps_are_a_cubic_b_spline_and_their_slopes(t: float) -> None:
    value, slope = _spline_taps(t)
    after, before = _spline_taps(t + 1e-3)[0], _spline_taps(t - 1e-3)[0]
    assert value.sum() == pytest.approx(1) and slope.sum() == pytest.approx(0, abs=1e-6)
    assert value @ np.array([-1, 0, 1, 2]) == pytest.approx(t, abs=1e-6), "a ramp stays a ramp"
    np.testing.assert_allclose(slope, (after - before) / 2e-3, atol=1e-3)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.6), (-1.2, 1.1)])
def test_a_sample_is_the_moved_image_with_the_slopes_of_its_rows_and_columns(shift: tuple[float, float]) -> None:
    image = texture(sigma=3)
    spline = ndimage.spline_filter(image.astype(np.float64), order=3, mode="mirror").astype(np.float32)
    inner = (slice(5, -5 + SIDE, 2), slice(4, SIDE - 4))
    found = _sample(spline, np.array(shift), inner)

    def moved(by: tuple[float, float]) -> np.ndarray:
        return ndimage.shift(image.astype(np.float64), (-by[0], -by[1]), order=3, mode="mirror")[inner]

    np.testing.assert_allclose(found[0], moved(shift), atol=1e-5)
    row = (moved((shift[0] + 0.01, shift[1])) - moved((shift[0] - 0.01, shift[1]))) / 0.02
    col = (moved((shift[0], shift[1] + 0.01)) - moved((shift[0], shift[1] - 0.01))) / 0.02
    np.testing.assert_allclose(found[1], row, atol=1e-3)
    np.testing.assert_allclose(found[2], col, atol=1e-3)


def test_tiles_are_sums_and_smaller_at_the_far_edges() -> None:
    image = np.arange(35.0).reshape(5, 7)
    found = _sum_tiles(image, 3)
    assert found.shape == (2, 3)
    assert (
        found[0, 0] == image[:3, :3].sum()
        and found[1, 2] == image[3:, 6:].sum()
        and found[0, 1] == image[:3, 3:6].sum()
    )
    assert found.sum() == image.sum()


def test_the_middle_is_a_median_and_of_many_values_that_of_a_regular_sample() -> None:
    assert sample_median(np.array([[5.0, 1.0], [9.0, 2.0]])) == 3.5
    many = np.random.default_rng(1).normal(0, 1, 40 * MEDIAN_OF)
    assert sample_median(many) == np.median(many[::40]) and abs(sample_median(many)) < 0.05


def test_a_kernel_is_a_gaussian_that_sums_to_one_and_a_step_is_cut_to_what_is_linear() -> None:
    kernel = _gaussian_kernel(2.0)
    assert (
        kernel.size == 11 and kernel.sum() == pytest.approx(1) and kernel[5] / kernel[7] == pytest.approx(math.e**0.5)
    )
    step = np.array([3.0, 4.0, 0.5])
    assert _limit_step(step) == 5 and step == pytest.approx([0.42, 0.56, 0.5])
    small = np.array([0.3, -0.4, 9.0])
    assert _limit_step(small) == pytest.approx(0.5) and small == pytest.approx([0.3, -0.4, 9.0])


def test_the_uncertainty_is_that_of_the_mean_of_patches_and_equal_patches_all_count() -> None:
    side = translation.TILE_PX * translation.CLUSTER_TILES
    signs = np.random.default_rng(2).normal(0, 1, (2, 8, 8))
    pulls = np.zeros((2, 8 * side, 8 * side))
    pulls[:, ::side, ::side] = signs
    weight = np.full((8 * side, 8 * side), 1 / side**2)
    sigma, patches = _uncertainty(pulls, weight, np.diag([64.0, 64.0]))
    assert patches == pytest.approx(64, rel=1e-4)
    scatter = signs.reshape(2, -1) @ signs.reshape(2, -1).T
    assert sigma == pytest.approx(np.sqrt(np.linalg.eigvalsh(scatter)[-1] * 64 / 63) / 64, rel=1e-4)
    weight[: 4 * side] = 0
    assert _uncertainty(pulls, weight, np.eye(2))[1] == pytest.approx(32, rel=1e-4)


def test_a_fit_is_the_shift_both_ways_and_counts_what_took_part() -> None:
    image = 5 * texture()
    moved = ndimage.shift(image, (0.35, -0.2), order=5, mode="mirror").astype(np.float32)
    both = translation.fit_translation(image, moved, ALL)
    assert both is not None
    forth, back = both
    assert forth.shift == pytest.approx((0.35, -0.2), abs=0.01) and back.shift == pytest.approx((-0.35, 0.2), abs=0.01)
    edge = 2 * max(translation.EDGE_PX, translation.CLEARANCE_PX)
    assert forth.pixels == back.pixels == (SIDE - edge) ** 2
    assert forth.correlation > 0.95 and forth.patches > 5 and 0 <= forth.sigma < 0.02
    cloudy = ALL.copy()
    cloudy[20:30, 20:30] = False
    less = translation.fit_translation(np.where(cloudy, image, 0), np.where(cloudy, moved, 0), cloudy)
    assert less is not None and less[0].pixels == forth.pixels - (14 * 14 - 12), "a hole and two pixels around it"


def test_a_pixel_far_off_its_alike_surroundings_has_no_weight() -> None:
    image = 5 * texture()
    field = translation._make_field(image, ALL, 10**6)
    assert field is not None
    compare = translation._LocalCorrelation(field).compare
    weight = []
    for off in (0.0, 0.6, 2.0):  # in local spreads; Tukey's limit is at least 4.685 * sqrt(2 * SPREAD_FLOOR) = 0.47
        moving = field.fixed.copy()
        moving[20, 20] += off * image.std()
        residual, weights, _ = compare(moving)
        weight.append(float(weights[20, 20] / weights[22, 30]))
        assert abs(residual[20, 20]) == pytest.approx(off, rel=0.35, abs=0.02)
    assert weight[0] == pytest.approx(1, abs=0.1) and 0 < weight[1] < 0.6 and weight[2] == 0


def test_no_fit_runs_out_of_reach_or_rests_on_few_pixels() -> None:
    image = texture()
    assert translation.fit_translation(image, np.roll(image, 6, axis=0), ALL) is None
    few = np.zeros_like(ALL)
    few[20:30, 20:30] = True
    assert translation.fit_translation(image, image, few) is None
    assert translation.fit_translation(image[:14], image[:14], ALL[:14]) is None
    assert translation.fit_translation(image, -image, ALL) is None, "a negative is not the same ground"


def test_both_images_are_cut_to_the_ground_they_share() -> None:
    image = np.arange(30.0).reshape(5, 6)
    one, two, clear = _cut_overlap(image, image + 100, np.ones((5, 6), bool), (2, -1))
    np.testing.assert_array_equal(one, image[:3, 1:])
    np.testing.assert_array_equal(two, image[2:, :5] + 100)
    assert clear.shape == (3, 5)
    holed = np.ones((5, 6), bool)
    holed[0, 3], holed[4, 0] = False, False
    assert np.argwhere(~_cut_overlap(image, image, holed, (2, -1))[2]).tolist() == [[0, 2], [2, 0]]


def test_structure_has_no_level_and_one_contrast_and_uniform_ground_has_none() -> None:
    image = texture() * np.linspace(1, 5, SIDE) + 7
    pair = structure_images(image, 3 * image - 2, ALL)
    assert pair is not None
    np.testing.assert_allclose(pair[0], pair[1], atol=1e-3)
    left, right = pair[0][10:-10, 10:25].std(), pair[0][10:-10, -25:-10].std()
    assert 0.7 < left / right < 1.3 and abs(np.median(pair[0])) < 0.2
    clear = ALL.copy()
    clear[:, 40:] = False
    masked = structure_images(np.where(clear, image, 99), image, clear)
    assert masked is not None and (masked[0][:, 40:] == 0).all()
    np.testing.assert_allclose(masked[0], masked[1], atol=1e-3)
    assert structure_images(np.full((SIDE, SIDE), 3.0), image, ALL) is None
    assert structure_images(image, image, ~ALL) is None


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-6, 2)])
def test_the_highest_correlation_lies_at_the_whole_pixel_shift(shift: tuple[int, int]) -> None:
    image = texture()
    pair = structure_images(image, np.roll(image, shift, axis=(0, 1)), ALL)
    assert pair is not None
    found, height = peak_of(*pair, ALL, 8.0)
    assert found == shift and height > 10
    assert peak_of(*pair, ALL, 8.0)[1] > 3 * peak_of(pair[0], texture(9), ALL, 8.0)[1]
    near, _ = peak_of(*pair, ALL, 1.0)
    assert max(map(abs, near)) <= 2, "within reach and a pixel more"


def test_a_fit_is_judged_by_both_ways_together() -> None:
    found = _assess((2, -1), fitted(0.2, 0.1), fitted(-0.2, -0.1), Options())
    assert found.accepted and found.reason == "" and found.shift == pytest.approx((2.2, -0.9))
    assert found.sigma_px == pytest.approx(0.02)
    assert found.reliability == pytest.approx(0.9 * (1 - 0.02 / (2 * Options().max_sigma_px)))
    loop = _assess((0, 0), fitted(0.2, 0.1), fitted(-0.14, -0.02), Options())
    assert loop.sigma_px == pytest.approx(math.hypot(0.02, 0.05)) and loop.shift == pytest.approx((0.17, 0.06))
    worse = _assess((0, 0), fitted(sigma=0.01), fitted(sigma=0.04, correlation=0.5), Options())
    assert worse.sigma_px == pytest.approx(0.04 * (SAME_GROUND / 0.5) ** FOREIGN_PULL)


@pytest.mark.parametrize(
    ("start", "part", "reason"),
    [((9, 0), fitted(), "out of range"), ((0, 0), fitted(correlation=0.2), "correlation 0.20"),
     ((0, 0), fitted(patches=5.0), "5.0 patches"), ((0, 0), fitted(sigma=0.2), "uncertain by 0.200")],
)  # fmt: skip
def test_a_fit_is_refused_with_its_number(start: tuple[int, int], part: Fit, reason: str) -> None:
    for one, two in ((part, fitted()), (fitted(), part)):
        found = _assess(start, one, two, Options())
        assert not found.accepted and reason in found.reason and found.reliability <= 0.49


def test_an_image_is_rolled_without_wrapping() -> None:
    image = np.arange(12.0).reshape(3, 4) + 1
    found = _roll(image, (1, -1))
    np.testing.assert_array_equal(found, [[0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]])
    np.testing.assert_array_equal(_roll(image, (0, 0)), image)
    assert not _roll(image, (3, 0)).any()


def test_bands_lie_side_by_side_with_a_gap_and_uniform_bands_are_left_out() -> None:
    image = np.stack([texture(1), np.full((SIDE, SIDE), 0.3), texture(2)])
    found = _lay_side_by_side(image, image, ALL)
    assert found is not None
    first, second, clear, bands = found
    assert bands == 2 and first.shape == (SIDE, 2 * (SIDE + GAP_PX)) == clear.shape
    assert clear.sum() == 2 * SIDE * SIDE and not clear[:, SIDE : SIDE + GAP_PX].any()
    np.testing.assert_allclose(first, second)
    image[0] = np.nan
    alone = _lay_side_by_side(image, image, ALL)
    assert alone is not None and alone[3] == 1
    assert _lay_side_by_side(image[1:2], image[1:2], ALL) is None


@pytest.mark.parametrize("shift", [(0, 0), (2, -1)])
def test_the_most_significant_shift_is_that_of_the_ground(shift: tuple[int, int]) -> None:
    one, two = texture(1), np.roll(texture(1), shift, axis=(0, 1))
    found, significance = _find_whole_pixel(one, two, ALL, 3, 1)
    assert found == shift
    pixels = (SIDE - abs(shift[0])) * (SIDE - abs(shift[1]))
    assert significance == pytest.approx(math.sqrt(pixels / PATCH_PIXELS), rel=0.03)
    assert _find_whole_pixel(one, two, ALL, 3, 4)[1] == pytest.approx(significance / 2, rel=0.01), "bands count as one"
    assert _find_whole_pixel(one, texture(5), ALL, 2, 1)[1] < NEAR_SIGMAS
    assert _find_whole_pixel(one, two, np.zeros_like(ALL), 2, 1) == ((0, 0), -np.inf)


def test_the_uncertainty_of_a_joint_fit_counts_bands_once_and_few_patches_less() -> None:
    assert _joint_uncertainty(fitted(), fitted(), 1) == pytest.approx(math.hypot(0.02, SYSTEMATIC_PX))
    assert _joint_uncertainty(fitted(), fitted(), 4) == pytest.approx(math.hypot(0.04, SYSTEMATIC_PX))
    few = math.hypot(FEW_FACTOR * 0.02 * math.sqrt(6), SYSTEMATIC_PX)
    assert _joint_uncertainty(fitted(), fitted(), 6) == pytest.approx(few)
    loop = math.hypot(0.02, 0.15)
    assert _joint_uncertainty(fitted(0.4, 0.0), fitted(-0.1, 0.0), 1) == pytest.approx(math.hypot(loop, SYSTEMATIC_PX))
    unlike = 0.02 * (SAME_GROUND / 0.3) ** FOREIGN_PULL
    assert _joint_uncertainty(fitted(correlation=0.3), fitted(), 1) == pytest.approx(math.hypot(unlike, SYSTEMATIC_PX))


def test_a_shift_is_drawn_to_the_stack_by_its_precision_unless_it_is_an_outlier() -> None:
    def of(row: float, sigma: float) -> Alignment:
        return shrink_to_prior(_accept((row, 0.0), sigma), 0.3)

    found = of(0.5, 0.1)
    weight = 0.09 / 0.10
    assert found.shift == pytest.approx((0.5 * weight, 0)) and found.sigma_px == pytest.approx(
        0.3 * math.sqrt(1 - weight)
    )
    limit = OUTLYING * math.sqrt(2 * 0.09 + 2 * 0.01)
    assert of(0.99 * limit, 0.1).shift[0] < 0.95 * limit and of(1.01 * limit, 0.1).shift[0] == 1.01 * limit


def test_the_prior_is_no_narrower_than_six_shifts_that_agree_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = _accept((0.2, 0.0), 0.1)
    monkeypatch.setattr(joint_alignment, "measure_shift", lambda *_: measured)
    found = joint_alignment.estimate_jointly(np.zeros(1), np.zeros(1), ALL, 8.0, 0.001)
    assert found == shrink_to_prior(measured, LEAST_PRIOR_PX)
    assert joint_alignment.estimate_jointly(np.zeros(1), np.zeros(1), ALL, 8.0, None) is measured
    monkeypatch.setattr(joint_alignment, "measure_shift", lambda *_: _accept((0.0, 0.0), np.inf))
    alone = joint_alignment.estimate_jointly(np.zeros(1), np.zeros(1), ALL, 8.0, None)
    assert not alone.accepted and "cannot be measured" in alone.reason


@pytest.mark.parametrize(("sigma", "trust"), [(0.0, 1.0), (0.3, 0.5), (0.6, 0.0), (np.inf, 0.0)])
def test_trust_falls_with_the_uncertainty(sigma: float, trust: float) -> None:
    found = _accept((1.0, 2.0), sigma)
    assert (found.reliability, found.sigma_px, found.accepted) == (pytest.approx(trust), sigma, True)


def test_a_chip_is_small_where_neither_reference_nor_look_shows_enough_ground() -> None:
    reference = np.full((2, 100, 100), np.nan)
    few = np.zeros((100, 100), bool)
    few.flat[: SMALL_PIXELS - 1] = True
    assert is_small(reference, few)
    few.flat[SMALL_PIXELS - 1] = True
    assert not is_small(reference, few)
    reference[:, few] = 0.1
    assert not is_small(reference, ~few)
    reference[1, 0, 0] = np.nan
    assert is_small(reference, ~few)
