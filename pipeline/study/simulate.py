"""Simulation of a STAC catalogue over real ground, with its truth, to test whole commands."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from scipy import ndimage
from shapely import affinity

from pipeline.model.bands import Band
from pipeline.model.errors import UsageError
from pipeline.model.imagery import FIRST_OFFSET_DAY, OFFSET_DN
from pipeline.model.indices import ndvi
from pipeline.model.progress import Progress
from pipeline.study.catalogue_writer import write_catalogue, write_item
from pipeline.study.events import Event
from pipeline.study.ground import Ground, seasonal_reflectance
from pipeline.study.materials import band_levels
from pipeline.study.shapes import cast_shadow, pixel_coverage
from pipeline.study.truth import inner_area, write_site, write_truth
from pipeline.study.weather import (
    OVERCAST,
    SHADE,
    Chances,
    Sky,
    apply_weather,
    draw_weather,
    scene_classes,
    temperate_weather,
)

DRAWN = "real Sentinel-2 ground, with construction, weather and the passing year drawn by a program"
PIXELS = f"simulated: {DRAWN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Plan of a simulation. place: id of the site. days: between passes.

    orbits: relative orbits, pass by pass and over again. tile: as filed, "52TCK". climate: (latitude, month) -> the
    chances of its weather. overcast: False = passes that show no ground are not filed, as a search would have it.
    aoi: lon/lat geometry of the site; None = the ground less its margin.
    """

    place: str
    name: str
    start: datetime
    passes: int
    days: float
    seed: int
    events: tuple[Event, ...]
    orbits: tuple[int, ...] = (103, 3, 3, 3)
    tile: str | None = None
    climate: Callable[[float, int], Chances] = temperate_weather
    overcast: bool = True
    aoi: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """One acquisition: time, sun (zenith, azimuth), true misregistration (row, col) in 10 m pixels, weather."""

    time: datetime
    orbit: int
    sun: tuple[float, float]
    shift: tuple[float, float]
    sky: Sky


def simulate_catalogue(ground: Ground, plan: Plan, out: Path, step: Progress) -> Path:
    """Write `out/catalog.json` with its items, `out/truth.geojson` and `out/sites.geojson`; returns the sites file.

    Same ground, plan and seed: same bytes. Every file says that its pixels are simulated.
    """
    southern = _grid_centre(ground.grid)[1] < 0
    items: list[Path] = []
    times: list[datetime] = []
    for number, made in enumerate(_draw_passes(ground, plan)):
        if plan.overcast or float(made.sky.cloud.mean()) < OVERCAST:
            items.extend(_write_pass(ground, plan, made, number, out, southern))
            times.append(made.time)
        step(plan.place, number + 1, plan.passes, "passes simulated")
    if not items:
        raise UsageError(f"every one of {plan.passes} passes is overcast", plan.place, "simulate more of them")
    extra = {"groundbreak:simulated": True, "groundbreak:ground": ground.source, "groundbreak:seed": plan.seed}
    write_catalogue(out, plan.place, plan.name, f"{PIXELS}. Ground: {ground.source}.", items, extra)
    record = {"site": plan.place, "seed": plan.seed, "start": str(times[0].date()), "end": str(times[-1].date())}
    write_truth(out / "truth.geojson", str(ground.grid.crs), plan.events, lambda _: times, record)
    return write_site(out / "sites.geojson", plan.place, plan.name, plan.aoi or inner_area(ground.grid), DRAWN)


def _draw_passes(ground: Ground, plan: Plan) -> Iterator[Pass]:
    lon, lat = _grid_centre(ground.grid)
    rng = np.random.default_rng([plan.seed, 1])
    shape = tuple(ground.grid.shape)
    for number in range(plan.passes):
        day = plan.start + timedelta(days=round(number * plan.days))
        time = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=(10.7 - lon / 15) % 24)
        sun = sun_place(time, lat)
        shift = (float(rng.normal(0, 0.35)), float(rng.normal(0, 0.35)))
        sky = draw_weather(shape, sun, plan.climate(lat, time.month), rng)  # type: ignore[arg-type]
        yield Pass(time=time, orbit=plan.orbits[number % len(plan.orbits)], sun=sun, shift=shift, sky=sky)


def render_pass(
    ground: Ground, events: Sequence[Event], made: Pass, seed: int, southern: bool
) -> dict[Band, NDArray[Any]]:
    """Reflectance of every band on its native grid: season, events at the true place moved by the shift, weather."""
    rng = np.random.default_rng([seed, made.time.toordinal()])
    planes = seasonal_reflectance(ground, made.time, np.random.default_rng([seed, 2]), southern)
    bands = tuple(planes)
    for band, plane in planes.items():
        step = 2 if band.native_m > 10 else 1
        planes[band] = ndimage.shift(plane, [part / step for part in made.shift], order=3, mode="nearest")
    for event in events:
        texture = np.random.default_rng([seed, zlib.crc32(event.id.encode())])  # a roof has its own for life
        draw_event(planes, bands, ground.native, event, made.time, made.sun, made.shift, texture)
    found = {}
    for band, plane in planes.items():
        bare = 1 - ground.canopy[band]
        value = apply_weather(np.asarray(plane, np.float32), band, made.sky, bare)
        found[band] = value * (1 + rng.normal(0, 0.008, value.shape)) + rng.normal(0, 0.0012, value.shape)
    return found


def draw_event(
    planes: dict[Band, NDArray[Any]],
    bands: tuple[Band, ...],
    native: Callable[[Band], GeoBox],
    event: Event,
    time: datetime,
    sun: tuple[float, float],
    shift: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Lay an event's material of the day over every band, in place, with the shade it throws.

    shift: (row, col) in 10 m pixels by which the look is off: the event moves with its ground.
    """
    phase = next((part for part in event.phases if part.start <= time and (part.end is None or time < part.end)), None)
    if phase is None:
        return
    # target sampled at x + shift matches the ground at x: an object at x is seen at x + shift
    moved = affinity.translate(event.outline, 10 * shift[1], -10 * shift[0])
    texture = 1 + 0.04 * rng.normal(size=planes[bands[0]].shape)
    spectrum = band_levels(phase.spectrum, bands)
    for band, level in zip(bands, spectrum, strict=True):
        plane, grid = planes[band], native(band)
        shaded = pixel_coverage(cast_shadow(moved, phase.height_m, sun), grid) if phase.height_m > 0 else None
        if shaded is not None:
            window, share = shaded
            plane[window] *= 1 - share * (1 - SHADE[band])
        found = pixel_coverage(moved, grid)
        if found is not None:
            window, share = found
            own = texture[window] if texture.shape == plane.shape else 1.0
            plane[window] += share * phase.strength * (level * own - plane[window])


def sun_place(time: datetime, lat: float) -> tuple[float, float]:
    """(zenith, azimuth) in degrees at the satellite's pass, half past ten by the sun (Cooper 1969 for declination)."""
    declination = np.radians(23.45 * np.sin(np.radians(360 * (284 + time.timetuple().tm_yday) / 365)))
    hour, phi = np.radians(-20.0), np.radians(lat)
    high = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(phi) * np.sin(declination) - np.sin(phi) * np.cos(declination) * np.cos(hour)
    return float(np.degrees(np.arccos(np.clip(high, -1, 1)))), float(np.degrees(np.arctan2(east, north)) % 360)


def _write_pass(ground: Ground, plan: Plan, made: Pass, number: int, out: Path, southern: bool) -> list[Path]:
    """Write the item of one pass, or two items if the pass was delivered twice."""
    rng = np.random.default_rng([plan.seed, 4, number])
    planes = render_pass(ground, plan.events, made, plan.seed, southern)
    offset = OFFSET_DN if made.time >= FIRST_OFFSET_DAY else 0
    index = ndvi(planes.get(Band.B08, planes[Band.B04]), planes[Band.B04])
    unseen = _partial_swath(tuple(ground.grid.shape), rng)  # type: ignore[arg-type]
    assets: dict[str, Any] = {}
    for band, plane in planes.items():
        dn = np.clip(np.round(plane * 10000) + offset, 1, 65535).astype(np.uint16)
        dn[unseen if dn.shape == unseen.shape else unseen[::2, ::2]] = 0
        assets[band.role] = (dn, ground.native(band))
    classes = scene_classes(made.sky, index, planes[Band.B02], rng)
    classes[unseen] = 0
    coarse = GeoBox(tuple(size // 2 for size in classes.shape), ground.grid.affine @ Affine.scale(2), ground.grid.crs)
    assets["scl"] = (classes[::2, ::2], coarse)
    stamp = f"{made.time:%Y%m%dT%H%M%S}"
    baseline = "05.00" if made.time >= FIRST_OFFSET_DAY else "02.14"
    properties = {
        "constellation": "sentinel-2",
        "s2:product_type": "S2MSI2A",
        "s2:datatake_id": f"GS2A_{stamp}_{number:06d}_N{baseline}",
        "s2:processing_baseline": baseline,
        "sat:relative_orbit": made.orbit,
        "view:sun_azimuth": round(made.sun[1], 3),
        "view:sun_elevation": round(90 - made.sun[0], 3),
        "groundbreak:simulated": PIXELS,
    }
    if plan.tile is not None:
        properties["grid:code"] = f"MGRS-{plan.tile}"
    baselines = [baseline, "05.10" if offset else "02.08"] if rng.uniform() < 0.04 else [baseline]
    written = []
    for copy, version in enumerate(baselines):
        own = {**properties, "s2:processing_baseline": version}
        id = f"{plan.place}-{made.time:%Y%m%d}-{copy}"
        written.append(write_item(out, id, made.time, assets, own, offset=-offset / 10000))
    return written


def _partial_swath(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Partial swath of some passes: (row, col), True = not measured."""
    rows, cols = np.indices(shape)
    if rng.uniform() > 0.05:
        return np.zeros(shape, bool)
    return np.asarray(cols + 0.25 * rows < rng.uniform(0.05, 0.5) * shape[1])


def _grid_centre(grid: GeoBox) -> tuple[float, float]:
    point = Geometry(grid.extent.geom.centroid, str(grid.crs)).to_crs("EPSG:4326").geom
    return float(point.x), float(point.y)
