"""Semi-real series over the ten labelled city pairs: `detect` against real before and after pixels.

python -m benchmarks.semireal [--cities dev|held|all|NAME,...] [--variants NAME,...] [--seeds N] [--work DIR]
                              [--json FILE] [--aoi-size]         needs the city pairs beside the checkout

Each labelled component switches from its real before pixels to its real after pixels on its own random date. Seasons,
farming, weather, an imperfect scene classification, misregistration and a change of the processing baseline are
simulated over both. No constant and no spectrum comes from pipeline.decide or pipeline.study: the detector and the
benchmark share no assumption. HELD_OUT cities are for the final measurement only.
"""

import argparse
import json
import pickle
import shutil
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.enums import Resampling
from rasterio.features import shapes
from rasterio.warp import reproject, transform_bounds
from scipy import ndimage
from shapely import unary_union
from shapely.geometry import box, mapping, shape
from skimage.measure import regionprops_table
from skimage.segmentation import felzenszwalb

from benchmarks import scoring
from pipeline.catalogue.sites import read_sites
from pipeline.correct import alignment
from pipeline.model.bands import Band
from pipeline.model.grid import site_grid
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run.process_site import SiteJob, SiteResult, process_site
from pipeline.study.catalogue_writer import write_catalogue, write_item

ROOT = Path(__file__).resolve().parents[1]
CITIES = ROOT.parent / "shared" / "data" / "oscd"
HELD_OUT = ("abudhabi", "beirut", "bordeaux", "saclay_e")
DEVELOPMENT = ("aguasclaras", "beihai", "cupertino", "paris", "pisa", "rennes")
CLIMATES = {
    "abudhabi": "mediterranean", "aguasclaras": "monsoon", "beihai": "monsoon", "beirut": "mediterranean",
    "bordeaux": "temperate", "cupertino": "mediterranean", "paris": "temperate", "pisa": "mediterranean",
    "rennes": "temperate", "saclay_e": "temperate",
}  # fmt: skip
VARIANTS = (
    "temperate", "mediterranean", "monsoon", "no-farm", "quiet", "quiet-farm", "majority", "rgb", "roofs", "dark",
    "river",
)  # fmt: skip
VERSION = 3
"""Version of the recipe. A folder built by another version is rebuilt."""

BANDS = (Band.B02, Band.B03, Band.B04, Band.B08, Band.B8A, Band.B11, Band.B12)
BLUE, GREEN, RED, NIR, SWIR1 = 0, 1, 2, 3, 5
SIDE_PX, AOI_MARGIN_PX = 360, 8
MAX_LOOKS = 48
BASELINE_0400 = datetime(2022, 1, 25, tzinfo=UTC)
MIN_PX = 3
"""Smallest labelled component that becomes an object."""
VISIBLE_Z, VISIBLE_CHANGE = 1.5, 0.02
"""An object is visible if the RMS over the bands of (mean change inside - median change in the ring) / (robust scatter
of the ring) is at least VISIBLE_Z, and the mean absolute change over the bands at least VISIBLE_CHANGE (reflectance).
The ring is the unlabelled ground 2 to 9 px away; its scatter has a floor of 0.01."""
SOIL_SHARE, GRADUAL_SHARE = 0.30, 0.15
PATH_LEVEL = {BLUE: (0.015, 0.095), GREEN: (0.02, 0.065), RED: (0.012, 0.045)}
"""L1C to surface level: reflectance left at the darkest 0.5 %, and the largest path reflectance removed."""
GENERIC_SOIL = (0.085, 0.115, 0.155, 0.215, 0.235, 0.31, 0.265)
CLOUD = (0.63, 0.61, 0.60, 0.64, 0.64, 0.44, 0.33)
CLOUD_SHADE = (0.62, 0.55, 0.50, 0.44, 0.43, 0.36, 0.33)
HAZE = (1.0, 0.72, 0.52, 0.30, 0.27, 0.10, 0.06)
SEDIMENT = (0.035, 0.07, 0.10, 0.055, 0.05, 0.006, 0.004)
CLEAR_WATER = (0.03, 0.035, 0.022, 0.014, 0.012, 0.008, 0.006)
FIELD_COVER = 0.9
"""Share of soil in a field just ploughed: the rest is straw and weeds."""
FIELD, WATER, ROOF = 1, 2, 3
"""Classes of `ground.tif`."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A city on its UTM grid: reflectance (band, row, col) before and after (registered, harmonised), and labels."""

    name: str
    grid: GeoBox
    before: np.ndarray
    after: np.ndarray
    label: np.ndarray
    before_day: date
    after_day: date

    @property
    def lonlat(self) -> tuple[float, float]:
        point = Geometry(self.grid.extent.geom.centroid, str(self.grid.crs)).to_crs("EPSG:4326").geom
        return float(point.x), float(point.y)


@dataclass(slots=True, eq=False)
class Object:
    """One change. window: of the grid. soft: its mask there, 0..1. target: (band, row, col) reflectance afterwards.

    order: (row, col) 0..1, the part of a gradual change at which a pixel begins. soil: spectrum of the bare phase.
    """

    id: str
    source: str
    window: tuple[slice, slice]
    mask: np.ndarray
    soft: np.ndarray
    target: np.ndarray
    begins: datetime
    ends: datetime
    mode: str
    soil: np.ndarray
    order: np.ndarray
    properties: dict[str, Any] = field(default_factory=dict)
    clear: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """Segments of the ground: labels (row, col), seasonal amplitude and lag, and bare spells of each."""

    label: np.ndarray
    amplitude: np.ndarray
    lag: np.ndarray
    farmed: np.ndarray
    spells: list[list[tuple[float, float, float]]]
    soil: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One series on disk."""

    city: str
    seed: int
    variant: str
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.city}-{self.seed}"

    @property
    def site(self) -> Site:
        return read_sites((self.folder / "site.geojson",)).sites[0]


def main(
    cities: Sequence[str] = DEVELOPMENT,
    variants: Sequence[str] = VARIANTS,
    seeds: int = 1,
    work: Path | None = None,
    rows: Path | None = None,
    pickle_looks: bool = False,
) -> str:
    """A markdown section."""
    if not CITIES.is_dir():
        raise FileNotFoundError("the city pairs are not beside this checkout")
    with tempfile.TemporaryDirectory() as scratch:
        results = []
        for variant in variants:
            for city in cities:
                for seed in range(1, seeds + 1):
                    case = build(city, seed, variant, (work or Path(scratch)) / f"{variant}-{city}-{seed}")
                    results.append(score(case, pickle_looks))
                    if work is None:
                        shutil.rmtree(case.folder)
    if rows is not None:
        rows.write_text(json.dumps([each.as_json() for each in results], indent=1) + "\n", encoding="utf-8")
    return "\n".join(["## Semi-real series", "", *_header(cities, seeds), "", *scoring.tables(results)])


def _header(cities: Sequence[str], seeds: int) -> list[str]:
    return [
        f"`benchmarks/semireal.py`: cities {', '.join(cities)}; {seeds} seed(s) each; settings as shipped.",
        f"Visible objects: z >= {VISIBLE_Z}, change >= {VISIBLE_CHANGE}, at least 3 clear looks after the change.",
    ]


def score(case: Case, pickle_looks: bool = False) -> scoring.Result:
    """Judge one series and score it."""
    began = time.monotonic()
    found = judged(case)
    seconds = time.monotonic() - began
    if pickle_looks:
        (case.folder / "looks.pickle").write_bytes(pickle.dumps(found.looks))
    return scoring.score(case.name, case.variant, case.city, case.folder, found, seconds)


def compare_aoi_sizes(cities: Sequence[str] = DEVELOPMENT + HELD_OUT, count: int = 50, work: Path | None = None) -> str:
    """Objects judged in a 1 km AOI of their own and in the AOI of the whole city, as a markdown section."""
    pairs: list[tuple[scoring.Row, scoring.Row]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, city in enumerate(cities):
            variant = CLIMATES[city]
            case = build(city, 1, variant, (work or Path(scratch)) / f"{variant}-{city}-1")
            whole = {row.id: row for row in score(case).rows}
            wanted = count * (number + 1) // len(cities) - count * number // len(cities)
            for id, site in _small_sites(case, [each for each in whole if whole[each].truly_eligible], wanted):
                own = scoring.score(case.name, variant, city, case.folder, judged(case, site), 0.0)
                pairs += [(whole[id], row) for row in own.rows if row.id == id]
            if work is None:
                shutil.rmtree(case.folder)
    return "\n".join(["## The size of the AOI", "", *scoring.aoi_table(pairs)])


def _small_sites(case: Case, ids: Sequence[str], count: int) -> list[tuple[str, Site]]:
    """Sites of 1 km around some of the objects, drawn at random."""
    rng = np.random.default_rng([case.seed, zlib.crc32(case.city.encode())])
    chosen = set(rng.permutation(sorted(ids))[:count])
    whole, made = case.site, []
    crs = str(whole.grid.crs)
    edge = Geometry(whole.aoi, "EPSG:4326").to_crs(crs).geom
    for each in json.loads((case.folder / "truth.geojson").read_text(encoding="utf-8"))["features"]:
        id = each["properties"]["id"]
        if id in chosen:
            outline = Geometry(shape(each["geometry"]), "EPSG:4326").to_crs(crs).geom
            middle = outline.centroid
            near = box(middle.x - 500, middle.y - 500, middle.x + 500, middle.y + 500).intersection(edge)
            aoi = Geometry(near, crs).to_crs("EPSG:4326").geom
            made.append((id, Site(id=f"{whole.id}-{id}", name=id, aoi=aoi, grid=site_grid(aoi), catalog=whole.catalog)))
    return made


def judged(case: Case, site: Site | None = None) -> SiteResult:
    """Today's decision on a series, with settings as shipped. site: another AOI on the same catalogue."""
    until = datetime(2030, 1, 1, tzinfo=UTC)
    return process_site(
        SiteJob(
            site=site or case.site, source=str(case.folder / "catalog.json"), collection=None, start=None, until=until,
            settings=Settings(),
        ), no_progress,
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------- the city pairs


def read_pair(city: str) -> Pair:
    """Both dates of a city on the UTM grid of its tile, the later registered and harmonised to the earlier."""
    folder = CITIES / city
    dates = json.loads((folder / "dates.json").read_text(encoding="utf-8"))
    tile = dates["before"]["tile"]
    crs = f"EPSG:{(32600 if tile[2] >= 'N' else 32700) + int(tile[:2])}"
    grid = _city_grid(folder / "label.tif", crs)
    before = np.stack([_warped(folder / "before" / f"{band}.tif", grid) for band in BANDS])
    draft = _warped(folder / "after" / "B04.tif", grid)
    shift = alignment.estimate_shift(before[RED], draft, np.isfinite(before[RED]) & np.isfinite(draft)).shift
    moved = GeoBox(grid.shape, grid.affine @ Affine.translation(shift[1], shift[0]), grid.crs)
    after = np.stack([_warped(folder / "after" / f"{band}.tif", moved) for band in BANDS])
    label = np.nan_to_num(_warped(folder / "label.tif", grid, Resampling.nearest, 1.0)) > 0.5
    before = _surface(before)
    after = _harmonised(_surface(after), before, label)
    return Pair(
        name=city, grid=grid, before=before, after=after, label=label,
        before_day=date.fromisoformat(dates["before"]["date"]), after_day=date.fromisoformat(dates["after"]["date"]),
    )  # fmt: skip


def _city_grid(path: Path, crs: str) -> GeoBox:
    with rasterio.open(path) as source:
        left, bottom, right, top = transform_bounds(source.crs, crs, *source.bounds)
    west, north = np.ceil(left / 20) * 20, np.floor(top / 20) * 20
    rows, cols = int((north - bottom) // 20) * 2, int((right - west) // 20) * 2
    return GeoBox((rows, cols), Affine(10, 0, west, 0, -10, north), crs)


def _warped(path: Path, grid: GeoBox, method: Resampling = Resampling.cubic, scale: float = 1e-4) -> np.ndarray:
    out = np.full(grid.shape, np.nan, np.float32)
    with rasterio.open(path) as source:
        data = source.read(1).astype(np.float32) * np.float32(scale)
        reproject(
            data, out, src_transform=source.transform, src_crs=source.crs, src_nodata=np.nan,
            dst_transform=grid.affine, dst_crs=str(grid.crs), dst_nodata=np.nan, resampling=method,
        )  # fmt: skip
    return out


def _surface(stack: np.ndarray) -> np.ndarray:
    """Dark-object subtraction (Chavez 1988): L1C visible bands to the level of L2A."""
    out = np.clip(stack, 0.001, 1.1)
    for band, (dark, most) in PATH_LEVEL.items():
        path = float(np.clip(np.nanquantile(out[band], 0.005) - dark, 0, most))
        out[band] = np.clip((out[band] - path) / (1 - path), 0.001, 1.1)
    return out


def _harmonised(after: np.ndarray, before: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Gain and offset per band, fitted on unlabelled ground with little vegetation on both dates.

    The gain is the geometric mean of both regressions (reduced major axis), with Tukey weights, within 0.6 to 1.6.
    """
    stable = ~ndimage.binary_dilation(label, iterations=3)
    stable &= np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
    bare = stable & (ndvi(before) < 0.35) & (ndvi(after) < 0.35)
    use = bare if bare.sum() > 2000 else stable
    out = after.copy()
    for band in range(len(BANDS)):
        one, two = after[band][use].astype(float), before[band][use].astype(float)
        weight, gain, offset = np.ones_like(one), 1.0, 0.0
        for _ in range(12):
            x, y = one - np.average(one, weights=weight), two - np.average(two, weights=weight)
            gain = float(np.sqrt((weight * y * y).sum() / max((weight * x * x).sum(), 1e-9)))
            gain = float(np.clip(gain, 0.6, 1.6))
            offset = float(np.average(two - gain * one, weights=weight))
            rest = two - gain * one - offset
            scale = 1.4826 * float(np.median(np.abs(rest))) + 1e-6
            weight = np.clip(1 - (rest / (4 * scale)) ** 2, 0, None) ** 2 + 1e-9
        out[band] = np.clip(gain * after[band] + offset, 0.001, 1.1)
    return out


def crop(pair: Pair, side: int, want: np.ndarray | None = None) -> Pair:
    """The square of at most `side` px with the most labelled ground (or `want`); holes in the data are filled."""
    good = np.isfinite(pair.before).all(axis=0) & np.isfinite(pair.after).all(axis=0)
    good = ndimage.binary_erosion(good, iterations=3)
    rows, cols = (min(side, size - 12) // 2 * 2 for size in good.shape)
    weight = (pair.label if want is None else want).astype(float)
    inside = _box_sum(good, rows, cols)
    gain = _box_sum(weight, rows, cols)
    gain[inside < max(inside.max(), 0.995 * rows * cols) - 0.005 * rows * cols] = -1
    row, col = (int(at) // 2 * 2 for at in np.unravel_index(int(np.argmax(gain)), gain.shape))
    window = (slice(row, row + rows), slice(col, col + cols))
    before, after = (_filled(stack[:, *window], good[window]) for stack in (pair.before, pair.after))
    return Pair(pair.name, pair.grid[window], before, after, pair.label[window], pair.before_day, pair.after_day)


def _box_sum(plane: np.ndarray, rows: int, cols: int) -> np.ndarray:
    total = np.pad(plane.astype(float), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return total[rows:, cols:] - total[:-rows, cols:] - total[rows:, :-cols] + total[:-rows, :-cols]


def _filled(stack: np.ndarray, good: np.ndarray) -> np.ndarray:
    if good.all():
        return stack.copy()
    nearest = ndimage.distance_transform_edt(~good, return_distances=False, return_indices=True)
    return stack[:, nearest[0], nearest[1]]


def ndvi(stack: np.ndarray) -> np.ndarray:
    return (stack[NIR] - stack[RED]) / np.maximum(stack[NIR] + stack[RED], 0.02)


def _water(stack: np.ndarray) -> np.ndarray:
    wet = (stack[GREEN] - stack[NIR]) / np.maximum(stack[GREEN] + stack[NIR], 0.01)
    dark = ndimage.median_filter(((wet > 0.05) & (stack[NIR] < 0.12) & (stack[SWIR1] < 0.09)).astype(np.uint8), 3)
    pieces, count = ndimage.label(dark)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    return (dark > 0) & (sizes[pieces] >= 60)


# ------------------------------------------------------------------------------------------------------ the builder


def build(city: str, seed: int, variant: str, folder: Path) -> Case:
    """Write catalogue, site.geojson, truth.geojson and ground.tif into `folder`, or reuse what is there."""
    case = Case(city, seed, variant, folder)
    stamp = {"city": city, "seed": seed, "variant": variant, "version": VERSION}
    done = folder / "case.json"
    if done.is_file() and json.loads(done.read_text(encoding="utf-8")) == stamp:
        return case
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _Builder(Case(city, seed, variant, draft)).write()
    (draft / "case.json").write_text(json.dumps(stamp), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return case


class _Builder:
    """All that one series needs, drawn once; `write` renders it look by look."""

    def __init__(self, case: Case) -> None:
        self.case, self.variant = case, case.variant
        self.farming = self.variant not in ("quiet", "no-farm")
        self.climate = self.variant if self.variant in ("temperate", "mediterranean", "monsoon") else None
        self.climate = self.climate or ("temperate" if self.variant == "dark" else CLIMATES[case.city])
        whole = read_pair(case.city)
        self.pair = self._cropped(whole)
        self.shape = self.pair.label.shape
        self.lon, self.lat = self.pair.lonlat
        self.sun_lat = max(abs(self.lat), 50.0) if self.variant == "dark" else self.lat
        rng = self.rng(0)
        self.start = datetime(2020, 9, 1, tzinfo=UTC) + timedelta(days=int(rng.integers(0, 210)))
        self.span = int(rng.integers(740, 900))
        self.water = _water(self.pair.before)
        self._river(rng)
        self.soil_pool = self._bare_pixels()
        self.soil = np.median(self.soil_pool, axis=0)
        self.fields = self._fields(self.rng(1))
        self.green = self._green()
        self.share = {"before": self._canopy(self.pair.before), "after": self._canopy(self.pair.after)}
        self.objects = self._objects(self.rng(2))
        self.muddy = self._muddy_spells(self.rng(3))

    def rng(self, stream: int) -> np.random.Generator:
        words = (self.case.city, self.variant)
        return np.random.default_rng([self.case.seed, *(zlib.crc32(word.encode()) for word in words), stream])

    def _cropped(self, whole: Pair) -> Pair:
        if self.variant == "majority":
            return crop(whole, 256 if self.case.seed % 2 == 0 else 140)
        if self.variant == "river":
            wet = _water(np.nan_to_num(whole.before))
            return crop(whole, SIDE_PX, whole.label + 0.3 * ndimage.binary_dilation(wet, iterations=2))
        return crop(whole, SIDE_PX)

    # ---- ground

    def _bare_pixels(self) -> np.ndarray:
        """Spectra (n, band) of real bare ground of this city, averaged over 3 x 3 px."""
        smooth = np.stack([ndimage.uniform_filter(plane, 3) for plane in self.pair.before])
        index, bright = ndvi(smooth), smooth[:3].mean(axis=0)
        rough = ndimage.generic_gradient_magnitude(bright, ndimage.sobel)
        bare = (index > 0.05) & (index < 0.25) & (smooth[SWIR1] > 0.9 * smooth[NIR]) & ~self.water
        bare &= (bright > 0.07) & (bright < 0.28) & (rough < np.quantile(rough, 0.6))
        found = smooth[:, bare].T
        return found if len(found) >= 50 else np.array([GENERIC_SOIL])

    def _green(self) -> np.ndarray:
        index = ndvi(self.pair.before)
        most = self.pair.before[:, index >= max(float(np.quantile(index, 0.97)), 0.4)]
        return most.mean(axis=1) if most.shape[1] else np.array([0.025, 0.05, 0.03, 0.38, 0.4, 0.19, 0.09])

    def _canopy(self, stack: np.ndarray) -> np.ndarray:
        """Share of green canopy per pixel, by NDVI between soil and the greenest ground."""
        low = float(np.clip((self.soil[NIR] - self.soil[RED]) / (self.soil[NIR] + self.soil[RED]), 0.08, 0.25))
        high = float(max((self.green[NIR] - self.green[RED]) / (self.green[NIR] + self.green[RED]), low + 0.3))
        share = np.clip((ndvi(stack) - low) / (high - low), 0, 1)
        return (share * ~ndimage.binary_dilation(self.water, iterations=1)).astype(np.float32)

    def _fields(self, rng: np.random.Generator) -> Fields:
        before = self.pair.before
        colours = np.stack([before[RED] * 2, ndvi(before) * 0.5, before[NIR]], axis=-1)
        label = felzenszwalb(np.clip(colours, 0, 1), scale=50, sigma=0.7, min_size=20)
        count = int(label.max()) + 1
        index = ndvi(before)
        ids = np.arange(count)
        mean, spread = ndimage.mean(index, label, ids), ndimage.standard_deviation(index, label, ids)
        area = np.bincount(label.ravel(), minlength=count)
        bright = ndimage.mean(before[:3].mean(axis=0), label, ids)
        wet = ndimage.mean(self.water, label, ids)
        amplitude = np.where(mean > 0.65, rng.uniform(0.1, 0.5, count), rng.uniform(0.3, 0.85, count))
        open_ground = (mean > 0.18) & (spread < 0.11) & (area >= 25) & (area <= 4000) & (wet < 0.2) & (bright < 0.25)
        shown = regionprops_table(np.where(open_ground[label], label + 1, 0), properties=("label", "solidity"))
        compact = np.zeros(count, bool)
        compact[shown["label"][shown["solidity"] > 0.7] - 1] = True
        farmed = open_ground & compact & (rng.uniform(size=count) < 0.7) & self.farming
        spells: list[list[tuple[float, float, float]]] = [[] for _ in range(count)]
        years = self.span / 365.25 + 1
        for each in np.flatnonzero(farmed):
            season = float(rng.choice([60.0, 110.0, 200.0, 250.0, 290.0]) + rng.normal(0, 12))
            for year in range(-1, int(np.ceil(years)) + 1):
                if rng.uniform() < 0.9:
                    begin = season + 365 * year + float(rng.normal(0, 14)) - self.start.timetuple().tm_yday
                    spells[each].append((begin, float(rng.uniform(10, 55)), float(rng.uniform(25, 70))))
        soil = self.soil_pool[rng.integers(0, len(self.soil_pool), count)] * rng.normal(1, 0.08, (count, 1))
        return Fields(label, amplitude.astype(np.float32), rng.normal(0, 12, count), farmed, spells, soil)

    def _river(self, rng: np.random.Generator) -> None:
        """A river drawn through the crop where a `river` series has less than 600 px of water."""
        if self.variant != "river" or self.water.sum() >= 600:
            return
        rows, cols = self.shape
        across = np.arange(rows)
        middle = cols * rng.uniform(0.3, 0.7) + 0.12 * cols * np.sin(across / rows * 2 * np.pi * rng.uniform(0.7, 1.5))
        middle = middle + 6 * np.sin(across / 17.0)
        width = 5 + 2 * np.sin(across / 41.0 + 1)
        away = np.abs(np.arange(cols)[None] - middle[:, None])
        soft = np.clip(width[:, None] - away + 0.5, 0, 1).astype(np.float32)
        water = np.array(CLEAR_WATER, np.float32)[:, None, None]
        for stack in (self.pair.before, self.pair.after):
            stack += soft * (water * (1 + 0.05 * rng.normal(size=self.shape)) - stack)
        self.water |= soft > 0.5
        self.pair.label[:] &= soft == 0

    def _muddy_spells(self, rng: np.random.Generator) -> list[tuple[float, float, float]]:
        """(middle, half width in days, strength) of the times at which rivers carry sediment."""
        if self.variant != "river":
            return [(float(rng.uniform(0, self.span)), 10.0, 0.3)]
        return [
            (float(rng.uniform(0.15, 0.95) * self.span), float(rng.uniform(12, 50)), float(rng.uniform(0.5, 1.3)))
            for _ in range(int(rng.integers(3, 6)))
        ]

    # ---- objects

    def _objects(self, rng: np.random.Generator) -> list[Object]:
        if self.variant in ("quiet", "quiet-farm"):
            return []
        made: list[Object] = []
        taken = np.zeros(self.shape, bool)
        if self.variant == "majority":
            self._blocks(rng, made, taken)
        if self.variant in ("roofs", "dark"):
            self._halls(rng, made, taken)
        pieces, _ = ndimage.label(self.pair.label & ~ndimage.binary_dilation(taken, iterations=2), np.ones((3, 3)))
        for number, window in enumerate(ndimage.find_objects(pieces), 1):
            mask = pieces[window] == number
            if mask.sum() >= MIN_PX:
                self._add(rng, made, pieces == number, self.pair.after, f"c{number}", "label")
        return made

    def _add(
        self, rng: np.random.Generator, made: list[Object], mask: np.ndarray, target: np.ndarray, id: str, source: str
    ) -> None:
        rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        window = (
            slice(max(rows[0] - 3, 0), min(rows[-1] + 4, self.shape[0])),
            slice(max(cols[0] - 3, 0), min(cols[-1] + 4, self.shape[1])),
        )
        soft = ndimage.gaussian_filter(mask[window].astype(np.float32), 0.7)
        low, high = (0.45, 0.62) if self.variant == "majority" else (0.35, 0.85)
        day = max(float(rng.uniform(low, high)) * self.span, 215.0)
        lot = rng.uniform()
        gradual = 0.4 if self.variant == "majority" else GRADUAL_SHARE
        mode = "gradual" if lot < gradual else "soil" if lot < gradual + SOIL_SHARE else "sudden"
        lasting = {"sudden": 0.0, "soil": rng.uniform(30, 120), "gradual": rng.uniform(60, 150)}[mode]
        begins = self.start + timedelta(days=round(day))
        shape = soft.shape
        ramp = np.add.outer(np.linspace(-1, 1, shape[0]) * rng.normal(), np.linspace(-1, 1, shape[1]) * rng.normal())
        order = ramp + 0.3 * ndimage.gaussian_filter(rng.normal(size=shape), 2)
        order = (order - order.min()) / max(float(np.ptp(order)), 1e-6)
        made.append(
            Object(
                id=id,
                source=source,
                window=window,
                mask=mask[window],
                soft=soft,
                target=target[:, *window].copy(),
                begins=begins,
                ends=begins + timedelta(days=round(lasting)),
                mode=mode,
                soil=self.soil_pool[rng.integers(len(self.soil_pool))] * rng.normal(1, 0.05),
                order=order,
                properties=self._visibility(mask, window, target),
            )
        )

    def _visibility(self, mask: np.ndarray, window: tuple[slice, slice], target: np.ndarray) -> dict[str, Any]:
        reach = tuple(slice(max(part.start - 8, 0), part.stop + 8) for part in window)
        inside = mask[reach]
        near, far = ndimage.binary_dilation(inside, iterations=2), ndimage.binary_dilation(inside, iterations=9)
        ring = far & ~near & ~self.pair.label[reach]
        change = target[:, *reach] - self.pair.before[:, *reach]
        mean = change[:, inside].mean(axis=1)
        # the ground around never changes in the series: its difference is what is real between the two dates
        around = (self.pair.after - self.pair.before)[:, *reach][:, ring] if ring.sum() >= 10 else np.zeros((7, 1))
        centre = np.median(around, axis=1)
        scatter = np.maximum(1.4826 * np.median(np.abs(around - centre[:, None]), axis=1), 0.01)
        z = float(np.sqrt(np.mean(((mean - centre) / scatter) ** 2)))
        size = float(np.abs(mean).mean())
        visible = z >= VISIBLE_Z and size >= VISIBLE_CHANGE
        tone = "brighter" if mean[:3].mean() >= 0 else "darker"
        return {"z": round(z, 2), "change": round(size, 4), "visible": bool(visible), "tone": tone,
                "change_by_band": [round(float(each), 4) for each in mean]}  # fmt: skip

    def _blocks(self, rng: np.random.Generator, made: list[Object], taken: np.ndarray) -> None:
        """Whole blocks: after pixels of this city, and built ground of another one, until 30 to 60 % has changed."""
        rows, cols = self.shape
        size = 124
        top, left = (rows - size) // 2, (cols - size) // 2
        goal = float(rng.uniform(0.32, 0.55)) * size * size
        donor = self._donor(rng)
        built = _built(donor)
        for attempt in range(300):
            if taken[top : top + size, left : left + size].sum() >= goal:
                break
            area = float(np.exp(rng.uniform(np.log(200), np.log(2000))))
            mask = _turned_box(self.shape, rng, (top, left, size), area)
            if mask.sum() < 150 or (ndimage.binary_dilation(mask, iterations=1) & taken).any():
                continue
            if rng.uniform() < 0.35 and self.pair.label[mask].mean() > 0.1:
                target, source = self.pair.after, "block of the later date"
            else:
                target, source = self._patch(rng, donor, built, mask), f"built ground of {donor.name}"
            taken |= mask
            self._add(rng, made, mask, target, f"b{attempt}", source)

    def _donor(self, rng: np.random.Generator) -> Pair:
        group = HELD_OUT if self.case.city in HELD_OUT else DEVELOPMENT
        return read_pair(str(rng.choice([city for city in group if city != self.case.city])))

    def _patch(self, rng: np.random.Generator, donor: Pair, built: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Real pixels of the donor's most built window of the size of the mask, laid under the mask."""
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        height, width = rows[-1] - rows[0] + 9, cols[-1] - cols[0] + 9
        share = _box_sum(built, height, width)
        best = np.flatnonzero(share >= np.quantile(share, 0.995))
        at = np.unravel_index(int(rng.choice(best)), share.shape)
        piece = donor.after[:, at[0] : at[0] + height, at[1] : at[1] + width]
        target = self.pair.before.copy()
        top, left = max(rows[0] - 4, 0), max(cols[0] - 4, 0)
        place = target[:, top : top + height, left : left + width]
        place[:] = piece[:, : place.shape[1], : place.shape[2]]
        return target

    def _halls(self, rng: np.random.Generator, made: list[Object], taken: np.ndarray) -> None:
        """Rectangular halls: bright roofs with spectra of another city, or dark ones at half of the ground's level."""
        spectra = None if self.variant == "dark" else _roof_spectra(self._donor(rng))
        count, attempt = 0, 0
        rows, cols = self.shape
        wanted = 8 if self.variant == "dark" else 5
        while count < wanted and attempt < 400:
            attempt += 1
            area = float(np.exp(rng.uniform(np.log(20), np.log(200 if self.variant == "dark" else 300))))
            mask = _turned_box(self.shape, rng, (20, 20, min(rows, cols) - 40), area)
            if (ndimage.binary_dilation(mask, iterations=4) & (taken | self.pair.label | self.water)).any():
                continue
            ground = self.pair.before[:, mask].mean(axis=1)
            if self.variant == "dark" and ground[:3].mean() < 0.06:
                continue
            level = ground * 0.5 if spectra is None else spectra[rng.integers(len(spectra))]
            texture = 1 + 0.04 * rng.normal(size=self.shape) + 0.02 * rng.normal(size=(len(BANDS), *self.shape))
            target = (level[:, None, None] * texture).astype(np.float32)
            taken |= mask
            self._add(rng, made, mask, target, f"h{count}", "dark hall" if spectra is None else "bright hall")
            count += 1

    # ---- looks

    def greenness(self, day: float | np.ndarray) -> Any:
        """0..1 of the year's green, day: of the year, on the northern hemisphere."""
        peak = {"temperate": 180.0, "mediterranean": 95.0, "monsoon": 275.0}[self.climate]
        phase = 2 * np.pi * (np.asarray(day) + (182 if self.lat < 0 else 0) - peak) / 365.25
        return np.clip(0.5 + 0.42 * np.cos(phase) + 0.08 * np.cos(2 * phase), 0, 1)

    def passes(self, rng: np.random.Generator) -> list[tuple[datetime, float]]:
        """Filed looks: time and cloud cover. Overcast passes are not filed."""
        made: list[tuple[datetime, float]] = []
        day = 0.0
        while day < self.span:
            when = self.start + timedelta(days=round(day))
            month = (when.month + (6 if self.lat < 0 else 0) - 1) % 12 + 1
            overcast = {
                "temperate": 0.5 if month in (11, 12, 1, 2) else 0.25,
                "mediterranean": 0.4 if month in (11, 12, 1, 2, 3) else 0.1,
                "monsoon": 0.93 if month in (6, 7, 8, 9) else 0.2,
            }[self.climate]
            if rng.uniform() > overcast:
                hour = (10.6 - self.lon / 15) % 24
                cover = 0.0 if rng.uniform() < 0.5 else float(rng.uniform(0.05, 0.65))
                made.append((when + timedelta(hours=hour), cover))
            day += float(rng.choice([5, 5, 10, 10, 15])) + float(rng.integers(0, 2))
        keep = sorted(rng.permutation(len(made))[:MAX_LOOKS])
        return [made[each] for each in keep]

    def write(self) -> None:
        folder, items = self.case.folder, []
        rng = self.rng(5)
        times = self.passes(rng)
        for number, (when, cover) in enumerate(times):
            items.append(self._look(number, when, cover, self.rng(100 + number)))
        note = "semi-real: real before and after pixels, simulated time and weather"
        write_catalogue(folder, self.case.name, self.case.name, note, items, {"groundbreak:simulated": True})
        self._write_truth(times)
        self._write_site()
        self._write_ground()

    def scene(self, when: datetime) -> np.ndarray:
        """Reflectance of the ground on a date, without weather and noise."""
        days = (when - self.start).total_seconds() / 86400
        yday = when.timetuple().tm_yday
        plot = self.fields
        now = self.greenness(yday - plot.lag)
        base = self.greenness(self.pair.before_day.timetuple().tm_yday - plot.lag)
        ratio = np.clip((1 - plot.amplitude * (1 - now)) / (1 - plot.amplitude * (1 - base)), 0.1, 2.2)
        bare = np.zeros(len(ratio))
        for each in np.flatnonzero(plot.farmed):
            for begin, length, regrowth in plot.spells[each]:
                if begin <= days < begin + length + regrowth:
                    bare[each] = min(1.0, (days - begin + 3) / 6, (begin + length + regrowth - days) / regrowth)
        axis = (self.green - self.soil).astype(np.float32)[:, None, None]
        share = self.share["before"]
        moved = np.clip(share * ndimage.gaussian_filter(ratio[plot.label], 0.7), 0, 1) - share
        stack = np.maximum(self.pair.before + moved * axis, 0.004)
        if bare.any():
            cover = FIELD_COVER * ndimage.gaussian_filter(bare[plot.label], 0.9)
            grain = 1 + 0.5 * (self.pair.before[NIR] / ndimage.gaussian_filter(self.pair.before[NIR], 3) - 1)
            wet = 1 - 0.18 * np.random.default_rng([self.case.seed, yday]).uniform()
            soil = np.stack([ndimage.gaussian_filter(level[plot.label], 0.7) for level in plot.soil.T])
            stack += cover * (soil * np.clip(grain, 0.7, 1.3) * wet - stack)
        self._mud(stack, days)
        for each in self.objects:
            self._draw(each, stack, when, yday, axis)
        return stack

    def _mud(self, stack: np.ndarray, days: float) -> None:
        strength = sum(size * float(np.exp(-0.5 * ((days - at) / width) ** 2)) for at, width, size in self.muddy)
        if strength > 0.02 and self.water.any():
            soft = ndimage.gaussian_filter(self.water.astype(np.float32), 0.7)
            field_ = 1 + 0.25 * smooth_field(self.shape, np.random.default_rng([self.case.seed, 9]), 2.2)
            stack += soft * strength * np.clip(field_, 0.2, 2) * np.array(SEDIMENT)[:, None, None]

    def _draw(self, each: Object, stack: np.ndarray, when: datetime, yday: int, axis: np.ndarray) -> None:
        if when < each.begins:
            return
        window = (slice(None), *each.window)
        share = self._canopy_of(each)
        base = float(self.greenness(self.pair.after_day.timetuple().tm_yday))
        ratio = (1 - 0.5 * (1 - float(self.greenness(yday)))) / (1 - 0.5 * (1 - base))
        target = np.maximum(each.target + (np.clip(share * ratio, 0, 1) - share) * axis, 0.004)
        weight = each.soft
        if each.mode == "soil" and when < each.ends:
            grain = 1 + 0.03 * np.random.default_rng([self.case.seed, each.window[0].start]).normal(size=weight.shape)
            target = each.soil[:, None, None] * grain
        elif each.mode == "gradual" and when < each.ends:
            part = (when - each.begins) / (each.ends - each.begins)
            weight = weight * np.clip((part * 1.4 - each.order) / 0.4, 0, 1)
        stack[window] += weight * (target - stack[window])

    def _canopy_of(self, each: Object) -> np.ndarray:
        if "share" not in each.properties:
            each.properties["share"] = self._canopy_plane(each.target)
        return each.properties["share"]

    def _canopy_plane(self, stack: np.ndarray) -> np.ndarray:
        low, high = 0.2, 0.8
        return np.clip((ndvi(stack) - low) / (high - low), 0, 1).astype(np.float32)

    def _look(self, number: int, when: datetime, cover: float, rng: np.random.Generator) -> Path:
        zenith, azimuth = sun_position(when, self.sun_lat)
        stack = self.scene(when)
        base, _ = sun_position(
            datetime(self.pair.before_day.year, self.pair.before_day.month, 15, tzinfo=UTC), self.lat
        )
        bright = stack[:4].mean(axis=0)
        smooth = ndimage.gaussian_filter(bright, 2.5)
        relief = np.clip((smooth - bright) / np.maximum(smooth, 0.02), 0, 0.6)
        longer = float(np.clip(np.tan(np.radians(zenith)) - np.tan(np.radians(base)), -1, 2.5))
        stack *= np.clip(1 - 0.25 * longer * relief, 0.3, 1.2)
        cloud, shade = _clouds(self.shape, cover, (zenith, azimuth), rng)
        stack = _moved(stack, rng.normal(0, 0.35), rng.normal(0, 0.35))
        haze = rng.gamma(1.3, 0.006) * np.clip(1 + 0.35 * smooth_field(self.shape, rng, 2.4), 0.2, 2)
        gain = 1 + rng.normal(0, 0.04) - 0.02 * longer
        offset = rng.normal(0, 0.006)
        for band in range(len(BANDS)):
            plane = stack[band] * (1 - shade * (1 - CLOUD_SHADE[band]))
            plane = (gain + rng.normal(0, 0.01)) * plane + haze * HAZE[band]
            plane = plane + offset * (0.5 + 0.5 * HAZE[band]) + rng.normal(0, 0.0015)
            top = CLOUD[band] * (1 + 0.1 * (cloud - 0.7))
            stack[band] = plane + cloud * (top - plane)
        for each in self.objects:
            inside = each.mask
            if float(((cloud[each.window] < 0.1) & (shade[each.window] < 0.15))[inside].mean()) >= 0.5:
                each.clear.append(when.date().isoformat())
        classes = self._classes(stack, cloud, shade, rng, when)
        return self._file(number, when, stack, classes, (zenith, azimuth), rng)

    def _classes(
        self, stack: np.ndarray, cloud: np.ndarray, shade: np.ndarray, rng: np.random.Generator,
        when: datetime,
    ) -> np.ndarray:  # fmt: skip
        """A scene classification that misses thin cloud and some shadow, dilates, and takes bright roofs for cloud."""
        index = ndvi(stack)
        classes = np.full(self.shape, 5, np.uint8)
        classes[index > 0.38] = 4
        classes[(index < 0) & (stack[NIR] < 0.1)] = 6
        classes[(index < 0.05) & (stack[NIR] < 0.07) & (rng.uniform() < 0.3)] = 2
        limit, reach = rng.uniform(0.22, 0.42), int(rng.integers(1, 5))
        if rng.uniform() < 0.65:
            classes[ndimage.binary_dilation(shade > 0.4, iterations=2)] = 3
        seen = ndimage.binary_dilation(cloud > limit, iterations=reach)
        if rng.uniform() > 0.06:
            classes[seen] = 8
            classes[cloud > 0.65] = 9
            classes[(cloud > 0.08) & ~seen & (rng.uniform() < 0.4)] = 10
        if self.variant == "roofs":
            roofs = self._bright(stack)
            for each in self.objects:
                if each.source == "bright hall" and when >= each.ends:
                    roofs[each.window] |= each.soft > 0.4
            classes[ndimage.binary_dilation(roofs)] = 9
        else:
            classes[self._bright(stack) & (rng.uniform() < 0.35)] = 8
        return classes

    def _bright(self, stack: np.ndarray) -> np.ndarray:
        return np.asarray((stack[:3].mean(axis=0) > 0.3) & (ndvi(stack) < 0.2))

    def _file(
        self, number: int, when: datetime, stack: np.ndarray, classes: np.ndarray, sun: tuple[float, float],
        rng: np.random.Generator,
    ) -> Path:  # fmt: skip
        late = when >= BASELINE_0400
        offset = 1000 if late else 0
        grid = self.pair.grid
        coarse = GeoBox((self.shape[0] // 2, self.shape[1] // 2), grid.affine * Affine.scale(2), grid.crs)
        assets: dict[str, Any] = {}
        for band, plane in zip(BANDS, stack, strict=True):
            if self.variant == "rgb" and band not in (Band.B02, Band.B03, Band.B04):
                continue
            wide = band.native_m > 10
            level = plane if not wide else _halved(plane)
            level = level * (1 + rng.normal(0, 0.008, level.shape)) + rng.normal(0, 0.0012, level.shape)
            dn = np.clip(np.round(level * 10000) + offset, 1, 65535).astype(np.uint16)
            assets[band.role] = (dn, coarse if wide else grid)
        if self.variant != "rgb":
            assets["scl"] = (classes[::2, ::2].copy(), coarse)
        baseline = "04.00" if late else "02.14"
        properties = {
            "constellation": "sentinel-2",
            "s2:product_type": "S2MSI2A",
            "s2:datatake_id": f"GS2A_{when:%Y%m%dT%H%M%S}_{number:06d}_N{baseline}",
            "s2:processing_baseline": baseline,
            "view:sun_azimuth": round(sun[1], 3),
            "view:sun_elevation": round(90 - sun[0], 3),
            "groundbreak:simulated": "semi-real",
        }
        name = f"{self.case.city}-{when:%Y%m%d}"
        return write_item(self.case.folder, name, when, assets, properties, offset=-offset / 10000)

    # ---- truth

    def _write_truth(self, times: Sequence[tuple[datetime, float]]) -> None:
        grid = self.pair.grid
        features = []
        for each in self.objects:
            mask = np.zeros(self.shape, np.uint8)
            mask[each.window][each.mask] = 1
            outline = unary_union([shape(part) for part, level in shapes(mask, mask > 0, 8, grid.affine) if level])
            kept = {key: value for key, value in each.properties.items() if key != "share"}
            properties = {
                "id": each.id, "source": each.source, "mode": each.mode, "begins": str(each.begins.date()),
                "ends": str(each.ends.date()), "area_m2": round(float(outline.area), 1), **kept,
                "clear_looks": each.clear,
            }  # fmt: skip
            features.append({"type": "Feature", "properties": properties, "geometry": _lonlat(outline, str(grid.crs))})
        record = {
            "city": self.case.city, "variant": self.variant, "seed": self.case.seed, "climate": self.climate,
            "looks": [[str(when.date()), round(cover, 2)] for when, cover in times],
            "share_changed": round(float(sum(each.mask.sum() for each in self.objects) / np.prod(self.shape)), 3),
        }  # fmt: skip
        _write_json(self.case.folder / "truth.geojson", features, semireal=record)

    def _write_site(self) -> None:
        rows, cols = self.shape
        grid, edge = self.pair.grid, AOI_MARGIN_PX
        (left, top), (right, bottom) = grid.affine * (edge, edge), grid.affine * (cols - edge, rows - edge)
        properties = {"id": self.case.name.replace("_", "-"), "name": self.case.name, "catalog": "catalog.json"}
        aoi = _lonlat(box(left, bottom, right, top), str(grid.crs))
        _write_json(self.case.folder / "site.geojson", [{"type": "Feature", "properties": properties, "geometry": aoi}])

    def _write_ground(self) -> None:
        classes = np.zeros(self.shape, np.uint8)
        classes[(self.share["before"] > 0.25) | self.fields.farmed[self.fields.label]] = FIELD
        classes[ndimage.binary_dilation(self.water)] = WATER
        classes[ndimage.binary_dilation(self._bright(self.pair.before))] = ROOF
        grid = self.pair.grid
        profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": self.shape[0], "width": self.shape[1],
                   "crs": str(grid.crs), "transform": grid.affine, "compress": "deflate"}  # fmt: skip
        with rasterio.open(self.case.folder / "ground.tif", "w", **profile) as out:
            out.write(classes, 1)


def _turned_box(
    size: tuple[int, ...], rng: np.random.Generator, place: tuple[int, int, int], area: float
) -> np.ndarray:
    """A rectangle of `area` px, turned by any angle, with its centre within the square (top, left, side)."""
    top, left, side = place
    row, col = top + rng.uniform(0.05, 0.95) * side, left + rng.uniform(0.05, 0.95) * side
    aspect, angle = rng.uniform(1, 2.5), rng.uniform(0, np.pi)
    rows, cols = np.indices(size)
    along = (cols - col) * np.cos(angle) + (rows - row) * np.sin(angle)
    across = -(cols - col) * np.sin(angle) + (rows - row) * np.cos(angle)
    inside = (np.abs(along) <= np.sqrt(area * aspect) / 2) & (np.abs(across) <= np.sqrt(area / aspect) / 2)
    inside[:, :2] = inside[:, -2:] = inside[:2] = inside[-2:] = False
    inside[:, : max(left, 2)] = inside[: max(top, 2)] = inside[top + side :] = inside[:, left + side :] = False
    return inside


def _built(pair: Pair) -> np.ndarray:
    """Bright, bare and rough: built ground of a city after its changes."""
    stack = np.nan_to_num(pair.after)
    bright = stack[:3].mean(axis=0)
    good = np.isfinite(pair.after).all(axis=0)
    use = good & (ndvi(stack) < 0.3)
    limit = float(np.quantile(bright[use], 0.6))
    built = (use & (bright > limit)).astype(float)
    built[~ndimage.binary_erosion(good, iterations=3)] = -100
    return built


def _roof_spectra(pair: Pair) -> np.ndarray:
    """Spectra (n, band) of the brightest compact roofs of a city: 3 x 3 means that are locally uniform."""
    stack = np.nan_to_num(pair.after)
    mean = np.stack([ndimage.uniform_filter(plane, 3) for plane in stack])
    bright = mean[:3].mean(axis=0)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(stack[RED] ** 2, 3) - mean[RED] ** 2, 0))
    even = (spread < 0.15 * mean[RED]) & (ndvi(mean) < 0.12) & (bright < 0.7)
    limit = min(float(np.quantile(bright[even], 0.985)), 0.33)
    return mean[:, even & (bright >= limit)].T


def smooth_field(size: tuple[int, ...], rng: np.random.Generator, slope: float) -> np.ndarray:
    """Random field with a power-law spectrum, zero mean and unit spread."""
    rows, cols = (int(ndimage_fast(each)) for each in size)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None])
    frequency[0, 0] = np.inf
    made = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(rows, cols))) / frequency**slope, (rows, cols))
    made = made[: size[0], : size[1]]
    return np.asarray((made - made.mean()) / max(float(made.std()), 1e-9), np.float32)


def ndimage_fast(size: int) -> int:
    """The next multiple of 64, a size that the Fourier transform handles fast."""
    return -(-size // 64) * 64


def _clouds(
    size: tuple[int, ...], cover: float, sun: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cloud and cloud shadow, 0..1 each."""
    if cover <= 0:
        return np.zeros(size, np.float32), np.zeros(size, np.float32)
    edge = 96
    wide = (size[0] + 2 * edge, size[1] + 2 * edge)
    made = ndimage.gaussian_filter(smooth_field(wide, rng, float(rng.uniform(1.4, 2.1))), 0.8)
    limit = float(np.quantile(made[edge:-edge, edge:-edge], 1 - cover))
    cloud = np.clip((made - limit) / float(rng.uniform(0.2, 0.6)), 0, 1) ** 0.8
    reach = min(float(rng.uniform(600, 2500)) * np.tan(np.radians(sun[0])) / 10, 90.0 + edge)
    azimuth = np.radians(sun[1])
    by = (round(reach * float(np.cos(azimuth))), round(-reach * float(np.sin(azimuth))))
    shade = ndimage.gaussian_filter(np.roll(cloud, by, (0, 1)), 1.0)
    inner = (slice(edge, -edge), slice(edge, -edge))
    return cloud[inner].astype(np.float32), (np.clip(shade, 0, 1) * (1 - cloud))[inner].astype(np.float32)


def _moved(stack: np.ndarray, rows: float, cols: float) -> np.ndarray:
    """Cubic convolution (Keys 1981) by a constant shift, edges repeated."""
    out = stack
    for axis, shift in ((1, rows), (2, cols)):
        whole = int(np.floor(shift))
        part = shift - whole
        taps = [-1, 0, 1, 2]
        weights = [_keys(part - tap) for tap in taps]
        pad = [(0, 0)] * 3
        pad[axis] = (4, 4)
        padded = np.pad(out, pad, mode="edge")
        length = out.shape[axis]
        total = np.zeros_like(out)
        for tap, weight in zip(taps, weights, strict=True):
            begin = int(np.clip(4 + whole + tap, 0, 8))
            total += np.float32(weight) * np.take(padded, np.arange(begin, begin + length), axis=axis)
        out = total
    return np.maximum(out, 0.001)


def _keys(x: float) -> float:
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def _halved(plane: np.ndarray) -> np.ndarray:
    rows, cols = plane.shape
    return plane.reshape(rows // 2, 2, cols // 2, 2).mean(axis=(1, 3))


def sun_position(when: datetime, lat: float) -> tuple[float, float]:
    """(zenith, azimuth) in degrees at half past ten local solar time (declination after Spencer 1971)."""
    turn = 2 * np.pi * (when.timetuple().tm_yday - 1) / 365
    decl = 0.006918 - 0.399912 * np.cos(turn) + 0.070257 * np.sin(turn) - 0.006758 * np.cos(2 * turn)
    hour, phi = np.radians(-22.5), np.radians(lat)
    high = np.sin(phi) * np.sin(decl) + np.cos(phi) * np.cos(decl) * np.cos(hour)
    east = -np.cos(decl) * np.sin(hour)
    north = np.cos(phi) * np.sin(decl) - np.sin(phi) * np.cos(decl) * np.cos(hour)
    return float(np.degrees(np.arccos(np.clip(high, -1, 1)))), float(np.degrees(np.arctan2(east, north)) % 360)


def _lonlat(outline: Any, crs: str) -> Any:
    return mapping(Geometry(outline, crs).to_crs("EPSG:4326").geom)


def _write_json(path: Path, features: list[Any], **extra: Any) -> None:
    path.write_text(
        json.dumps({"type": "FeatureCollection", **extra, "features": features}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cities", default="dev")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pickle-looks", choices=("yes", "no"), default="no")
    parser.add_argument("--aoi-size", action="store_true", help="judge objects in 1 km AOIs and in the whole city")
    parser.add_argument("--count", type=int, default=50, help="objects of --aoi-size")
    given = parser.parse_args()
    groups = {"dev": DEVELOPMENT, "held": HELD_OUT, "all": DEVELOPMENT + HELD_OUT}
    chosen = groups.get(given.cities) or tuple(given.cities.split(","))
    if given.aoi_size:
        print(compare_aoi_sizes(chosen if given.cities != "dev" else groups["all"], given.count, given.work))
        raise SystemExit
    print(main(chosen, given.variants.split(","), given.seeds, given.work, given.json, given.pickle_looks == "yes"))
