"""Which file of an item is which band: by name, by the bands it declares, by media type and scheme."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pyproj import CRS
from pyproj.exceptions import CRSError

from pipeline.catalogue.bandnames import name_to_band
from pipeline.catalogue.hrefs import AllowList, resolve_href
from pipeline.catalogue.product import parse_number
from pipeline.catalogue.providers import Provider
from pipeline.model.bands import Band
from pipeline.model.errors import CatalogueError

_SIZE = re.compile(r"_(\d\d)m$", re.IGNORECASE)
FIX = "fix the item, or remove it from the catalogue"
SCALE = 1e-4
"""Reflectance of one DN, in all products of ESA and of all providers in the table."""
MAX_SIDE = 60_000
"""Largest number of rows or columns of an asset; Sentinel-2 has 10,980 at 10 m."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file of an item. raw: its entry in the catalogue."""

    href: str
    is_jp2: bool
    raw: Mapping[str, Any]


def pick_bands(assets: Mapping[str, Any], row: Provider, allowed: AllowList, where: str) -> dict[Band, Asset]:
    """Select the best file of every band. Raises CatalogueError if a band has none, or one that must not be read."""
    picked, declared = {}, _declared_by(assets)
    if not row.collections:
        # a catalogue of one's own may spell a band in any usual way: B4, Band 8A, T31TCJ_B02_10m
        declared = {**{key: band.value for key in assets if (band := name_to_band(str(key)))}, **declared}
    for band in Band:
        found = _pick_asset(assets, row.names(band), declared, allowed, f"{where}, asset", band)
        if found is not None:
            picked[band] = found
            check_scale(found.raw, f"{where}, asset of {band}")
    if not picked:
        raise CatalogueError(f"no asset is a known band: {', '.join(list(assets)[:8]) or 'none at all'}", where, FIX)
    return picked


def pick_scl(assets: Mapping[str, Any], row: Provider, allowed: AllowList, where: str) -> str | None:
    """Href of the scene classification, None if the item has none."""
    found = _pick_asset(assets, row.scl, {}, allowed, f"{where}, asset", None)
    return found.href if found else None


def _declared_by(assets: Mapping[str, Any]) -> dict[str, str]:
    """Asset key -> declared band, of the assets that declare one."""
    found = {key: _declared_band(raw) for key, raw in assets.items() if isinstance(raw, Mapping)}
    return {key: name for key, name in found.items() if name is not None}


def _pick_asset(
    assets: Mapping[str, Any],
    names: Sequence[str],
    declared: Mapping[str, str],
    allowed: AllowList,
    where: str,
    band: Band | None,
) -> Asset | None:
    """COG before JP2, an open address before one that costs, the provider's own name before what the asset declares."""
    ranked = []
    claimed = [key for key, name in declared.items() if band is not None and name in (band.value, band.role)]
    for key in dict.fromkeys((*names, *claimed)):
        raw = assets.get(key)
        if not isinstance(raw, Mapping) or "href" not in raw:
            continue
        if key not in names and _is_coarse(key, raw, band):
            continue
        asset = Asset(href=str(raw["href"]), is_jp2=_is_jp2(raw), raw=raw)
        costs = asset.href.lower().startswith("s3:")
        rank = (asset.is_jp2, costs, names.index(key) if key in names else len(names), key)
        ranked.append((rank, key, asset))
    if not ranked:
        return None
    _, key, asset = min(ranked, key=lambda entry: entry[0])
    _check_size(asset.raw, f"{where} {key}")
    return Asset(href=resolve_href(asset.raw["href"], allowed, f"{where} {key}"), is_jp2=asset.is_jp2, raw=asset.raw)


def _declared_band(raw: Mapping[str, Any]) -> str | None:
    """Band that a single-band asset declares, by name or by common name."""
    entries = raw.get("eo:bands") or raw.get("bands")
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], Mapping):
        return None
    entry = entries[0]
    name = str(entry.get("name", ""))
    if name in Band.__members__:
        return name
    return str(entry.get("common_name") or entry.get("eo:common_name") or name)


def _is_coarse(key: str, raw: Mapping[str, Any], band: Band | None) -> bool:
    """Whether an asset found by its declared band is a coarser copy, a thumbnail or a picture of it."""
    roles = raw.get("roles") or []
    size = _SIZE.search(key)
    gsd = parse_number(raw.get("gsd"), 0, 1e6) or (float(size[1]) if size else None)
    coarse = band is not None and gsd is not None and gsd > band.native_m
    return coarse or bool({"thumbnail", "overview", "visual"} & set(map(str, roles if isinstance(roles, list) else [])))


def _is_jp2(raw: Mapping[str, Any]) -> bool:
    media = str(raw.get("type", "")).lower()
    return "jp2" in media or "jpeg2000" in media or str(raw["href"]).lower().partition("?")[0].endswith(".jp2")


def check_scale(raw: Mapping[str, Any], where: str) -> None:
    """Pixels are read as reflectance * 10000; what states another scale would be wrong by that factor.

    Raises CatalogueError where an item or an asset states one.
    """
    for scale in stated_numbers(raw, "scale"):
        if abs(scale - SCALE) > 1e-9:
            fix = f"only a scale of {SCALE:g} is read: convert the pixels, or fix the item"
            raise CatalogueError(f"scale {scale:g} is stated", where, fix)


def stated_numbers(raw: Mapping[str, Any], name: str) -> list[float]:
    """What an asset states of its pixels, in `raster:bands`, in `bands` or by itself: every scale or offset."""
    parts = (*_band_entries(raw.get("raster:bands")), *_band_entries(raw.get("bands")), raw)
    values = [part.get(key) for part in parts for key in (name, f"raster:{name}")]
    return [found for value in values if (found := parse_number(value, -1e9, 1e9)) is not None]


def _band_entries(bands: object) -> list[Mapping[str, Any]]:
    """The entries of a list of bands; a lone entry is written without a list too."""
    return [entry for entry in (bands if isinstance(bands, list) else [bands]) if isinstance(entry, Mapping)]


def _check_size(raw: Mapping[str, Any], where: str) -> None:
    size = raw.get("proj:shape")
    if isinstance(size, list) and any(isinstance(side, int | float) and side > MAX_SIDE for side in size):
        raise CatalogueError(
            f"proj:shape is {str(size)[:60]}", where, f"no band has more than {MAX_SIDE} rows or columns"
        )


def stated_crs(properties: Mapping[str, Any], assets: Sequence[Mapping[str, Any]], where: str) -> str | None:
    """CRS of item or assets, in any version of the projection extension; None if not stated.

    Raises CatalogueError where it is unknown or assets differ.
    """
    found = {code for part in (properties, *assets) if (code := _read_crs(part, where)) is not None}
    if len(found) > 1:
        raise CatalogueError(f"assets in different CRS: {', '.join(sorted(found))}", where, FIX)
    return found.pop() if found else None


def _read_crs(part: Mapping[str, Any], where: str) -> str | None:
    code = part.get("proj:code")
    if code in (None, "", "EPSG:None"):
        epsg = parse_number(str(part.get("proj:epsg")).upper().removeprefix("EPSG:"), 1, 999_999)
        code = f"EPSG:{epsg:.0f}" if epsg is not None else None
    stated = code or part.get("proj:wkt2") or part.get("proj:projjson")
    if stated is None:
        return None
    try:
        return _normalise_code(stated) if isinstance(stated, str) else _crs_text(CRS.from_user_input(stated))
    except CRSError as error:
        raise CatalogueError(f"CRS {str(stated)[:40]!r} is unknown", where, FIX) from error


@lru_cache
def _normalise_code(stated: str) -> str:
    """Cached, because all assets of all items state the same few codes."""
    return _crs_text(CRS.from_user_input(stated))


def _crs_text(crs: CRS) -> str:
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())
