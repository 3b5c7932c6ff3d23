import random
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry import box

from pipeline.correct.offset import Offset, dark_floor, resolve_jointly, resolve_offset, to_reflectance
from pipeline.model.bands import Band
from pipeline.model.imagery import Chip, DeclaredOffset, Granule, Level, Raster, Reason, Rejection, Scene

BANDS = (Band.B02, Band.B03, Band.B04, Band.B8A, Band.B11)
FOREST = {Band.B02: 0.02, Band.B03: 0.035, Band.B04: 0.02, Band.B8A: 0.25, Band.B11: 0.10}
DESERT = {Band.B02: 0.14, Band.B03: 0.19, Band.B04: 0.26, Band.B8A: 0.33, Band.B11: 0.42}
CERTAIN_0, CERTAIN_1000 = (
    DeclaredOffset(dn=0, reason="baseline 02.14"),
    DeclaredOffset(dn=1000, reason="in the product"),
)
FLAG_TRUE = DeclaredOffset(dn=0, reason="flag true", certain=False)
UNKNOWN = DeclaredOffset(dn=None, reason="flag missing")


def ground(kind: dict[Band, float], seed: int = 0) -> dict[Band, NDArray[np.uint16]]:
    """A 40 x 40 chip: the material's level, 12 % of texture."""
    rng = np.random.default_rng(seed)
    return {band: np.round(10000 * level * np.exp(rng.normal(0, 0.12, (40, 40)))).astype(np.uint16)
            for band, level in kind.items()}  # fmt: skip


def chip(dn: dict[Band, NDArray[np.uint16]], claim: DeclaredOffset, name: str = "scene") -> Chip:
    granule = Granule(id=name, tile=None, baseline=None, generated=None, declared_offset=claim, assets={}, scl=None,
                      crs=None, footprint=box(0, 0, 1, 1))  # fmt: skip
    scene = Scene(id=name, time=datetime(2024, 3, 5, tzinfo=UTC), level=Level.L2A, platform=None, relative_orbit=None,
                  collection="", granules=(granule,))  # fmt: skip
    grid = GeoBox.from_bbox((0, 0, 400, 400), "EPSG:32652", resolution=10)
    return Chip(scene=scene, granule=granule, dn={b: Raster(grid=grid, data=a.copy()) for b, a in dn.items()}, scl=None)


def plus(dn: dict[Band, NDArray[np.uint16]], extra: int = 1000) -> dict[Band, NDArray[np.uint16]]:
    return {band: (data + extra).astype(np.uint16) for band, data in dn.items()}


def decided(one: Chip) -> Offset | Rejection:
    return resolve_offset(one.granule.declared_offset, dark_floor(one), scene=one.scene)


@pytest.mark.parametrize(
    ("claim", "is_in", "wanted"),
    [
        (CERTAIN_0, False, 0), (FLAG_TRUE, False, 0), (UNKNOWN, False, 0), (CERTAIN_1000, True, 1000),
        (CERTAIN_1000, False, None), (FLAG_TRUE, True, None), (UNKNOWN, True, None),
    ],
)  # fmt: skip
def test_over_dark_ground_the_pixels_confirm_the_claim_or_refuse_it(
    claim: DeclaredOffset, is_in: bool, wanted: int | None
) -> None:
    forest = ground(FOREST)
    found = decided(chip(plus(forest) if is_in else forest, claim))
    if wanted is None:
        assert isinstance(found, Rejection) and found.reason is Reason.OFFSET
        assert found.value is not None and found.limit == 800
    else:
        assert isinstance(found, Offset) and found.dn == wanted


@pytest.mark.parametrize(
    ("claim", "wanted"), [(CERTAIN_0, 0), (FLAG_TRUE, None), (UNKNOWN, None), (CERTAIN_1000, 1000)]
)
def test_over_a_desert_only_metadata_that_never_lied_are_believed(claim: DeclaredOffset, wanted: int | None) -> None:
    found = decided(chip(ground(DESERT), claim))
    assert (found.dn if isinstance(found, Offset) else None) == wanted


def test_the_history_decides_where_one_look_cannot() -> None:
    one = chip(ground(DESERT), FLAG_TRUE)
    floor = dark_floor(one)
    same = {band: value / 10000 for band, value in floor.items()}
    lower = {band: value / 10000 - 0.1 for band, value in floor.items()}
    assert resolve_offset(FLAG_TRUE, floor, same, scene=one.scene) == Offset(
        dn=0, reason="flag true; agrees with the site's history"
    )
    refused = resolve_offset(FLAG_TRUE, floor, lower, scene=one.scene)
    assert isinstance(refused, Rejection) and refused.value == pytest.approx(0.1)
    lifted = resolve_offset(UNKNOWN, floor, lower, scene=one.scene)
    assert isinstance(lifted, Offset) and lifted.dn == 1000


def test_haze_is_not_taken_for_the_offset() -> None:
    floor = {Band.B02: 2400.0, Band.B03: 2900.0, Band.B04: 3600.0, Band.B11: 4300.0}
    clear = {Band.B02: 0.14, Band.B03: 0.19, Band.B04: 0.26, Band.B11: 0.42}
    one = chip(ground(DESERT), UNKNOWN)
    assert isinstance(resolve_offset(UNKNOWN, floor, clear, scene=one.scene), Rejection)
    without_swir = {band: 1000 + 10000 * clear[band] for band in (Band.B02, Band.B03, Band.B04)}
    assert isinstance(resolve_offset(UNKNOWN, without_swir, clear, scene=one.scene), Rejection)


def test_wrapped_and_clipped_values_do_not_hide_dark_ground() -> None:
    forest = ground(FOREST)
    wrapped = {band: (data.astype(np.int32) - 250).astype(np.uint16) for band, data in forest.items()}
    clipped = {band: np.maximum(data.astype(np.int32) - 250, 0).astype(np.uint16) for band, data in forest.items()}
    for dn in (wrapped, clipped):
        assert isinstance(decided(chip(dn, CERTAIN_1000)), Rejection)
        found = decided(chip(dn, FLAG_TRUE))
        assert isinstance(found, Offset) and found.dn == 0


def test_reflectance_is_exact_and_puts_wrapped_values_right() -> None:
    dn = np.array([0, 1, 1000, 1001, 11000, 64536, 65534, 65535], np.uint16)
    without = to_reflectance(dn, Offset(dn=0, reason=""))
    expected = [np.nan, 0.0001, 0.1, 0.1001, 1.1, -0.1, -0.0002, np.nan]
    np.testing.assert_allclose(without, expected, atol=1e-6)
    assert without.dtype == np.float32
    taken = to_reflectance(dn, Offset(dn=1000, reason=""))
    np.testing.assert_allclose(taken[:5], [np.nan, -0.0999, 0, 0.0001, 1.0], atol=1e-6)
    assert np.isfinite(taken[1:]).all()


def test_an_empty_chip_is_refused_unless_the_metadata_are_certain() -> None:
    empty = {band: np.zeros((40, 40), np.uint16) for band in BANDS}
    assert dark_floor(chip(empty, UNKNOWN)) == {}
    assert isinstance(decided(chip(empty, UNKNOWN)), Rejection)
    assert decided(chip(empty, CERTAIN_0)) == Offset(dn=0, reason="baseline 02.14")


def series(kind: dict[Band, float], claims: list[tuple[DeclaredOffset, bool]]) -> list[tuple[Chip, ...]]:
    return [
        (chip(plus(ground(kind, n)) if is_in else ground(kind, n), claim, f"{n:02d}"),)
        for n, (claim, is_in) in enumerate(claims)
    ]


def settled(looks: list[tuple[Chip, ...]]) -> list[int | None]:
    found = [decided(one) for (one,) in resolve_jointly(looks)]
    return [each.dn if isinstance(each, Offset) else None for each in found]


def test_a_series_settles_what_single_looks_leave_open() -> None:
    looks = series(DESERT, [(CERTAIN_0, False)] * 3 + [(FLAG_TRUE, False), (FLAG_TRUE, True), (UNKNOWN, True)])
    assert settled(looks) == [0, 0, 0, 0, None, 1000]


def test_dark_looks_settle_bright_ones_and_wrong_flags() -> None:
    looks = series(FOREST, [(FLAG_TRUE, False)] * 4 + [(FLAG_TRUE, True), (UNKNOWN, True), (CERTAIN_1000, False)])
    assert settled(looks) == [0, 0, 0, 0, None, 1000, None]


def test_five_flags_that_agree_are_believed_over_a_desert_and_four_are_not() -> None:
    assert settled(series(DESERT, [(FLAG_TRUE, False)] * 5)) == [0] * 5
    assert settled(series(DESERT, [(FLAG_TRUE, False)] * 4)) == [None] * 4
    assert settled(series(DESERT, [(FLAG_TRUE, False)] * 5 + [(FLAG_TRUE, True)]))[5] is None


def test_certain_metadata_that_contradict_the_pixels_of_a_series_are_refused() -> None:
    looks = series(FOREST, [(FLAG_TRUE, False)] * 4 + [(CERTAIN_0, True)])
    assert settled(looks) == [0, 0, 0, 0, None]


def test_chips_of_one_offset_are_not_touched() -> None:
    looks = series(FOREST, [(CERTAIN_1000, True)] * 6)
    assert resolve_jointly(looks) == tuple(looks)


MIXED = series(DESERT, [(CERTAIN_0, False)] * 3 + [(FLAG_TRUE, False), (FLAG_TRUE, True), (UNKNOWN, True)])
WANTED = {one.scene.id: dn for (one,), dn in zip(MIXED, settled(MIXED), strict=True)}


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_looks_does_not_matter(rng: random.Random) -> None:
    looks = list(MIXED)
    rng.shuffle(looks)
    assert {one.scene.id: dn for (one,), dn in zip(looks, settled(looks), strict=True)} == WANTED


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([FOREST, DESERT]), st.integers(0, 2**32 - 1), st.sampled_from([CERTAIN_0, FLAG_TRUE, UNKNOWN]),
    st.floats(0.3, 1.5),
)  # fmt: skip
def test_a_chip_without_the_offset_is_never_taken_to_have_it(
    kind: dict[Band, float], seed: int, claim: DeclaredOffset, light: float
) -> None:
    dn = {band: (data * light).astype(np.uint16) for band, data in ground(kind, seed).items()}
    found = decided(chip(dn, claim))
    assert isinstance(found, Rejection) or found.dn == 0
