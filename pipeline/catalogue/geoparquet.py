"""STAC GeoParquet: one row an item, its properties as columns, its geometry as WKB."""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import shapely
from shapely.errors import ShapelyError
from shapely.geometry import mapping

from pipeline.model.errors import CatalogueError

MAX_ROWS = 200_000
ROWS_AT_ONCE = 200
MAX_BATCH_BYTES = 512_000_000
"""Largest group of rows unpacked: 20,000 recorded items."""
FIX = "fix the file, or write it again with stac-geoparquet"
_ITEM = ("type", "id", "collection", "stac_version", "stac_extensions", "bbox", "geometry", "assets", "links")


def read_items(source: Path | bytes, where: str) -> Iterator[Mapping[str, Any]]:
    """The items of a file, or of its content, as an API would give them.

    Raises CatalogueError where it is no such file.
    """
    try:
        with pyarrow.parquet.ParquetFile(pyarrow.BufferReader(source) if isinstance(source, bytes) else source) as file:
            _check_columns(file, where)
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    yield _item_from_row(row)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CatalogueError(f"no GeoParquet that can be read: {str(error)[:80]}", where, FIX) from error


def _check_columns(file: pyarrow.parquet.ParquetFile, where: str) -> None:
    names = set(file.schema_arrow.names)
    missing = [name for name in ("id", "assets", "geometry") if name not in names]
    if missing:
        raise CatalogueError(f"no column {missing[0]!r}, so no STAC GeoParquet", where, FIX)
    if file.metadata.num_rows > MAX_ROWS:
        raise CatalogueError(f"{file.metadata.num_rows} items", where, "name a smaller part of the catalogue")
    sizes = [file.metadata.row_group(index).total_byte_size for index in range(file.metadata.num_row_groups)]
    if max(sizes, default=0) > MAX_BATCH_BYTES:
        raise CatalogueError(f"{max(sizes) / 1e6:.0f} MB in one group of rows", where, "write smaller groups")


def _item_from_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    plain = {name: _to_json_value(value) for name, value in row.items() if name != "geometry" and value is not None}
    properties = {name: value for name, value in plain.items() if name not in (*_ITEM, "properties")}
    nested = plain.get("properties")
    item = {name: plain[name] for name in _ITEM if name in plain}
    item |= {"type": "Feature", "properties": {**(nested if isinstance(nested, dict) else {}), **properties}}
    if isinstance(item.get("bbox"), dict):
        item["bbox"] = [item["bbox"][key] for key in ("xmin", "ymin", "xmax", "ymax") if key in item["bbox"]]
    if isinstance(item.get("assets"), str):
        item["assets"] = _parse_json(item["assets"])
    item["geometry"] = _parse_geometry(row.get("geometry"))
    return item


def _to_json_value(value: Any) -> Any:
    """A value as in JSON: an empty column becomes None, a time becomes text."""
    if isinstance(value, dict):
        return {key: _to_json_value(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_to_json_value(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None  # reported later as an item without assets


def _parse_geometry(value: Any) -> Any:
    """The footprint, None if it cannot be read; the item's bounding box replaces it."""
    try:
        return mapping(shapely.from_wkb(value)) if isinstance(value, bytes) else value
    except (ShapelyError, ValueError, NotImplementedError):
        return None
