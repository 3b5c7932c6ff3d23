"""The reference: clean, aligned, and the same whatever the order it was given."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from pipeline.correct import reference
from pipeline.correct.alignment import estimate_shift
from pipeline.correct.look import make_unregistered
from pipeline.correct.offset import Offset
from pipeline.correct.reference import UnregisteredImage, align, make_reference, select_reference_images
from pipeline.model.imagery import Alignment, Why
from pipeline.model.settings import Settings
from tests.correct.scenery import BANDS, CLOUD, GRID, ROOF, SIZE, chip, ground, painted, patch

SETTINGS = Settings()


def draft(values: np.ndarray, day: int, scl: np.ndarray | None = None) -> UnregisteredImage:
    found = make_unregistered(chip(values, day, scl), GRID, BANDS, SETTINGS)
    assert isinstance(found, UnregisteredImage), found
    return found


def test_clouds_of_single_looks_leave_no_trace_and_order_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    drafts = [draft(painted(ground(), CLOUD, patch(*rng.integers(0, 70, 2), 25, 25), 2.0), day) for day in range(9)]
    one, two = make_reference(drafts, SETTINGS), make_reference(drafts[::-1], SETTINGS)
    assert np.array_equal(one.reflectance, two.reflectance, equal_nan=True)
    assert one.scenes == two.scenes
    inner = (slice(None), slice(4, -4), slice(4, -4))
    assert np.nanquantile(np.abs(one.reflectance - ground())[inner], 0.999) < 0.01


def test_looks_that_wander_are_brought_together_in_their_middle() -> None:
    rng = np.random.default_rng(8)
    shifts = rng.uniform(-0.6, 0.6, (8, 2))
    moved = [ndimage.shift(ground(), (0, *shift), order=5, mode="nearest") for shift in shifts]
    drafts = [draft(values, day) for day, values in enumerate(moved)]
    middle = ndimage.shift(ground(), (0, *np.median(shifts, axis=0)), order=5, mode="nearest")
    inner = (slice(None), slice(8, -8), slice(8, -8))
    # 0.0075 without registration, 0.0099 with a resampling that blurs
    assert np.nanquantile(np.abs(make_reference(drafts, SETTINGS).reflectance - middle)[inner], 0.9) < 0.0055


def test_one_draft_is_its_own_reference_and_a_roof_always_called_cloud_leaves_no_hole() -> None:
    roof = patch(40, 40, 8, 8)
    scl = np.where(roof, 9, 5).astype(np.uint8)
    for count in (1, 3):
        found = make_reference([draft(painted(ground(), ROOF, roof), day, scl) for day in range(count)], SETTINGS)
        assert found.reflectance.shape == (len(BANDS), SIZE, SIZE)
        assert np.isfinite(found.reflectance[:, 20:70, 20:70]).all() or count == 1
    assert np.abs(found.reflectance[:, 43:45, 43:45] - ROOF[:, None, None]).max() < 0.03


@pytest.mark.parametrize(("rows", "cols", "cloud"), [(520, 500, 200), (280, 270, 100)])
def test_strips_tell_the_shift_of_a_large_chip_and_cloud_over_one_of_them_makes_all_be_read(
    rows: int, cols: int, cloud: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    image = ndimage.gaussian_filter(rng.normal(0.2, 0.3, (rows, cols)), 1.5)
    stack = np.stack([np.roll(image, 7 * band, axis=1) for band in range(len(BANDS))]).astype(np.float32)
    true = (0.31, -0.22)
    moved = np.stack([ndimage.shift(plane, true, order=5, mode="nearest") for plane in stack])
    moved += rng.normal(0, 0.002, moved.shape)
    heights = list[int]()

    def read(one: np.ndarray, *rest: Any) -> Alignment:
        heights.append(len(one))
        return estimate_shift(one, *rest)

    monkeypatch.setattr(reference, "estimate_shift", read)
    for clouded in (0, cloud):
        why = np.zeros((rows, cols), np.uint8)
        why[:clouded] = np.uint8(Why.CLOUD)
        look = UnregisteredImage(
            scene=chip(ground(), 0)[0].scene,
            grid=GRID,
            bands=BANDS,
            reflectance=moved.astype(np.float32),
            why=why,
            offsets=(Offset(dn=0, reason="made up"),),
        )
        heights.clear()
        found = align(stack, look, SETTINGS)
        assert found.accepted
        assert np.abs(np.array(found.shift) - true).max() < 0.01
        assert max(heights[:4]) <= rows / 2
        assert heights[4:] == ([rows] * 4 if clouded else [])


def test_a_look_full_of_cloud_is_no_founder_and_leaves_no_trace() -> None:
    bands, rng = BANDS[:3], np.random.default_rng(2)
    clouds = [CLOUD[:3, None, None] + ndimage.gaussian_filter(rng.normal(0, 1, (3, SIZE, SIZE)), (0, 9, 9)) * 0.05
              for _ in range(3)]  # fmt: skip
    drafts = []
    for day in range(9):
        values = ground() if day % 3 else np.concatenate([clouds[day // 3], ground()[3:]])
        found = make_unregistered(chip(values, day), GRID, bands, SETTINGS)
        assert isinstance(found, UnregisteredImage)
        # what the masks leave of a cloud depends on them: here they see nothing
        drafts.append(replace(found, why=np.zeros((SIZE, SIZE), np.uint8)))
    built = make_reference(drafts, SETTINGS)
    assert built.scenes == tuple(f"s{day:04d}" for day in range(9) if day % 3)
    assert np.nanmedian(np.abs(built.reflectance - ground()[:3])) < 0.003


def test_bright_ground_is_no_cloud() -> None:
    drafts = [draft(ground() + 0.3, day) for day in range(4)]
    assert len(make_reference([replace(each, why=np.zeros_like(each.why)) for each in drafts], SETTINGS).scenes) == 4


def test_a_reference_is_made_of_the_first_looks_until_there_is_a_quarter_more_of_them() -> None:
    scene = chip(ground(), 0)[0].scene
    scenes = [replace(scene, id=f"s{day:02d}", time=scene.time + timedelta(days=day)) for day in range(20)]
    drafts = [(each, 0.9 + 0.005 * number, 0.05) for number, each in enumerate(scenes)]
    for count in (16, 17, 19):
        assert sorted(select_reference_images(drafts[:count])) == list(range(16))
    assert sorted(select_reference_images(drafts)) == list(range(20))


def test_ground_that_no_draft_shows_clear_gets_the_median_of_all_that_measured_it() -> None:
    roof = patch(40, 40, 8, 8)
    drafts = [draft(painted(ground(), ROOF, roof) + 0.004 * day, day) for day in range(5)]
    flagged = [replace(each, why=np.where(roof, np.uint8(Why.CLOUD), each.why)) for each in drafts]
    one, two = make_reference(drafts, SETTINGS), make_reference(flagged, SETTINGS)
    inner = (slice(None), slice(42, 46), slice(42, 46))
    assert np.abs(one.reflectance - two.reflectance)[inner].max() < 0.004
    assert np.isfinite(two.reflectance[inner]).all()
