import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from pipeline.catalogue.duplicate_products import merge_duplicates
from pipeline.catalogue.product import Product
from pipeline.model.bands import ANALYSIS, Band
from pipeline.model.grid import site_grid
from pipeline.model.imagery import DeclaredOffset, Granule, Level, Reason
from pipeline.model.site import Site

AOI = box(127.60, 39.80, 127.61, 39.81)
SITE = Site(id="here", name="Here", aoi=AOI, grid=site_grid(AOI))
EVERYWHERE = box(127.0, 39.5, 128.2, 40.4)
NORTH, SOUTH = box(127.0, 39.806, 128.2, 40.4), box(127.0, 39.5, 128.2, 39.807)
TIME = datetime(2024, 3, 5, 2, 10, 44, tzinfo=UTC)


def product(
    id: str = "p",
    *,
    datatake: str | None = "S2B_20240305T020641",
    strip: str | None = "20240305T020903",
    tile: str | None = "52SCH",
    baseline: str | None = "05.10",
    generated: datetime | None = TIME,
    footprint: object = EVERYWHERE,
    level: Level = Level.L2A,
    collection: str = "",
    bands: tuple[Band, ...] = ANALYSIS,
    crs: str = "EPSG:32652",
    time: datetime = TIME,
    nodata: float | None = None,
) -> Product:
    granule = Granule(
        id=id, tile=tile, baseline=baseline, generated=generated,
        declared_offset=DeclaredOffset(dn=0, reason="made up"),
        assets={band: f"{id}/{band}.tif" for band in bands}, scl=None, crs=crs, footprint=footprint,  # type: ignore[arg-type]
    )  # fmt: skip
    return Product(
        granule=granule, provider="made-up", time=time, level=level, collection=collection, datatake=datatake,
        strip=strip, platform="sentinel-2b", relative_orbit=103, sun=None, cloud_percent=10.0, nodata_percent=nodata,
    )  # fmt: skip


def used(*products: Product) -> list[list[str]]:
    return [[granule.id for granule in scene.granules] for scene in merge_duplicates(SITE, products).scenes]


def test_a_newer_baseline_replaces_an_older_twin_and_says_so() -> None:
    old = product("old", baseline="02.14", generated=TIME + timedelta(days=900))
    merged = merge_duplicates(SITE, [old, product("new")])
    assert [granule.id for granule in merged.scenes[0].granules] == ["new"]
    (rejection,) = merged.rejections
    assert (rejection.scene, rejection.reason, rejection.note) == ("old", Reason.TWIN, "new is used")


def test_of_one_baseline_the_later_processing_wins_and_then_the_id() -> None:
    assert used(product("a", generated=TIME + timedelta(seconds=1)), product("b")) == [["a"]]
    assert used(product("a"), product("b")) == [["b"]]
    assert used(product("a", generated=None), product("b")) == [["b"]]


def test_two_strips_that_share_a_tile_are_one_scene_of_two_granules() -> None:
    north = product("north", footprint=NORTH, strip="20240305T020632")
    south = product("south", footprint=SOUTH, strip="20240305T021906", time=TIME + timedelta(seconds=7))
    assert used(north, south) == [["south", "north"]]
    assert merge_duplicates(SITE, [north, south]).rejections == ()


def test_two_strips_of_which_one_covers_the_site_are_one_granule() -> None:
    part = product("part", footprint=SOUTH, strip="20240305T020632", generated=TIME - timedelta(days=1))
    merged = merge_duplicates(SITE, [part, product("whole", strip="20240305T021906")])
    assert [granule.id for granule in merged.scenes[0].granules] == ["whole"]
    assert [rejection.scene for rejection in merged.rejections] == ["part"]


def test_a_square_footprint_over_half_a_tile_of_data_replaces_nothing() -> None:
    square = product("square", strip="20240305T021906", nodata=60.0, generated=TIME + timedelta(days=1))
    assert used(square, product("other", strip="20240305T020632")) == [["square", "other"]]


def test_two_tiles_of_one_pass_are_one_scene_with_the_site_zone_first() -> None:
    west, east = box(127.0, 39.5, 127.606, 40.4), box(127.604, 39.5, 128.2, 40.4)
    other_zone = product("a51", tile="51SYC", crs="EPSG:32651", footprint=west, time=TIME + timedelta(seconds=3))
    assert used(other_zone, product("b52", footprint=east)) == [["b52", "a51"]]


def test_two_satellites_on_one_day_are_two_scenes() -> None:
    other = product("c", datatake="S2C_20240305T020641", time=TIME + timedelta(minutes=10))
    assert used(product("b"), other) == [["b"], ["c"]]


def test_a_twin_without_all_its_bands_does_not_win() -> None:
    broken = product("broken", baseline="05.11", bands=(Band.B08,))
    assert used(broken, product("whole")) == [["whole"]]


def test_the_scene_has_one_id_and_time_whichever_provider_filed_it() -> None:
    (by_tile,) = merge_duplicates(SITE, [product("x")]).scenes
    (by_take,) = merge_duplicates(SITE, [product("y", time=datetime(2024, 3, 5, 2, 6, 41, 24000, tzinfo=UTC))]).scenes
    assert by_tile.id == by_take.id == "S2B_20240305T020641"
    assert by_tile.time == by_take.time == datetime(2024, 3, 5, 2, 6, 41, tzinfo=UTC)


def test_l1c_beside_l2a_is_mixed_and_refused() -> None:
    other = (product(f"one{n}", level=Level.L1C, datatake=f"S2A_2024030{n}T020641") for n in range(1, 4))
    merged = merge_duplicates(SITE, [product("two"), *other])
    assert [scene.id for scene in merged.scenes] == ["S2B_20240305T020641"]
    assert {rejection.reason for rejection in merged.rejections} == {Reason.MIXED}


def test_of_two_collections_the_fuller_one_is_the_sites_history() -> None:
    full = [product(f"f{n}", collection="full", datatake=f"S2A_2024030{n}T020641") for n in range(1, 4)]
    merged = merge_duplicates(
        SITE, [*full, product("same acquisition", collection="other", datatake="S2A_20240301T020641")]
    )
    assert len(merged.scenes) == 3
    assert "full" in merged.rejections[0].note


def test_a_footprint_beside_the_aoi_is_outside() -> None:
    merged = merge_duplicates(SITE, [product(footprint=box(10, 10, 11, 11))])
    assert merged.scenes == () and merged.rejections[0].reason is Reason.OUTSIDE


def test_an_item_without_a_datatake_stands_alone_under_its_own_id() -> None:
    merged = merge_duplicates(SITE, [product("one", datatake=None), product("two", datatake=None)])
    assert [scene.id for scene in merged.scenes] == ["one", "two"]


CAST = [
    product("new"), product("old", baseline="02.14"), product("north", footprint=NORTH, datatake="S2A_20240310T020641"),
    product("south", footprint=SOUTH, datatake="S2A_20240310T020641", strip="20240310T021906"),
    product("l1c", level=Level.L1C), product("away", footprint=box(0, 0, 1, 1)), product("lone", datatake=None),
    replace(product("twin"), strip="20240305T021906"), product("twin", generated=TIME + timedelta(seconds=1)),
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.sampled_from(range(len(CAST))), max_size=6))
def test_neither_order_nor_repeats_of_items_change_anything(rng: random.Random, repeats: list[int]) -> None:
    shuffled = [*CAST, *(CAST[index] for index in repeats)]
    rng.shuffle(shuffled)
    assert merge_duplicates(SITE, shuffled) == merge_duplicates(SITE, CAST)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_winner_of_three_twins_does_not_depend_on_their_order(order: tuple[int, ...]) -> None:
    three = [product("a", baseline="05.10"), product("b", baseline="05.11"), product("c", baseline="02.14")]
    assert used(*(three[index] for index in order)) == [["b"]]
