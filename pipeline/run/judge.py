"""One site from its catalogue to its decision: the straight line, stage by stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from odc.geo.geobox import GeoBox

from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.scenes import Found, find, find_named
from pipeline.catalogue.sites import check_reach
from pipeline.model.alert import Decision
from pipeline.model.bands import ALIGNMENT, ANALYSIS, Band
from pipeline.model.errors import DecisionError, GroundbreakError, PixelError
from pipeline.model.imagery import Chip, Look, Reason, Rejection, Scene, SceneRecord
from pipeline.model.settings import Settings
from pipeline.model.site import Site, aoi_mask, covered_grid
from pipeline.run.correcting import LostError, Progress, Reading, correct_chips, correct_readings, levels_mark
from pipeline.run.deciding import decide_onwards
from pipeline.run.memory import Memory
from pipeline.run.store import Store, source_digest
from pipeline.run.threads import one_thread

T = TypeVar("T")


def quiet(site: str, done: int, total: int, what: str) -> None:
    """No progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
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
    found: Found | None = None
    core: GeoBox | None = None
    results: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """The answer: what was decided, the looks it rests on, what became of every scene, and what broke on the way.

    site: with the grid that was used, see `with_scenes`.
    """

    site: Site
    decision: Decision
    looks: tuple[Look, ...]
    records: tuple[SceneRecord, ...]
    faults: tuple[GroundbreakError, ...]


def scenes_of(question: Question) -> Found:
    """Every scene of the site's catalogue, and those named one by one, in time order."""
    if question.found is not None:
        return question.found
    site, settings = question.site, question.settings
    found = find(site, question.source, question.collection, question.start, question.until, settings)
    named = find_named(site, question.extra_scenes, settings)
    new = tuple(scene for scene in named if scene.id not in {known.id for known in found.scenes})
    scenes = tuple(sorted((*found.scenes, *new), key=lambda scene: (scene.time, scene.id)))
    return Found(scenes=scenes, rejections=found.rejections, faults=found.faults)


def with_scenes(question: Question) -> Question:
    """The question with its scenes found, and the grid of its site cut to the ground that they can show.

    The grid follows from the set of scenes alone, so a replay uses the same grid as the nights it replays. It grows
    only when a scene shows more of the site than every scene before it. The cell of a wide site keeps its grid.
    """
    found = scenes_of(question)
    site = question.site
    if question.core is None:
        footprints = (granule.footprint for scene in found.scenes for granule in scene.granules)
        site = replace(site, grid=covered_grid(site, footprints))
    return replace(question, site=site, found=found)


def survey(question: Question, step: Progress) -> tuple[tuple[SceneRecord, ...], tuple[GroundbreakError, ...]]:
    """What becomes of every scene, without deciding anything."""
    question = with_scenes(question)
    found = scenes_of(question)
    read, refused, faults = read_all(question, found.scenes, step)
    looks, more = correct_chips(question.site, read, question.settings, step)
    return _records(question.site, (*found.rejections, *refused, *more), looks), (*found.faults, *faults)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """The looks of a site before any decision. marks, stored: see `Corrected`. memory: the cache that they are in."""

    site: Site
    looks: tuple[Look, ...]
    marks: tuple[str, ...]
    stored: tuple[str, ...]
    records: tuple[SceneRecord, ...]
    faults: tuple[GroundbreakError, ...]
    memory: Memory


def judge(question: Question, step: Progress) -> Judged:
    """Find, read, correct, decide. Raises DecisionError where no look is left to decide on."""

    def decided(built: Built) -> Judged:
        site, memory = built.site, built.memory
        step(site.id, len(built.looks), len(built.looks), "looks decided")
        decision = decide_onwards(site, built.looks, built.marks, question.settings, memory)
        memory.close()
        told = (*built.faults, *_forgot(memory, site))
        return Judged(site=site, decision=decision, looks=built.looks, records=built.records, faults=told)

    return _with_looks(question, step, decided)


def build_looks(question: Question, step: Progress) -> Built:
    """Find, read and correct, from and into the same cache as `judge`. Raises DecisionError where no look is left."""

    def saved(built: Built) -> Built:
        built.memory.save()
        return replace(built, faults=(*built.faults, *_forgot(built.memory, built.site)))

    return _with_looks(question, step, saved)


def _with_looks(question: Question, step: Progress, finish: Callable[[Built], T]) -> T:
    with one_thread():
        question = with_scenes(question)
        found, lost = scenes_of(question), dict[str, PixelError]()
        while True:
            memory = Memory.of(question.memory, question.results + _expected_bytes(question.site, found.scenes))
            try:
                return finish(_build(question, found, lost, memory, step))
            except LostError as late:
                lost[late.scene.id] = late.fault


def _build(question: Question, found: Found, lost: Mapping[str, PixelError], memory: Memory, step: Progress) -> Built:
    """lost: scenes whose pixels were there once, and could not be read again."""
    site, settings = question.site, question.settings
    readings, refused, faults = _readings(question, found.scenes, lost, memory, step)
    corrected = correct_readings(site, readings, settings, step, memory)
    records = _records(site, (*found.rejections, *refused, *corrected.refused), corrected.looks)
    if not corrected.looks:
        raise DecisionError(*_nothing_usable(question, records, found))
    return Built(
        site=site,
        looks=corrected.looks,
        marks=corrected.marks,
        stored=corrected.stored,
        records=records,
        faults=(*found.faults, *faults),
        memory=memory,
    )


def _expected_bytes(site: Site, scenes: Sequence[Scene]) -> int:
    """Of what the memory will hold: float32 reflectance and half as much again, band by band."""
    return len(scenes) * int(np.prod(site.grid.shape)) * len(ANALYSIS) * 6


def _forgot(memory: Memory, site: Site) -> tuple[GroundbreakError, ...]:
    if not memory.fault:
        return ()
    mend = "free some disk space: until then every night works out all that it knew"
    return (GroundbreakError(f"nothing could be remembered: {memory.fault}", site.id, mend),)


def read_all(
    question: Question, scenes: Sequence[Scene], step: Progress
) -> tuple[list[tuple[Chip, ...]], list[Rejection], tuple[PixelError, ...]]:
    """The chips of every scene that has the bands and can be read; the others by name.

    Raises DecisionError where nine in ten scenes share no band that they could be registered by.
    """
    readings, refused, faults = _readings(question, scenes, {}, Memory(None), step)
    return [reading.chips() for reading in readings], refused, faults


def _readings(
    question: Question, scenes: Sequence[Scene], lost: Mapping[str, PixelError], memory: Memory, step: Progress
) -> tuple[list[Reading], list[Rejection], tuple[PixelError, ...]]:
    """Every scene that has the bands and can be read, read already where the memory does not know its levels."""
    bands, site = common_bands(scenes), question.site
    check_reach(site, question.source, question.settings)  # in the process that reads
    if scenes and not set(bands) & set(ALIGNMENT):
        what = f"none of {', '.join(ALIGNMENT)} is a band that nine in ten scenes share"
        raise DecisionError(what, f"{site.id}, {question.source}", "see the asset names in docs/providers.md")
    readings, refused, faults = list[Reading](), list[Rejection](), list[PixelError]()
    for done, scene in enumerate(scenes, 1):
        step(site.id, done, len(scenes), "scenes read")
        missing = [band for band in bands if not all(band in granule.assets for granule in scene.granules)]
        if missing:
            refused.append(_refusal(scene, Reason.MISSING_ASSET, f"no {', '.join(missing)}"))
            continue
        try:
            if scene.id in lost:
                raise lost[scene.id]
            readings.append(_reading(question, scene, bands, memory))
        except PixelError as fault:
            faults.append(fault)
            refused.append(_refusal(scene, Reason.UNREADABLE, str(fault)))
    return readings, refused, tuple(faults)


def _reading(question: Question, scene: Scene, bands: tuple[Band, ...], memory: Memory) -> Reading:
    """Raises PixelError where pixels that nothing is known of cannot be read."""
    grid = question.site.grid
    reading = Reading(scene, source_digest(scene, grid, bands), partial(_chips, question, scene, bands))
    if not memory.knows(levels_mark(reading)):
        reading.chips()
    elif question.chips is not None:
        Store(question.chips).touch(scene, grid, bands)
    return reading


def _chips(question: Question, scene: Scene, bands: tuple[Band, ...]) -> tuple[Chip, ...]:
    """A scene's pixels; those from afar are kept, those of a local archive lie here already."""
    grid = question.site.grid
    if question.chips is None or "://" not in question.source:
        return read_chips(scene, grid, bands)
    return Store(question.chips).chips(scene, grid, bands, lambda: read_chips(scene, grid, bands))


def common_bands(scenes: Sequence[Scene]) -> tuple[Band, ...]:
    """The analysis bands that at least nine in ten scenes have: a site's looks all share one set."""
    have = [set.intersection(*(set(granule.assets) for granule in scene.granules)) for scene in scenes]
    return tuple(band for band in ANALYSIS if have and sum(band in bands for bands in have) >= 0.9 * len(have))


def _refusal(scene: Scene, reason: Reason, note: str) -> Rejection:
    return Rejection(scene=scene.id, time=scene.time, reason=reason, note=note)


def refusal_record(item: Rejection) -> SceneRecord:
    """A refusal as a row of `scenes`."""
    return SceneRecord(
        scene=item.scene,
        time=item.time,
        used=False,
        reason=item.reason.value,
        value=item.value,
        limit=item.limit,
        note=item.note,
    )


def _records(site: Site, refused: Sequence[Rejection], looks: Sequence[Look]) -> tuple[SceneRecord, ...]:
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
            offset_note=look.scene.granules[0].offset_claim.reason,
            footprint=look.scene.granules[0].footprint,
        )
        for look in looks
    ]
    return tuple(sorted(rows, key=lambda row: (row.time, row.scene)))


def _nothing_usable(question: Question, records: Sequence[SceneRecord], found: Found) -> tuple[str, str, str]:
    where = f"{question.site.id}, {question.source}"
    if not records:
        first = "the beginning" if question.start is None else f"{question.start:%Y-%m-%d}"
        what = f"no scene found between {first} and {question.until:%Y-%m-%d}"
        return (
            what,
            where,
            str(found.faults[0]) if found.faults else "widen --start and --end, or name another --catalog",
        )
    reasons = [record.reason for record in records]
    common = max(sorted(set(reasons)), key=reasons.count)
    what = f"none of {len(records)} scenes can be used, most often: {common}"
    return what, where, f"see `groundbreak scenes {question.site.id}`, or give a longer period"
