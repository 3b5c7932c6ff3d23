"""What an item's metadata say about the +1000 offset: the decision table, before any pixel is looked at."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.catalogue.assets import Asset, stated_numbers
from pipeline.catalogue.providers import Provider
from pipeline.model.bands import Band
from pipeline.model.imagery import FIRST_WITH_OFFSET, OFFSET_DN, DeclaredOffset


def declared_offset(
    row: Provider, properties: Mapping[str, Any], bands: Mapping[Band, Asset], baseline: str | None, time: datetime
) -> DeclaredOffset:
    """The offset that the metadata claim, by the provider's habit; `dn` None where they do not decide."""
    if row.offset == "stated":
        return _offset_from_assets(bands, baseline)
    sure = row.offset == "kept"  # the flag's providers have been wrong about it in every way there is
    if baseline is not None and baseline < FIRST_WITH_OFFSET:
        return DeclaredOffset(dn=0, reason=f"baseline {baseline} has no offset", certain=sure)
    if row.offset == "flag" and not all(asset.is_jp2 for asset in bands.values()):
        return _offset_from_flag(row, properties, bands, baseline, time)
    if baseline is None:
        return DeclaredOffset(dn=None, reason="processing baseline unknown")
    stated = _distinct_offsets(bands) - {None}
    if stated and stated != {-OFFSET_DN / 10000}:
        said = ", ".join(f"{offset:g}" for offset in sorted(stated, key=str))
        return DeclaredOffset(dn=None, reason=f"baseline {baseline}, yet offset {said} is stated")
    return DeclaredOffset(dn=OFFSET_DN, reason=f"baseline {baseline}, DN as ESA made them ({row.name})")


def _offset_from_flag(
    row: Provider, properties: Mapping[str, Any], bands: Mapping[Band, Asset], baseline: str | None, time: datetime
) -> DeclaredOffset:
    if any(asset.is_jp2 for asset in bands.values()):
        return DeclaredOffset(dn=None, reason="COG and JP2 in one item")
    flag = properties.get(str(row.flag))
    if flag is True:
        return DeclaredOffset(dn=0, reason=f"{row.flag} is true", certain=False)
    if flag is None and baseline is None and row.unflagged_before and time.date() < row.unflagged_before:
        return DeclaredOffset(dn=0, reason=f"sensed before {row.unflagged_before}", certain=False)
    said = "missing" if flag is None else str(flag).lower()
    return DeclaredOffset(dn=None, reason=f"{row.flag} is {said} at baseline {baseline or 'unknown'}")


def _offset_from_assets(bands: Mapping[Band, Asset], baseline: str | None) -> DeclaredOffset:
    """A catalogue without a habit has to state the offset of every band; it must not contradict the baseline."""
    stated = _distinct_offsets(bands)
    if len(stated) != 1:
        return DeclaredOffset(dn=None, reason="bands state different offsets")
    offset = stated.pop()
    if offset is None:
        if baseline is not None and baseline < FIRST_WITH_OFFSET:
            return DeclaredOffset(dn=0, reason=f"baseline {baseline} has no offset")
        return DeclaredOffset(dn=None, reason=f"no offset stated, baseline {baseline or 'unknown'}")
    dn = round(-offset * 10000)
    if dn == 0:
        return DeclaredOffset(dn=0, reason="offset 0 stated for every band")
    if dn == OFFSET_DN and (baseline is None or baseline >= FIRST_WITH_OFFSET):
        return DeclaredOffset(dn=OFFSET_DN, reason="offset -0.1 stated for every band")
    return DeclaredOffset(dn=None, reason=f"offset {offset:g} stated at baseline {baseline or 'unknown'}")


def _distinct_offsets(bands: Mapping[Band, Asset]) -> set[float | None]:
    """The offsets of reflectance that assets state, None for one that states none; scales were checked before."""
    return {offset for asset in bands.values() for offset in (*stated_numbers(asset.raw, "offset"),) or (None,)}
