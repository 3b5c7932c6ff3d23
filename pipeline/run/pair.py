"""`pair`: comparison of two acquisitions from folders or files."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from pipeline.catalogue.environment import check_proj
from pipeline.catalogue.folders import UNDATED, PairInput, find_pair_input, read_pair_input
from pipeline.catalogue.sites import read_sites
from pipeline.correct.look import make_look, make_unregistered
from pipeline.correct.reference import UnregisteredImage, make_reference
from pipeline.model.alert import Decision
from pipeline.model.bands import ANALYSIS, Band
from pipeline.model.errors import DecisionError, ReviewError, UsageError
from pipeline.model.grid import aoi_mask, covered_grid, site_grid
from pipeline.model.imagery import Alignment, Chip, DeclaredOffset, Look, Reason, Rejection, Scene, SceneRecord
from pipeline.model.progress import Progress, no_progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site, slug
from pipeline.pair.detector import decide_pair
from pipeline.review.existing_results import read_existing
from pipeline.review.folder import Folder
from pipeline.review.publish import Published, publish_site
from pipeline.run.threads import one_thread

MIN_SIDE_PX = 48
"""Smallest common area that can be registered."""
MOST_PICTURES = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairOutcome:
    """Result of `pair`. notes: sentences on the input for the reader."""

    site: Site
    decision: Decision
    published: Published
    records: tuple[SceneRecord, ...]
    notes: tuple[str, ...]
    seconds: float


def compare_pair(
    before: Path, after: Path, aoi: Path | None, out: Path, settings: Settings, step: Progress = no_progress
) -> PairOutcome:
    """Compare two acquisitions and publish what was built between them.

    before, after: a folder of bands, a .SAFE product, or a file of several bands; any CRS, any two grids.
    aoi: polygons to judge inside; None = all the ground both cover. Raises UsageError for what cannot be compared,
    PixelError for damaged files, DecisionError where the two cannot be registered or are not clear.
    """
    with one_thread():
        return _compare_pair(before, after, aoi, out, settings, step)


def _compare_pair(
    before: Path, after: Path, aoi: Path | None, out: Path, settings: Settings, step: Progress
) -> PairOutcome:
    began = time.monotonic()
    check_proj()
    sides = (find_pair_input(before, "BEFORE"), find_pair_input(after, "AFTER"))
    notes = _check_dates(*sides)
    site = _pair_site(sides, aoi, out, settings)
    bands = tuple(band for band in ANALYSIS if all(band in side.files for side in sides))
    step(site.id, 1, 4, "looks read")
    scenes = _pair_scenes(*sides)
    _refuse_others(Folder(out), scenes)
    chips = tuple(read_pair_input(side, scene, site.grid, bands) for side, scene in zip(sides, scenes, strict=True))
    step(site.id, 2, 4, "looks corrected")
    looks = _pair_looks(chips, site, bands, settings)
    step(site.id, 3, 4, "looks compared")
    decision = decide_pair(site.id, *looks, settings, aoi_mask(site))
    decision = dataclasses.replace(decision, cautions=(*decision.cautions, *notes))
    records = tuple(_scene_record(look, site) for look in looks)
    published = publish_site(out, site, decision, looks, records, _few_pictures(settings))
    step(site.id, 4, 4, "files written")
    return PairOutcome(
        site=site,
        decision=published.decision,
        published=published,
        records=records,
        notes=(*notes, *published.notes),
        seconds=time.monotonic() - began,
    )


def _refuse_others(folder: Folder, scenes: tuple[Scene, Scene]) -> None:
    """Raise ReviewError where the results of a watched site, or of two other images, are in the folder."""
    existing = read_existing(folder.gpkg)
    if existing is not None and existing.looks and existing.looks != {scene.id for scene in scenes}:
        what = f"results of other images ({', '.join(sorted(existing.looks)[:2])}, …)"
        raise ReviewError(what, str(folder.path), "give another folder with --out")


def _few_pictures(settings: Settings) -> Settings:
    """Settings with few pictures: two dates have no curve to draw."""
    most = min(settings.review.max_timelines, MOST_PICTURES)
    return settings.model_copy(update={"review": settings.review.model_copy(update={"max_timelines": most})})


def _check_dates(before: PairInput, after: PairInput) -> tuple[str, ...]:
    if before.dated and after.dated:
        if after.scene.time < before.scene.time:
            raise UsageError(
                f"AFTER ({after.scene.time:%Y-%m-%d}) is older than BEFORE ({before.scene.time:%Y-%m-%d})",
                f"{before.path}, {after.path}",
                "swap the two",
            )
        return ()
    return ("no date in the names or tags of the files: 1970-01-01 and 1970-01-02 stand for before and after",)


def _pair_scenes(before: PairInput, after: PairInput) -> tuple[Scene, Scene]:
    """Both scenes with ids that differ, times in order and an offset that is decided."""
    dated = before.dated and after.dated
    times = (before.scene.time, after.scene.time) if dated else (UNDATED, UNDATED + timedelta(days=1))
    if times[1] <= times[0]:
        times = (times[0], times[0] + timedelta(seconds=1))
    same = before.scene.id == after.scene.id
    found = []
    for side, moment, suffix in zip((before, after), times, ("before", "after"), strict=True):
        granule = side.scene.granules[0]
        if granule.declared_offset.dn is None:
            claim = DeclaredOffset(
                dn=0, reason=f"{granule.declared_offset.reason}; taken as 0, the fit to the pair absorbs it"
            )
            granule = dataclasses.replace(granule, declared_offset=claim)
        name = f"{side.scene.id}-{suffix}" if same else side.scene.id
        found.append(dataclasses.replace(side.scene, id=name, time=moment, granules=(granule,)))
    return found[0], found[1]


def _pair_site(sides: tuple[PairInput, PairInput], aoi: Path | None, out: Path, settings: Settings) -> Site:
    """The pair as a site: the ground both cover, or the AOI's part of it with its context, as far as both cover it."""
    common: BaseGeometry = sides[0].footprint.intersection(sides[1].footprint)
    where = f"{sides[0].path}, {sides[1].path}"
    if common.is_empty or common.area == 0:
        raise UsageError("BEFORE and AFTER have no ground in common", where, "give two acquisitions of one place")
    name = out.resolve().name
    if aoi is None:
        site = Site(id=slug(name) or "pair", name=name, aoi=common, grid=site_grid(common, 0))
    else:
        read = read_sites((aoi,), settings)
        if read.errors:
            raise read.errors[0]
        area = unary_union([site.aoi for site in read.sites]).intersection(common)
        if area.is_empty or area.area == 0:
            raise UsageError("the AOI lies outside the ground both cover", str(aoi), "draw it over the two images")
        site = Site(id=slug(name) or "pair", name=name, aoi=area, grid=site_grid(area.convex_hull))
        site = dataclasses.replace(site, grid=covered_grid(site, [common]))
    grid = site.grid
    if min(grid.shape) < MIN_SIDE_PX:
        size = f"{grid.shape[1] * 10:.0f} x {grid.shape[0] * 10:.0f} m"
        raise UsageError(f"only {size} of ground in common", where, f"{MIN_SIDE_PX * 10} m are needed to register")
    return site


def _pair_looks(chips: tuple[Chip, ...], site: Site, bands: tuple[Band, ...], settings: Settings) -> tuple[Look, Look]:
    """The before look as it is, and the after look registered and normalised to it."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda chip: make_unregistered([chip], site.grid, bands, settings), chips)
    if isinstance(first, Rejection):
        raise _refusal_error(first, "BEFORE")
    if isinstance(second, Rejection):
        raise _refusal_error(second, "AFTER")
    look = make_look([chips[1]], make_reference([first], settings), settings, aoi_mask(site), second)
    if isinstance(look, Rejection):
        raise _refusal_error(look, "AFTER")
    return _as_look(first), look


def _as_look(image: UnregisteredImage) -> Look:
    return Look(
        scene=image.scene,
        grid=image.grid,
        bands=image.bands,
        reflectance=np.where(np.isfinite(image.reflectance).all(axis=0), image.reflectance, np.nan),
        why=image.why,
        alignment=Alignment(shift=(0.0, 0.0), accepted=True, reliability=1.0, sigma_px=0.0),
        noise=np.zeros(len(image.bands), np.float32),
        boa_offset_dn=image.offsets[0].dn,
        gain=(1.0,) * len(image.bands),
        offset=(0.0,) * len(image.bands),
    )


_FIXES = {
    Reason.CLOUD: "choose a clearer acquisition",
    Reason.NODATA: "choose an acquisition that covers the place",
    Reason.REGISTRATION: "choose two acquisitions of one season, or a larger place",
    Reason.RADIOMETRY: "choose an acquisition without haze, of the same level",
    Reason.OFFSET: "keep the original name of the product, which states its processing baseline",
}


def _refusal_error(rejection: Rejection, role: str) -> DecisionError:
    numbers = "" if rejection.value is None else f" {rejection.value:.2f}, limit {rejection.limit:.2f}"
    what = f"{role} cannot be used: {rejection.reason}{numbers}" + (f", {rejection.note}" if rejection.note else "")
    return DecisionError(what, rejection.scene, _FIXES.get(rejection.reason, "choose another acquisition"))


def _scene_record(look: Look, site: Site) -> SceneRecord:
    return SceneRecord(
        scene=look.scene.id,
        time=look.time,
        used=True,
        shift=look.alignment.shift,
        reliability=look.alignment.reliability,
        clear_share=float(look.usable[aoi_mask(site)].mean()),
        boa_offset_dn=look.boa_offset_dn,
        offset_note=look.scene.granules[0].declared_offset.reason,
        footprint=look.scene.granules[0].footprint,
    )
