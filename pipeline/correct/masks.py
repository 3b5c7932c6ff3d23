"""Quality flags: cloud, shadow, snow, water, saturation, nodata.

The scene classification of Sen2Cor (SCL) is one source of evidence of four: it often calls bright roofs cloud and
misses thin cloud. The second is the spectrum, the third the residual of the look against the history of the site,
the fourth persistence (`pipeline.correct.persistence`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.correct.shadows import project_shadow
from pipeline.correct.spectra import (
    VISIBLE,
    Planes,
    bluest_band,
    find_haze,
    find_snow,
    find_water,
    infrared_ratio,
    is_overcast,
    smooth_all,
    smooth_known,
    split_bands,
)
from pipeline.model.bands import Band
from pipeline.model.imagery import Why
from pipeline.numerics.morphology import dilate, open_mask, reconstruct
from pipeline.numerics.robust import median_of, nan_to_zero

SCL_SHADOW, SCL_WATER, SCL_SNOW = 3, 6, 11
SCL_CLOUD = (8, 9, 10)
SATURATED_REFLECTANCE = 1.9
"""Reflectance above which a pixel is saturated: glinting roofs exceed the range of the detector."""
CLOUD_PX, SHADOW_PX = 3.0, 1.0
"""Gaussian sigmas, pixels, for the residual of cloud and of shadow: cloud is smooth, a new roof is not."""
SURE_RISE, EDGE_RISE, SCL_RISE = 0.040, 0.015, 0.012
"""Rise of all visible bands above the prediction, reflectance: of cloud; of its fringe, connected to cloud; of cloud
that SCL has too."""
RISE_SIGMAS = 4.0
"""Least rise in robust sigmas of the smoothed residual of the look, for the same three in proportion."""
SURE_DARK, EDGE_DARK, SCL_DARK = 0.60, 0.80, 0.85
"""Largest share of the predicted infrared that any band keeps: in shadow; at its edge; in shadow that SCL has too."""
MIN_EXPECTED_INFRARED = 0.06
"""Predicted infrared below which ground is too dark for a test of shadow, reflectance."""
MIN_SHADOW_PX = 12
"""Least size of a shadow, pixels."""


def classify_pixels(
    reflectance: NDArray[Any],
    bands: tuple[Band, ...],
    scl: NDArray[np.uint8] | None,
    expected: NDArray[Any] | None = None,
    sun: tuple[float, float] | None = None,
    pixel_m: float = 10.0,
) -> NDArray[np.uint8]:
    """Flags of `Why` for every pixel, 0 = usable.

    reflectance, expected: (band, row, col) float, 1 = 100 %, NaN = not measured. scl: (row, col) classes or None.
    expected: the prediction of this look from the history of the site; without it only SCL and spectrum are used.
    sun: (zenith, azimuth) degrees, None = unknown; used to find shadows where there is no history.
    """
    plane = split_bands(bands, reflectance)
    known = np.isfinite(reflectance).all(axis=0)
    plane = {band: np.where(known, values, 0) for band, values in plane.items()}
    before = None if expected is None else {band: nan_to_zero(e) for band, e in split_bands(bands, expected).items()}
    snow = find_snow(plane)
    if snow is None:
        snow = scl == SCL_SNOW if scl is not None else np.zeros_like(known)
    if before is None:
        cloud = (known if is_overcast(plane, known) else find_haze(plane, known)) & ~snow
        if scl is not None:
            cloud |= np.isin(scl, SCL_CLOUD) & (plane[bluest_band(plane)] > 0.05)
        shadow = project_shadow(plane, cloud, known, sun, pixel_m)
        if scl is not None:
            shadow |= scl == SCL_SHADOW
    else:
        cloud = _find_cloud(plane, before, known, scl) & ~snow
        shadow = _find_shadow(plane, before, known & ~cloud, scl)
    saturated = np.max(np.where(known, reflectance, 0), axis=0) > SATURATED_REFLECTANCE
    why = np.zeros(known.shape, np.uint8)
    for flag, where in (
        (Why.CLOUD, cloud),
        (Why.SHADOW, shadow & ~cloud),
        (Why.SNOW, snow),
        (Why.WATER, _find_water(plane, scl, before)),
        (Why.SATURATED, saturated),
    ):
        why[where & known] |= np.uint8(flag)
    why[~known] = np.uint8(Why.NODATA)
    return why


def buffer_clouds(why: NDArray[np.uint8], radius_m: float, pixel_m: float) -> NDArray[np.uint8]:
    """The flags with BUFFER set within `radius_m` of cloud and shadow; more cloud never means more usable ground.

    Usable pixels only take the flag; patches under 3 x 3 pixels are no cloud and get no buffer.
    """
    core = (why & np.uint8(Why.CLOUD | Why.SHADOW)) > 0
    wide = open_mask(core)
    if radius_m < pixel_m or not wide.any():
        return why
    near = dilate(wide, radius_m / pixel_m)
    return np.asarray(np.where(near & (why == 0), np.uint8(Why.BUFFER), why), np.uint8)


def _find_cloud(
    plane: Planes, before: Planes, known: NDArray[np.bool_], scl: NDArray[np.uint8] | None
) -> NDArray[np.bool_]:
    """Cloud and haze: all visible bands rise over a smooth patch, blue as much as red, unlike bare soil."""
    visible, short = [band for band in VISIBLE if band in plane], [Band.B11] if Band.B11 in plane else []
    smoothed = smooth_all([plane[band] - before[band] for band in (*visible, *short)], known, CLOUD_PX)
    rises = smoothed[: len(visible)]
    least = np.min(rises, axis=0)
    if Band.B02 in plane and Band.B04 in plane:
        # soil and stubble rise in red twice as far as in blue; cloud and haze do not
        least = np.where(rises[0] > 0.6 * rises[-1], least, np.minimum(least, 0))
    for swir in smoothed[len(visible) :]:
        # and the short wave, which water drops and ice take, rises with soil and not with cloud
        least = np.where(swir < 1.1 * rises[0] + 0.02, least, np.minimum(least, 0))
    quiet = least[known]
    # spread of the lower half: cloud over half of the scene does not raise it
    spread = float(median_of(quiet) - np.quantile(quiet, 0.16)) if quiet.size else 0.0
    scale = max(1.0, RISE_SIGMAS * spread / SURE_RISE)
    sure, edge = least > scale * SURE_RISE, least > scale * EDGE_RISE
    cloud = reconstruct(sure, edge)
    if scl is not None:
        cloud |= np.isin(scl, SCL_CLOUD) & (least > scale * SCL_RISE)
    return cloud & known


def _find_shadow(
    plane: Planes, before: Planes, known: NDArray[np.bool_], scl: NDArray[np.uint8] | None
) -> NDArray[np.bool_]:
    """Shadow: all infrared bands far below the prediction, so that a dark roof of the history is not flagged."""
    ratio = infrared_ratio(plane, before)
    if ratio is None:
        return np.asarray(scl == SCL_SHADOW) if scl is not None else np.zeros_like(known)
    smoothed = smooth_known(ratio, known, SHADOW_PX)
    bright = np.max([before[band] for band in (Band.B08, Band.B8A, Band.B11) if band in before], axis=0)
    lit = known & (bright > MIN_EXPECTED_INFRARED)
    shadow = reconstruct(lit & (smoothed < SURE_DARK), lit & (smoothed < EDGE_DARK))
    shadow = _drop_small(shadow, MIN_SHADOW_PX) if shadow.any() else shadow
    if scl is not None:
        shadow |= (scl == SCL_SHADOW) & (smoothed < SCL_DARK)
    return np.asarray(shadow)


def _find_water(plane: Planes, scl: NDArray[np.uint8] | None, before: Planes | None) -> NDArray[np.bool_]:
    """Water now, and water in the history too: a new dark roof must not be taken for a pond."""
    now, then = find_water(plane), None if before is None else find_water(before)
    if now is None:
        return np.asarray(scl == SCL_WATER) if scl is not None else np.zeros(next(iter(plane.values())).shape, bool)
    if then is not None:
        return np.asarray(now & then)
    return np.asarray(now & (scl == SCL_WATER)) if scl is not None else now


def _drop_small(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(sizes[labels] >= pixels)
