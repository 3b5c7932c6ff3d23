"""One product of one tile: the common form of the metadata of all catalogues and folders."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.model.imagery import Granule, Level

_PRODUCT = re.compile(
    r"(?P<platform>S2[A-Z])_MSI(?P<level>L1C|L2A)_(?P<start>\d{8}T\d{6})(?:_N(?P<baseline>\d{4}))?"
    r"_R(?P<orbit>\d{3})_T(?P<tile>\d{2}[A-Z]{3})_(?P<generated>\d{8}T\d{6})"
)
_DATATAKE = re.compile(r"G?(?P<platform>S2[A-Z])_(?P<start>\d{8}T\d{6})(?:_\d{6}(?:_N(?P<baseline>\d\d\.\d\d))?)?")
_STRIP = re.compile(r"_S(\d{8}T\d{6})(?:_|$)")
_BASELINE = re.compile(r"(?<!\d)0?(\d{1,2})\.(\d{1,2})(?!\d)")
_JOINED_BASELINE = re.compile(r"N?(\d\d)(\d\d)")
_TILE = re.compile(r"^(?:MGRS-)?T?(\d{1,2})([C-X])([A-Z]{2})$")
MAX_ID = 200
_PATH = re.compile(r"[/\\]|\.\.")
UNKNOWN_BASELINES = frozenset({"99.99"})
"""Baseline number of products that a user made with Sen2Cor: it does not say whether the offset was added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductName:
    """What ESA's product name says ("S2B_MSIL2A_20250731T131909_N0511_R095_T20EPT_20250731T143919")."""

    platform: str
    level: Level
    start: datetime
    baseline: str | None
    orbit: int
    tile: str
    generated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A granule with the fields that identify its acquisition.

    time:     by the catalogue: tile or datatake time, for the search window. datatake: "S2B_20250731T131909".
    strip:    sensing start of the datastrip, "20250731T131905". provider: row of providers.toml that read it.
    nodata_percent: share of the whole tile that holds no data, 0..100, None where unsaid.
    """

    granule: Granule
    provider: str
    time: datetime
    level: Level
    collection: str
    datatake: str | None
    strip: str | None
    platform: str | None
    relative_orbit: int | None
    sun: tuple[float, float] | None
    cloud_percent: float | None
    nodata_percent: float | None


def is_safe_id(text: str) -> bool:
    """Whether an id may be shown and compared: printable, at most 200 letters, and no part of a path.

    Colons, blanks and letters of any alphabet are used by catalogues; no file is named after an id.
    """
    return 0 < len(text) <= MAX_ID and text.isprintable() and not text.startswith(".") and not _PATH.search(text)


def parse_number(value: object, low: float, high: float) -> float | None:
    """Optional number of metadata, as number or text; None for any other value and outside of its range."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if low <= found <= high else None


def parse_name(text: str) -> ProductName | None:
    """ESA's product name anywhere in a text; the N part may be missing, as Planetary Computer leaves it out."""
    match = _PRODUCT.search(text)
    if match is None:
        return None
    start, generated = _time_or_none(match["start"]), _time_or_none(match["generated"])
    if start is None or generated is None:
        return None
    return ProductName(
        platform=match["platform"],
        level=Level(match["level"]),
        start=start,
        baseline=normal_baseline(f"{match['baseline'][:2]}.{match['baseline'][2:]}") if match["baseline"] else None,
        orbit=int(match["orbit"]),
        tile=match["tile"],
        generated=generated,
    )


def datatake_key(text: str) -> str | None:
    """Platform and start second of a datatake id; the baseline in it belongs to the processing, not to the pass."""
    match = _DATATAKE.search(text)
    return f"{match['platform']}_{match['start']}" if match and _time_or_none(match["start"]) else None


def datatake_start(key: str) -> datetime:
    """The start second of a datatake key."""
    return compact_time(key.partition("_")[2])


def strip_start(text: str) -> str | None:
    """Sensing start in a datastrip id."""
    match = _STRIP.search(text)
    return match[1] if match else None


def normal_baseline(text: str) -> str | None:
    """The baseline "05.09" from "5.9", "05.09", "N05.09", "0509" or "N0509"; None for anything else and for "99.99"."""
    match = _BASELINE.search(text) or _JOINED_BASELINE.fullmatch(text.strip().upper())
    found = f"{int(match[1]):02d}.{int(match[2]):02d}" if match else None
    return None if found in UNKNOWN_BASELINES else found


def normal_tile(text: str) -> str | None:
    """The tile "01CDE" from "MGRS-1CDE", "T01CDE" or "1CDE"; None for anything else."""
    match = _TILE.match(text.strip().upper())
    return f"{int(match[1]):02d}{match[2]}{match[3]}" if match else None


def _time_or_none(text: str) -> datetime | None:
    try:
        return compact_time(text)
    except ValueError:
        return None


def compact_time(text: str) -> datetime:
    """ESA's "20250731T131909" as UTC."""
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


FIRST_SCENE = datetime(2015, 6, 23, tzinfo=UTC)
"""Launch of Sentinel-2A: no scene is older."""


def parse_time(text: str) -> datetime:
    """An RFC 3339 time as UTC; a time without a zone is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
