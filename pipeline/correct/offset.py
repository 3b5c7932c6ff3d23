"""Which DN carry the +1000 of processing baselines >= 04.00: what the metadata claim, checked on the pixels.

The pixels can refute the offset (ground darker than it), and hardly ever prove it: a desert without it looks like a
town with it. So a claim from metadata that have been wrong needs dark ground, or the agreement of other looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.bands import Band
from pipeline.model.imagery import Chip, OffsetClaim, Reason, Rejection, Scene

OFFSET_DN = 1000
QUANTILES = (0.005, 0.25)
"""Darkest ground (one valid pixel in 200 lies below: not a lone bad one) and a quarter, where levels are compared."""
REFUTED_DN = 800.0
"""A floor below this is never +1000: it would be a reflectance of -0.02, below what Sen2Cor leaves over dark ground."""
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
    return {band: float(pair[0]) for band, pair in _levels(chip).items()}


def resolve(
    claim: OffsetClaim,
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
        return _refused(scene, lowest, REFUTED_DN, f"{claim.reason}, no ground dark enough to tell")
    return Offset(dn=claim.dn, reason=claim.reason)


def settle(looks: Sequence[Sequence[Chip]]) -> tuple[tuple[Chip, ...], ...]:
    """The chips of a site's scenes, their claims settled by what all of them show together.

    A claim that dark ground or certain metadata decide stands as it is. The others are compared with those; where there
    are none, five that claim the same and lie level with each other are believed. What stays open keeps `dn` None or
    `certain` False, and `resolve` refuses it. The result does not depend on the order of the scenes.
    """
    levels = {id(chip): _levels(chip) for chips in looks for chip in chips}
    every = [chip for chips in looks for chip in chips]
    proved = [chip for chip in every if _lowest(levels[id(chip)]) < REFUTED_DN and chip.granule.offset_claim.dn != 1000]
    stated = [chip for chip in every if chip not in proved and _is_certain(chip, levels[id(chip)])]
    anchors = proved if len(proved) >= MIN_ANCHORS else [*proved, *stated]
    history = _history(anchors, levels)
    majority = None if len(anchors) >= MIN_ANCHORS else _majority(every, levels)
    return tuple(
        tuple(chip if chip in proved else _settled(chip, levels[id(chip)], history, majority) for chip in chips)
        for chips in looks
    )


def reflectance(dn: NDArray[np.uint16], offset: Offset) -> NDArray[np.float32]:
    """Reflectance (1 = 100 %) of DN: NaN where DN is 0, values that wrapped below 0 put right.

    Without the offset 65535 is either saturated or -1: NaN too.
    """
    values = (dn.astype(np.float32) - offset.dn) / np.float32(10000)
    unknown = dn == 0
    if offset.dn == 0:
        values = np.where(dn >= WRAPPED_DN, values - np.float32(6.5536), values)
        unknown = unknown | (dn == SATURATED_DN)
    return np.where(unknown, np.float32(np.nan), values).astype(np.float32)


def _levels(chip: Chip) -> dict[Band, NDArray[Any]]:
    """DN of QUANTILES per band, over what is neither nodata nor wrapped nor saturated."""
    found = {}
    for band, raster in chip.dn.items():
        values = np.asarray(raster.data, dtype=np.float32)
        valid = values[(values > 0) & (values < WRAPPED_DN)]
        if valid.size:
            found[band] = np.quantile(valid, QUANTILES)
    return found


def _lowest(levels: Mapping[Band, NDArray[Any]]) -> float:
    return min((float(pair[0]) for pair in levels.values()), default=float("inf"))


def _is_certain(chip: Chip, levels: Mapping[Band, NDArray[Any]]) -> bool:
    claim = chip.granule.offset_claim
    refuted = claim.dn == OFFSET_DN and _lowest(levels) < REFUTED_DN
    return claim.dn is not None and claim.certain and not refuted


def _history(anchors: Sequence[Chip], levels: Mapping[int, Mapping[Band, NDArray[Any]]]) -> dict[Band, NDArray[Any]]:
    """Median reflectance of QUANTILES per band over the anchors; empty where they are too few."""
    if len(anchors) < MIN_ANCHORS:
        return {}
    per_band: dict[Band, list[NDArray[Any]]] = {}
    for chip in anchors:
        dn = chip.granule.offset_claim.dn or 0
        for band, pair in levels[id(chip)].items():
            per_band.setdefault(band, []).append((pair - dn) / 10000)
    return {band: np.median(np.stack(pairs), axis=0) for band, pairs in per_band.items()}


def _majority(every: Iterable[Chip], levels: Mapping[int, Mapping[Band, NDArray[Any]]]) -> dict[Band, NDArray[Any]]:
    """The common level of chips that all claim the same; empty if they are few or of two minds."""
    claims = [(chip, chip.granule.offset_claim.dn) for chip in every if chip.granule.offset_claim.dn is not None]
    if len(claims) < MIN_MAJORITY or len({dn for _, dn in claims}) != 1:
        return {}
    return _history([chip for chip, _ in claims], levels)


def _settled(
    chip: Chip,
    levels: Mapping[Band, NDArray[Any]],
    history: Mapping[Band, NDArray[Any]],
    majority: Mapping[Band, NDArray[Any]] | None,
) -> Chip:
    claim = chip.granule.offset_claim
    known = history or majority or {}
    lift = {band: levels[band] / 10000 - known[band] for band in levels if band in known}
    found = _agreement(lift)
    if found is None or _lowest(levels) < REFUTED_DN or (majority and found != claim.dn):
        return chip
    if claim.dn not in (None, found):
        new = OffsetClaim(dn=None, reason=f"{claim.reason}, the site's other looks say otherwise", certain=False)
    elif claim.dn is not None and claim.certain:
        return chip
    else:
        new = OffsetClaim(dn=found, reason=f"{claim.reason}; agrees with the site's other looks")
    return replace(chip, granule=replace(chip.granule, offset_claim=new))


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
