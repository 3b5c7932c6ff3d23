"""A local series of 31 x 56 px, three bands and no SCL: its looks are used, with what is uncertain in their noise."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geom import Geometry

from pipeline.correct import look as look_module
from pipeline.model.imagery import Look, Rejection
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run.detect import detect_sites
from pipeline.run.looks import correct_chips
from pipeline.run.process_site import SiteJob, find_scenes, process_site, read_all, with_scenes
from tests import small_chip
from tests.small_chip import Series

CLEAR = 0.9


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return small_chip.write_series(tmp_path_factory.mktemp("small"))


def job(series: Series) -> SiteJob:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    return SiteJob(site=series.site, source=str(series.site.catalog), collection=None, start=None, until=until,
                    settings=Settings())  # fmt: skip


@pytest.fixture(scope="module")
def corrected(series: Series) -> tuple[tuple[Look, ...], tuple[Rejection, ...]]:
    asked = with_scenes(job(series))
    read, _, _ = read_all(asked, find_scenes(asked).scenes, no_progress)
    return correct_chips(asked.site, read, asked.settings, no_progress)


def used(series: Series, looks: tuple[Look, ...]) -> list[int]:
    return [series.times.index(look.time) for look in looks]


def test_the_grid_is_cut_to_the_pixels_that_there_are(series: Series) -> None:
    assert tuple(series.site.grid.shape) == (256, 256)
    grid = with_scenes(job(series)).site.grid
    assert grid == small_chip.GRID


def test_clear_looks_are_used_and_looks_full_of_cloud_are_not(
    series: Series, corrected: tuple[tuple[Look, ...], tuple[Rejection, ...]]
) -> None:
    kept = np.zeros(len(series.times), bool)
    kept[used(series, corrected[0])] = True
    assert kept[series.clear > CLEAR].mean() >= 0.8
    assert not kept[series.clear < 0.05].any()


def test_the_uncertainty_of_a_shift_is_what_it_is_off_by(
    series: Series, corrected: tuple[tuple[Look, ...], tuple[Rejection, ...]]
) -> None:
    looks = corrected[0]
    off = np.array([look.alignment.shift for look in looks]) - series.shifts[used(series, looks)]
    off -= np.median(off, axis=0)
    sigmas = np.array([look.alignment.sigma_px for look in looks])
    assert np.sqrt((off**2).mean()) < 0.15
    assert 0.4 < np.sqrt(((off / sigmas[:, None]) ** 2).mean()) < 1.6


def test_the_change_is_plain_in_the_looks(
    series: Series, corrected: tuple[tuple[Look, ...], tuple[Rejection, ...]]
) -> None:
    begun = series.times[series.built_from]
    planes = {late: [np.where(look.usable, look.reflectance[2], np.nan) for look in corrected[0]
                     if (look.time >= begun) == late] for late in (False, True)}  # fmt: skip
    step = np.nanmedian(planes[True], axis=0) - np.nanmedian(planes[False], axis=0)
    inside = np.zeros(step.shape, bool)
    inside[small_chip.CHANGED] = True
    assert np.nanmedian(step[inside]) < np.nanmedian(step[~inside]) - 0.02


def test_a_later_scene_of_the_same_ground_leaves_the_grid_alone_and_a_larger_one_extends_it(series: Series) -> None:
    asked = job(series)
    early = with_scenes(replace(asked, until=series.times[4] + timedelta(hours=1)))
    assert early.site.grid == with_scenes(asked).site.grid
    found = find_scenes(asked)
    granule = found.scenes[-1].granules[0]
    wider = replace(granule, footprint=granule.footprint.buffer(0.003))
    last = replace(found.scenes[-1], granules=(wider,))
    grid = with_scenes(replace(asked, found=replace(found, scenes=(*found.scenes[:-1], last)))).site.grid
    assert grid.shape[0] > small_chip.SHAPE[0] and grid.shape[0] < 256
    assert grid.affine.c % 10 == 0 and grid.extent.contains(small_chip.GRID.extent)


def test_the_grid_holds_the_aoi_where_the_source_shows_a_part_of_it(series: Series) -> None:
    asked = job(series)
    beyond = Geometry(series.site.aoi.buffer(0.002), "EPSG:4326")
    grid = with_scenes(replace(asked, site=replace(series.site, aoi=beyond.geom))).site.grid
    assert grid.extent.geom.buffer(1).covers(beyond.to_crs(str(grid.crs)).geom)


def test_what_is_decided_lies_on_the_cut_grid(series: Series, tmp_path: Path) -> None:
    judged = process_site(replace(job(series), memory=tmp_path), no_progress)
    assert judged.site.grid == small_chip.GRID
    assert judged.decision.evidence.grid == small_chip.GRID
    again = process_site(replace(job(series), memory=tmp_path), no_progress)
    assert again.decision.alerts == judged.decision.alerts and again.records == judged.records


def test_the_noise_of_a_look_holds_what_its_shift_leaves_uncertain(
    series: Series, corrected: tuple[tuple[Look, ...], tuple[Rejection, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_module, "edge_noise", lambda reference, _: np.zeros(len(reference), np.float32))
    asked = with_scenes(job(series))
    read, _, _ = read_all(asked, find_scenes(asked).scenes, no_progress)
    plain, _ = correct_chips(asked.site, read, asked.settings, no_progress)
    slope = np.nanmean([np.hypot(*np.gradient(look.reflectance[2])) for look in plain if look.usable.all()])
    added = [np.sqrt(one.noise[2] ** 2 - two.noise[2] ** 2) for one, two in zip(corrected[0], plain, strict=True)]
    expected = [slope * look.alignment.sigma_px for look in plain]
    assert np.allclose(added, expected, rtol=0.4)


def test_what_is_published_lies_on_the_cut_grid(series: Series, tmp_path: Path) -> None:
    (outcome,) = detect_sites([job(series)], tmp_path, 1, no_progress)
    assert outcome.error is None and outcome.site.grid == small_chip.GRID
    with rasterio.open(tmp_path / "small" / "score.tif") as score:
        assert score.shape == small_chip.SHAPE and tuple(score.transform) == tuple(small_chip.GRID.affine)
