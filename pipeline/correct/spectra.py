"""Tests on a single spectrum: haze index, whiteness, snow, water, and how dark the infrared is."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.bands import Band
from pipeline.model.indices import near_infrared, normalised_difference
from pipeline.numerics.robust import median_of
from pipeline.numerics.smoothing import gaussian

Planes = Mapping[Band, NDArray[Any]]

VISIBLE = (Band.B02, Band.B03, Band.B04)
INFRARED = (Band.B08, Band.B8A, Band.B11)
HAZE_RISE = 0.035
"""Haze index above that of the clear ground of the scene from which a pixel is cloud: best F1 on hand-drawn labels."""
CLEAR_HAZE = 0.09
"""Haze index of clear ground at the top of the atmosphere, at most; a scene whose median is higher is cloud itself."""
OVERCAST_LEVEL, OVERCAST_WHITE, OVERCAST_CONTRAST = 0.12, 0.85, 0.03
"""A chip is overcast where its median visible reflectance and its ratio of blue to red are above the first two, and its
median step over two pixels is below this share of the level. All scenes that meet the three, of 250 recorded ones, are
overcast."""
SNOW_INDEX, SNOW_GREEN = 0.4, 0.15
"""Normalised difference of green and short wave, and green itself, of snow (Hall et al. 1995; Dozier 1989)."""
WATER_NIR = 0.12
"""Near infrared below which ground may be water, reflectance."""


def split_bands(bands: tuple[Band, ...], reflectance: NDArray[Any]) -> dict[Band, NDArray[Any]]:
    """(band, row, col) as one plane a band."""
    return dict(zip(bands, reflectance, strict=True))


def bluest_band(plane: Planes) -> Band:
    """The band of the shortest wavelength at hand, where haze is strongest."""
    return min(plane, key=lambda band: band.centre_nm)


def smooth_known(image: NDArray[Any], known: NDArray[np.bool_], sigma: float) -> NDArray[Any]:
    """Gaussian mean over known pixels, 0 where none is near."""
    return smooth_all([image], known, sigma)[0]


def smooth_all(images: Iterable[NDArray[Any]], known: NDArray[np.bool_], sigma: float) -> list[NDArray[Any]]:
    """`smooth_known` of several images of which the same pixels are known."""
    share = gaussian(known, sigma)
    near, least = share > 0.02, np.maximum(share, 0.02)
    filled = (gaussian(np.where(known, image, 0), sigma) for image in images)
    return [np.asarray(np.where(near, each / least, 0)) for each in filled]


def find_haze(plane: Planes, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cloud by colour: blue minus half of red (Zhang et al. 2002), above that of the scene's clear ground, and white.

    Without a red band, twice as much in the bluest alone.
    """
    blue = plane[bluest_band(plane)]
    if Band.B04 not in plane or bluest_band(plane) is Band.B04:
        return np.asarray((blue > 0.25) & known)
    index = smooth_known(blue - 0.5 * plane[Band.B04], known, 1.0)
    ground = min(float(median_of(index[known])), CLEAR_HAZE) if known.any() else CLEAR_HAZE
    visible = np.stack([plane[band] for band in VISIBLE if band in plane])
    mean = np.maximum(visible.mean(axis=0), 1e-3)
    white = np.abs(visible - mean).sum(axis=0) < 0.7 * mean
    return np.asarray((index > ground + HAZE_RISE) & white & (blue > 0.1) & known)


def is_overcast(plane: Planes, known: NDArray[np.bool_]) -> bool:
    """Whether the whole chip is cloud: white, and plain for its brightness.

    `find_haze` compares with the scene's own clear ground and thus needs some; registration needs texture in any case.
    """
    shown = [plane[band] for band in VISIBLE if band in plane]
    if not shown or not known.any():
        return False
    mean = np.mean(shown, axis=0)
    level = float(median_of(mean[known]))
    rows, cols = known[2:] & known[:-2], known[:, 2:] & known[:, :-2]
    steps = np.concatenate([np.abs(mean[2:] - mean[:-2])[rows], np.abs(mean[:, 2:] - mean[:, :-2])[cols]])
    if level < OVERCAST_LEVEL or steps.size == 0 or float(median_of(steps)) > OVERCAST_CONTRAST * level:
        return False
    red = float(median_of(shown[-1][known]))
    return Band.B04 not in plane or float(median_of(plane[bluest_band(plane)][known])) > OVERCAST_WHITE * red


def find_snow(plane: Planes) -> NDArray[np.bool_] | None:
    """Snow by the index of green and short wave; None without short wave."""
    if Band.B11 not in plane or Band.B03 not in plane:
        return None
    green, swir = plane[Band.B03], plane[Band.B11]
    index = normalised_difference(green, swir, least=1e-3)
    band = near_infrared(plane)
    near = green if band is None else plane[band]
    return np.asarray((index > SNOW_INDEX) & (green > SNOW_GREEN) & (near > 0.11))


def find_water(plane: Planes) -> NDArray[np.bool_] | None:
    """Water by green above a dark near infrared (McFeeters 1996); None without near infrared or green."""
    band = near_infrared(plane)
    if band is None or Band.B03 not in plane:
        return None
    near = plane[band]
    wet = (plane[Band.B03] > near) & (near < WATER_NIR)
    if Band.B11 in plane:
        wet &= plane[Band.B11] < plane[Band.B03]
    return np.asarray(wet)


def infrared_ratio(plane: Planes, before: Planes) -> NDArray[Any] | None:
    """Largest share of its expectation that any infrared band keeps: in shadow all of them fall. None without."""
    shares = [plane[band] / np.maximum(before[band], 0.03) for band in INFRARED if band in plane]
    return np.asarray(np.max(shares, axis=0)) if shares else None
