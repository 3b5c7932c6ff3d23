"""Which band a file or a raster band is, by its name: ESA's numbers, common names, either in any usual spelling."""

import re
from collections.abc import Sequence

from pipeline.model.bands import Band

_NUMBER = re.compile(r"^(?:B|BAND)[ _-]?(0?[1-9]|1[0-2]|0?8A)$")
_NAMES = {
    **{band.role: band for band in Band},
    "re1": Band.B05, "re2": Band.B06, "re3": Band.B07, "rededge": Band.B05,
    "nirnarrow": Band.B8A, "narrownir": Band.B8A, "nir1": Band.B08, "nir2": Band.B8A, "nnir": Band.B8A,
    "swir1": Band.B11, "swir2": Band.B12, "swir": Band.B11,
    "watervapour": Band.B09, "aerosol": Band.B01,
}  # fmt: skip
_ORDER_13 = tuple(Band)
_ORDER_12 = tuple(band for band in Band if band is not Band.B10)


def name_to_band(name: str) -> Band | None:
    """The band that a file stem or description names, None if it names none.

    "B04", "T31TCJ_20200101T105441_B04_10m", "scene_red", "swir16", "Band 8A", "B4 (665 nm)". Where several parts name
    a band the last one counts; masks and quality files ("…_SCL_20m", "MSK_…") name none.
    """
    if is_scl(name) or re.match(r"^(MSK|QA|TCI|PVI|AOT|WVP)(_|$)|_(TCI|PVI|AOT|WVP|CLD|SNW)(_|$)", name.upper()):
        return None
    text = re.sub(r"(?i)\bband[ _-](?=\d)", "BAND", name)
    found = [band for part in re.split(r"[^A-Za-z0-9]+", text) if (band := _band_of_part(part)) is not None]
    return found[-1] if found else None


def is_scl(name: str) -> bool:
    """Whether a file stem names Sen2Cor's scene classification."""
    return "SCL" in re.split(r"[^A-Z0-9]+", name.upper())


def bands_of_descriptions(descriptions: Sequence[str | None]) -> dict[Band, int] | None:
    """Band -> its number in the file, from 1; None if the descriptions do not name the bands.

    A file of 13 or 12 bands without descriptions is taken in ESA's order (12: without B10).
    """
    if not any(descriptions):
        order = {13: _ORDER_13, 12: _ORDER_12}.get(len(descriptions))
        return None if order is None else {band: index for index, band in enumerate(order, 1)}
    named: dict[Band, int] = {}
    for index, text in enumerate(descriptions, 1):
        band = name_to_band(text or "")
        if band is not None:
            if band in named:
                return None
            named[band] = index
    return named or None


def _band_of_part(part: str) -> Band | None:
    match = _NUMBER.match(part.upper())
    if match:
        number = match[1].lstrip("0").upper()
        return Band("B8A") if number == "8A" else Band(f"B{int(number):02d}")
    return _NAMES.get(part.lower())
