"""What stood in the way: cloud, shadow, snow, water, saturation, nodata, told apart.

Sen2Cor's scene classification (SCL) is a witness here, not a judge: it calls bright roofs cloud again and again and
misses thin cloud. The second witness is the spectrum, the third the look's own residual against the site's history.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.model.bands import Band
from pipeline.model.imagery import Why

SCL_SHADOW, SCL_WATER, SCL_SNOW = 3, 6, 11
SCL_CLOUD = (8, 9, 10)
SATURATED_REFLECTANCE = 1.9
"""Glinting roofs ring; above this a pixel measures the detector."""
CLOUD_BLUE = 0.20
"""Blue above which bare land is rare and cloud common (Braaten et al. 2015 use 0.175 with whiteness)."""
RESIDUAL_BLUE = 0.045
"""Blue above its expectation by this much, over a wide and smooth area, is cloud or haze."""
SHADOW_RATIO = 0.62
"""Near infrared and short wave below this share of the expectation, relative to the scene, is shadow."""
SMOOTH_PX = 3.0


def classify(
    reflectance: NDArray[Any],
    bands: tuple[Band, ...],
    scl: NDArray[np.uint8] | None,
    expected: NDArray[Any] | None = None,
) -> NDArray[np.uint8]:
    """Flags of `Why` for every pixel, 0 = usable.

    reflectance, expected: (band, row, col) float, 1 = 100 %, NaN = not measured. scl: (row, col) classes or None.
    expected: what the site's history predicts; without it only SCL and spectrum speak.
    """
    plane = dict(zip(bands, reflectance, strict=True))
    before = None if expected is None else dict(zip(bands, expected, strict=True))
    nodata = ~np.isfinite(reflectance).all(axis=0)
    snow = _snow(plane, scl)
    cloud = _spectral_cloud(plane)
    shadow = np.zeros_like(nodata)
    if scl is not None:
        cloud |= np.isin(scl, SCL_CLOUD) & (plane[_bluest(plane)] > 0.08)
        shadow |= (scl == SCL_SHADOW) & (_darkness(plane) < 0.12)
    if before is not None:
        cloud |= _residual_cloud(plane, before, nodata)
        # what is as dark as ever is the shade of a slope or a dark roof, not the shadow of a cloud
        shadow = (shadow & _darker(plane, before, 0.8)) | _residual_shadow(plane, before, nodata)
    saturated = np.max(np.where(nodata, 0, reflectance), axis=0) > SATURATED_REFLECTANCE
    why = np.zeros(nodata.shape, np.uint8)
    for flag, where in (
        (Why.CLOUD, cloud & ~snow),
        (Why.SHADOW, shadow),
        (Why.SNOW, snow),
        (Why.WATER, _water(plane, scl, before)),
        (Why.SATURATED, saturated),
    ):
        why[where & ~nodata] |= np.uint8(flag)
    why[nodata] = np.uint8(Why.NODATA)
    return why


def buffer(why: NDArray[np.uint8], radius_m: float, pixel_m: float) -> NDArray[np.uint8]:
    """The flags with BUFFER set within `radius_m` of cloud and shadow; more cloud never means more usable ground."""
    core = ndimage.binary_opening((why & np.uint8(Why.CLOUD | Why.SHADOW)) > 0, iterations=1)
    radius = math.ceil(radius_m / pixel_m)
    if radius == 0 or not core.any():
        return why
    near = ndimage.distance_transform_edt(~core) <= radius_m / pixel_m
    return np.asarray(np.where(near & (why == 0), np.uint8(Why.BUFFER), why), np.uint8)


def _bluest(plane: dict[Band, NDArray[Any]]) -> Band:
    return min(plane, key=lambda band: band.centre_nm)


def _darkness(plane: dict[Band, NDArray[Any]]) -> NDArray[Any]:
    infrared = [plane[band] for band in (Band.B08, Band.B8A, Band.B11) if band in plane]
    return np.asarray(np.max(infrared, axis=0) if infrared else plane[_bluest(plane)])


def _spectral_cloud(plane: dict[Band, NDArray[Any]]) -> NDArray[np.bool_]:
    visible = np.stack([plane[band] for band in (Band.B02, Band.B03, Band.B04) if band in plane])
    mean = visible.mean(axis=0)
    white = np.abs(visible - mean).max(axis=0) < 0.25 * mean
    return np.asarray((plane[_bluest(plane)] > CLOUD_BLUE) & white & (mean > CLOUD_BLUE))


def _snow(plane: dict[Band, NDArray[Any]], scl: NDArray[np.uint8] | None) -> NDArray[np.bool_]:
    if Band.B11 in plane and Band.B03 in plane:
        green, swir = plane[Band.B03], plane[Band.B11]
        index = (green - swir) / np.maximum(green + swir, 1e-3)
        return np.asarray((index > 0.4) & (green > 0.15))
    return np.asarray(scl == SCL_SNOW) if scl is not None else np.zeros(next(iter(plane.values())).shape, bool)


def _water(
    plane: dict[Band, NDArray[Any]], scl: NDArray[np.uint8] | None, before: dict[Band, NDArray[Any]] | None
) -> NDArray[np.bool_]:
    """Water now, and water in the history too: a new dark roof must not be taken for a pond."""
    near = next((band for band in (Band.B08, Band.B8A) if band in plane), None)
    if near is None or Band.B03 not in plane:
        return np.asarray(scl == SCL_WATER) if scl is not None else np.zeros(next(iter(plane.values())).shape, bool)
    now = (plane[Band.B03] > plane[near]) & (plane[near] < 0.12)
    if before is None:
        return np.asarray(now & (scl == SCL_WATER)) if scl is not None else np.asarray(now & (plane[near] < 0.06))
    return np.asarray(now & (before[Band.B03] > before[near]) & (before[near] < 0.12))


def _residual_cloud(
    plane: dict[Band, NDArray[Any]], before: dict[Band, NDArray[Any]], nodata: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Blue, and red with it, far above expectation over a wide smooth patch."""
    parts = []
    for band in (Band.B02, Band.B03, Band.B04):
        if band in plane:
            rise = np.where(nodata, 0, plane[band] - before[band])
            parts.append(ndimage.gaussian_filter(np.nan_to_num(rise), SMOOTH_PX))
    least = np.min(parts, axis=0)
    return np.asarray(least > RESIDUAL_BLUE)


def _darker(plane: dict[Band, NDArray[Any]], before: dict[Band, NDArray[Any]], share: float) -> NDArray[np.bool_]:
    """All infrared below `share` of what the history and the scene as a whole let expect."""
    dim = np.ones(next(iter(plane.values())).shape, bool)
    for band in (Band.B08, Band.B8A, Band.B11):
        if band in plane:
            ratio = plane[band] / np.maximum(before[band], 0.02)
            measured = ratio[np.isfinite(ratio)]
            dim &= ratio < share * max(float(np.median(measured)) if measured.size else 1.0, 0.3)
    return dim


def _residual_shadow(
    plane: dict[Band, NDArray[Any]], before: dict[Band, NDArray[Any]], nodata: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    if not any(band in plane for band in (Band.B08, Band.B8A, Band.B11)):
        return np.zeros_like(nodata)
    dim = _darker(plane, before, SHADOW_RATIO)
    bright = np.max([before[band] for band in (Band.B08, Band.B8A, Band.B11) if band in plane], axis=0) > 0.1
    return np.asarray(ndimage.binary_opening(dim & bright & ~nodata, iterations=2))
