"""Which DN carry the +1000 of processing baselines >= 04.00: what the metadata declare, checked on the pixels.

The pixels can refute the offset (ground darker than it), and hardly ever prove it: a desert without it looks like a
town with it. A declaration from metadata that have been wrong needs dark ground, or the agreement of other looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pipeline.model.bands import Band
from pipeline.model.imagery import OFFSET_DN, Chip, DeclaredOffset, Raster, Reason, Rejection, Scene

QUANTILES = (0.005, 0.25)
"""Darkest ground (one valid pixel in 200 lies below: not a lone bad one) and a quarter, where levels are compared."""
REFUTED_DN = 800.0
"""Darkest DN at which +1000 is possible: a reflectance of -0.02, less than Sen2Cor leaves on dark ground."""
WRAPPED_DN = 65536 - OFFSET_DN
"""DN from here up to 65534 are negative values that a careless removal in uint16 has wrapped round."""
SATURATED_DN = 65535
SAME_LEVEL, OFFSET_LEVEL = 0.04, (0.06, 0.14)
"""Differences to the site's other looks, reflectance: the same level, or lifted by 0.1 in every band alike."""
MAX_DIFFERENCE = 0.17
"""Largest difference of one band that the offset explains, reflectance."""
SWIR = (Band.B11, Band.B12)
"""Haze lifts the visible by 0.1 as the offset does, and not the short-wave infrared."""
STEADY = (Band.B02, Band.B03, Band.B04, *SWIR)
"""Bands whose level is compared over time; in the others leaves come and go by more than 0.1."""
MIN_ANCHORS = 3
"""Least granules with a decided offset that others are compared with."""
MIN_MAJORITY = 5
"""Least granules that declare one offset and are accepted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """The additive constant of the DN of a chip, and the rule that decided it."""

    dn: int
    reason: str


def dark_floor(chip: Chip) -> dict[Band, float]:
    """The DN that one valid pixel in 200 does not reach, per band; bands without a valid pixel are left out."""
    return {band: float(pair[0]) for band, pair in dn_quantiles(chip).items()}


def resolve_offset(
    declared: DeclaredOffset,
    dark_floor: Mapping[Band, float],
    expected: Mapping[Band, float] | None = None,
    *,
    scene: Scene,
) -> Offset | Rejection:
    """The offset of one granule, or the refusal to guess it.

    dark_floor: DN per band, as `dark_floor` gives it. expected: reflectance of the same floor in the site's history.
    The Rejection carries the lowest floor and REFUTED_DN, or the median difference over the history and its limit.
    """
    lowest = min(dark_floor.values(), default=float("inf"))
    if lowest < REFUTED_DN:
        if declared.dn == OFFSET_DN:
            return _reject(scene, lowest, REFUTED_DN, f"{declared.reason}, yet ground is darker than that")
        return Offset(dn=0, reason=f"{declared.reason}; dark ground at {lowest:.0f} DN")
    if expected:
        difference = {band: dark_floor[band] / 10000 - expected[band] for band in dark_floor if band in expected}
        found = _match_levels(difference)
        if found is not None and declared.dn in (None, found):
            return Offset(dn=found, reason=f"{declared.reason}; agrees with the site's history")
        if found is not None:
            middle = float(np.median(list(difference.values())))
            return _reject(scene, middle, SAME_LEVEL, f"{declared.reason}, the site's history says otherwise")
    if declared.dn is None or not declared.certain:
        return _reject(scene, lowest, REFUTED_DN, f"{declared.reason}, no ground dark enough to decide")
    return Offset(dn=declared.dn, reason=declared.reason)


DnQuantiles = Mapping[Band, NDArray[np.float64]]
"""DN of QUANTILES per band, over what is neither nodata nor wrapped nor saturated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeclaredGranule:
    """The offset that the metadata of a granule declare, and the quantiles of its pixels."""

    declared: DeclaredOffset
    levels: DnQuantiles


def resolve_jointly(looks: Sequence[Sequence[Chip]]) -> tuple[tuple[Chip, ...], ...]:
    """Chips of the scenes of a site, with the declared offsets that `resolve_declared` finds."""
    granules = [
        [DeclaredGranule(declared=chip.granule.declared_offset, levels=dn_quantiles(chip)) for chip in chips]
        for chips in looks
    ]
    return tuple(map(with_declared, looks, resolve_declared(granules)))


def with_declared(chips: Sequence[Chip], offsets: Sequence[DeclaredOffset]) -> tuple[Chip, ...]:
    """The same chips with these declared offsets, one each."""
    return tuple(
        chip
        if chip.granule.declared_offset == declared
        else replace(chip, granule=replace(chip.granule, declared_offset=declared))
        for chip, declared in zip(chips, offsets, strict=True)
    )


def resolve_declared(looks: Sequence[Sequence[DeclaredGranule]]) -> tuple[tuple[DeclaredOffset, ...], ...]:
    """The declared offsets of the scenes of a site, granule by granule, resolved jointly.

    An offset that dark ground or certain metadata decide is kept. The others are compared with those. Without any, five
    that declare the same offset and have the same level are accepted. Undecided ones keep `dn` None or `certain` False,
    and `resolve_offset` rejects them. The result does not depend on the order of the scenes.
    """
    every = [each for granules in looks for each in granules]
    proved = [each for each in every if _is_proved(each)]
    stated = [each for each in every if not _is_proved(each) and _is_certain(each)]
    anchors = proved if len(proved) >= MIN_ANCHORS else [*proved, *stated]
    history = _history_levels(anchors)
    majority = None if len(anchors) >= MIN_ANCHORS else _majority_levels(every)
    return tuple(
        tuple(each.declared if _is_proved(each) else _resolve_by_others(each, history, majority) for each in granules)
        for granules in looks
    )


def dn_quantiles(chip: Chip) -> dict[Band, NDArray[np.float64]]:
    """DN of QUANTILES per band, over what is neither nodata nor wrapped nor saturated; bands without are left out."""
    every = {band: _raster_quantiles(raster) for band, raster in chip.dn.items()}
    return {band: pair for band, pair in every.items() if pair is not None}


_known: WeakKeyDictionary[Raster, NDArray[np.float64] | None] = WeakKeyDictionary()
"""Quantiles of the rasters in memory: they are wanted for the site's offsets first, and for those of the look later."""


def _raster_quantiles(raster: Raster) -> NDArray[np.float64] | None:
    if raster not in _known:
        counts = np.bincount(np.ravel(raster.data), minlength=WRAPPED_DN)[:WRAPPED_DN]
        counts[0] = 0
        _known[raster] = _quantiles(counts) if counts.any() else None
    return _known[raster]


def _quantiles(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """QUANTILES of whole numbers, given how often each occurs: a tenth of the time of partitioning them."""
    below = np.cumsum(counts)
    place = (below[-1] - 1) * np.array(QUANTILES)
    low = np.floor(place)
    one, two = (np.searchsorted(below, each, side="right").astype(np.float64) for each in (low, low + 1))
    two = np.where(place > low, two, one)
    return np.asarray(one + (two - one) * (place - low))


def to_reflectance(dn: NDArray[np.uint16], offset: Offset) -> NDArray[np.float32]:
    """Reflectance (1 = 100 %) of DN: NaN where DN is 0, values that wrapped below 0 put right.

    Without the offset 65535 is either saturated or -1: NaN too.
    """
    return _reflectance_table(offset.dn).take(dn)


@lru_cache(maxsize=2)
def _reflectance_table(offset_dn: int) -> NDArray[np.float32]:
    """Reflectance of each DN: looked up in a quarter of the time of working it out for every pixel."""
    values = (np.arange(1 << 16, dtype=np.float32) - offset_dn) / np.float32(10000)
    values[0] = np.nan
    if offset_dn == 0:
        values[WRAPPED_DN:] -= np.float32(6.5536)
        values[SATURATED_DN] = np.nan
    return values


def _darkest(levels: DnQuantiles) -> float:
    return min((float(pair[0]) for pair in levels.values()), default=float("inf"))


def _is_proved(each: DeclaredGranule) -> bool:
    return _darkest(each.levels) < REFUTED_DN and each.declared.dn != OFFSET_DN


def _is_certain(each: DeclaredGranule) -> bool:
    refuted = each.declared.dn == OFFSET_DN and _darkest(each.levels) < REFUTED_DN
    return each.declared.dn is not None and each.declared.certain and not refuted


def _history_levels(anchors: Sequence[DeclaredGranule]) -> dict[Band, NDArray[np.float64]]:
    """Median reflectance of QUANTILES per band over the anchors; empty where they are too few."""
    if len(anchors) < MIN_ANCHORS:
        return {}
    per_band: dict[Band, list[NDArray[np.float64]]] = {}
    for each in anchors:
        for band, pair in each.levels.items():
            per_band.setdefault(band, []).append((pair - (each.declared.dn or 0)) / 10000)
    return {band: np.median(np.stack(pairs), axis=0) for band, pairs in per_band.items()}


def _majority_levels(every: Iterable[DeclaredGranule]) -> dict[Band, NDArray[np.float64]]:
    """The common level of granules that all declare one offset; empty if they are few or their offsets differ."""
    declaring = [each for each in every if each.declared.dn is not None]
    if len(declaring) < MIN_MAJORITY or len({each.declared.dn for each in declaring}) != 1:
        return {}
    return _history_levels(declaring)


def _resolve_by_others(each: DeclaredGranule, history: DnQuantiles, majority: DnQuantiles | None) -> DeclaredOffset:
    declared, known = each.declared, history or majority or {}
    difference = {band: each.levels[band] / 10000 - known[band] for band in each.levels if band in known}
    found = _match_levels(difference)
    if found is None or _darkest(each.levels) < REFUTED_DN or (majority and found != declared.dn):
        return declared
    if declared.dn not in (None, found):
        return DeclaredOffset(dn=None, reason=f"{declared.reason}, the site's other looks say otherwise", certain=False)
    if declared.dn is not None and declared.certain:
        return declared
    return DeclaredOffset(dn=found, reason=f"{declared.reason}; agrees with the site's other looks")


def _match_levels(difference: Mapping[Band, Any]) -> int | None:
    """0 at the level of the history, 1000 where all bands lie higher by 0.1 alike; None where neither fits.

    difference: reflectance above the history, per band.
    """
    steady = [difference[band] for band in STEADY if band in difference]
    values = np.ravel(np.asarray(steady, dtype=float))
    if values.size == 0:
        return None
    middle = float(np.median(values))
    if float(np.median(np.abs(values))) <= SAME_LEVEL and values.min() < OFFSET_LEVEL[0]:
        return 0
    alike = values.min() >= OFFSET_LEVEL[0] and values.max() <= MAX_DIFFERENCE and middle <= OFFSET_LEVEL[1]
    return OFFSET_DN if alike and any(band in SWIR for band in difference) else None


def _reject(scene: Scene, value: float, limit: float, note: str) -> Rejection:
    return Rejection(scene=scene.id, time=scene.time, reason=Reason.OFFSET, value=value, limit=limit, note=note)
