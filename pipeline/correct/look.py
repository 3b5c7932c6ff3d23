"""From chips to a look: offset, reflectance, masks, registration, one resampling, normalisation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.warp import reproject

from pipeline.correct import masks, normalise
from pipeline.correct.offset import Offset, dark_floor, reflectance, resolve
from pipeline.correct.reference import MAX_SIGMA_PX, Draft, Reference, align
from pipeline.model.bands import Band
from pipeline.model.imagery import Alignment, Chip, Look, Raster, Reason, Rejection, Scene, Why
from pipeline.model.settings import Settings

MIN_DATA_SHARE = 0.1
MAX_RADIOMETRIC_OFFSET = 0.06
"""A look whose haze or darkening is worse than this cannot be corrected by a straight line; reflectance."""


def to_grid(
    chips: Sequence[Chip],
    offsets: Sequence[Offset],
    grid: GeoBox,
    bands: tuple[Band, ...],
    shift: tuple[float, float] = (0.0, 0.0),
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Reflectance (band, row, col) and SCL on the site grid: THE one resampling, shift included.

    shift: (row, col) px of the grid; the look is sampled at x + shift. Several granules are laid under each other in
    their order. Bands of 20 m are brought to 10 m by the same cubic warp; SCL by nearest neighbour.
    """
    moved = GeoBox(grid.shape, grid.affine @ Affine.translation(shift[1], shift[0]), grid.crs)
    stack = np.full((len(bands), *grid.shape), np.nan, np.float32)
    classes: NDArray[np.uint8] | None = None
    for chip, offset in zip(chips, offsets, strict=True):
        layer = np.stack([_warp(_clean(chip.dn[band], offset), moved, Resampling.cubic) for band in bands])
        new = np.isnan(stack).all(axis=0) & np.isfinite(layer).all(axis=0)
        stack[:, new] = layer[:, new]
        if chip.scl is not None:
            warped = _warp(chip.scl, moved, Resampling.nearest)
            classes = np.zeros(grid.shape, np.uint8) if classes is None else classes
            classes = np.where(new, warped, classes).astype(np.uint8)
    return stack, classes


def make_draft(chips: Sequence[Chip], grid: GeoBox, bands: tuple[Band, ...], settings: Settings) -> Draft | Rejection:
    """A first, unshifted version of a look, good enough to build the reference from."""
    scene = chips[0].scene
    offsets = _offsets(chips)
    if isinstance(offsets, Rejection):
        return offsets
    values, scl = to_grid(chips, offsets, grid, bands)
    why = masks.buffer(masks.classify(values, bands, scl), settings.correct.cloud_buffer_m, grid.resolution.x)
    measured = float(((why & np.uint8(Why.NODATA)) == 0).mean())
    if measured < MIN_DATA_SHARE:
        return _refused(scene, Reason.NODATA, measured, MIN_DATA_SHARE)
    return Draft(scene=scene, grid=grid, bands=bands, reflectance=values, why=why, boa_offset_dn=offsets[0].dn)


def make_look(
    chips: Sequence[Chip], reference: Reference, settings: Settings, inside: NDArray[np.bool_] | None = None
) -> Look | Rejection:
    """A corrected look on the reference's grid, or the reason why not.

    inside: (row, col) bool, True = AOI; its clear share decides whether the look is worth having.
    """
    scene, grid, bands = chips[0].scene, reference.grid, reference.bands
    draft = make_draft(chips, grid, bands, settings)
    if isinstance(draft, Rejection):
        return draft
    alignment = align(reference.reflectance, draft, settings)
    expected = reference.expected()
    aoi = np.ones(grid.shape, bool) if inside is None else inside
    clear = float((draft.why[aoi] == 0).mean())
    if clear < settings.correct.min_clear_share:
        return _refused(scene, Reason.CLOUD, clear, settings.correct.min_clear_share, "share of the AOI")
    if not alignment.accepted:
        return _refused(scene, Reason.REGISTRATION, alignment.sigma_px, MAX_SIGMA_PX, alignment.reason)
    offsets = _offsets(chips)
    if isinstance(offsets, Rejection):
        return offsets
    values, scl = to_grid(chips, offsets, grid, bands, alignment.shift)
    return _normalised(scene, values, scl, expected, alignment, draft, aoi, settings)


def _normalised(
    scene: Scene,
    values: NDArray[np.float32],
    scl: NDArray[np.uint8] | None,
    expected: NDArray[np.float32],
    alignment: Alignment,
    draft: Draft,
    aoi: NDArray[np.bool_],
    settings: Settings,
) -> Look | Rejection:
    bands, grid = draft.bands, draft.grid
    first = masks.classify(values, bands, scl)
    radiometry = normalise.fit(values, expected, first == 0)
    if radiometry is None:
        return _refused(scene, Reason.CLOUD, float((first == 0).mean()), settings.correct.min_clear_share)
    worst = float(np.abs(np.median([_haze(values, expected, first == 0)])))
    if worst > MAX_RADIOMETRIC_OFFSET:
        return _refused(scene, Reason.RADIOMETRY, worst, MAX_RADIOMETRIC_OFFSET, "blue off the history, reflectance")
    corrected = normalise.apply(values, radiometry)
    flags = masks.classify(corrected, bands, scl, expected) | np.uint8(Why.SATURATED) & first
    why = masks.buffer(np.asarray(flags, np.uint8), settings.correct.cloud_buffer_m, grid.resolution.x)
    clear = float((why[aoi] == 0).mean())
    if clear < settings.correct.min_clear_share:
        return _refused(scene, Reason.CLOUD, clear, settings.correct.min_clear_share, "share of the AOI")
    corrected[:, (why & np.uint8(Why.NODATA)) > 0] = np.nan
    return Look(
        scene=scene,
        grid=grid,
        bands=bands,
        reflectance=corrected,
        why=why,
        alignment=alignment,
        noise=np.array(radiometry.scatter, np.float32),
        boa_offset_dn=draft.boa_offset_dn,
        gain=radiometry.gain,
        offset=radiometry.offset,
    )


def _haze(values: NDArray[Any], expected: NDArray[Any], usable: NDArray[np.bool_]) -> float:
    """Median difference of the bluest band to its expectation over usable ground."""
    return float(np.median((values[0] - expected[0])[usable]))


def _offsets(chips: Sequence[Chip]) -> list[Offset] | Rejection:
    found = []
    for chip in chips:
        offset = resolve(chip.granule.offset_claim, dark_floor(chip), scene=chip.scene)
        if isinstance(offset, Rejection):
            return offset
        found.append(offset)
    return found


def _clean(raster: Raster, offset: Offset) -> Raster:
    return Raster(grid=raster.grid, data=reflectance(raster.data, offset))  # type: ignore[arg-type]


def _warp(raster: Raster, grid: GeoBox, method: Resampling) -> NDArray[Any]:
    floating = np.issubdtype(raster.data.dtype, np.floating)
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


def _refused(scene: Scene, reason: Reason, value: float, limit: float, note: str = "") -> Rejection:
    return Rejection(scene=scene.id, time=scene.time, reason=reason, value=value, limit=limit, note=note)
