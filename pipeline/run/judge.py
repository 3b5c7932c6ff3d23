"""One site from its catalogue to its decision: the straight line, stage by stage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.scenes import Found, find, find_one
from pipeline.correct.look import make_draft, make_look
from pipeline.correct.offset import settle
from pipeline.correct.reference import Draft, build
from pipeline.correct.release import release
from pipeline.decide.alerts import decide_site
from pipeline.model.alert import Decision
from pipeline.model.bands import ANALYSIS, Band
from pipeline.model.errors import DecisionError, GroundbreakError, PixelError
from pipeline.model.imagery import Chip, Look, Reason, Rejection, Scene, SceneRecord
from pipeline.model.settings import Settings
from pipeline.model.site import Site, aoi_mask
from pipeline.run.store import Store

Progress = Callable[[str, int, int, str], None]


def quiet(site: str, done: int, total: int, what: str) -> None:
    """Progress where nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about one site: where to look, from when until when, with which settings.

    chips: folder in which the chips of a distant catalogue are kept; None = read them anew.
    """

    site: Site
    source: str
    collection: str | None
    start: datetime | None
    until: datetime
    settings: Settings
    extra_scenes: tuple[str, ...] = ()
    chips: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """The answer: what was decided, the looks it rests on, what became of every scene, and what broke on the way."""

    site: Site
    decision: Decision
    looks: tuple[Look, ...]
    records: tuple[SceneRecord, ...]
    faults: tuple[GroundbreakError, ...]


def scenes_of(question: Question) -> Found:
    """Every scene of the site's catalogue, and those named one by one, in time order."""
    site, settings = question.site, question.settings
    found = find(site, question.source, question.collection, question.start, question.until, settings)
    named = tuple(find_one(site, reference, settings) for reference in question.extra_scenes)
    new = tuple(scene for scene in named if scene.id not in {known.id for known in found.scenes})
    scenes = tuple(sorted((*found.scenes, *new), key=lambda scene: (scene.time, scene.id)))
    return Found(scenes=scenes, rejections=found.rejections, faults=found.faults)


def survey(question: Question, step: Progress) -> tuple[tuple[SceneRecord, ...], tuple[GroundbreakError, ...]]:
    """What becomes of every scene, without deciding anything."""
    found = scenes_of(question)
    looks, refused, faults = correct_all(question, found.scenes, step)
    return _records(question.site, (*found.rejections, *refused), looks), (*found.faults, *faults)


def judge(question: Question, step: Progress) -> Judged:
    """Find, read, correct, decide. Raises DecisionError where no look is left to decide on.

    One thread for linear algebra: sums split over threads differ in their last bits, and a replay must not.
    """
    with threadpool_limits(1):
        return _judge(question, step)


def _judge(question: Question, step: Progress) -> Judged:
    found = scenes_of(question)
    looks, refused, faults = correct_all(question, found.scenes, step)
    records = _records(question.site, (*found.rejections, *refused), looks)
    if not looks:
        raise DecisionError(*_nothing_usable(question, records, found))
    step(question.site.id, len(looks), len(looks), "looks decided")
    decision = decide_site(question.site, looks, question.settings)
    return Judged(site=question.site, decision=decision, looks=looks, records=records, faults=(*found.faults, *faults))


def correct_all(
    question: Question, scenes: Sequence[Scene], step: Progress
) -> tuple[tuple[Look, ...], tuple[Rejection, ...], tuple[PixelError, ...]]:
    """Looks of all scenes that can be trusted, the refusals of the others, and what could not be read."""
    read, refused, faults = read_all(question, scenes, step)
    looks, more = correct_chips(question.site, read, question.settings, step)
    return looks, (*refused, *more), faults


def correct_chips(
    site: Site, read: Sequence[tuple[Chip, ...]], settings: Settings, step: Progress
) -> tuple[tuple[Look, ...], tuple[Rejection, ...]]:
    """Looks of all chips that can be trusted, and the refusals of the others. read: the chips of each scene."""
    drafts, usable, refused, looks = list[Draft](), list[tuple[Chip, ...]](), list[Rejection](), list[Look]()
    for chips in settle(read):
        draft = make_draft(chips, site.grid, bands_of(chips), settings)
        if isinstance(draft, Rejection):
            refused.append(draft)
        else:
            drafts.append(draft)
            usable.append(chips)
    if not drafts:
        return (), tuple(refused)
    reference = build(drafts, settings)
    inside = aoi_mask(site)
    for done, (chips, draft) in enumerate(zip(usable, drafts, strict=True), 1):
        step(site.id, done, len(usable), "looks corrected")
        look = make_look(chips, reference, settings, inside, draft)
        (refused if isinstance(look, Rejection) else looks).append(look)  # type: ignore[arg-type]
    return release(looks, settings), tuple(refused)


def bands_of(chips: Sequence[Chip]) -> tuple[Band, ...]:
    """The bands of a scene's chips, in the order of the analysis."""
    return tuple(band for band in ANALYSIS if all(band in chip.dn for chip in chips))


def read_all(
    question: Question, scenes: Sequence[Scene], step: Progress
) -> tuple[list[tuple[Chip, ...]], list[Rejection], tuple[PixelError, ...]]:
    """The chips of every scene that has the bands and can be read; the others by name.

    Raises DecisionError where nine in ten scenes share no band.
    """
    bands = common_bands(scenes)
    if scenes and not bands:
        what = "no band that nine in ten scenes share"
        raise DecisionError(what, f"{question.site.id}, {question.source}", "see the asset names in docs/providers.md")
    read: list[tuple[Chip, ...]] = []
    refused: list[Rejection] = []
    faults: list[PixelError] = []
    for done, scene in enumerate(scenes, 1):
        step(question.site.id, done, len(scenes), "scenes read")
        missing = [band for band in bands if not all(band in granule.assets for granule in scene.granules)]
        if missing:
            refused.append(_refusal(scene, Reason.MISSING_ASSET, f"no {', '.join(missing)}"))
            continue
        try:
            read.append(_chips(question, scene, bands))
        except PixelError as fault:
            faults.append(fault)
            refused.append(_refusal(scene, Reason.UNREADABLE, str(fault)))
    return read, refused, tuple(faults)


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


def _records(site: Site, refused: Sequence[Rejection], looks: Sequence[Look]) -> tuple[SceneRecord, ...]:
    inside = aoi_mask(site)
    rows = [
        SceneRecord(
            scene=item.scene,
            time=item.time,
            used=False,
            reason=item.reason.value,
            value=item.value,
            limit=item.limit,
            note=item.note,
        )
        for item in refused
    ]
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
