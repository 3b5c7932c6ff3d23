"""Injection of simulated buildings into real looks, with their clouds, haze, shifts and seasons."""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from shapely import affinity
from shapely.geometry import LineString
from shapely.geometry.base import BaseGeometry

from pipeline.catalogue.hrefs import AllowList
from pipeline.catalogue.items import parse_item
from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.product import Product
from pipeline.catalogue.rasters import open_raster
from pipeline.correct.look import make_unregistered
from pipeline.correct.offset import resolve_jointly
from pipeline.correct.reference import align, make_reference
from pipeline.model.bands import ANALYSIS, Band
from pipeline.model.errors import UsageError
from pipeline.model.imagery import Chip, Rejection
from pipeline.model.progress import Progress
from pipeline.model.settings import Settings
from pipeline.study.catalogue_writer import relink_asset, write_catalogue, write_item
from pipeline.study.events import CHANGE, Event
from pipeline.study.ground import catalogue_scenes
from pipeline.study.illumination import Illumination, apply_illumination, estimate_illumination, resample_field
from pipeline.study.shapes import pixel_coverage
from pipeline.study.simulate import draw_event, sun_place
from pipeline.study.truth import to_lonlat_geometry, write_site, write_truth

DRAWN = "construction drawn by a program into real Sentinel-2 looks; none of it was ever built"
PIXELS = f"simulated: {DRAWN}"
SEEN = 0.5
"""Smallest visible share of an event's footprint at which a look counts as clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Measurements on a real look. shift: (row, col) px of 10 m against the site's middle; zero where refused.

    clear: usable share 0..1. offset_dn: what its DN hold over reflectance * 10000.
    """

    shift: tuple[float, float]
    clear: float
    offset_dn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """Events to draw. crs: of their outlines, metres, the CRS of the measurements.

    looks: by item id; items that are not in it are left out. aoi: lon/lat geometry of the site that is written.
    """

    place: str
    name: str
    crs: str
    events: tuple[Event, ...]
    looks: Mapping[str, Measured]
    aoi: BaseGeometry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Item:
    """A look's item: its JSON and path, the key of the asset that holds each band, DN and grid of each band."""

    path: Path
    raw: Mapping[str, Any]
    product: Product
    keys: Mapping[Band, str]
    dn: Mapping[Band, NDArray[np.uint16]]
    grids: Mapping[Band, GeoBox]


def measure_looks(source: Path, keep: Callable[[datetime], bool], step: Progress) -> tuple[str, dict[str, Measured]]:
    """The CRS of a static catalogue's site, and what its looks are like, by item id; `keep` chooses their times.

    Looks refused before registration are left out.
    """
    site, scenes = catalogue_scenes(source)
    scenes = tuple(scene for scene in scenes if keep(scene.time))
    bands = tuple(band for band in ANALYSIS if all(band in scene.granules[0].assets for scene in scenes))
    settings, read, images = Settings(), list[tuple[Chip, ...]](), []
    for done, scene in enumerate(scenes, 1):
        step(site.id, done, 2 * len(scenes), "looks measured")
        read.append(read_chips(scene, site.grid, bands))
    for chips in resolve_jointly(read):
        image = make_unregistered(chips, site.grid, bands, settings)
        if not isinstance(image, Rejection):
            images.append(image)
    if not images:
        raise UsageError("no look there can be used", str(source), "name a catalogue of scenes over one place")
    reference = make_reference(images, settings)
    found = {}
    for done, image in enumerate(images, 1):
        step(site.id, len(scenes) + done, len(scenes) + len(images), "looks measured")
        alignment = align(reference.reflectance, image, settings)
        shift = alignment.shift if alignment.accepted else (0.0, 0.0)
        own = Measured(shift=shift, clear=round(image.clear_share, 3), offset_dn=image.offsets[0].dn)
        found.update({granule.id: own for granule in image.scene.granules})
    return str(site.grid.crs), found


def inject_events(source: Path, out: Path, injection: Injection, step: Progress) -> Path:
    """Write a static catalogue of real looks with construction in them; returns `out/sites.geojson`.

    Looks in which nothing stands yet share their files with `source` where it lies beside `out`. Same input, same
    bytes. `out/truth.geojson` dates every event by the looks that show its ground.
    """
    items = _read_items(source, injection.looks)
    usual = _median_reflectance(items, injection)
    written, seen = [], dict[str, list[datetime]]()
    for done, item in enumerate(items, 1):
        step(injection.place, done, len(items), "looks injected")
        offset_dn = injection.looks[item.path.stem].offset_dn
        light = estimate_illumination(
            {band: _read_reflectance(item, band, offset_dn) for band in usual}, usual, item.grids
        )
        for event in injection.events:
            if _visible_share(event, light, injection.crs) > SEEN:
                seen.setdefault(event.id, []).append(item.product.time)
        written.append(_write_item(item, light, injection, out))
    extra = {"groundbreak:simulated": PIXELS}
    write_catalogue(out, injection.place, injection.name, _describe_items(items), written, extra)
    days = [item.product.time.date() for item in items]
    events = injection.events
    # real ground changes too, in ways of which this truth has no record
    covers = {"kinds": sorted({event.kind for event in events if event.role == CHANGE})}
    record = {"site": injection.place, "start": str(days[0]), "end": str(days[-1]), "covers": covers}
    write_truth(out / "truth.geojson", injection.crs, events, lambda event: seen.get(event.id, []), record)
    return write_site(
        out / "sites.geojson", injection.place, injection.name, to_lonlat_geometry(injection.aoi, "EPSG:4326"), DRAWN
    )


def _describe_items(items: Sequence[_Item]) -> str:
    thanks = {str(item.raw["properties"].get("groundbreak:attribution", "")) for item in items} - {""}
    return "; ".join([PIXELS, *sorted(thanks)]) + "."


def _read_items(source: Path, looks: Mapping[str, Measured]) -> list[_Item]:
    """The items for the injection, in time order, with the pixels of their analysis bands."""
    index = source / "catalog.json" if source.is_dir() else source
    links = json.loads(index.read_text(encoding="utf-8"))["links"]
    items = []
    for link in links:
        path = (index.parent / link["href"]).resolve()
        if link["rel"] == "item" and path.stem in looks:
            items.append(_read_item(path, index.parent))
    if not items:
        raise UsageError("none of the looks is in it", str(source), "measure the catalogue that is drawn into")
    return sorted(items, key=lambda item: (item.product.time, item.path.stem))


def _read_item(path: Path, folder: Path) -> _Item:
    raw = json.loads(path.read_text(encoding="utf-8"))
    product = parse_item(raw, AllowList(base=str(path), folder=folder, hosts=()))
    files = {(path.parent / str(asset["href"])).resolve(): key for key, asset in raw["assets"].items()}
    keys, dn, grids = {}, {}, {}
    for band in ANALYSIS:
        if band in product.granule.assets:
            keys[band] = files[Path(product.granule.assets[band])]
            with open_raster(product.granule.assets[band]) as source:
                dn[band] = source.read(1)
                grids[band] = GeoBox(dn[band].shape, source.transform, str(source.crs))
    return _Item(path=path, raw=raw, product=product, keys=keys, dn=dn, grids=grids)


def _read_reflectance(item: _Item, band: Band, offset_dn: int) -> NDArray[np.float64]:
    """Reflectance, NaN where never measured."""
    dn = item.dn[band]
    return np.where(dn == 0, np.nan, (dn.astype(np.float64) - offset_dn) / 10000)


def _median_reflectance(items: Sequence[_Item], injection: Injection) -> dict[Band, NDArray[np.float64]]:
    """Median of all looks per band on its own grid, which all items must share."""
    found = {}
    for band in items[0].dn:
        if any(band not in item.dn or item.grids[band] != items[0].grids[band] for item in items):
            raise UsageError(f"{band} does not lie on one grid", str(items[0].path), "inject a catalogue of one tile")
        stack = [_read_reflectance(item, band, injection.looks[item.path.stem].offset_dn) for item in items]
        found[band] = np.nan_to_num(np.nanmedian(np.stack(stack), axis=0), nan=0.1)
    return found


def _write_item(item: _Item, light: Illumination, injection: Injection, out: Path) -> Path:
    """Write an item: new pixels if an event is visible, else links to its original files."""
    id = f"{injection.place}-{item.product.time:%Y%m%d}"
    look = injection.looks[str(item.raw["id"])]
    before = {band: _read_reflectance(item, band, look.offset_dn) for band in item.dn}
    planes: dict[Band, NDArray[Any]] = {band: plane.copy() for band, plane in before.items()}
    for event in injection.events:
        _draw_event(planes, event, item, light, look, injection.crs)
    assets: dict[str, Any] = {}
    drawn = any((planes[band] != before[band])[item.dn[band] > 0].any() for band in planes)
    for key, asset in item.raw["assets"].items():
        band = next((band for band, own in item.keys.items() if own == key), None)
        if band is None or not drawn:
            assets[key] = relink_asset(asset, item.path, out / id)
            continue
        hidden = resample_field(light.hidden, light.grid, item.grids[band])
        value = before[band] + (1 - hidden) * (planes[band] - before[band])
        changed = (item.dn[band] > 0) & (planes[band] != before[band])
        dn = item.dn[band].copy()
        dn[changed] = np.clip(np.round(value[changed] * 10000) + look.offset_dn, 1, 65535).astype(np.uint16)
        assets[band.role] = (dn, item.grids[band])
    properties = {name: value for name, value in item.raw["properties"].items() if name != "datetime"}
    properties |= {"groundbreak:simulated": PIXELS, "groundbreak:drawn": drawn}
    footprint = item.product.granule.footprint
    offset = -look.offset_dn / 10000
    return write_item(out, id, item.product.time, assets, properties, footprint=footprint, offset=offset)


def _draw_event(
    planes: dict[Band, NDArray[Any]], event: Event, item: _Item, light: Illumination, look: Measured, crs: str
) -> None:
    """Draw one event as the look would show it: shifted, in its illumination, on the grid of each band."""
    grid = light.grid
    row, col = look.shift
    moved = Geometry(affinity.translate(event.outline, 10 * col, -10 * row), crs).to_crs(str(grid.crs)).geom
    found = pixel_coverage(moved, grid)
    if found is None:
        return
    window, share = found
    depth = float((light.shade[window] * share).sum() / max(float(share.sum()), 1e-6))
    phases = tuple(
        replace(
            phase,
            spectrum=apply_illumination(phase.spectrum, light, depth),
            height_m=phase.height_m if depth < 0.5 else 0.0,
        )
        for phase in event.phases
    )
    zenith, azimuth = item.product.sun or sun_place(item.product.time, float(item.product.granule.footprint.centroid.y))
    sun = (zenith, azimuth + _meridian_convergence(moved, str(grid.crs)))
    own = replace(event, outline=moved, phases=phases)
    rng = np.random.default_rng(zlib.crc32(event.id.encode()))  # a roof has its texture for life
    draw_event(planes, tuple(planes), lambda band: item.grids[band], own, item.product.time, sun, (0.0, 0.0), rng)


def _visible_share(event: Event, light: Illumination, crs: str) -> float:
    """Share of the ground of an event without cloud, 0..1; 0 outside the look."""
    found = pixel_coverage(Geometry(event.outline, crs).to_crs(str(light.grid.crs)).geom, light.grid)
    if found is None:
        return 0.0
    window, share = found
    return float(((1 - light.hidden[window]) * share).sum() / max(float(share.sum()), 1e-6))


def _meridian_convergence(shape: BaseGeometry, crs: str) -> float:
    """Meridian convergence at a shape: degrees of true north clockwise of the y axis of a CRS."""
    here = Geometry(shape.centroid, crs).to_crs("EPSG:4326").geom
    path = Geometry(LineString([(here.x, here.y), (here.x, here.y + 0.01)]), "EPSG:4326").to_crs(crs).geom
    (x0, y0), (x1, y1) = path.coords[0], path.coords[-1]
    return float(np.degrees(np.arctan2(x1 - x0, y1 - y0)))
