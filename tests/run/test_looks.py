"""The looks of the result cache are those of the plain correction."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.catalogue.sites import read_sites
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run.looks import Reading, correct_chips, correct_readings
from pipeline.run.process_site import SiteJob, find_scenes, read_all, with_scenes
from pipeline.run.result_cache import ResultCache
from tests import world


def test_the_cache_changes_no_look(tmp_path: Path) -> None:
    world.catalogue(tmp_path / "catalogue", dates=7, built_from=4)
    file = world.write_sites(tmp_path / "sites.geojson", [world.feature("catalogue/catalog.json")])
    source, until = str(tmp_path / "catalogue" / "catalog.json"), datetime(2021, 1, 1, tzinfo=UTC)
    job = with_scenes(
        SiteJob(
            site=read_sites((file,)).sites[0],
            source=source,
            collection=None,
            start=None,
            until=until,
            settings=Settings(),
        )
    )
    read, _, _ = read_all(job, find_scenes(job).scenes, no_progress)
    done = list[tuple[int, int]]()
    plain, refused = correct_chips(job.site, read, job.settings, lambda _site, *count: done.append(count[:2]))
    readings = [Reading(chips[0].scene, chips[0].scene.id, lambda chips=chips: chips) for chips in read]
    cached = correct_readings(job.site, readings, job.settings, no_progress, ResultCache(tmp_path / "cache"))
    assert len(plain) >= 5 and done[-1] == (len(done), len(done))
    assert refused == cached.refused
    assert [look.scene.id for look in plain] == [look.scene.id for look in cached.looks]
    for one, other in zip(plain, cached.looks, strict=True):
        assert np.array_equal(one.reflectance, other.reflectance, equal_nan=True)
        assert np.array_equal(one.why, other.why) and np.array_equal(one.noise, other.noise)
        assert one.alignment == other.alignment
