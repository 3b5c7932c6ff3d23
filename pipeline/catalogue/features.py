"""One feature of an AOI file, whatever its format, and the limits that all formats share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shapely.geometry.base import BaseGeometry

MAX_FILE_BYTES = 64_000_000
"""A million vertices are about 40 MB of GeoJSON; more is no list of places to watch."""
MAX_FEATURES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature as the file has it.

    where: file and feature, for messages. geometry: lon/lat, or None with the reason in `error`. notes: what of it was
    left out.
    """

    where: str
    geometry: BaseGeometry | None
    properties: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    notes: tuple[str, ...] = ()
