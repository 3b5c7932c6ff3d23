"""Processing of one site, from its catalogue to its decision."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from odc.geo.geobox import GeoBox

from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.scenes import FoundScenes, read_named_scenes, search_scenes
from pipeline.catalogue.sites import check_reach
from pipeline.model.alert import Decision
from pipeline.model.bands import ALIGNMENT, ANALYSIS, Band
from pipeline.model.errors import DecisionError, GroundbreakError, PixelError
from pipeline.model.grid import aoi_mask, covered_grid
from pipeline.model.imagery import Chip, Look, Reason, Rejection, Scene, SceneRecord
from pipeline.model.progress import Progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run.chip_cache import ChipCache, source_digest
from pipeline.run.incremental import decide_onwards
from pipeline.run.looks import LostError, Reading, correct_chips, correct_readings, quantiles_key
from pipeline.run.result_cache import ResultCache
from pipeline.run.threads import one_thread

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteJob:
    """What is asked about one site: where to look, from when until when, with which settings.

    chips: folder for the chips of remote catalogues; None = read them again.
    memory: folder for what is found out of this site; None = nothing is remembered.
    found: what the catalogue has, where that is known already. core: the part of the site's grid that is asked about,
    of a cell of a wide site; None = all of it. results: bytes that the wide site's own files will take, which what is
    remembered of a cell must leave free.
    """

    site: Site
    source: str
    collection: str | None
    start: datetime | None
    until: datetime
    settings: Settings
    extra_scenes: tuple[str, ...] = ()
    chips: Path | None = None
    memory: Path | None = None
    found: FoundScenes | None = None
    core: GeoBox | None = None
    results: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteResult:
    """The answer: what was decided, the looks it rests on, what became of every scene, and what broke on the way.

    site: with the grid that was used, see `with_scenes`.
    """

    site: Site
    decision: Decision
    looks: tuple[Look, ...]
    records: tuple[SceneRecord, ...]
    errors: tuple[GroundbreakError, ...]


def find_scenes(job: SiteJob) -> FoundScenes:
    """Every scene of the site's catalogue, and those named one by one, in time order."""
    if job.found is not None:
        return job.found
    site, settings = job.site, job.settings
    found = search_scenes(site, job.source, job.collection, job.start, job.until, settings)
    named = read_named_scenes(site, job.extra_scenes, settings)
    new = tuple(scene for scene in named if scene.id not in {known.id for known in found.scenes})
    scenes = tuple(sorted((*found.scenes, *new), key=lambda scene: (scene.time, scene.id)))
    return FoundScenes(scenes=scenes, rejections=found.rejections, errors=found.errors)


def with_scenes(job: SiteJob) -> SiteJob:
    """The job with its scenes found, and the grid of its site cut to the ground that they can show.

    The grid follows from the set of scenes alone, so a replay uses the same grid as the nights it replays. It grows
    only when a scene shows more of the site than every scene before it. The cell of a wide site keeps its grid.
    """
    found = find_scenes(job)
    site = job.site
    if job.core is None:
        footprints = (granule.footprint for scene in found.scenes for granule in scene.granules)
        site = replace(site, grid=covered_grid(site, footprints))
    return replace(job, site=site, found=found)


def survey_scenes(job: SiteJob, step: Progress) -> tuple[tuple[SceneRecord, ...], tuple[GroundbreakError, ...]]:
    """Records of every scene, used or rejected, without a decision."""
    job = with_scenes(job)
    found = find_scenes(job)
    read, refused, errors = read_all(job, found.scenes, step)
    looks, more = correct_chips(job.site, read, job.settings, step)
    return _scene_records(job.site, (*found.rejections, *refused, *more), looks), (*found.errors, *errors)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteLooks:
    """The looks of a site before any decision. keys, stored: see `Corrected`. memory: the cache that they are in."""

    site: Site
    looks: tuple[Look, ...]
    keys: tuple[str, ...]
    stored: tuple[str, ...]
    records: tuple[SceneRecord, ...]
    errors: tuple[GroundbreakError, ...]
    memory: ResultCache


def process_site(job: SiteJob, step: Progress) -> SiteResult:
    """Find, read, correct, decide. Raises DecisionError where no look is left to decide on."""

    def decided(built: SiteLooks) -> SiteResult:
        site, memory = built.site, built.memory
        step(site.id, len(built.looks), len(built.looks), "looks decided")
        decision = decide_onwards(site, built.looks, built.keys, job.settings, memory)
        memory.close()
        errors = (*built.errors, *_cache_errors(memory, site))
        return SiteResult(site=site, decision=decision, looks=built.looks, records=built.records, errors=errors)

    return _with_looks(job, step, decided)


def build_looks(job: SiteJob, step: Progress) -> SiteLooks:
    """Find, read and correct, with the cache of `process_site`. Raises DecisionError where no look is left."""

    def saved(built: SiteLooks) -> SiteLooks:
        built.memory.save()
        return replace(built, errors=(*built.errors, *_cache_errors(built.memory, built.site)))

    return _with_looks(job, step, saved)


def _with_looks(job: SiteJob, step: Progress, finish: Callable[[SiteLooks], T]) -> T:
    with one_thread():
        job = with_scenes(job)
        found, lost = find_scenes(job), dict[str, PixelError]()
        while True:
            memory = ResultCache.of(job.memory, job.results + _expected_bytes(job.site, found.scenes))
            try:
                return finish(_build_looks(job, found, lost, memory, step))
            except LostError as late:
                lost[late.scene.id] = late.error


def _build_looks(
    job: SiteJob, found: FoundScenes, lost: Mapping[str, PixelError], memory: ResultCache, step: Progress
) -> SiteLooks:
    """lost: scenes whose pixels were there once, and could not be read again."""
    site, settings = job.site, job.settings
    readings, refused, errors = _read_scenes(job, found.scenes, lost, memory, step)
    corrected = correct_readings(site, readings, settings, step, memory)
    records = _scene_records(site, (*found.rejections, *refused, *corrected.refused), corrected.looks)
    if not corrected.looks:
        raise DecisionError(*_nothing_usable(job, records, found))
    return SiteLooks(
        site=site,
        looks=corrected.looks,
        keys=corrected.keys,
        stored=corrected.stored,
        records=records,
        errors=(*found.errors, *errors),
        memory=memory,
    )


def _expected_bytes(site: Site, scenes: Sequence[Scene]) -> int:
    """Of what the memory will hold: float32 reflectance and half as much again, band by band."""
    return len(scenes) * int(np.prod(site.grid.shape)) * len(ANALYSIS) * 6


def _cache_errors(memory: ResultCache, site: Site) -> tuple[GroundbreakError, ...]:
    if not memory.error:
        return ()
    fix = "free some disk space: until then every night works out all that it knew"
    return (GroundbreakError(f"nothing could be remembered: {memory.error}", site.id, fix),)


def read_all(
    job: SiteJob, scenes: Sequence[Scene], step: Progress
) -> tuple[list[tuple[Chip, ...]], list[Rejection], tuple[PixelError, ...]]:
    """The chips of every scene that has the bands and can be read; the others by name.

    Raises DecisionError where nine in ten scenes share no band that they could be registered by.
    """
    readings, refused, errors = _read_scenes(job, scenes, {}, ResultCache(None), step)
    return [reading.chips() for reading in readings], refused, errors


def _read_scenes(
    job: SiteJob, scenes: Sequence[Scene], lost: Mapping[str, PixelError], memory: ResultCache, step: Progress
) -> tuple[list[Reading], list[Rejection], tuple[PixelError, ...]]:
    """Every scene that has the bands and can be read, read already where the memory does not know its levels."""
    bands, site = common_bands(scenes), job.site
    check_reach(site, job.source, job.settings)  # in the process that reads
    if scenes and not set(bands) & set(ALIGNMENT):
        what = f"none of {', '.join(ALIGNMENT)} is a band that nine in ten scenes share"
        raise DecisionError(what, f"{site.id}, {job.source}", "see the asset names in docs/providers.md")
    readings, refused, errors = list[Reading](), list[Rejection](), list[PixelError]()
    for done, scene in enumerate(scenes, 1):
        step(site.id, done, len(scenes), "scenes read")
        missing = [band for band in bands if not all(band in granule.assets for granule in scene.granules)]
        if missing:
            refused.append(_reject_scene(scene, Reason.MISSING_ASSET, f"no {', '.join(missing)}"))
            continue
        try:
            if scene.id in lost:
                raise lost[scene.id]
            readings.append(_read_scene(job, scene, bands, memory))
        except PixelError as error:
            errors.append(error)
            refused.append(_reject_scene(scene, Reason.UNREADABLE, str(error)))
    return readings, refused, tuple(errors)


def _read_scene(job: SiteJob, scene: Scene, bands: tuple[Band, ...], memory: ResultCache) -> Reading:
    """Raises PixelError where pixels that nothing is known of cannot be read."""
    grid = job.site.grid
    reading = Reading(scene, source_digest(scene, grid, bands), partial(_read_chips, job, scene, bands))
    if not memory.has_fact(quantiles_key(reading)):
        reading.chips()
    elif job.chips is not None:
        ChipCache(job.chips).touch(scene, grid, bands)
    return reading


def _read_chips(job: SiteJob, scene: Scene, bands: tuple[Band, ...]) -> tuple[Chip, ...]:
    """A scene's pixels; those from afar are kept, those of a local archive lie here already."""
    grid = job.site.grid
    if job.chips is None or "://" not in job.source:
        return read_chips(scene, grid, bands)
    return ChipCache(job.chips).chips(scene, grid, bands, lambda: read_chips(scene, grid, bands))


def common_bands(scenes: Sequence[Scene]) -> tuple[Band, ...]:
    """The analysis bands that at least nine in ten scenes have: a site's looks all share one set."""
    have = [set.intersection(*(set(granule.assets) for granule in scene.granules)) for scene in scenes]
    return tuple(band for band in ANALYSIS if have and sum(band in bands for bands in have) >= 0.9 * len(have))


def _reject_scene(scene: Scene, reason: Reason, note: str) -> Rejection:
    return Rejection(scene=scene.id, time=scene.time, reason=reason, note=note)


def refusal_record(item: Rejection) -> SceneRecord:
    """A rejection as a row of `scenes`."""
    return SceneRecord(
        scene=item.scene,
        time=item.time,
        used=False,
        reason=item.reason.value,
        value=item.value,
        limit=item.limit,
        note=item.note,
    )


def _scene_records(site: Site, refused: Sequence[Rejection], looks: Sequence[Look]) -> tuple[SceneRecord, ...]:
    inside = aoi_mask(site)
    rows = [refusal_record(item) for item in refused]
    rows += [
        SceneRecord(
            scene=look.scene.id,
            time=look.time,
            used=True,
            shift=look.alignment.shift,
            reliability=look.alignment.reliability,
            clear_share=float(look.usable[inside].mean()),
            boa_offset_dn=look.boa_offset_dn,
            offset_note=look.scene.granules[0].declared_offset.reason,
            footprint=look.scene.granules[0].footprint,
        )
        for look in looks
    ]
    return tuple(sorted(rows, key=lambda row: (row.time, row.scene)))


def _nothing_usable(job: SiteJob, records: Sequence[SceneRecord], found: FoundScenes) -> tuple[str, str, str]:
    where = f"{job.site.id}, {job.source}"
    if not records:
        first = "the beginning" if job.start is None else f"{job.start:%Y-%m-%d}"
        what = f"no scene found between {first} and {job.until:%Y-%m-%d}"
        return (
            what,
            where,
            str(found.errors[0]) if found.errors else "widen --start and --end, or name another --catalog",
        )
    reasons = [record.reason for record in records]
    common = max(sorted(set(reasons)), key=reasons.count)
    what = f"none of {len(records)} scenes can be used, most often: {common}"
    return what, where, f"see `groundbreak scenes {job.site.id}`, or give a longer period"
