"""Gradient structure: compared on the finest level with texture, by outline and contrast, never by level."""

import numpy as np
import pytest

from pipeline.correct.structure import LEVELS, MIN_TEXTURE, _gradient, _halve, gradient_pyramid, structure_similarity

SIDE = 64
ALL = np.ones((SIDE, SIDE), bool)
MIDDLE = np.array([32 * SIDE + 32])


def texture(seed: int, spread: float = 0.05) -> np.ndarray:
    return 0.2 + np.random.default_rng(seed).normal(0, spread, (SIDE, SIDE))


def alike(one: np.ndarray, other: np.ndarray, pixels: np.ndarray = MIDDLE) -> np.ndarray:
    return structure_similarity(
        gradient_pyramid(one, np.isfinite(one)), gradient_pyramid(other, np.isfinite(other)), pixels
    )


def test_the_same_texture_is_alike_whatever_its_level_and_its_negative_is_the_contrary() -> None:
    image = texture(1)
    assert alike(image, image)[0] == pytest.approx(1)
    assert alike(image, image + 0.3)[0] == pytest.approx(1, abs=1e-5)
    assert alike(image, 0.4 - image)[0] == pytest.approx(-1, abs=1e-5)
    assert abs(alike(image, texture(2))[0]) < 0.3


@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0])
def test_the_same_outline_of_another_contrast_is_less_alike(factor: float) -> None:
    found = alike(texture(1), factor * texture(1))[0]
    assert found == pytest.approx(2 * factor / (1 + factor**2), rel=1e-4)


def test_plain_ground_is_like_nothing() -> None:
    plain = np.full((SIDE, SIDE), 0.2)
    assert alike(plain, plain)[0] == 0
    faint = texture(1, MIN_TEXTURE / 20)
    assert alike(faint, faint)[0] == 0
    assert alike(plain, texture(1))[0] == 0, "texture in one of them alone is compared, and shared by none"


def test_the_middle_of_a_plain_roof_is_compared_by_its_outline_on_a_coarser_level() -> None:
    roof, other = np.full((SIDE, SIDE), 0.1), np.full((SIDE, SIDE), 0.1)
    roof[16:48, 16:48] = 0.5
    other[20:60, 26:40] = 0.5
    levels = gradient_pyramid(roof, ALL)
    assert levels[0].energy[32, 32] == 0 < levels[-1].energy[4, 4]
    assert alike(roof, roof)[0] == pytest.approx(1, abs=1e-5)
    assert alike(roof, other)[0] < 0.7


def test_every_pixel_is_compared_in_its_own_window() -> None:
    one = texture(1)
    two = one.copy()
    two[:, 32:] = texture(2)[:, 32:]
    pixels = np.array([30 * SIDE + 10, 30 * SIDE + 55, 5 * SIDE + 8])
    found = alike(one, two, pixels)
    assert found[0] == pytest.approx(1, abs=1e-5) == found[2] and abs(found[1]) < 0.35
    np.testing.assert_allclose(alike(one, two, pixels[::-1]), found[::-1], atol=1e-5)
    np.testing.assert_allclose(alike(one.T, two.T, np.array([10 * SIDE + 30])), found[:1], atol=1e-5)


def test_a_gradient_is_the_step_over_two_pixels_and_unknown_beside_gaps_and_edges() -> None:
    row, col = np.indices((6, 7))
    known = np.ones((6, 7), bool)
    known[2, 3] = False
    found = _gradient((2 * row + 3 * col).astype(np.float32), known)
    assert (found[0, 1:-1][known[2:] & known[:-2]] == 4).all() and (
        found[1][:, 1:-1][known[:, 2:] & known[:, :-2]] == 6
    ).all()
    assert found[0, 1, 3] == found[0, 3, 3] == found[1, 2, 2] == found[1, 2, 4] == 0
    assert (found[0, [0, -1]] == 0).all() and (found[1][:, [0, -1]] == 0).all()


def test_a_coarser_level_has_means_of_two_by_two_pixels() -> None:
    image = np.array([[1, 3, 5], [5, 7, 9], [2, 4, 6]], np.float32)
    np.testing.assert_array_equal(_halve(image), [[4, 7], [3, 6]])
    assert [each.energy.shape[0] for each in gradient_pyramid(texture(1), ALL)] == [64, 32, 16, 8][:LEVELS]


def test_unknown_ground_has_no_structure_and_spoils_none_beside_it() -> None:
    image, holed = texture(1), texture(1)
    holed[:20] = np.nan
    levels = gradient_pyramid(holed, np.isfinite(holed))
    assert all(np.isfinite(each.energy).all() and np.isfinite(each.gradient).all() for each in levels)
    assert levels[0].energy[:15].max() == 0
    assert alike(image, holed)[0] == pytest.approx(1, abs=1e-5)
    coarse, whole = levels[1].gradient, gradient_pyramid(image, ALL)[1].gradient
    np.testing.assert_allclose(coarse[:, 12:], whole[:, 12:], atol=1e-6)
