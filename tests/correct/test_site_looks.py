"""A whole site without a cache: looks in time order, refusals with their reason, persistent objects unmasked."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from pipeline.correct.site_looks import bands_of, make_looks
from pipeline.model.bands import Band
from pipeline.model.imagery import DeclaredOffset, Reason
from pipeline.model.settings import Settings
from tests.correct.scenery import CLOUD, GRID, ROOF, SIZE, chip, ground, painted, patch

SETTINGS = Settings()
ROOF_AT = patch(44, 44, 8, 8)
CORE = ndimage.binary_erosion(ROOF_AT)
SCL = np.where(ROOF_AT, 9, 5).astype(np.uint8)
CLEAR = painted(ground(), ROOF, ROOF_AT)


def test_scenes_come_back_in_time_order_and_the_others_with_their_reason() -> None:
    undecided = DeclaredOffset(dn=None, reason="the metadata do not say")
    one, *_ = chip(np.maximum(CLEAR, 0.2), 6)
    silent = (replace(one, granule=replace(one.granule, declared_offset=undecided)),)
    scenes = [
        chip(CLEAR, 12, SCL),
        chip(np.full_like(CLEAR, np.nan), 2),
        chip(CLEAR, 0, SCL),
        chip(painted(CLEAR, CLOUD, patch(0, 0, SIZE, 90)), 16),
        silent,
        chip(ndimage.shift(CLEAR, (0, 0.3, 0.2), order=3, mode="nearest"), 8, SCL),
    ]
    calls = list[tuple[int, int]]()
    inside = patch(20, 20, 56, 56)
    looks, refused = make_looks(scenes, GRID, inside, SETTINGS, lambda done, total: calls.append((done, total)))
    assert [look.scene.id for look in looks] == ["s0000", "s0008", "s0012"]
    assert {each.scene: each.reason for each in refused} == {
        "s0002": Reason.NODATA, "s0006": Reason.OFFSET, "s0016": Reason.CLOUD,
    }  # fmt: skip
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)], "scenes without an unregistered image are not counted"
    shift = np.subtract(looks[1].alignment.shift, looks[0].alignment.shift)
    assert np.allclose(shift, (0.3, 0.2), atol=0.05)
    assert all(np.allclose(look.reflectance[:, 48, 48], ROOF, atol=0.03) for look in looks)


def test_a_new_roof_that_scl_calls_cloud_is_unmasked_in_its_three_looks() -> None:
    scenes = [*(chip(ground(), day) for day in (0, 4, 8, 12)), *(chip(CLEAR, day, SCL) for day in (16, 20, 24))]
    looks, refused = make_looks(scenes, GRID, patch(20, 20, 56, 56), SETTINGS)
    assert len(looks) == 7 and not refused
    assert all(look.usable[CORE].all() for look in looks)
    assert not all(look.usable[CORE].all() for look in make_looks(scenes[:6], GRID, patch(20, 20, 56, 56), SETTINGS)[0])


def test_the_aoi_decides_whether_a_look_is_clear_enough() -> None:
    cloudy = painted(ground(), CLOUD, patch(0, 0, 40, SIZE))
    scenes = [*(chip(ground(), day) for day in (0, 4)), chip(cloudy, 8)]
    below, above = patch(60, 10, 30, 80), patch(0, 10, 30, 80)
    assert [look.scene.id for look in make_looks(scenes, GRID, below, SETTINGS)[0]] == ["s0000", "s0004", "s0008"]
    looks, refused = make_looks(scenes, GRID, above, SETTINGS)
    assert [look.scene.id for look in looks] == ["s0000", "s0004"] and refused[0].reason is Reason.CLOUD


def test_without_a_usable_scene_there_is_no_look() -> None:
    assert make_looks([], GRID, patch(0, 0, 9, 9), SETTINGS) == ((), ())
    looks, refused = make_looks([chip(np.full_like(CLEAR, np.nan), 2)], GRID, patch(0, 0, 9, 9), SETTINGS)
    assert looks == () and [each.reason for each in refused] == [Reason.NODATA]


def test_bands_are_those_that_every_granule_has_in_the_order_of_the_analysis() -> None:
    (one,) = chip(ground(), 0)
    red_last = replace(one, dn={band: one.dn[band] for band in (Band.B11, Band.B08, Band.B02, Band.B04)})
    assert bands_of((one, red_last)) == (Band.B02, Band.B04, Band.B08, Band.B11)
    assert bands_of((one,)) == (Band.B02, Band.B03, Band.B04, Band.B08, Band.B11)
