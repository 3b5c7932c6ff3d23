"""Simulated looks for the tests of the decision: fields with a season of light, and buildings painted on them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.transform import from_origin
from scipy import ndimage
from shapely.geometry import box

from pipeline.decide.alerts import decide_site, founding_looks, in_order, times_between
from pipeline.decide.objects import Stack
from pipeline.decide.residuals import build_baseline, residual_of
from pipeline.decide.screening import advance_screening, begin_screening, leaf_to_soil, natural_steps
from pipeline.decide.steps import Times
from pipeline.model.alert import Decision
from pipeline.model.bands import Band
from pipeline.model.imagery import Alignment, DeclaredOffset, Granule, Level, Look, Scene, Why
from pipeline.model.settings import Settings
from pipeline.model.site import Site

CRS, LEFT, TOP, SIDE = "EPSG:32634", 500_000.0, 5_000_000.0, 72
GRID = GeoBox((SIDE, SIDE), from_origin(LEFT, TOP, 10, 10), CRS)
BANDS = (Band.B02, Band.B03, Band.B04, Band.B08, Band.B11)
SOIL = np.array([0.06, 0.08, 0.10, 0.22, 0.28])
GRASS = np.array([0.03, 0.06, 0.04, 0.38, 0.18])
ROOF = np.array([0.30, 0.31, 0.32, 0.34, 0.36])
DARK_ROOF = np.array([0.07, 0.07, 0.07, 0.09, 0.10])
BUILDING = (slice(32, 38), slice(33, 41))
FIRST = datetime(2020, 4, 1, 9, 30, tzinfo=UTC)
STEP_DAYS, NOISE = 10, 0.004
Ground = tuple[slice, slice]


def site_between(left: int = 10, right: int = SIDE - 10) -> Site:
    """A site with an AOI from column `left` to column `right`."""
    area = box(LEFT + 10 * left, TOP - 10 * (SIDE - 10), LEFT + 10 * right, TOP - 100)
    return Site(id="place", name="Place", aoi=Geometry(area, CRS).to_crs("EPSG:4326").geom, grid=GRID)


@cache
def _fields() -> NDArray[np.float64]:
    """(band, row, col) reflectance of a mosaic of grass and soil."""
    fixed = np.random.default_rng(3)
    coarse = ndimage.zoom(fixed.uniform(0, 1, (9, 9)), 8, order=0)
    fine = ndimage.gaussian_filter(fixed.normal(0, 1, (SIDE, SIDE)), 0.8)
    share = np.clip(0.15 + 0.7 * coarse + 0.12 * fine, 0, 1)
    return share * GRASS[:, None, None] + (1 - share) * SOIL[:, None, None]


def _light(index: int) -> tuple[float, float]:
    """Gain and haze of a look."""
    return 1 + 0.03 * float(np.sin(index)), 0.002 * (index % 3)


@cache
def scene_at(index: int, step_days: int = STEP_DAYS) -> Scene:
    """The scene of the look with this index."""
    granule = Granule(
        id=f"g{index}", tile=None, baseline=None, generated=None,
        declared_offset=DeclaredOffset(dn=0, reason="simulated"),
        assets={}, scl=None, crs=CRS, footprint=box(0, 0, 1, 1),
    )  # fmt: skip
    return Scene(
        id=f"s{index:02}", time=FIRST + timedelta(days=step_days * index), level=Level.L2A, platform=None,
        relative_orbit=None, collection="simulated", granules=(granule,),
    )  # fmt: skip


@cache
def unchanged(index: int, step_days: int = STEP_DAYS) -> Look:
    """A clear look of the fields: own gain, haze and noise."""
    own, (gain, haze) = np.random.default_rng(100 + index), _light(index)
    values = gain * _fields() + haze + own.normal(0, NOISE, _fields().shape)
    return Look(
        scene=scene_at(index, step_days), grid=GRID, bands=BANDS, reflectance=values.astype(np.float32),
        why=np.zeros((SIDE, SIDE), np.uint8), alignment=Alignment(shift=(0.0, 0.0), accepted=True, reliability=1.0),
        noise=np.full(len(BANDS), NOISE, np.float32), boa_offset_dn=0,
    )  # fmt: skip


def painted(look: Look, ground: Ground, spectrum: NDArray[np.float64], share: float = 1.0) -> Look:
    """A look of which some ground, or a share of each of its pixels, has another spectrum in the look's own light."""
    index, values = int(look.scene.id[1:]), look.reflectance.copy()
    gain, haze = _light(index)
    own = unchanged(index).reflectance - gain * _fields() - haze
    new = gain * spectrum[:, None, None] + haze + own[(slice(None), *ground)]
    values[(slice(None), *ground)] = (1 - share) * values[(slice(None), *ground)] + share * new
    return replace(look, reflectance=values.astype(np.float32))


def clouded(look: Look, where: NDArray[np.bool_] | Ground) -> Look:
    """A look with cloud on some pixels."""
    why = look.why.copy()
    why[where] = Why.CLOUD
    return replace(look, why=why)


def clouds(rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """(row, col): smooth clouds over a share of the grid."""
    field = ndimage.gaussian_filter(rng.normal(0, 1, (SIDE, SIDE)), 8)
    return np.asarray(field < np.quantile(field, share))


def looks_with(
    count: int, *phases: tuple[int, int, Ground, NDArray[np.float64]], step_days: int = STEP_DAYS
) -> list[Look]:
    """Looks of the fields. phases: (first look, last look + 1, ground, its spectrum then)."""
    looks = []
    for index in range(count):
        look = unchanged(index, step_days)
        for first, last, ground, spectrum in phases:
            look = painted(look, ground, spectrum) if first <= index < last else look
        looks.append(look)
    return looks


def day(index: int, step_days: int = STEP_DAYS) -> date:
    """The day of a look."""
    return (FIRST + timedelta(days=step_days * index)).date()


def decided(looks: Sequence[Look], site: Site | None = None, settings: Settings | None = None) -> Decision:
    """The decision on some looks."""
    return decide_site(site or site_between(), looks, settings or Settings())


def stack_of(looks: Sequence[Look]) -> tuple[tuple[Look, ...], Stack]:
    """The looks in time order, and what `decide_site` makes of them before it grows objects."""
    ordered = in_order(looks)
    known = founding_looks(site_between(), len(ordered), Settings())
    baseline = build_baseline(ordered[:known])
    residuals = [residual_of(look, baseline) for look in ordered]
    times = times_between(ordered, residuals, known)
    first = Times(days=times.days[:known], weights=times.weights[:known])
    natural = natural_steps(baseline, residuals[:known], first, leaf_to_soil(baseline, BANDS))
    screening = advance_screening(begin_screening(baseline), baseline, natural, residuals, times)
    return ordered, Stack(baseline=baseline, natural=natural, residuals=residuals, times=times, screening=screening)
