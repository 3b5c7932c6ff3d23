"""Spectra of construction and distractors at the bands, and the season of the canopy.

Roof, asphalt and concrete levels follow the material spectra published in the ECOSTRESS spectral library (Meerdink
et al. 2019), rounded to what weathered surfaces of their kind show; soils and dry plants likewise.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.model.bands import ANALYSIS, Band

Spectrum: TypeAlias = Mapping[Band, float]
"""Reflectance at the bottom of the atmosphere, 1 = 100 %."""


def _make_spectrum(*levels: float) -> Spectrum:
    return MappingProxyType(dict(zip(ANALYSIS, levels, strict=True)))


# in the order of ANALYSIS: B02 B03 B04 B08 B8A B11 B12
ROOFS: Mapping[str, Spectrum] = MappingProxyType({
    "white membrane": _make_spectrum(0.58, 0.62, 0.63, 0.63, 0.63, 0.52, 0.42),
    "bare metal": _make_spectrum(0.33, 0.34, 0.35, 0.36, 0.36, 0.40, 0.41),
    "concrete": _make_spectrum(0.19, 0.22, 0.25, 0.29, 0.30, 0.34, 0.32),
    "blue steel": _make_spectrum(0.24, 0.20, 0.15, 0.27, 0.28, 0.33, 0.28),
    "dark bitumen": _make_spectrum(0.07, 0.075, 0.08, 0.095, 0.10, 0.13, 0.13),
})  # fmt: skip
"""Five roofs, from very bright to darker than most ground."""
RED_TILE = _make_spectrum(0.07, 0.10, 0.20, 0.29, 0.30, 0.37, 0.31)
MIXED_TILE = _make_spectrum(0.19, 0.19, 0.19, 0.28, 0.29, 0.35, 0.31)
"""Mean of blue, grey and cream tiles on one hall."""
ASPHALT = _make_spectrum(0.08, 0.09, 0.10, 0.13, 0.135, 0.17, 0.16)
GRAVEL = _make_spectrum(0.12, 0.145, 0.17, 0.22, 0.225, 0.28, 0.26)
"""A trodden works yard."""
CLEARED = _make_spectrum(0.09, 0.125, 0.165, 0.24, 0.25, 0.34, 0.30)
"""Bare, scraped ground."""
FOUNDATION = _make_spectrum(0.15, 0.18, 0.21, 0.26, 0.27, 0.32, 0.29)
FRAME = _make_spectrum(0.095, 0.11, 0.13, 0.165, 0.17, 0.21, 0.195)
"""An open steel frame over a floor slab: half shade, half slab."""
PLOUGHED = _make_spectrum(0.065, 0.085, 0.11, 0.18, 0.19, 0.27, 0.22)
STUBBLE = _make_spectrum(0.085, 0.12, 0.16, 0.28, 0.30, 0.36, 0.26)
BURNT = _make_spectrum(0.035, 0.04, 0.045, 0.07, 0.075, 0.14, 0.15)
WATER = _make_spectrum(0.05, 0.045, 0.03, 0.015, 0.014, 0.008, 0.006)
SNOW = _make_spectrum(0.78, 0.80, 0.80, 0.76, 0.75, 0.12, 0.08)
CLOUD = _make_spectrum(0.62, 0.61, 0.61, 0.64, 0.64, 0.50, 0.40)
LORRY = _make_spectrum(0.45, 0.45, 0.44, 0.42, 0.42, 0.34, 0.30)
"""Parked lorries: white paint and glass."""
BROWNING = _make_spectrum(0.006, 0.002, 0.040, -0.225, -0.230, 0.012, 0.055)
"""Bare minus green canopy of the embedded archive's broad-leaved forest, March and April against July (B12 by the
ratio of B12 to B11 in dry leaf litter)."""


def band_levels(spectrum: Spectrum, bands: tuple[Band, ...]) -> NDArray[np.float32]:
    """(band,) float32."""
    return np.array([spectrum[band] for band in bands], np.float32)


def canopy_greenness(day_of_year: float, southern: bool = False) -> float:
    """0..1: how far the year's canopy is out, by the embedded archive's forest (leaf-out in May, fall in October)."""
    day = (day_of_year + 182.5) % 365 if southern else day_of_year
    rise = 1 / (1 + np.exp(-(day - 118) / 8))
    fall = 1 / (1 + np.exp((day - 285) / 14))
    return float(rise * fall)
