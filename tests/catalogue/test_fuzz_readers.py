"""The AOI and settings readers against nonsense: sites and clean errors, settings or a clean error."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from shapely.geometry import box, mapping

from pipeline.catalogue.sites import read_sites
from pipeline.model.errors import SettingsError, SiteError
from pipeline.model.settings import Settings, override_settings, parse_settings, setting_names
from tests.catalogue.test_fuzz_items import NONSENSE, disturb

AOI_CASES, TEXT_CASES, SETTINGS_CASES = 3000, 1000, 6000
FEATURES = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "properties": {"id": "one", "name": "One", "start": "2020-01-01", "false_alarms": 3},
         "geometry": mapping(box(127.65, 39.91, 127.67, 39.93))},
        {"type": "Feature", "properties": {"name": "Zwei", "catalog": "archive/catalog.json"},
         "geometry": {"type": "MultiPolygon", "coordinates": [mapping(box(10, 50, 10.02, 50.02))["coordinates"]]}},
    ],
}  # fmt: skip


def check(path: Path) -> tuple[int, int]:
    """Sites and errors of a file; every error has its three parts, every site a place of its own."""
    try:
        read = read_sites((path,))
    except SiteError as error:
        assert error.what and error.where and error.fix
        return 0, 1
    for error in read.errors:
        assert error.what and error.where and error.fix
    assert len({site.id for site in read.sites}) == len(read.sites)
    assert all(site.aoi.is_valid and site.aoi.area > 0 and "/" not in site.id for site in read.sites)
    return len(read.sites), len(read.errors)


@pytest.mark.parametrize("seed", range(2))
def test_a_disturbed_aoi_file_gives_sites_or_clean_errors(seed: int, tmp_path: Path) -> None:
    rng, path = random.Random(seed), tmp_path / "sites.geojson"
    sites = errors = 0
    for _ in range(AOI_CASES):
        path.write_text(json.dumps(disturb(copy.deepcopy(FEATURES), rng)))
        found = check(path)
        sites, errors = sites + found[0], errors + found[1]
    # one bad feature never takes the other with it, and nonsense is not waved through
    assert sites > AOI_CASES // 2 and errors > AOI_CASES // 5


def test_a_torn_aoi_file_gives_sites_or_clean_errors(tmp_path: Path) -> None:
    rng, path = random.Random(5), tmp_path / "sites.geojson"
    whole = json.dumps(FEATURES).encode()
    for _ in range(TEXT_CASES):
        torn = bytearray(whole[: rng.randint(0, len(whole))])
        for _ in range(rng.randint(0, 4)):
            if torn:
                torn[rng.randrange(len(torn))] = rng.randrange(256)
        path.write_bytes(bytes(torn))
        check(path)


def test_disturbed_settings_give_settings_or_a_clean_error() -> None:
    rng, errors = random.Random(7), 0
    known = setting_names()
    for _ in range(SETTINGS_CASES):
        key = rng.choice([*known, "decide", "decide.", ".x", "seek.catalog", "decide.min_histroy", ""])
        value: Any = rng.choice([*NONSENSE, 3, 0.5, "https://example.org", [".example.org"]])
        try:
            changed = override_settings(Settings(), {key: copy.deepcopy(value)}, "fuzz")
        except SettingsError as error:
            assert error.what and error.where and error.fix
            errors += 1
        else:
            assert isinstance(changed, Settings)
    assert SETTINGS_CASES // 3 < errors < SETTINGS_CASES


def test_torn_settings_text_gives_settings_or_a_clean_error() -> None:
    rng = random.Random(11)
    whole = '[search]\ncatalog = "https://example.org"\n[decide]\nmin_history = 4\nmin_area_m2 = 2.5e2\n'
    for _ in range(SETTINGS_CASES):
        torn = list(whole[: rng.randint(0, len(whole))])
        for _ in range(rng.randint(0, 5)):
            if torn:
                torn[rng.randrange(len(torn))] = rng.choice('=[]"\n\x00é{}#.0e-')
        try:
            assert isinstance(parse_settings("".join(torn)), Settings)
        except SettingsError as error:
            assert error.what and error.where and error.fix
