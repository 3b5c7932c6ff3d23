"""What happened: judged by the spectra before and after, and by whether it greened again."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.alert import Kind
from pipeline.model.bands import Band

VEGETATED = 0.45
"""NDVI above which ground is green."""
BARE = 0.28


def kind(bands: tuple[Band, ...], before: NDArray[Any], after: NDArray[Any], healed: bool) -> Kind:
    """The kind of a change. before, after: (band,) mean reflectance of its footprint; healed: it is as it was."""
    past, now = dict(zip(bands, before, strict=True)), dict(zip(bands, after, strict=True))
    if healed:
        return Kind.CLEARED_GROUND
    was_structure, is_structure = _built(past), _built(now)
    if was_structure and is_structure:
        return Kind.RESURFACED
    if was_structure:
        return Kind.DEMOLISHED
    return Kind.NEW_STRUCTURE if is_structure else Kind.CLEARED_GROUND


def ndvi(spectrum: dict[Band, float]) -> float:
    """(NIR - red) / (NIR + red), NaN without a near infrared band."""
    near = spectrum.get(Band.B08, spectrum.get(Band.B8A))
    if near is None or Band.B04 not in spectrum:
        return float("nan")
    return float((near - spectrum[Band.B04]) / max(near + spectrum[Band.B04], 1e-3))


def _built(spectrum: dict[Band, float]) -> bool:
    """Not green, and not the steep rise from blue over red to short wave that soils have."""
    green = ndvi(spectrum)
    if np.isfinite(green) and green > BARE:
        return False
    blue, red = spectrum.get(Band.B02, np.nan), spectrum.get(Band.B04, np.nan)
    flat = blue / max(red, 1e-3) > 0.68 if np.isfinite(blue) and np.isfinite(red) else True
    swir, near = spectrum.get(Band.B11), spectrum.get(Band.B08, spectrum.get(Band.B8A))
    soil_rise = swir is not None and near is not None and swir > 1.25 * near
    return bool(flat and not soil_rise) or bool(np.isfinite(red) and red > 0.35)
