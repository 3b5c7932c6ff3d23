"""Which DN carry the +1000 of processing baselines >= 04.00: what the metadata claim, checked on the pixels.

The pixels can refute the offset (ground darker than it), and hardly ever prove it: a desert without it looks like a
town with it. So a claim from metadata that have been wrong needs dark ground, or the agreement of other looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.bands import Band
from pipeline.model.imagery import Chip, DeclaredOffset, Reason, Rejection, Scene

OFFSET_DN = 1000
QUANTILES = (0.005, 0.25)
"""Darkest ground (one valid pixel in 200 lies below: not a lone bad one) and a quarter, where levels are compared."""
REFUTED_DN = 800.0
"""Darkest DN at which +1000 is possible: a reflectance of -0.02, less than Sen2Cor leaves on dark ground."""
WRAPPED_DN = 65536 - OFFSET_DN
"""DN from here up to 65534 are negative values that a careless removal in uint16 has wrapped round."""
SATURATED_DN = 65535
SAME, OTHER = 0.04, (0.06, 0.14)
"""Differences to the site's other looks, reflectance: the same level, or lifted by 0.1 in every band alike."""
MAX_LIFT = 0.17
SWIR = (Band.B11, Band.B12)
"""Haze lifts the visible by 0.1 as the offset does, and not the short-wave infrared."""
STEADY = (Band.B02, Band.B03, Band.B04, *SWIR)
"""Bands whose level is compared over time; in the others leaves come and go by more than 0.1."""
MIN_ANCHORS = 3
MIN_MAJORITY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """The additive constant of a chip's DN, and why it is believed."""

    dn: int
    reason: str


def dark_floor(chip: Chip) -> dict[Band, float]:
    """The DN that one valid pixel in 200 does not reach, per band; bands without a valid pixel are left out."""
    return {band: float(pair[0]) for band, pair in levels(chip).items()}


def resolve(
    claim: DeclaredOffset,
    dark_floor: Mapping[Band, float],
    expected: Mapping[Band, float] | None = None,
    *,
    scene: Scene,
) -> Offset | Rejection:
    """The offset of one granule, or the refusal to guess it.

    dark_floor: DN per band, as `dark_floor` gives it. expected: reflectance of the same floor in the site's history.
    The Rejection carries the lowest floor and REFUTED_DN, or the median lift over the history and its limit.
    """
    lowest = min(dark_floor.values(), default=float("inf"))
    if lowest < REFUTED_DN:
        if claim.dn == OFFSET_DN:
            return _refused(scene, lowest, REFUTED_DN, f"{claim.reason}, yet ground is darker than that")
        return Offset(dn=0, reason=f"{claim.reason}; dark ground at {lowest:.0f} DN")
    if expected:
        lift = {band: dark_floor[band] / 10000 - expected[band] for band in dark_floor if band in expected}
        found = _agreement(lift)
        if found is not None and claim.dn in (None, found):
            return Offset(dn=found, reason=f"{claim.reason}; agrees with the site's history")
        if found is not None:
            middle = float(np.median(list(lift.values())))
            return _refused(scene, middle, SAME, f"{claim.reason}, the site's history says otherwise")
    if claim.dn is None or not claim.certain:
        return _refused(scene, lowest, REFUTED_DN, f"{claim.reason}, no ground dark enough to decide")
    return Offset(dn=claim.dn, reason=claim.reason)


Levels = Mapping[Band, NDArray[np.float64]]
"""DN of QUANTILES per band, over what is neither nodata nor wrapped nor saturated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claimed:
    """What a granule's metadata claim, and the levels of its pixels."""

    claim: DeclaredOffset
    levels: Levels


def settle(looks: Sequence[Sequence[Chip]]) -> tuple[tuple[Chip, ...], ...]:
    """The chips of a site's scenes, their claims settled by what all of them show together: see `settle_claims`."""
    claimed = [[Claimed(claim=chip.granule.declared_offset, levels=levels(chip)) for chip in chips] for chips in looks]
    return tuple(map(with_claims, looks, settle_claims(claimed)))


def with_claims(chips: Sequence[Chip], claims: Sequence[DeclaredOffset]) -> tuple[Chip, ...]:
    """The same chips with these claims, one each."""
    return tuple(
        chip
        if chip.granule.declared_offset == claim
        else replace(chip, granule=replace(chip.granule, declared_offset=claim))
        for chip, claim in zip(chips, claims, strict=True)
    )


def settle_claims(looks: Sequence[Sequence[Claimed]]) -> tuple[tuple[DeclaredOffset, ...], ...]:
    """The declared offsets of the scenes of a site, granule by granule, resolved jointly.

    An offset that dark ground or certain metadata decide is kept. The others are compared with those. Without any, five
    that declare the same offset and have the same level are accepted. Undecided ones keep `dn` None or `certain` False,
    and `resolve` rejects them. The result does not depend on the order of the scenes.
    """
    every = [each for granules in looks for each in granules]
    proved = [each for each in every if _is_proved(each)]
    stated = [each for each in every if not _is_proved(each) and _is_certain(each)]
    anchors = proved if len(proved) >= MIN_ANCHORS else [*proved, *stated]
    history = _history(anchors)
    majority = None if len(anchors) >= MIN_ANCHORS else _majority(every)
    return tuple(
        tuple(each.claim if _is_proved(each) else _settled(each, history, majority) for each in granules)
        for granules in looks
    )


def levels(chip: Chip) -> dict[Band, NDArray[np.float64]]:
    """DN of QUANTILES per band, over what is neither nodata nor wrapped nor saturated; bands without are left out."""
    found = {}
    for band, raster in chip.dn.items():
        counts = np.bincount(np.ravel(raster.data), minlength=WRAPPED_DN)[:WRAPPED_DN]
        counts[0] = 0
        if counts.any():
            found[band] = _quantiles(counts)
    return found


def _quantiles(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """QUANTILES of whole numbers, given how often each occurs: a tenth of the time of partitioning them."""
    below = np.cumsum(counts)
    place = (below[-1] - 1) * np.array(QUANTILES)
    low = np.floor(place)
    one, two = (np.searchsorted(below, each, side="right").astype(np.float64) for each in (low, low + 1))
    two = np.where(place > low, two, one)
    return np.asarray(one + (two - one) * (place - low))


def reflectance(dn: NDArray[np.uint16], offset: Offset) -> NDArray[np.float32]:
    """Reflectance (1 = 100 %) of DN: NaN where DN is 0, values that wrapped below 0 put right.

    Without the offset 65535 is either saturated or -1: NaN too.
    """
    return _table(offset.dn).take(dn)


@lru_cache(maxsize=2)
def _table(offset_dn: int) -> NDArray[np.float32]:
    """Reflectance of each DN: looked up in a quarter of the time of working it out for every pixel."""
    values = (np.arange(1 << 16, dtype=np.float32) - offset_dn) / np.float32(10000)
    values[0] = np.nan
    if offset_dn == 0:
        values[WRAPPED_DN:] -= np.float32(6.5536)
        values[SATURATED_DN] = np.nan
    return values


def _lowest(levels: Levels) -> float:
    return min((float(pair[0]) for pair in levels.values()), default=float("inf"))


def _is_proved(each: Claimed) -> bool:
    return _lowest(each.levels) < REFUTED_DN and each.claim.dn != OFFSET_DN


def _is_certain(each: Claimed) -> bool:
    refuted = each.claim.dn == OFFSET_DN and _lowest(each.levels) < REFUTED_DN
    return each.claim.dn is not None and each.claim.certain and not refuted


def _history(anchors: Sequence[Claimed]) -> dict[Band, NDArray[np.float64]]:
    """Median reflectance of QUANTILES per band over the anchors; empty where they are too few."""
    if len(anchors) < MIN_ANCHORS:
        return {}
    per_band: dict[Band, list[NDArray[np.float64]]] = {}
    for each in anchors:
        for band, pair in each.levels.items():
            per_band.setdefault(band, []).append((pair - (each.claim.dn or 0)) / 10000)
    return {band: np.median(np.stack(pairs), axis=0) for band, pairs in per_band.items()}


def _majority(every: Iterable[Claimed]) -> dict[Band, NDArray[np.float64]]:
    """The common level of granules that all claim the same; empty if they are few or of two minds."""
    claims = [each for each in every if each.claim.dn is not None]
    if len(claims) < MIN_MAJORITY or len({each.claim.dn for each in claims}) != 1:
        return {}
    return _history(claims)


def _settled(each: Claimed, history: Levels, majority: Levels | None) -> DeclaredOffset:
    claim, known = each.claim, history or majority or {}
    lift = {band: each.levels[band] / 10000 - known[band] for band in each.levels if band in known}
    found = _agreement(lift)
    if found is None or _lowest(each.levels) < REFUTED_DN or (majority and found != claim.dn):
        return claim
    if claim.dn not in (None, found):
        return DeclaredOffset(dn=None, reason=f"{claim.reason}, the site's other looks say otherwise", certain=False)
    if claim.dn is not None and claim.certain:
        return claim
    return DeclaredOffset(dn=found, reason=f"{claim.reason}; agrees with the site's other looks")


def _agreement(lift: Mapping[Band, Any]) -> int | None:
    """0 where levels are the history's, 1000 where all bands are lifted by 0.1 alike; None where neither fits."""
    steady = [lift[band] for band in STEADY if band in lift]
    values = np.ravel(np.asarray(steady, dtype=float))
    if values.size == 0:
        return None
    middle = float(np.median(values))
    if float(np.median(np.abs(values))) <= SAME and values.min() < OTHER[0]:
        return 0
    alike = values.min() >= OTHER[0] and values.max() <= MAX_LIFT and middle <= OTHER[1]
    return OFFSET_DN if alike and any(band in SWIR for band in lift) else None


def _refused(scene: Scene, value: float, limit: float, note: str) -> Rejection:
    return Rejection(scene=scene.id, time=scene.time, reason=Reason.OFFSET, value=value, limit=limit, note=note)
