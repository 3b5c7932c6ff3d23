"""Looks of a site that is rebuilt: registered against the latest looks where the reference refuses them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.correct.look import RECENT_CLEAR, make_look, make_unregistered
from pipeline.correct.reference import RECENT_LOOKS, RECENT_SIGMA_PX, Reference, UnregisteredImage, make_reference
from pipeline.correct.site_looks import make_looks
from pipeline.model.imagery import Look, Reason, Rejection, Why
from pipeline.model.settings import Settings
from tests.correct.scenery import BANDS, CLOUD, GRID, SIZE, chip, ground, painted

SETTINGS = Settings()
INSIDE = np.ones((SIZE, SIZE), bool)
OLD, HALF, MOST = 0.0, 0.5, 0.6
"""Share of the ground that is rebuilt: not at all, up to what the reference still registers, and more."""
SHIFT = (0.4, -0.3)


def rebuilt(share: float, shift: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
    """The ground with other ground on its first rows, moved by (row, col) pixels."""
    new = np.arange(SIZE)[:, None] < share * SIZE
    return ndimage.shift(np.where(new, ground(77), ground()), (0, *shift), order=5, mode="nearest")


@cache
def reference() -> Reference:
    images = [make_unregistered(chip(ground(), day), GRID, BANDS, SETTINGS) for day in range(6)]
    return make_reference([each for each in images if isinstance(each, UnregisteredImage)], SETTINGS)


@cache
def half_built() -> tuple[Look, ...]:
    """The latest looks: half of the site is rebuilt, and the reference registers them."""
    found = [make_look(chip(rebuilt(HALF), day), reference(), SETTINGS) for day in range(20, 20 + RECENT_LOOKS)]
    return tuple(each for each in found if isinstance(each, Look))


def registered(values: NDArray[np.float64], recent: Sequence[Look], day: int = 40) -> Look | Rejection:
    return make_look(chip(values, day), reference(), SETTINGS, recent=recent)


def refusal(values: NDArray[np.float64], recent: Sequence[Look]) -> Rejection:
    found = registered(values, recent)
    assert isinstance(found, Rejection) and found.reason is Reason.REGISTRATION, found
    return found


def test_a_look_of_a_site_that_is_rebuilt_is_registered_by_the_looks_before_it() -> None:
    values, recent = rebuilt(MOST, SHIFT), half_built()
    assert "correlation" in refusal(values, ()).note
    assert "correlation" in refusal(values, recent[1:]).note
    found = registered(values, recent)
    assert isinstance(found, Look)
    assert np.allclose(found.alignment.shift, SHIFT, atol=0.03)
    inherited = np.sqrt(np.mean([look.alignment.sigma_px**2 for look in recent]))
    assert inherited < found.alignment.sigma_px < 0.15


def test_a_site_keeps_its_looks_while_all_of_it_is_rebuilt() -> None:
    rng = np.random.default_rng(5)
    shares = [*[OLD] * 10, *np.linspace(0.04, 1, 25), *[1.0] * 5]
    shifts = [tuple(rng.uniform(-0.5, 0.5, 2)) for _ in shares]
    scenes = [chip(rebuilt(*each), 3 * day) for day, each in enumerate(zip(shares, shifts, strict=True))]
    looks, refused = make_looks(scenes, GRID, INSIDE, SETTINGS)
    assert not refused
    errors = np.array([look.alignment.shift for look in looks]) - shifts
    # one common translation is free: where the ground of the reference lies
    errors -= np.median(errors[:10], axis=0)
    sigmas = np.array([look.alignment.sigma_px for look in looks])
    assert sigmas[-1] > 2 * sigmas[:10].max(), "the uncertainty of the looks that it was registered by is in it"
    assert np.abs(errors).max() < 0.1 and (np.abs(errors) < 3 * sigmas[:, None]).all()


def test_the_order_of_the_scenes_does_not_matter() -> None:
    shares = [*[OLD] * 10, *[HALF] * RECENT_LOOKS, MOST, 0.7]
    scenes = [chip(rebuilt(share), 3 * day) for day, share in enumerate(shares)]
    one, two = (make_looks(each, GRID, INSIDE, SETTINGS)[0] for each in (scenes, scenes[::-1]))
    assert len(one) == len(shares)
    assert [look.alignment for look in one] == [look.alignment for look in two]
    assert all(np.array_equal(a.reflectance, b.reflectance, equal_nan=True) for a, b in zip(one, two, strict=True))


@given(row=st.floats(-0.8, 0.8), col=st.floats(-0.8, 0.8), share=st.floats(0, 0.45))
@settings(max_examples=8, deadline=None)
def test_a_look_that_the_reference_registers_is_the_same_with_recent_looks(
    row: float, col: float, share: float
) -> None:
    values = rebuilt(share, (row, col))
    one, two = registered(values, ()), registered(values, half_built())
    assert isinstance(one, Look) and isinstance(two, Look)
    assert one.alignment == two.alignment
    assert np.array_equal(one.reflectance, two.reflectance, equal_nan=True) and np.array_equal(one.why, two.why)


@given(seed=st.integers(100, 10_000), share=st.floats(0, 0.7))
@settings(max_examples=8, deadline=None)
def test_another_place_is_refused_with_recent_looks_and_no_less_under_cloud(seed: int, share: float) -> None:
    clouds = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE)), 8)
    for values in (ground(seed), painted(ground(seed), CLOUD, clouds < np.quantile(clouds, share), 1.0)):
        found = registered(values, half_built())
        assert isinstance(found, Rejection) and found.reason in (Reason.REGISTRATION, Reason.CLOUD)


def test_turned_and_far_shifted_looks_of_the_same_place_are_refused() -> None:
    recent = half_built()
    for turned in (rebuilt(MOST)[:, ::-1], rebuilt(MOST)[:, :, ::-1], np.roll(rebuilt(MOST), (31, 23), axis=(1, 2))):
        assert "with recent looks: correlation" in refusal(turned, recent).note
    far = refusal(rebuilt(MOST, (3.0, 0.0)), recent)
    assert far.value == pytest.approx(3.0, abs=0.1) and far.limit == pytest.approx(1.2)


@pytest.mark.parametrize(("clear", "accepted"), [(RECENT_CLEAR + 0.05, True), (RECENT_CLEAR - 0.05, False)])
def test_a_look_that_is_mostly_cloud_is_not_registered_by_recent_looks(clear: float, accepted: bool) -> None:
    values = chip(rebuilt(0.7), 40)
    image = make_unregistered(values, GRID, BANDS, SETTINGS)
    assert isinstance(image, UnregisteredImage)
    why = image.why.copy()
    why[:, : round((1 - clear) * SIZE)] |= np.uint8(Why.CLOUD)
    clouded = replace(image, why=why)
    assert isinstance(make_look(values, reference(), SETTINGS, known=clouded), Rejection)
    found = make_look(values, reference(), SETTINGS, known=clouded, recent=half_built())
    assert isinstance(found, Look) == accepted
    if isinstance(found, Rejection):
        assert found.reason is Reason.REGISTRATION and "recent" not in found.note


def test_looks_that_are_uncertain_themselves_register_no_other_and_the_note_has_the_number() -> None:
    for factor, accepted in ((0.9, True), (1.1, False)):
        recent = [
            replace(look, alignment=replace(look.alignment, sigma_px=factor * RECENT_SIGMA_PX)) for look in half_built()
        ]
        found = registered(rebuilt(MOST), recent)
        assert isinstance(found, Look) == accepted
        if isinstance(found, Rejection):
            assert "with recent looks: their own shifts are uncertain by 0.17 px, 0.15 allowed" in found.note


def test_cloud_over_two_of_the_recent_looks_leaves_no_trace_in_their_median() -> None:
    recent = half_built()
    clouds = np.random.default_rng(3).uniform(0.4, 0.6, recent[0].reflectance.shape).astype(np.float32)
    clouded = [replace(look, reflectance=clouds) for look in recent[:2]]
    found = registered(rebuilt(MOST, SHIFT), [*clouded, *recent[2:]])
    assert isinstance(found, Look) and np.allclose(found.alignment.shift, SHIFT, atol=0.05)
