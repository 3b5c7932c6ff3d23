"""Registration: found to a hundredth, antisymmetric, blind to gain and offset, refused where nothing can be known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.correct import alignment
from pipeline.correct.alignment import Options, estimate_shift
from pipeline.model.errors import ShapeError

SIDE, PAD = 96, 16
ALL = np.ones((SIDE, SIDE), bool)


def ground(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fields = ndimage.zoom(rng.uniform(0, 1, (16, 16)), 8, order=0)
    return ndimage.gaussian_filter(fields + 0.1 * rng.normal(0, 1, fields.shape), 1.0)


def cut(image: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """The middle of the ground, moved so that it is sampled at x + shift; cubic, on the larger image."""
    moved = ndimage.shift(image, shift, order=3, mode="reflect")
    return moved[PAD : PAD + SIDE, PAD : PAD + SIDE]


def clear_share(seed: int, share: float, size: float) -> np.ndarray:
    """(row, col) bool: so much of a chip is clear, in patches of about `size` px."""
    clouds = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, ALL.shape), size)
    return clouds <= np.quantile(clouds, share)


@settings(max_examples=12, deadline=None)
@given(st.floats(-4, 4), st.floats(-4, 4), st.integers(0, 50))
def test_a_shift_is_found_to_two_hundredths(row: float, col: float, seed: int) -> None:
    found = estimate_shift(cut(ground(seed)), cut(ground(seed), (row, col)), ALL)
    assert found.accepted
    # interpolation of the made-up target leaves about a hundredth
    assert np.allclose(found.shift, (row, col), atol=0.02)


@settings(max_examples=12, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 50), st.floats(1e-3, 1e4), st.floats(-50, 50))
def test_gain_and_offset_do_not_matter(row: float, col: float, seed: int, gain: float, level: float) -> None:
    reference, target = cut(ground(seed)), cut(ground(seed), (row, col))
    one, two = estimate_shift(reference, target, ALL), estimate_shift(reference, gain * (target + level), ALL)
    assert np.allclose(one.shift, two.shift, atol=1e-3)
    assert one.sigma_px == pytest.approx(two.sigma_px, rel=0.02, abs=1e-4)


@settings(max_examples=12, deadline=None)
@given(st.floats(-4, 4), st.floats(-4, 4), st.integers(0, 50), st.floats(0, 0.4))
def test_swapping_the_images_turns_the_sign_and_nothing_else(row: float, col: float, seed: int, cloud: float) -> None:
    one, two, clear = cut(ground(seed)), cut(ground(seed), (row, col)), clear_share(seed, 1 - cloud, 8)
    forth, back = estimate_shift(one, two, clear), estimate_shift(two, one, clear)
    assert np.allclose(forth.shift, np.negative(back.shift), atol=1e-3)
    assert forth.accepted is back.accepted
    assert forth.sigma_px == pytest.approx(back.sigma_px, rel=0.02, abs=1e-4)


@settings(max_examples=12, deadline=None)
@given(st.floats(-4, 4), st.floats(-4, 4), st.integers(0, 50))
def test_a_chip_that_is_turned_or_mirrored_is_shifted_along(row: float, col: float, seed: int) -> None:
    one, two, clear = cut(ground(seed)), cut(ground(seed), (row, col)), clear_share(seed, 0.8, 8)
    plain = estimate_shift(one, two, clear)
    turned, mirrored = estimate_shift(one.T, two.T, clear.T), estimate_shift(one[::-1], two[::-1], clear[::-1])
    # tiles begin at the first row and column, so that they do not hold the same pixels
    assert np.allclose(turned.shift, plain.shift[::-1], atol=0.01)
    assert np.allclose(mirrored.shift, (-plain.shift[0], plain.shift[1]), atol=0.01)


@settings(max_examples=8, deadline=None)
@given(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 50))
def test_a_whole_pixel_more_is_found_as_a_whole_pixel_more(rows: int, cols: int, seed: int) -> None:
    image = ground(seed)
    moved = np.roll(ndimage.shift(image, (0.3, -0.4), order=3, mode="wrap"), (rows, cols), axis=(0, 1))
    one = estimate_shift(cut(image), cut(ndimage.shift(image, (0.3, -0.4), order=3, mode="wrap")), ALL)
    two = estimate_shift(cut(image), cut(moved), ALL)
    assert np.allclose(np.subtract(two.shift, one.shift), (rows, cols), atol=0.01)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(("other ground", "cloud", "waves")), st.integers(0, 200), st.floats(0.1, 0.9), st.floats(4, 16))
def test_fewer_usable_pixels_never_turn_a_refusal_into_an_acceptance(
    what: str, seed: int, share: float, size: float
) -> None:
    reference, target = ground(seed), ground(500 + seed)
    if what != "other ground":
        smooth, rng = {"cloud": 6.0, "waves": 1.5}[what], np.random.default_rng(900 + seed)
        target = ndimage.gaussian_filter(rng.normal(0, 1, target.shape), smooth)
    if what == "waves":
        reference = ndimage.gaussian_filter(rng.normal(0, 1, target.shape), smooth)
    assert not estimate_shift(cut(reference), cut(target), ALL).accepted
    assert not estimate_shift(cut(reference), cut(target), clear_share(seed, share, size)).accepted


def test_a_tenth_of_changed_ground_does_not_pull() -> None:
    target = cut(ground(3), (0.5, 0.5)).copy()
    target[10:40, 20:50] = ndimage.gaussian_filter(np.random.default_rng(9).normal(0.5, 0.4, (30, 30)), 1)
    assert np.allclose(estimate_shift(cut(ground(3)), target, ALL).shift, (0.5, 0.5), atol=0.05)


def test_cloud_with_holes_is_left_out() -> None:
    usable = ALL.copy()
    usable[:, 50:] = False
    target = np.where(usable, cut(ground(4), (0.25, 0.75)), np.nan)
    found = estimate_shift(cut(ground(4)), target, usable)
    assert found.accepted and np.allclose(found.shift, (0.25, 0.75), atol=0.05)


@pytest.mark.parametrize("seed", range(8))
def test_unrelated_ground_is_refused(seed: int) -> None:
    found = estimate_shift(cut(ground(seed)), cut(ground(100 + seed)), ALL)
    assert not found.accepted and found.reason


def test_a_fit_that_runs_off_the_chip_is_refused() -> None:
    rng = np.random.default_rng(1332)
    one, two = (ndimage.gaussian_filter(rng.normal(0, 1, (64, 64)), 2.5) for _ in range(2))
    assert not estimate_shift(one, two, np.ones((64, 64), bool), Options(min_peak_sigmas=0.0)).accepted


def test_cloud_that_no_mask_told_of_does_not_pull() -> None:
    target = cut(ground(7), (0.3, -0.6)).copy()
    clouds = ndimage.gaussian_filter(np.random.default_rng(3).normal(0, 1, ALL.shape), 6)
    covered = clouds > np.quantile(clouds, 0.75)
    target[covered] = 1.5 + ndimage.gaussian_filter(np.random.default_rng(4).normal(0, 2.5, ALL.shape), 1.5)[covered]
    found = estimate_shift(cut(ground(7)), target, ALL)
    assert np.allclose(found.shift, (0.3, -0.6), atol=0.05)
    # and it says that it is less sure than of the clear chip
    assert found.sigma_px > 3 * estimate_shift(cut(ground(7)), cut(ground(7), (0.3, -0.6)), ALL).sigma_px


def test_uniform_ground_and_too_few_pixels_are_refused() -> None:
    flat = np.full((SIDE, SIDE), 0.3)
    assert not estimate_shift(flat, flat, ALL).accepted
    few = np.zeros_like(ALL)
    few[:10, :10] = True
    assert "usable pixels" in estimate_shift(cut(ground(5)), cut(ground(5)), few).reason


def test_a_shift_beyond_reach_is_refused() -> None:
    found = estimate_shift(cut(ground(6)), cut(ground(6), (6.0, 0.0)), ALL, Options(max_shift_px=2.0))
    assert not found.accepted


def test_arrays_that_do_not_fit_are_our_mistake() -> None:
    with pytest.raises(ShapeError):
        estimate_shift(np.zeros((5, 5)), np.zeros((5, 6)), np.ones((5, 5), bool))


def test_chips_that_are_less_alike_are_less_sure_than_their_scatter(monkeypatch: pytest.MonkeyPatch) -> None:
    clear, unlike = cut(ground(7), (0.3, -0.6)), cut(ground(7) + 1.2 * ground(70), (0.3, -0.6))
    found = [estimate_shift(cut(ground(7)), target, ALL).sigma_px for target in (clear, unlike)]
    monkeypatch.setattr(alignment, "FOREIGN_PULL", 0.0)
    scatter = [estimate_shift(cut(ground(7)), target, ALL).sigma_px for target in (clear, unlike)]
    assert found[0] == scatter[0]
    assert found[1] > 1.2 * scatter[1]
