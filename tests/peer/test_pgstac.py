"""Against a real STAC API, pgstac behind stac-fastapi, with assets behind byte ranges."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.affinity import translate
from shapely.geometry import mapping

from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.scenes import FoundScenes, search_scenes
from pipeline.model.bands import Band
from pipeline.model.errors import CatalogueError
from pipeline.model.settings import Settings
from pipeline.study.catalogue_writer import write_catalogue, write_item
from tests.catalogue.test_static import END, site
from tests.peer import range_server, stac_server
from tests.world import GRID10

COUNT = 137
LACKING = stac_server.missing()
"""Asked once, before the environment is emptied for each test."""


def made_items(folder: Path, root: str) -> list[dict[str, Any]]:
    """137 items of one collection over the site, 20 beside it; all share the pixels of one file."""
    found = []
    red = np.random.default_rng(1).integers(200, 900, tuple(GRID10.shape)).astype(np.uint16)
    first = datetime(2023, 1, 1, 2, tzinfo=UTC)
    path = write_item(folder, "origin", first, {"red": (red, GRID10)}, {})
    write_catalogue(folder, "archive", "Archive", "Made for a test.", [path])
    raw = json.loads(path.read_text())
    raw["links"] = []
    for number in range(COUNT + 20):
        time = first + timedelta(days=5 * number if number < COUNT else number)
        one = json.loads(json.dumps(raw))
        one |= {"id": f"item-{number:03d}", "collection": "made-up"}
        one["properties"]["datetime"] = time.isoformat().replace("+00:00", "Z")
        one["assets"]["red"]["href"] = f"{root}/ok/origin/red.tif"
        if number >= COUNT:
            outline = translate(GRID10.extent.to_crs("EPSG:4326").geom, 3)
            one |= {"geometry": mapping(outline), "bbox": list(outline.bounds)}
        found.append(one)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, range_server.Ranges]]:
    if LACKING is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the STAC server cannot be started: this machine lacks {LACKING}")
        pytest.skip(f"this machine lacks {LACKING}")
    folder = tmp_path_factory.mktemp("pixels")
    with range_server.serve(folder) as files:
        items = made_items(folder, files.url)
        with stac_server.serve(items, {"context": "on"}) as url:
            lines = folder / "items.ndjson"
            for item in items:
                item["assets"]["red"]["href"] = "origin/red.tif"
            lines.write_text("\n".join(json.dumps(item) for item in items))
            yield url, lines, files


def search(source: str, start: datetime | None = None, until: datetime = END) -> FoundScenes:
    return search_scenes(site(), source, "made-up", start, until, Settings())


def test_the_served_items_are_those_of_the_file_and_so_are_their_pixels(
    world: tuple[str, Path, range_server.Ranges], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, lines, files = world
    monkeypatch.setattr("pipeline.catalogue.stac.PAGE", 10)
    served, local = search(url), search(str(lines))
    assert len(served.scenes) == COUNT and served.errors == () and served.rejections == ()
    assert [(each.id, each.time) for each in served.scenes] == [(each.id, each.time) for each in local.scenes]
    (theirs,) = read_chips(served.scenes[0], site().grid, (Band.B04,))
    (ours,) = read_chips(local.scenes[0], site().grid, (Band.B04,))
    np.testing.assert_array_equal(theirs.dn[Band.B04].data, ours.dn[Band.B04].data)
    assert theirs.dn[Band.B04].grid == ours.dn[Band.B04].grid
    assert files.requests("/ok/origin/red.tif") <= 3


def test_the_period_is_kept_on_both_sides(world: tuple[str, Path, range_server.Ranges]) -> None:
    url, lines, _ = world
    start, until = datetime(2023, 2, 1, tzinfo=UTC), datetime(2023, 3, 1, tzinfo=UTC)
    served, local = search(url, start, until), search(str(lines), start, until)
    assert [each.id for each in served.scenes] == [each.id for each in local.scenes] != []
    assert all(start <= each.time <= until for each in served.scenes)


def test_a_collection_that_is_not_there_is_told(world: tuple[str, Path, range_server.Ranges]) -> None:
    url, *_ = world
    with pytest.raises(CatalogueError, match=r"no collection 'missing'.*made-up"):
        search_scenes(site(), url, "missing", None, END, Settings())
