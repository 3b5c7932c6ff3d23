"""Probability of detection at a site, by size and material, from injected buildings."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from shapely import affinity
from shapely.geometry import Point
from shapely.geometry.base import BaseGeometry

from pipeline.decide.alerts import decide_site
from pipeline.evaluation.measures import wilson_interval
from pipeline.model.alert import CLEAR_SHARE, Decision
from pipeline.model.bands import Band
from pipeline.model.errors import DecisionError
from pipeline.model.imagery import Chip, Look, Raster, Why
from pipeline.model.progress import Progress, no_progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run.looks import correct_chips
from pipeline.run.process_site import SiteJob, find_scenes, read_all, with_scenes
from pipeline.study.events import Event, make_building
from pipeline.study.materials import ROOFS
from pipeline.study.shapes import make_footprint, pixel_coverage
from pipeline.study.simulate import draw_event, sun_place

SIZES = ("10x10 m", "20x20 m", "20x40 m", "30x60 m", "60x100 m")
APART_M = 200.0
"""Distance between two injected buildings, so that each is processed independently."""
WITHIN = (3, 5, 10)
LEAST_AFTER = 5
"""Least looks after the start of a building."""
HISTORY_SHARE = 0.4
COVERED = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One injected building. clear: clear looks over it since it began; needed: of those, until it was confirmed,
    None = never.
    """

    size: str
    material: str
    clear: int
    needed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`hits` of `total` trials with enough clear looks were confirmed within a number of them."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """0..1, NaN of nothing."""
        return self.hits / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        return wilson_interval(self.hits, self.total)


def measure_sensitivity(job: SiteJob, rounds: int, seed: int, step: Progress) -> tuple[Trial, ...]:
    """Inject buildings into the scenes of a site, as many rounds as asked for, and decide on each.

    Raises DecisionError where no look is usable, or the series or the AOI is too small for any building.
    """
    job = with_scenes(job)
    site, settings = job.site, job.settings
    read, _, _ = read_all(job, find_scenes(job).scenes, step)
    looks, _ = correct_chips(site, read, settings, step)
    if not looks:
        raise DecisionError("no usable look", site.id, f"see `groundbreak scenes {site.id}`")
    trials: list[Trial] = []
    for number in range(rounds):
        trials.extend(run_round(site, read, looks, settings, np.random.default_rng([seed, number])))
        step(site.id, number + 1, rounds, "rounds of buildings judged")
    return tuple(trials)


def run_round(
    site: Site, read: Sequence[tuple[Chip, ...]], looks: Sequence[Look], settings: Settings, rng: np.random.Generator
) -> tuple[Trial, ...]:
    """Plan buildings, draw them into the chips, correct and decide. looks: of the chips without buildings."""
    events = plan_buildings(site, looks, rng)
    changed, _ = correct_chips(site, draw_events(read, looks, events), settings, no_progress)
    return judge_events(events, changed, decide_site(site, changed, settings))


def plan_buildings(site: Site, looks: Sequence[Look], rng: np.random.Generator) -> tuple[Event, ...]:
    """Buildings of all sizes and materials over the AOI, started at random after the first part of the history.

    Raises DecisionError where the series or the AOI is too short for any.
    """
    times = sorted(look.time for look in looks)
    first, last = int(np.ceil(HISTORY_SHARE * len(times))), len(times) - LEAST_AFTER
    spots = _lattice_centres(site, rng)
    if last <= first or not spots:
        what = f"{len(times)} usable looks" if spots else "no room for a building"
        raise DecisionError(what, site.id, f"give at least {2 * LEAST_AFTER + 3} looks and an AOI of 300 m")
    events = []
    for number, spot in enumerate(spots):
        size = SIZES[(number + int(rng.integers(len(SIZES)))) % len(SIZES)]
        material = list(ROOFS)[int(rng.integers(len(ROOFS)))]
        outline = make_footprint(size, spot, float(rng.uniform(0, 180)))
        start = times[int(rng.integers(first, last + 1))] - timedelta(hours=1)
        events.append(make_building(f"trial-{number}", size, outline, start, material, rng))
    return tuple(events)


def draw_events(
    read: Sequence[tuple[Chip, ...]], looks: Sequence[Look], events: Sequence[Event]
) -> list[tuple[Chip, ...]]:
    """The chips of the site with injected events, as each look would show them.

    Every event is moved by the look's own shift, and its reflectance put through the inverse of the look's own
    normalisation, so that it stands in that look's light and haze; where the look has a cloud, nothing is drawn.
    """
    known = {look.scene.id: look for look in looks}
    return [
        tuple(_draw_events(chip, known[chip.scene.id], events) for chip in chips)
        if chips[0].scene.id in known
        else chips
        for chips in read
    ]


def judge_events(events: Sequence[Event], looks: Sequence[Look], decision: Decision) -> tuple[Trial, ...]:
    """The outcome of every event."""
    return tuple(_make_trial(event, looks, decision) for event in events)


def share_within(trials: Sequence[Trial], count: int) -> Share:
    """Share of the trials confirmed within a number of clear looks, of the trials with at least that many."""
    had = [trial for trial in trials if trial.clear >= count]
    return Share(hits=sum(trial.needed is not None and trial.needed <= count for trial in had), total=len(had))


def summarise_trials(trials: Sequence[Trial], false_alarms: float, count: int = 5) -> str:
    """The probability of detection as one sentence."""
    parts = []
    for size in SIZES:
        share = share_within([trial for trial in trials if trial.size == size], count)
        if share.total:
            low, high = share.interval
            parts.append(f"{size} in {share.value:.0%} ({low:.0%} to {high:.0%})")
    return (
        f"At this site a new building is confirmed within {count} clear looks, at {false_alarms:g} false alarms per"
        f" 100 km² and year: {', '.join(parts)} of {len(trials)} injected cases. What is smaller may be missed."
    )


def _lattice_centres(site: Site, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Centres on a jittered lattice inside the AOI, a footprint's reach from its edge."""
    outline = Geometry(site.aoi, "EPSG:4326").to_crs(str(site.grid.crs)).geom.buffer(-60)
    if outline.is_empty:
        return []
    west, south, east, north = outline.bounds
    dx, dy = rng.uniform(0, APART_M, 2)
    lattice = [(x, y) for x in np.arange(west + dx, east, APART_M) for y in np.arange(south + dy, north, APART_M)]
    inside = [spot for spot in lattice if outline.contains(Point(spot))]
    return inside or [(outline.representative_point().x, outline.representative_point().y)]


def _draw_events(chip: Chip, look: Look, events: Sequence[Event]) -> Chip:
    standing = [event for event in events if event.begins <= look.time and not _is_hidden(event.outline, look)]
    if not standing:
        return chip
    dn = {band: raster.data.astype(np.float64) for band, raster in chip.dn.items()}
    planes = {band: (plane - look.boa_offset_dn) / 10000 for band, plane in dn.items()}
    sun = look.scene.sun or sun_place(look.time, float(chip.granule.footprint.centroid.y))
    for event in standing:
        row, col = look.alignment.shift
        moved = affinity.translate(event.outline, 10 * col, -10 * row)
        for crs in {str(raster.grid.crs) for raster in chip.dn.values()}:
            own = replace(event, outline=Geometry(moved, str(look.grid.crs)).to_crs(crs).geom)
            bands = tuple(band for band, raster in chip.dn.items() if str(raster.grid.crs) == crs)
            _lay_event(planes, bands, chip, _in_its_light(own, look), look.time, sun)
    rasters: dict[Band, Raster] = {}
    for band, raster in chip.dn.items():
        value = np.clip(np.round(planes[band] * 10000 + look.boa_offset_dn), 1, 65535).astype(np.uint16)
        rasters[band] = Raster(grid=raster.grid, data=np.where(raster.data == 0, 0, value).astype(np.uint16))
    return replace(chip, dn=rasters)


def _lay_event(
    planes: Mapping[Band, NDArray[np.float64]], bands: tuple[Band, ...], chip: Chip, event: Event, time: datetime,
    sun: tuple[float, float],
) -> None:  # fmt: skip
    some: dict[Band, NDArray[np.float64]] = {band: planes[band] for band in bands}

    def grid(band: Band) -> GeoBox:
        return chip.dn[band].grid

    draw_event(some, bands, grid, event, time, sun, (0.0, 0.0), np.random.default_rng(zlib.crc32(event.id.encode())))


def _in_its_light(event: Event, look: Look) -> Event:
    """The event's materials as the look measured them before it was normalised."""
    gains = dict(zip(look.bands, look.gain or (1.0,) * len(look.bands), strict=True))
    offsets = dict(zip(look.bands, look.offset or (0.0,) * len(look.bands), strict=True))
    phases = tuple(
        replace(
            phase,
            spectrum={
                band: max((level - offsets.get(band, 0.0)) / gains.get(band, 1.0), 0.002)
                for band, level in phase.spectrum.items()
            },
        )
        for phase in event.phases
    )
    return replace(event, phases=phases)


def _is_hidden(outline: BaseGeometry, look: Look) -> bool:
    """Whether cloud or nodata covers most of an outline in a look."""
    found = pixel_coverage(outline, look.grid)
    if found is None:
        return True
    window, share = found
    blocked = (look.why[window] & np.uint8(Why.CLOUD | Why.NODATA)) > 0
    return bool((share * blocked).sum() > 0.5 * share.sum())


def _make_trial(event: Event, looks: Sequence[Look], decision: Decision) -> Trial:
    after = [look for look in looks if look.time >= event.begins and _is_clear(event.outline, look)]
    hits = [
        alert.confirmed_at
        for alert in decision.alerts
        if alert.confirmed_at is not None
        and alert.outline.intersection(event.outline).area >= COVERED * event.outline.area
        and alert.confirmed_at >= event.begins.date()
    ]
    needed = None if not hits else sum(look.time.date() <= min(hits) for look in after)
    return Trial(size=event.size, material=event.material, clear=len(after), needed=needed)


def _is_clear(outline: BaseGeometry, look: Look) -> bool:
    found = pixel_coverage(outline, look.grid)
    return found is not None and bool((found[1] * look.usable[found[0]]).sum() > CLEAR_SHARE * found[1].sum())
