"""A watched place."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from odc.geo.geobox import GeoBox
from shapely.geometry import MultiPolygon, Polygon

_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")
"""Names of devices, which Windows allows for no folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An AOI with its id, its grid and its own settings.

    aoi:      lon/lat polygon. grid: UTM, 10 m, AOI and margin, see `site_grid`.
    catalog:  URL or path of the catalogue to ask, None = the default provider.
    settings: overrides of groundbreak.toml, as dotted keys ("decide.false_alarms_per_100km2_year").
    """

    id: str
    name: str
    aoi: Polygon | MultiPolygon
    grid: GeoBox
    catalog: str | None = None
    collection: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, object] = field(default_factory=dict)


def slug(name: str) -> str:
    """A name as an id that is safe as a folder: lower-case ASCII letters, digits and hyphens, at most 64."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")
    return f"{made}-site" if _DEVICE.fullmatch(made) else made
