"""Events of a simulation: construction with exact outlines, and distractors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry import Polygon, box, shape
from shapely.geometry.base import BaseGeometry

from pipeline.model.bands import Band
from pipeline.model.indices import normalised_difference
from pipeline.study.ground import Ground
from pipeline.study.materials import (
    ASPHALT,
    BURNT,
    CLEARED,
    FOUNDATION,
    LORRY,
    PLOUGHED,
    ROOFS,
    STUBBLE,
    WATER,
    Spectrum,
)
from pipeline.study.shapes import SHAPES, make_footprint

CHANGE, DISTRACTOR, PRESENT = "change", "distractor", "present"
"""Roles: a change to detect, a distractor, and a structure older than the series, which is not in the truth."""
GAP_M = 40.0
"""Distance between any two events, so that their alerts are distinct."""
EDGE_PX = 40
"""Distance of construction from the edge of the ground in pixels, where the margin of the AOI is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One material on one footprint for a time. strength: 0..1, its share of the pixel. end: None = lasting."""

    start: datetime
    end: datetime | None
    material: str
    spectrum: Spectrum
    strength: float = 1.0
    height_m: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. outline: in the CRS of the ground. kind: as in truth files. size: label of its shape."""

    id: str
    role: str
    kind: str
    size: str
    material: str
    outline: BaseGeometry
    phases: tuple[Phase, ...]

    @property
    def begins(self) -> datetime:
        """First day on which the ground differs."""
        return self.phases[0].start

    @property
    def ends(self) -> datetime | None:
        """Day from which the ground is as before; None = never."""
        return self.phases[-1].end


def make_building(
    id: str, size: str, outline: Polygon, start: datetime, material: str, rng: np.random.Generator
) -> Event:
    """Phases: cleared, foundation, roof; a road or a strip is cleared and sealed."""
    days = [int(rng.integers(15, 45)), int(rng.integers(20, 60))]
    cleared = start + timedelta(days=days[0])
    built = cleared + timedelta(days=days[1])
    sealed = size.startswith(("road", "strip"))
    last, height = (ASPHALT, 0.0) if sealed else (ROOFS[material], float(rng.uniform(4, 14)))
    phases = (
        Phase(start=start, end=cleared, material="cleared", spectrum=CLEARED),
        Phase(start=cleared, end=built, material="foundation", spectrum=FOUNDATION),
        Phase(start=built, end=None, material=material, spectrum=last, height_m=height),
    )
    label = "asphalt" if sealed else material
    return Event(id=id, role=CHANGE, kind="new structure", size=size, material=label, outline=outline, phases=phases)


def draw_construction(
    ground: Ground, start: datetime, end: datetime, rng: np.random.Generator, repeats: int = 2
) -> tuple[Event, ...]:
    """Buildings of every size on free ground, started at random between `start` and `end`."""
    free = _buildable_ground(ground)
    events: list[Event] = []
    materials = list(ROOFS)
    for number, size in enumerate(sorted(SHAPES * repeats, key=lambda each: -_reach_m(each))):
        placed = _place_footprint(ground, free, partial(_turned_footprint, size, rng), rng)
        if placed is None:
            continue
        begun = start + timedelta(days=float(rng.uniform(0, max((end - start).days, 1))))
        material = materials[int(rng.integers(len(materials)))]
        events.append(make_building(f"building-{number:02d}", size, placed, begun, material, rng))
    return tuple(events)


def draw_distractors(
    ground: Ground, taken: Sequence[Event], start: datetime, end: datetime, rng: np.random.Generator
) -> tuple[Event, ...]:
    """Distractors: field work, renewed roofs, parked lorries, a fire, a shore that moves."""
    events = [
        *_draw_field_work(ground, start, end, rng),
        *_draw_new_roofs(ground, start, end, rng),
        *_draw_shore_changes(ground, start, end, rng),
    ]
    events += _draw_parked_vehicles(ground, start, end, rng)
    halls = _draw_reroofed_halls(ground, taken, start, end, rng)
    near = [event.outline.buffer(GAP_M) for event in (*taken, *halls)]
    return (*halls, *(event for event in events if not any(event.outline.intersects(other) for other in near)))


def _draw_field_work(ground: Ground, start: datetime, end: datetime, rng: np.random.Generator) -> list[Event]:
    """Ploughed, harvested or burnt parcels, green again after weeks or months."""
    makes = (("ploughing", PLOUGHED, 40, 130), ("harvest", STUBBLE, 20, 70), ("burnt", BURNT, 60, 200))
    green = ground.canopy[Band.B04]
    sizes = ndimage.sum_labels(np.ones_like(green), ground.parcels, np.arange(int(ground.parcels.max()) + 1))
    cover = ndimage.mean(green, ground.parcels, np.arange(len(sizes)))
    fit = np.flatnonzero((sizes >= 40) & (sizes <= 900) & (np.asarray(cover) > 0.25))
    events = []
    for number, parcel in enumerate(rng.permutation(fit)[:24]):
        kind, spectrum, least, most = makes[0 if number % 8 < 4 else 1 if number % 8 < 7 else 2]
        outline = _water_outline(ground.parcels == parcel, ground)
        begun = _random_time(start, end, rng)
        over = begun + timedelta(days=int(rng.integers(least, most)))
        phase = Phase(start=begun, end=over, material=kind, spectrum=spectrum, strength=float(rng.uniform(0.7, 0.95)))
        events.append(_make_event(f"field-{number:02d}", DISTRACTOR, kind, "parcel", kind, outline, (phase,)))
    return events


def _draw_new_roofs(ground: Ground, start: datetime, end: datetime, rng: np.random.Generator) -> list[Event]:
    """Existing roofs in a new colour."""
    red, blue = ground.base[Band.B04], ground.base[Band.B02]
    bright = (ground.canopy[Band.B04] < 0.05) & (blue > 0.75 * red) & (red > float(np.quantile(red, 0.9)))
    labels, count = ndimage.label(bright)
    sizes = ndimage.sum_labels(bright, labels, np.arange(count + 1))
    events = []
    for number, label in enumerate(rng.permutation(np.flatnonzero((sizes >= 9) & (sizes <= 120)))[:5]):
        outline = _water_outline(labels == label, ground)
        material = list(ROOFS)[int(rng.integers(len(ROOFS)))]
        phase = Phase(start=_random_time(start, end, rng), end=None, material=material, spectrum=ROOFS[material])
        events.append(_make_event(f"roof-{number:02d}", CHANGE, "resurfaced", "roof", material, outline, (phase,)))
    return events


def _draw_reroofed_halls(
    ground: Ground, taken: Sequence[Event], start: datetime, end: datetime, rng: np.random.Generator
) -> list[Event]:
    """Halls older than the series that get another roof, for ground without roofs."""
    free = _buildable_ground(ground)
    for event in taken:
        free[_pixel_window(event.outline.buffer(GAP_M), ground)] = False
    events = []
    for number, size in enumerate(("60x100 m", "30x60 m", "30x60 m", "20x40 m")):
        angle = float(rng.uniform(0, 180))
        outline = _place_footprint(ground, free, partial(make_footprint, size, angle=angle), rng)
        if outline is None:
            continue
        old, new = (str(name) for name in rng.permutation(list(ROOFS))[:2])
        begun, height = _random_time(start, end, rng), float(rng.uniform(4, 14))
        before = Phase(start=datetime(2000, 1, 1, tzinfo=UTC), end=begun, material=old, spectrum=ROOFS[old],
                       height_m=height)  # fmt: skip
        after = Phase(start=begun, end=None, material=new, spectrum=ROOFS[new], height_m=height)
        events.append(_make_event(f"old-hall-{number}", PRESENT, "hall", size, old, outline, (before,)))
        events.append(_make_event(f"hall-roof-{number}", CHANGE, "resurfaced", size, new, outline, (after,)))
    return events


def _draw_parked_vehicles(ground: Ground, start: datetime, end: datetime, rng: np.random.Generator) -> list[Event]:
    """Bright objects on any ground for a day or two."""
    events = []
    for number in range(25):
        x, y = _random_position(ground, rng)
        outline = box(x - 10, y - 12, x + 10, y + 12)
        begun = _random_time(start, end, rng)
        phase = Phase(start=begun, end=begun + timedelta(days=4), material="lorries", spectrum=LORRY)
        events.append(
            _make_event(f"parked-{number:02d}", DISTRACTOR, "parked", "24x20 m", "lorries", outline, (phase,))
        )
    return events


def _draw_shore_changes(ground: Ground, start: datetime, end: datetime, rng: np.random.Generator) -> list[Event]:
    """Water that rises over its banks for a month or three."""
    green, near = (ground.base[band] for band in (Band.B03, Band.B08)) if Band.B08 in ground.base else (None, None)
    if green is None or near is None:
        return []
    water = ndimage.binary_opening(normalised_difference(green, near, least=0.01) > 0.1, iterations=2)
    labels, count = ndimage.label(water)
    sizes = ndimage.sum_labels(water, labels, np.arange(count + 1))
    events = []
    for number, label in enumerate(np.flatnonzero(sizes > 300)[:2]):
        bank = ndimage.binary_dilation(labels == label, iterations=3) & ~water
        begun = _random_time(start, end, rng)
        over = begun + timedelta(days=int(rng.integers(30, 90)))
        phase = Phase(start=begun, end=over, material="water", spectrum=WATER)
        outline = _water_outline(bank, ground)
        events.append(_make_event(f"shore-{number}", DISTRACTOR, "water level", "shore", "water", outline, (phase,)))
    return events


def _make_event(
    id: str, role: str, kind: str, size: str, material: str, outline: BaseGeometry, phases: tuple[Phase, ...]
) -> Event:
    return Event(id=id, role=role, kind=kind, size=size, material=material, outline=outline, phases=phases)


def _reach_m(size: str) -> float:
    outline = make_footprint(size, (0, 0), 0)
    return float(outline.area)


def _buildable_ground(ground: Ground) -> NDArray[np.bool_]:
    """(row, col): dry ground without a roof on it, away from the edges."""
    red, near = ground.base[Band.B04], ground.base[Band.B08] if Band.B08 in ground.base else ground.base[Band.B04]
    free = (red < float(np.quantile(red, 0.85))) & (near > 0.08)
    free = ndimage.binary_opening(free, iterations=1)
    free[:EDGE_PX], free[-EDGE_PX:], free[:, :EDGE_PX], free[:, -EDGE_PX:] = False, False, False, False
    return np.asarray(free)


def _turned_footprint(size: str, rng: np.random.Generator, centre: tuple[float, float]) -> Polygon:
    return make_footprint(size, centre, float(rng.uniform(0, 180)))


def _place_footprint(
    ground: Ground,
    free: NDArray[np.bool_],
    make: Callable[[tuple[float, float]], Polygon],
    rng: np.random.Generator,
) -> Polygon | None:
    """A footprint on free ground, which is marked as used with its surroundings; None after 300 tries."""
    spots = np.argwhere(free)
    for _ in range(300):
        if len(spots) == 0:
            return None
        row, col = spots[int(rng.integers(len(spots)))] + rng.uniform(0, 1, 2)
        outline = make(ground.grid.affine @ (col, row))
        window = _pixel_window(outline, ground)
        if free[window].mean() > 0.8:
            free[_pixel_window(outline.buffer(GAP_M), ground)] = False
            return outline
    return None


def _pixel_window(outline: BaseGeometry, ground: Ground) -> tuple[slice, slice]:
    west, south, east, north = outline.bounds
    (left, top), (right, bottom) = ~ground.grid.affine @ (west, north), ~ground.grid.affine @ (east, south)
    return slice(max(int(top), 0), int(bottom) + 1), slice(max(int(left), 0), int(right) + 1)


def _random_position(ground: Ground, rng: np.random.Generator) -> tuple[float, float]:
    rows, cols = ground.grid.shape
    x, y = ground.grid.affine @ (rng.uniform(EDGE_PX, cols - EDGE_PX), rng.uniform(EDGE_PX, rows - EDGE_PX))
    return float(x), float(y)


def _random_time(start: datetime, end: datetime, rng: np.random.Generator) -> datetime:
    return start + timedelta(days=float(rng.uniform(0, max((end - start).days, 1))))


def _water_outline(where: NDArray[np.bool_], ground: Ground) -> BaseGeometry:
    found = shapes(where.astype(np.uint8), mask=where, transform=ground.grid.affine)
    return max((shape(geometry).buffer(0) for geometry, _ in found), key=lambda each: each.area)
