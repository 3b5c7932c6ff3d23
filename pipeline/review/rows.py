"""Rows of `changes`, cleaned: other programs may have altered them.

SQLite stores any value in any column, and other programs rewrite types. A value of another type than its column's is
read as missing. The next run writes the machine's columns again.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from odc.geo.geom import Geometry
from shapely.geometry import Point
from shapely.geometry.base import BaseGeometry

from pipeline.model.alert import Kind, Status
from pipeline.review.geoblob import decode_ground
from pipeline.review.schema import CHANGES, LATER

_RANGES = {"confidence": (0.0, 1.0), "lon": (-180.0, 180.0), "lat": (-90.0, 90.0), "area_m2": (0.0, 1e12),
           "area_error_m2": (0.0, 1e12), "looks_seen": (0, 1e6), "looks_clear": (0, 1e6)}  # fmt: skip
_WORDS: Mapping[str, frozenset[str]] = {
    "status": frozenset(each.value for each in Status),
    "kind": frozenset(each.value for each in Kind),
}
OPTIONAL = ("last_clear_before", "confirmed_at", *LATER)
"""Machine columns that may be empty in a complete row."""
COMPLETE = tuple(name for name in CHANGES if name not in (*OPTIONAL, "verdict", "note", "reviewer", "reviewed_at"))


def clean_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's values, each of the type of its column or None; other columns are left as they are."""
    return {name: _READ[name](name, value) if name in _READ else value for name, value in row.items()}


def clean_table(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, pa.DataType], needed: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows of one of the machine's own tables, read by their types; those without a needed value are left out."""
    readers = {name: reader_of(kind) for name, kind in columns.items()}
    read = [{name: readers[name](name, value) if name in readers else value for name, value in row.items()}
            for row in rows]  # fmt: skip
    return [row for row in read if all(row.get(name) is not None for name in needed)]


def is_complete(facts: Mapping[str, Any]) -> bool:
    """Whether a cleaned row has all that the machine writes of an alert."""
    return all(facts.get(name) is not None for name in COMPLETE)


def outline_of(facts: Mapping[str, Any], blob: object, crs: str) -> tuple[BaseGeometry | None, str]:
    """The ground of a row in the site's CRS, and what was wrong with its geometry, if anything was.

    A damaged outline is replaced by a square of the row's area around its point, so that its alert is recognised.
    """
    try:
        return decode_ground(blob), ""
    except ValueError as error:
        wrong = str(error)
    lon, lat, area = (facts.get(name) for name in ("lon", "lat", "area_m2"))
    if lon is None or lat is None or not area:
        return None, wrong
    point = Geometry(Point(lon, lat), "EPSG:4326").to_crs(crs).geom
    return point.buffer(math.sqrt(area) / 2, cap_style="square"), wrong


def _clean_text(name: str, value: Any) -> str | None:
    if isinstance(value, bool | int | float):
        value = str(value)
    if not isinstance(value, str) or not value:
        return None
    return value if name not in _WORDS or value in _WORDS[name] else None


def _clean_number(name: str, value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    return number if math.isfinite(number) and low <= number <= high else None


def _clean_count(name: str, value: Any) -> int | None:
    """A whole number that SQLite can store."""
    number = _clean_number(name, value)
    return None if number is None or abs(number) >= 2**63 else int(number)


def _clean_day(_name: str, value: Any) -> str | None:
    """An ISO day; of a time its day, as a program leaves it that knows no dates."""
    try:
        return date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError:
        return None


def clean_time(_name: str, value: Any) -> str | None:
    """A time as ISO text, else None."""
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return str(value)


def reader_of(kind: pa.DataType) -> Callable[[str, Any], Any]:
    """Function that cleans the values of a column of this type."""
    if pa.types.is_date(kind):
        return _clean_day
    if pa.types.is_timestamp(kind):
        return clean_time
    if pa.types.is_floating(kind):
        return _clean_number
    return _clean_count if pa.types.is_integer(kind) or pa.types.is_boolean(kind) else _clean_text


_READ = {name: reader_of(kind) for name, kind in CHANGES.items()}
