"""From chips to a look: offset, reflectance, masks, registration, one resampling, normalisation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.warp import reproject

from pipeline.correct import masks, normalise
from pipeline.correct.joint_alignment import SMALL_PIXELS, edge_noise, is_small
from pipeline.correct.offset import Offset, dark_floor, resolve_offset, to_reflectance
from pipeline.correct.reference import (
    MAX_SIGMA_PX,
    RECENT_LOOKS,
    Reference,
    UnregisteredImage,
    align,
    align_to_recent,
)
from pipeline.correct.seasonal_prediction import predict_season
from pipeline.model.bands import VISIBLE, Band
from pipeline.model.imagery import Alignment, Chip, Look, Raster, Reason, Rejection, Scene, Why
from pipeline.model.settings import Settings
from pipeline.numerics.morphology import erode
from pipeline.numerics.robust import median
from pipeline.numerics.sampling import resample

MIN_DATA_SHARE, MIN_DATA_PIXELS = 0.1, 900
"""Least data of an image: a share of its grid, or a number of pixels where that is less (grids with much context)."""
EDGE_PX, NARROW_EDGE_PX = 2, 1
"""Pixels left out along an edge of the data, where the kernel of the warp lacks neighbours. On a small chip only those
that lack a near neighbour: the outer taps weigh 0.07, and two pixels would be 40 % of a field of 650."""
OUTLYING_PX, OUTLYING_SIGMAS = 1.2, 5.0
"""A shift outside the scatter of the others is rejected: under low sun every band follows the shade of trees. Length in
pixels, and in sigmas of the scatter."""
RECENT_CLEAR = 0.4
"""Least clear share of a look that recent looks may register. Fresh concrete that counts as cloud leaves 0.47 of an
airport; below this, cloud and the shade of winter are why the reference refuses, not change (docs/decisions/0103)."""
STABLE_SHARE = 0.01
"""Share of the chip below which a change of the masks ends the iteration: one more turn changes less than 0.0002 of the
chip (42 real looks)."""
MAX_HAZE, LEAST_HAZED = 0.06, 0.75
"""Largest rise of blue above the history, reflectance, in that share of the clear pixels: thicker haze hides small
ground, and a straight line does not correct it. Haze brightens all ground, fresh concrete only where it lies."""
MIN_LEVEL, MIN_DROP = 0.45, 0.03
"""A look is too dark below this share of its history, if it is darker by this reflectance too: low sun alone has less
effect."""


def to_grid(
    chips: Sequence[Chip],
    offsets: Sequence[Offset],
    grid: GeoBox,
    bands: tuple[Band, ...],
    shift: tuple[float, float] = (0.0, 0.0),
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Reflectance (band, row, col) and SCL on the site grid: the only resampling, shift included.

    shift: (row, col) px of the grid; the look is sampled at x + shift. Where granules overlap, the first
    one is used. Bands of 20 m are brought to 10 m by the same cubic warp; SCL by nearest neighbour.
    """
    moved = GeoBox(grid.shape, grid.affine @ Affine.translation(shift[1], shift[0]), grid.crs)
    stack = np.full((len(bands), *grid.shape), np.nan, np.float32)
    edge = NARROW_EDGE_PX if grid.shape[0] * grid.shape[1] < SMALL_PIXELS else EDGE_PX
    classes: NDArray[np.uint8] | None = None
    for chip, offset in zip(chips, offsets, strict=True):
        layer = np.stack([_warp(_to_reflectance(chip.dn[band], offset), moved, Resampling.cubic) for band in bands])
        # the cubic kernel leans on one side along an edge of the data: those pixels are left out
        whole = erode(np.isfinite(layer).all(axis=0), edge, beyond=True)
        new = np.isnan(stack).all(axis=0) & whole
        np.copyto(stack, layer, where=new)
        if chip.scl is not None:
            warped = _warp(chip.scl, moved, Resampling.nearest)
            classes = np.zeros(grid.shape, np.uint8) if classes is None else classes
            classes = np.where(new, warped, classes).astype(np.uint8)
    return stack, classes


def make_unregistered(
    chips: Sequence[Chip], grid: GeoBox, bands: tuple[Band, ...], settings: Settings
) -> UnregisteredImage | Rejection:
    """A first, unshifted version of a look, good enough to build the reference from."""
    scene = chips[0].scene
    offsets = _resolve_offsets(chips)
    if isinstance(offsets, Rejection):
        return offsets
    values, scl = to_grid(chips, offsets, grid, bands)
    why = masks.buffer_clouds(
        masks.classify_pixels(values, bands, scl, None, scene.sun, grid.resolution.x),
        settings.correct.cloud_buffer_m,
        grid.resolution.x,
    )
    measured = float(((why & np.uint8(Why.NODATA)) == 0).mean())
    least = min(MIN_DATA_SHARE, MIN_DATA_PIXELS / why.size)
    if measured < least:
        return _reject(scene, Reason.NODATA, measured, least)
    return UnregisteredImage(scene=scene, grid=grid, bands=bands, reflectance=values, why=why, offsets=tuple(offsets))


def warp_again(image: UnregisteredImage, chips: Sequence[Chip]) -> UnregisteredImage:
    """The unregistered image of these chips, its reflectance warped again at a quarter of the cost."""
    return replace(image, reflectance=to_grid(chips, image.offsets, image.grid, image.bands)[0])


def make_look(
    chips: Sequence[Chip],
    reference: Reference,
    settings: Settings,
    inside: NDArray[np.bool_] | None = None,
    known: UnregisteredImage | None = None,
    recent: Sequence[Look] = (),
) -> Look | Rejection:
    """A corrected look on the grid of the reference, or its rejection.

    inside: (row, col) bool, True = AOI; a look with too small a clear share of it is rejected.
    known:  the unregistered image of the same chips, where the caller has it; made here otherwise.
    recent: the last RECENT_LOOKS looks before it, without their persistent objects unmasked. They register it where the
            reference refuses it; with fewer of them it is refused.
    """
    scene, grid, bands = chips[0].scene, reference.grid, reference.bands
    image = known or make_unregistered(chips, grid, bands, settings)
    if isinstance(image, Rejection):
        return image
    alignment = _register(image, reference, settings, recent)
    expected = reference.expected()
    aoi = _visible_aoi(np.ones(grid.shape, bool) if inside is None else inside, reference)
    # without history bright roofs count as cloud: only a hopeless image ends here
    free = float(((image.why & ~np.uint8(Why.BUFFER)) == 0)[aoi].mean())
    if free < 0.5 * settings.correct.min_clear_share:
        return _reject(scene, Reason.CLOUD, free, 0.5 * settings.correct.min_clear_share, "share of the AOI")
    if not alignment.accepted:
        # refused before anything was fitted, it has no number
        value, limit = (alignment.sigma_px, MAX_SIGMA_PX) if np.isfinite(alignment.sigma_px) else (None, None)
        return _reject(scene, Reason.REGISTRATION, value, limit, alignment.reason)
    far, limit = float(np.hypot(*alignment.shift)), max(OUTLYING_PX, OUTLYING_SIGMAS * reference.shift_scatter_px)
    if far > limit:
        return _reject(
            scene, Reason.REGISTRATION, far, limit, "px off the other looks: low sun moves shade, not ground"
        )
    values, scl = to_grid(chips, image.offsets, grid, bands, alignment.shift)
    look = _normalise_look(scene, values, scl, expected, alignment, image, aoi, settings)
    if isinstance(look, Look) and is_small(reference.reflectance, image.measured):
        return replace(look, noise=np.hypot(look.noise, edge_noise(reference.reflectance, alignment.sigma_px)))
    return look


def _register(image: UnregisteredImage, reference: Reference, settings: Settings, recent: Sequence[Look]) -> Alignment:
    """Alignment to the reference; where that refuses a clear look, to the latest looks, which show what was built.

    A small chip is accepted by the significance of one correlation: a second one would be a second chance for cloud.
    """
    found = align(reference.reflectance, image, settings, reference.shift_prior_px)
    small = is_small(reference.reflectance, image.measured)
    if found.accepted or small or len(recent) < RECENT_LOOKS or image.clear_share < RECENT_CLEAR:
        return found
    again = align_to_recent(recent, image, settings)
    return again if again.accepted else replace(found, reason=f"{found.reason}; with recent looks: {again.reason}")


def _visible_aoi(inside: NDArray[np.bool_], reference: Reference) -> NDArray[np.bool_]:
    """The part of the AOI that the source covers: clear shares refer to it, so the end of a local chip is no cloud."""
    shown = inside & np.isfinite(reference.reflectance).all(axis=0)
    return shown if shown.any() else inside


def _normalise_look(
    scene: Scene,
    values: NDArray[np.float32],
    scl: NDArray[np.uint8] | None,
    expected: NDArray[np.float32],
    alignment: Alignment,
    image: UnregisteredImage,
    aoi: NDArray[np.bool_],
    settings: Settings,
) -> Look | Rejection:
    bands, grid, limit = image.bands, image.grid, settings.correct.min_clear_share
    why, seasonal = _flag_pixels(values, scl, expected, image)
    if seasonal is None:
        return _reject(scene, Reason.CLOUD, float((why == 0).mean()), limit, "share of the chip")
    unlike = _find_outlier(values, seasonal, expected, why == 0, bands)
    if unlike is not None:
        return _reject(scene, Reason.RADIOMETRY, *unlike)
    radiometry = normalise.fit_radiometry(values, expected, why == 0, seasonal)
    if radiometry is None:
        return _reject(scene, Reason.CLOUD, float((why == 0).mean()), limit, "share of the chip")
    corrected = normalise.apply_radiometry(values, radiometry)
    why = masks.buffer_clouds(why, settings.correct.cloud_buffer_m, grid.resolution.x)
    clear = float((why[aoi] == 0).mean())
    if clear < settings.correct.min_clear_share:
        return _reject(scene, Reason.CLOUD, clear, settings.correct.min_clear_share, "share of the AOI")
    corrected[:, (why & np.uint8(Why.NODATA)) > 0] = np.nan
    return Look(
        scene=scene,
        grid=grid,
        bands=bands,
        reflectance=corrected,
        why=why,
        alignment=alignment,
        noise=np.array(radiometry.scatter, np.float32),
        boa_offset_dn=image.offsets[0].dn,
        gain=radiometry.gain,
        offset=radiometry.offset,
    )


def _flag_pixels(
    values: NDArray[np.float32], scl: NDArray[np.uint8] | None, expected: NDArray[np.float32], image: UnregisteredImage
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Quality flags by comparison with the seasonal prediction, and the prediction; None for too few usable pixels.

    Each depends on the other, so both are computed again if the masks have changed.
    The masks of the unregistered image, a fraction of a pixel off, are the start of the seasonal prediction.
    """
    bands, sun, pixel_m = image.bands, image.scene.sun, image.grid.resolution.x
    why, seasonal = image.why & ~np.uint8(Why.BUFFER), None
    for _ in range(2):
        found = predict_season(expected, values, why == 0)
        if found is None:
            break
        seasonal = found
        before, why = why, masks.classify_pixels(values, bands, scl, seasonal, sun, pixel_m)
        if float(((before == 0) != (why == 0)).mean()) < STABLE_SHARE:
            break
    return why, seasonal


def _find_outlier(
    values: NDArray[np.float32],
    seasonal: NDArray[np.float32],
    expected: NDArray[np.float32],
    clear: NDArray[np.bool_],
    bands: tuple[Band, ...],
) -> tuple[float, float, str] | None:
    """(value, limit, note) where the whole look lies too far from its history: haze in blue, or dark in the visible.

    Infrared bands are left out: they fall by more than half when leaves fall.
    """
    blue = min(range(len(bands)), key=lambda index: bands[index].centre_nm)
    rise = (values[blue] - expected[blue])[clear]
    haze = float(np.nanquantile(rise, 1 - LEAST_HAZED)) if np.isfinite(rise).any() else 0.0
    if haze > MAX_HAZE:
        return haze, MAX_HAZE, f"{bands[blue]} above the history, reflectance"
    for now, then, band in zip(seasonal, expected, bands, strict=True):
        if band not in VISIBLE:
            continue
        level, usual = _median(now), _median(then)
        if level < MIN_LEVEL * usual and usual - level > MIN_DROP:
            return level / usual, MIN_LEVEL, f"{band} as a share of the history"
    return None


def _median(plane: NDArray[np.float32]) -> float:
    return float(median(plane.ravel(), axis=0))


def _resolve_offsets(chips: Sequence[Chip]) -> list[Offset] | Rejection:
    found = []
    for chip in chips:
        offset = resolve_offset(chip.granule.declared_offset, dark_floor(chip), scene=chip.scene)
        if isinstance(offset, Rejection):
            return offset
        found.append(offset)
    return found


def _to_reflectance(raster: Raster, offset: Offset) -> Raster:
    return Raster(grid=raster.grid, data=to_reflectance(raster.data, offset))  # type: ignore[arg-type]


def _warp(raster: Raster, grid: GeoBox, method: Resampling) -> NDArray[Any]:
    floating = np.issubdtype(raster.data.dtype, np.floating)
    quick = resample(raster.data.astype(np.float32, copy=False), raster.grid, grid) if floating else None
    if quick is not None:
        return quick
    out = np.full(grid.shape, np.nan if floating else 0, raster.data.dtype)
    reproject(
        raster.data,
        out,
        src_transform=raster.grid.affine,
        src_crs=str(raster.grid.crs),
        src_nodata=np.nan if floating else 0,
        dst_transform=grid.affine,
        dst_crs=str(grid.crs),
        dst_nodata=np.nan if floating else 0,
        resampling=method,
        num_threads=1,
    )
    return out


def _reject(scene: Scene, reason: Reason, value: float | None, limit: float | None, note: str = "") -> Rejection:
    return Rejection(scene=scene.id, time=scene.time, reason=reason, value=value, limit=limit, note=note)
