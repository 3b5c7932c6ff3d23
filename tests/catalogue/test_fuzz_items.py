"""The item reader against nonsense: whatever a catalogue holds, a clean error or a Product comes out."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.catalogue.hrefs import AllowList
from pipeline.catalogue.items import parse_item
from pipeline.catalogue.product import Product
from pipeline.catalogue.providers import known_hosts
from pipeline.model.errors import CatalogueError

DATA = Path(__file__).parents[1] / "data"
GOLDEN = [json.loads(path.read_text()) for path in sorted(DATA.glob("*/*.json"))]
CASES = 4000
NONSENSE: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 10**40, "", " ", "x", "\x00", "é" * 50,
    "9" * 5000,
    "../..", "file:///etc/passwd", "http://[::1", "https://", "s3://", "//host/x", "http://0x7f000001/", "/vsimem/x",
    "2024-13-45T99:99:99Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "EPSG:32652", "EPSG:-1",
    "S2B_MSIL2A",
    "S2Z_MSIL2A_99999999T999999_N9999_R999_T99ZZZ_99999999T999999", "GS2B_20241399T996099_036537_N05.10",
    [], [[]], {}, {"": None}, [None], [{}], [[[]]], {"type": "Polygon"},
    {"type": "Polygon", "coordinates": [[[0, 0]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]}, {"type": "GeometryCollection",
    "geometries": []}, {"type": "Polygon", "coordinates": [[["a", "b"], [1, 1], [0, 1], ["a", "b"]]]},
    {"type": "MultiPolygon", "coordinates": [[[[float("nan"), 0], [1, 1], [0, 1], [0, 0]]]]},
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, part in value.items():
            found += places(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            found += places(part, (*path, index))
    return found


def disturb(raw: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """One to three places replaced, removed or doubled."""
    raw = copy.deepcopy(raw)
    for _ in range(rng.randint(1, 3)):
        everywhere = places(raw)
        if not everywhere:
            break
        *way, last = rng.choice(everywhere)
        holder: Any = raw
        for step in way:
            holder = holder[step]
        kind = rng.random()
        if kind < 0.7:
            holder[last] = copy.deepcopy(rng.choice(NONSENSE))
        elif isinstance(holder, dict) and kind < 0.85:
            del holder[last]
        elif isinstance(holder, dict):
            name = rng.choice(["proj:code", "datetime", "bands", "raster:offset", "gsd", "roles", "x"])
            holder[name] = copy.deepcopy(rng.choice(NONSENSE))
    return raw


@pytest.mark.parametrize("seed", range(4))
def test_a_disturbed_item_gives_a_product_or_a_clean_error(seed: int) -> None:
    rng = random.Random(seed)
    allowed = AllowList(base=str(DATA / "item.json"), folder=DATA, hosts=known_hosts())
    errors = 0
    for _ in range(CASES // 4):
        raw = disturb(rng.choice(GOLDEN), rng)
        try:
            found = parse_item(raw, allowed)
        except CatalogueError as error:
            errors += 1
            assert "\n" not in str(error) and len(str(error)) < 700 and error.where
        else:
            assert isinstance(found, Product) and found.granule.footprint.area > 0
            assert all("://" in href or Path(href).is_relative_to(DATA) for href in found.granule.assets.values())
    assert 0.05 < errors / (CASES // 4) < 0.9
