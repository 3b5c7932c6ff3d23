import re

import pytest
from shapely.geometry import Point, Polygon

from pipeline.review.locator import HIGH_DEG, WIDE_DEG, locator_map, world_path


def rings(path: str) -> list[Polygon]:
    parts = [part.removesuffix("Z") for part in path.split("M") if part]
    return [Polygon([tuple(map(float, pair.split())) for pair in part.split("L")]) for part in parts]


def covers(path: str, x: float, y: float) -> bool:
    """By the rule evenodd, as it is drawn."""
    return sum(ring.covers(Point(x, y)) for ring in rings(path)) % 2 == 1


def test_a_site_lies_in_the_middle_of_its_map_on_land_among_its_neighbours():
    seen = locator_map(127.65, 39.92)
    assert seen.site == (WIDE_DEG / 2, HIGH_DEG / 2)
    assert {name for _, _, name in seen.names} >= {"North Korea", "South Korea", "China"}
    assert covers(seen.land, WIDE_DEG / 2 - 0.5, HIGH_DEG / 2 - 0.2), "inland, to the north-west"
    assert not covers(seen.land, WIDE_DEG / 2 + 2.0, HIGH_DEG / 2 + 0.5), "the sea to the east"
    xs = [ring.bounds for ring in rings(seen.land)]
    assert min(x for x, *_ in xs) >= -0.01 and max(x for _, _, x, _ in xs) <= WIDE_DEG + 0.01
    assert seen.borders


@pytest.mark.parametrize("lon", [179.9, -179.9])
def test_a_map_goes_on_beyond_the_180th_meridian(lon):
    # Vanua Levu and Taveuni in Fiji, Chukotka
    assert locator_map(lon, -16.8).land
    chukotka = locator_map(lon, 67.5)
    assert covers(chukotka.land, WIDE_DEG / 2 - 1, HIGH_DEG / 2) and covers(
        chukotka.land, WIDE_DEG / 2 + 1, HIGH_DEG / 2
    )


@pytest.mark.parametrize(("lon", "lat"), [(0.0, 90.0), (-30.0, 0.0), (0.0, -90.0)])
def test_the_poles_and_the_open_sea_are_maps_too(lon, lat):
    assert locator_map(lon, lat).size == (WIDE_DEG, HIGH_DEG)


def test_the_world_is_small_and_has_no_seam():
    path = world_path()
    assert len(path) < 40_000 and not re.search(r"nan|e[+-]", path)
    for x, y, land in (
        (25, -63, True),
        (-100, -40, True),
        (135, 25, True),
        (-30, -30, False),
        (-8, -73, False),
        (-160, -74, False),
    ):
        assert covers(path, x, y) == land, (x, y)
    assert min(ring.bounds[0] for ring in rings(path)) >= -180
