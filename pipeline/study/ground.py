"""Ground of a simulation: one clear real image, its canopy and parcels, and their season."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy import ndimage
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union
from skimage.segmentation import felzenszwalb

from pipeline.catalogue.duplicate_products import merge_duplicates
from pipeline.catalogue.folders import find_pair_input, read_pair_input
from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.static import read_static
from pipeline.correct.look import make_unregistered
from pipeline.correct.reference import UnregisteredImage
from pipeline.model.bands import ANALYSIS, Band
from pipeline.model.errors import UsageError
from pipeline.model.grid import site_grid
from pipeline.model.imagery import Chip, Rejection, Scene
from pipeline.model.indices import ndvi, near_infrared
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.study.materials import BROWNING, canopy_greenness

MAX_SIDE_PX = 300
"""Largest side of the ground in pixels: enough for a site, and a catalogue within a minute."""
MIN_SIDE_PX = 20
GREEN, DENSE = 0.25, 0.80
"""NDVI at which a canopy begins and at which it is closed."""
GREEN_NIR = 0.40
"""Brightness of the canopy in full light on which BROWNING was measured; shaded canopy changes by less."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """grid: 10 m. base: band -> (row, col) reflectance on the band's native grid. canopy: the same, 0..1 of the pixel.
    parcels: (row, col) int32 on `grid`, pieces of like ground. source: words for the record.
    """

    grid: GeoBox
    base: Mapping[Band, NDArray[np.float32]]
    canopy: Mapping[Band, NDArray[np.float32]]
    parcels: NDArray[np.int32]
    source: str

    def native(self, band: Band) -> GeoBox:
        """The grid of a band: that of the ground at 10 m, or every second line of it at 20 m."""
        return native_grid(self.grid, band)


def native_grid(grid: GeoBox, band: Band) -> GeoBox:
    """A band's own grid over a 10 m grid of even size."""
    step = 2 if band.native_m > 10 else 1
    return GeoBox((grid.shape[0] // step, grid.shape[1] // step), grid.affine @ Affine.scale(step), grid.crs)


def read_ground(source: Path) -> Ground:
    """Ground from a folder of bands, a product or a file (one date), or from the clearest scene of a static catalogue.

    Raises UsageError where nothing there can serve, PixelError for damaged files.
    """
    if (source / "catalog.json").exists() or source.suffix == ".json":
        _, scenes = catalogue_scenes(source)
        chip, grid = _clearest_chip(scenes, source)
    else:
        side = find_pair_input(source, "--ground")
        grid = even_grid(site_grid(side.footprint, 0))
        chip = read_pair_input(side, side.scene, grid, tuple(band for band in ANALYSIS if band in side.files))
    bands = tuple(band for band in ANALYSIS if band in chip.dn)
    return made_of({band: _warp_band(chip, band, native_grid(grid, band)) for band in bands}, grid, source.name)


def catalogue_scenes(source: Path) -> tuple[Site, tuple[Scene, ...]]:
    """All acquisitions of a static catalogue over the ground that its items share."""
    result = read_static(str(source), ())
    if not result.products:
        raise UsageError("no items in it", f"--ground {source}", "name a static STAC catalogue or a folder of bands")
    shared = result.products[0].granule.footprint
    for product in result.products[1:]:
        shared = shared.intersection(product.granule.footprint)
    if shared.is_empty:
        shared = unary_union([result.products[0].granule.footprint])
    site = Site(id="ground", name="ground", aoi=shared, grid=even_grid(site_grid(shared, 0)), catalog=str(source))
    return site, merge_duplicates(site, result.products).scenes


def made_of(base: Mapping[Band, NDArray[np.float32]], grid: GeoBox, source: str) -> Ground:
    """Ground from reflectance, with canopy from NDVI and parcels by segmentation."""
    near = _near_infrared(base)
    fine = {band: plane if plane.shape == tuple(grid.shape) else _upsample(plane) for band, plane in base.items()}
    index = ndvi(fine[near], fine[Band.B04])
    canopy = np.clip((index - GREEN) / (DENSE - GREEN), 0, 1).astype(np.float32)
    colours = np.stack([fine[Band.B04], index * 0.3, fine[near]], axis=-1)
    parcels = felzenszwalb(np.clip(colours / 0.5, 0, 1), scale=60, sigma=0.8, min_size=25)
    return Ground(
        grid=grid,
        base=base,
        canopy={band: canopy if base[band].shape == canopy.shape else _downsample(canopy) for band in base},
        parcels=parcels.astype(np.int32),
        source=source,
    )


def _near_infrared(base: Mapping[Band, NDArray[np.float32]]) -> Band:
    band = near_infrared(base)
    if band is None:
        raise UsageError("the ground has no near infrared", ", ".join(base), "give --ground with band B08 or B8A")
    return band


def moved_to(ground: Ground, grid: GeoBox) -> Ground:
    """The same pixels on another grid, mirrored at their edges where the grid is larger."""

    def laid(plane: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        rows, cols = (_mirrored_index(plane.shape[axis], shape[axis]) for axis in (0, 1))
        return plane[np.ix_(rows, cols)]

    base = {band: laid(plane, tuple(native_grid(grid, band).shape)) for band, plane in ground.base.items()}
    return made_of(base, grid, ground.source)


def seasonal_reflectance(
    ground: Ground, when: datetime, rng: np.random.Generator, southern: bool
) -> dict[Band, NDArray[np.float32]]:
    """Noise-free reflectance of every band on a date. rng: that of the ground: a parcel has one phenology.

    Each parcel leafs out up to two weeks apart from the next and to its own degree; evergreen ones hardly brown.
    """
    count = int(ground.parcels.max()) + 1
    lag = rng.normal(0, 9, count)
    depth = np.clip(rng.beta(2, 2, count) * 1.2, 0.05, 1)
    day = when.timetuple().tm_yday
    curve = np.array([canopy_greenness((day - late) % 365, southern) for late in lag])
    # the image was taken green; what is not out now is brown to the parcel's degree
    brown = (depth * (1 - curve))[ground.parcels].astype(np.float32)
    near = ground.base[_near_infrared(ground.base)]
    light = np.clip((near if near.shape == brown.shape else _upsample(near)) / GREEN_NIR, 0.1, 1.2)
    brown = (brown * light).astype(np.float32)
    found = {}
    for band, base in ground.base.items():
        share = brown if base.shape == brown.shape else _downsample(brown)
        found[band] = np.maximum(base + ground.canopy[band] * share * np.float32(BROWNING[band]), 0.004)
    return found


def even_grid(grid: GeoBox) -> GeoBox:
    """The middle of a grid, at most MAX_SIDE_PX each way and even, on multiples of 20 m."""
    rows, cols = (min(size, MAX_SIDE_PX) // 2 * 2 for size in grid.shape)
    top, left = (grid.shape[0] - rows) // 2, (grid.shape[1] - cols) // 2
    x, y = grid.affine @ (left, top)
    corner = Affine(10, 0, np.floor(x / 20) * 20, 0, -10, np.ceil(y / 20) * 20)
    return GeoBox((rows, cols), corner, grid.crs)


def _grid_inside(grid: GeoBox, footprint: BaseGeometry) -> GeoBox:
    """The middle of a grid inside the footprint (lon/lat): a rotated footprint leaves its corners empty."""
    ground = Geometry(footprint, "EPSG:4326").to_crs(str(grid.crs)).geom.buffer(grid.resolution.x / 2)
    while min(grid.shape) > 2 * MIN_SIDE_PX and not ground.covers(grid.extent.geom):
        grid = grid[2:-2, 2:-2]
    return grid


def _clearest_chip(scenes: Sequence[Scene], source: Path) -> tuple[Chip, GeoBox]:
    """Chip with the largest clear share, of those the darkest in blue (no haze), on the 10 m grid of its granule."""
    best: tuple[float, float] | None = None
    found: tuple[Chip, GeoBox] | None = None
    for scene in (each for each in scenes if each.time.month in (5, 6, 7, 8, 9)):
        grid = _grid_inside(even_grid(site_grid(scene.granules[0].footprint, 0)), scene.granules[0].footprint)
        bands = tuple(band for band in ANALYSIS if band in scene.granules[0].assets)
        chips = read_chips(scene, grid, bands)
        image = make_unregistered(chips, grid, bands, Settings())
        if isinstance(image, Rejection):
            continue
        rank = _rank_image(image)
        if best is None or rank > best:
            best, found = rank, (chips[0], grid)
    if found is None:
        raise UsageError(
            "no scene clear enough", f"--ground {source}", "name a catalogue with a cloudless summer scene"
        )
    return found


def _rank_image(image: UnregisteredImage) -> tuple[float, float]:
    blue = image.reflectance[image.bands.index(Band.B02)]
    return round(float((image.why == 0).mean()), 2), -float(np.nanmedian(blue))


def _warp_band(chip: Chip, band: Band, grid: GeoBox) -> NDArray[np.float32]:
    raster = chip.dn[band]
    out = np.full(grid.shape, np.nan, np.float32)
    data = np.where(raster.data == 0, np.nan, raster.data.astype(np.float32) / 10000).astype(np.float32)
    reproject(
        data, out, src_transform=raster.grid.affine, src_crs=str(raster.grid.crs), src_nodata=np.nan,
        dst_transform=grid.affine, dst_crs=str(grid.crs), dst_nodata=np.nan, resampling=Resampling.cubic,
    )  # fmt: skip
    holes = ~np.isfinite(out)
    if holes.all():
        raise UsageError(f"no pixel of {band} where the others are", chip.scene.id, "name ground that all bands cover")
    if holes.any():
        nearest = ndimage.distance_transform_edt(holes, return_distances=False, return_indices=True)
        out = out[tuple(nearest)]
    return np.maximum(out, 0.001)


def _mirrored_index(have: int, want: int) -> NDArray[np.intp]:
    period = np.concatenate([np.arange(have), np.arange(have)[::-1]])
    return period[np.arange(want) % (2 * have)]


def _upsample(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1)


def _downsample(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, cols = plane.shape
    return np.asarray(plane.reshape(rows // 2, 2, cols // 2, 2).mean(axis=(1, 3)), np.float32)
