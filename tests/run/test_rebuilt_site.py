"""A site of which most is rebuilt, night by night: what a replay gives, whatever the order in which scenes arrive."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.catalogue.sites import read_sites
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run import looks as correcting
from pipeline.run.process_site import SiteJob, SiteLooks, build_looks, find_scenes
from pipeline.study.catalogue_writer import write_catalogue, write_item
from tests import world

DAYS = 10
REBUILT = (*[0.0] * 11, *[0.5] * 5, 0.75, 0.8, 0.9)
"""Share of the ground that is rebuilt, by scene: the reference registers half of it, and no more."""


def ground(seed: int) -> NDArray[np.float64]:
    """Share of grass per pixel, without the edges of fields that all grounds of `world` have in common."""
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, (world.SIDE, world.SIDE)), 1.5)
    return np.clip(0.5 + 0.2 * texture / texture.std(), 0, 1)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> SiteJob:
    folder = tmp_path_factory.mktemp("rebuilt")
    items = []
    for number, share in enumerate(REBUILT):
        new = np.arange(world.SIDE)[:, None] < share * world.SIDE
        assets = world.scene(np.where(new, ground(8), ground(3)), noise=number)
        time = world.FIRST + timedelta(days=DAYS * number)
        properties = {"constellation": "sentinel-2", "s2:product_type": "S2MSI2A"}
        items.append(write_item(folder, f"place-{time:%Y%m%d}", time, assets, properties))
    catalog = write_catalogue(folder, "place", "A made-up place", "for tests", items)
    file = world.write_sites(folder / "sites.geojson", [world.feature(str(catalog))])
    site = read_sites((file,)).sites[0]
    until = datetime(2030, 1, 1, tzinfo=UTC)
    return SiteJob(site=site, source=str(catalog), collection=None, start=None, until=until, settings=Settings())


def without(job: SiteJob, *numbers: int) -> SiteJob:
    """The job as if these scenes had not arrived yet."""
    found = find_scenes(job)
    return replace(
        job, found=replace(found, scenes=tuple(each for at, each in enumerate(found.scenes) if at not in numbers))
    )


def assert_same(one: SiteLooks, other: SiteLooks) -> None:
    assert one.records == other.records
    for a, b in zip(one.looks, other.looks, strict=True):
        assert a.alignment == b.alignment and np.array_equal(a.why, b.why)
        assert np.array_equal(a.reflectance, b.reflectance, equal_nan=True)


def test_no_look_of_a_rebuilt_site_is_lost_and_every_night_is_what_a_replay_gives(job: SiteJob, tmp_path: Path) -> None:
    # the first of the three that recent looks register arrives after the second, and changes what that is compared with
    for late in ((16, 18), (18,), ()):
        tonight = without(job, *late)
        onwards = build_looks(replace(tonight, memory=tmp_path / "memory"), no_progress)
        assert_same(onwards, build_looks(tonight, no_progress))
        assert len(onwards.looks) == len(REBUILT) - len(late), [record.note for record in onwards.records]


def test_a_night_corrects_its_new_look_alone(job: SiteJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_looks(replace(without(job, 18), memory=tmp_path / "memory"), no_progress)
    scenes, real = list[str](), correcting.make_look

    def make(chips: Any, *rest: Any) -> Any:
        scenes.append(chips[0].scene.id)
        return real(chips, *rest)

    monkeypatch.setattr(correcting, "make_look", make)
    after = build_looks(replace(job, memory=tmp_path / "memory"), no_progress)
    # tried with the reference alone, which is what most looks need, and with recent looks
    assert scenes == [after.looks[-1].scene.id] * 2
    scenes.clear()
    build_looks(replace(job, memory=tmp_path / "memory"), no_progress)
    assert not scenes
