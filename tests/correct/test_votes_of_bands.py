"""Registration by several bands: their common shift, strips, the shift scatter, and what makes a reference."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from pipeline.correct.offset import Offset
from pipeline.correct.reference import (
    MAX_EXCESS,
    MAX_IMAGES,
    MAX_SIGMA_PX,
    MIN_SHIFTS,
    PRIOR_PX,
    RAYLEIGH_MEDIAN,
    SYSTEMATIC_PX,
    Reference,
    UnregisteredImage,
    _centre_shifts,
    _cut_strips,
    _median_image,
    _move,
    _shift_scatter,
    _usable_ground,
    combine_bands,
    select_reference_images,
)
from pipeline.model.imagery import Alignment, Why
from tests.correct.scenery import BANDS, GRID, SIZE, chip, ground

SCENE = chip(ground(), 0)[0].scene


def shift(row: float, col: float, sigma: float = 0.1, accepted: bool = True, reliability: float = 0.5) -> Alignment:
    return Alignment(shift=(row, col), accepted=accepted, reliability=reliability, sigma_px=sigma)


def draft(values: np.ndarray, why: np.ndarray | None = None) -> UnregisteredImage:
    flags = np.zeros(values.shape[1:], np.uint8) if why is None else why
    return UnregisteredImage(scene=SCENE, grid=GRID, bands=BANDS, reflectance=values.astype(np.float32), why=flags,
                 offsets=(Offset(dn=0, reason=""),))  # fmt: skip


def test_bands_that_agree_make_a_shift_surer_and_weigh_by_their_certainty() -> None:
    found = combine_bands([shift(1.0, -0.5)] * 4)
    assert found.shift == pytest.approx((1.0, -0.5)) and found.accepted and found.reason == ""
    assert found.sigma_px == pytest.approx(math.hypot(0.1, SYSTEMATIC_PX) / 2)
    assert found.reliability == pytest.approx(1 - found.sigma_px / (2 * MAX_SIGMA_PX))
    weights = [1 / (sigma**2 + SYSTEMATIC_PX**2) for sigma in (0.05, 0.2)]
    two = combine_bands([shift(0.0, 0.0, 0.05), shift(0.3, 0.6, 0.2)])
    share = weights[1] / sum(weights)
    assert two.shift == pytest.approx((0.3 * share, 0.6 * share))


def test_bands_that_scatter_leave_the_shift_as_uncertain_as_they_scatter() -> None:
    bands = [shift(row, col) for row, col in ((0.4, 0.0), (-0.4, 0.0), (0.0, 0.4), (0.0, -0.4))]
    found = combine_bands(bands)
    assert found.shift == pytest.approx((0.0, 0.0)) and found.accepted
    assert found.sigma_px == pytest.approx(0.4 / math.sqrt(2) / math.sqrt(3))
    wide = combine_bands([replace(each, shift=(3 * each.shift[0], 3 * each.shift[1])) for each in bands])
    assert not wide.accepted and "4 bands leave the shift uncertain by 0.49 px" in wide.reason
    assert wide.reliability == pytest.approx(max(0.0, 1 - wide.sigma_px / (2 * MAX_SIGMA_PX)))


def test_one_band_alone_is_as_sure_as_it_says_and_refused_bands_do_not_count() -> None:
    refused = shift(5.0, 5.0, accepted=False, reliability=0.3)
    alone = combine_bands([refused, shift(0.2, 0.1, 0.25)])
    assert alone.shift == pytest.approx((0.2, 0.1)) and alone.sigma_px == pytest.approx(math.hypot(0.25, SYSTEMATIC_PX))
    assert combine_bands([replace(refused, reliability=0.1), refused]) == refused
    assert not combine_bands([shift(0, 0, 2 * MAX_SIGMA_PX)]).accepted


@pytest.mark.parametrize(
    ("shape", "height"), [((520, 500), 130), ((300, 100), 0), ((2000, 1000), 500), ((300, 900), 75)]
)
def test_strips_lie_over_the_whole_chip_or_there_are_none(shape: tuple[int, int], height: int) -> None:
    found = _cut_strips(shape, 4)
    if not height:
        assert found is None
        return
    assert found is not None and len(found) == 4
    assert found[0].start == 0 and found[-1].stop == shape[0]
    assert {each.stop - each.start for each in found} == {height}


def test_a_strip_has_enough_pixels_to_be_measured() -> None:
    found = _cut_strips((100, 500), 4)
    assert found is not None and {each.stop - each.start for each in found} == {40}
    assert _cut_strips((70, 500), 4) is None, "strips of more than half of the chip are no less work"


def test_the_scatter_of_shifts_is_that_of_a_normal_distribution_and_unknown_for_a_few() -> None:
    some = [shift(0.3, 0.4), shift(0.6, 0.8), shift(1.5, 2.0)] * 2 + [shift(9, 9, accepted=False), shift(9, 9, 9.0)]
    assert _shift_scatter(some) == pytest.approx(1.0 / RAYLEIGH_MEDIAN)
    assert MIN_SHIFTS == 6 and _shift_scatter(some[1:]) == math.inf
    many = np.random.default_rng(1).normal(0, 0.4, (4000, 2))
    assert _shift_scatter([shift(*each) for each in many]) == pytest.approx(0.4, rel=0.05)


def test_shifts_are_taken_against_the_middle_of_those_that_were_measured() -> None:
    found = _centre_shifts([shift(1, 4), shift(2, 5), shift(6, 9), shift(50, 50, 9.0), shift(70, 70, accepted=False)])
    assert [each.shift for each in found] == [(-1, -1), (0, 0), (4, 4), (48, 45), (68, 65)]
    lost = [shift(1, 2, accepted=False)]
    assert _centre_shifts(lost) == lost


@pytest.mark.parametrize(
    ("scenes", "scatter", "expected"),
    [(("a",), 0.2, None), (("a", "b"), math.inf, PRIOR_PX), (("a", "b"), 0.2, 0.2)],
)
def test_the_prior_of_a_shift_is_the_scatter_of_a_stack(
    scenes: tuple[str, ...], scatter: float, expected: float | None
) -> None:
    values = ground().astype(np.float32)
    made = Reference(grid=GRID, bands=BANDS, reflectance=values, scenes=scenes, shift_scatter_px=scatter)
    assert made.shift_prior_px == expected


def test_holes_of_the_reference_are_filled_by_the_median_of_their_band_and_nothing_else_is() -> None:
    values = ground().astype(np.float32)
    values[:, :4, :4] = np.nan
    made = Reference(grid=GRID, bands=BANDS, reflectance=values, scenes=("a",))
    found = made.expected()
    np.testing.assert_allclose(found[:, 0, 0], np.nanmedian(values, axis=(1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(found[:, 4:], values[:, 4:])
    assert not found.flags.writeable and made.expected() is found


def drafts(*facts: tuple[float, float], reverse: bool = False) -> list:
    """(scene, clear share, level) of scenes a day apart."""
    made = [(replace(SCENE, id=f"s{day:02d}", time=SCENE.time + timedelta(days=day)), share, level)
            for day, (share, level) in enumerate(facts)]  # fmt: skip
    return made[::-1] if reverse else made


def test_the_clearest_images_make_the_reference_and_far_less_clear_ones_do_not() -> None:
    found = select_reference_images(drafts((0.5, 0.1), (0.9, 0.1), (0.44, 0.1), (0.7, 0.1), (0.45, 0.1)))
    assert found == (1, 3, 0, 4)
    assert len(select_reference_images(drafts(*[(0.9, 0.1)] * 40))) == MAX_IMAGES


def test_images_far_brighter_than_the_darkest_quarter_do_not_make_the_reference() -> None:
    levels = [0.1, 0.1 + 0.9 * MAX_EXCESS, 0.1 + 1.1 * MAX_EXCESS, 0.1, 0.3]
    assert sorted(select_reference_images(drafts(*[(0.9, level) for level in levels]))) == [0, 1, 3]
    empty = [(0.0, 0.0), (0.9, 0.2), (0.9, 0.24)]
    assert select_reference_images(drafts(*empty)) == (1, 2), "an image without usable ground has no level"
    assert select_reference_images(drafts((0.0, 0.0), (0.0, 0.0))) == (0, 1)


def test_a_draft_says_how_much_of_it_is_clear_and_how_bright_that_is() -> None:
    values = np.full((len(BANDS), 4, 4), 0.3)
    values[0] = np.arange(16).reshape(4, 4) / 100
    why = np.zeros((4, 4), np.uint8)
    why[0], why[1, 0] = Why.CLOUD, Why.NODATA
    made = draft(values, why)
    assert made.clear_share == 11 / 16 and made.level == pytest.approx(0.1)
    assert made.measured.sum() == 15
    assert draft(values, np.full((4, 4), Why.CLOUD, np.uint8)).level == 0


def test_buffers_count_as_free_ground_where_they_take_most_of_a_small_chip() -> None:
    values = ground()
    for buffered, expected in ((60, 36 * SIZE), (90, 96 * SIZE)):
        why = np.zeros((SIZE, SIZE), np.uint8)
        why[:buffered] = Why.BUFFER
        assert _usable_ground(draft(values, why)).sum() == expected
    why[:90], why[90:] = Why.CLOUD, Why.NODATA
    assert not _usable_ground(draft(values, why)).any()


def test_a_draft_is_brought_to_the_reference_by_its_shift_and_only_whole_pixels_count() -> None:
    values, why = ground(), np.zeros((SIZE, SIZE), np.uint8)
    why[40:50], why[70:80] = Why.CLOUD, Why.NODATA
    values[:, 70:80] = np.nan
    found = _move(draft(values, why), shift(2.0, -1.0))
    np.testing.assert_allclose(found.planes[:, 10:30, 10:80], values[:, 12:32, 9:79], atol=1e-5)
    assert np.isfinite(found.planes).all()
    assert not found.clear[38:48].any() and found.clear[36, 20:80].all() and found.clear[49, 20:80].all()
    assert not found.measured[68:78].any() and found.measured[38:48, 20:80].all()
    half = _move(draft(values, why), shift(0.5, 0.0))
    assert not half.clear[39, 20:80].any() and half.clear[38, 20:80].all()


def test_the_middle_of_images_counts_what_is_clear_and_falls_back_where_nothing_is() -> None:
    planes = [np.full((1, 3), level, np.float32) for level in (1.0, 2.0, 9.0)]
    clear = [np.array(each) for each in ((True, True, False), (True, False, False), (True, True, False))]
    found = _median_image(list(zip(planes, clear, strict=True)), np.full((1, 3), 7.0))
    np.testing.assert_array_equal(found, [[2, 5, 7]])
    np.testing.assert_array_equal(_median_image([], np.full((1, 3), 7.0)), [[7, 7, 7]])
