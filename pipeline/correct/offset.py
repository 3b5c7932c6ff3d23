"""Which DN carry the +1000 of processing baselines >= 04.00: what the metadata claim, checked on the pixels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.model.bands import Band
from pipeline.model.imagery import Chip, OffsetClaim, Reason, Rejection, Scene

OFFSET_DN = 1000
QUANTILE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """The additive constant of a chip's DN, and why it is believed."""

    dn: int
    reason: str


def dark_floor(chip: Chip) -> dict[Band, float]:
    """The DN that one valid pixel in 200 does not reach, per band; bands without a valid pixel are left out."""
    floors = {}
    for band, raster in chip.dn.items():
        values = np.asarray(raster.data, dtype=np.float32)
        valid = values[values > 0]
        if valid.size:
            floors[band] = float(np.quantile(valid, QUANTILE))
    return floors


def resolve(
    claim: OffsetClaim,
    dark_floor: Mapping[Band, float],
    expected: Mapping[Band, float] | None = None,
    *,
    scene: Scene,
) -> Offset | Rejection:
    """The offset of a granule, or the refusal to guess it."""
    lowest = min(dark_floor.values(), default=float("nan"))
    if claim.dn == OFFSET_DN and lowest < 850:
        return _refused(scene, lowest, 850.0, f"{claim.reason}, pixels go below it")
    if claim.dn is None:
        if lowest < 850:
            return Offset(dn=0, reason=f"{claim.reason}; dark floor {lowest:.0f} DN")
        return _refused(scene, lowest, 850.0, claim.reason)
    return Offset(dn=claim.dn, reason=claim.reason)


def reflectance(dn: NDArray[np.uint16], offset: Offset) -> NDArray[np.float32]:
    """Reflectance (1 = 100 %) of DN, NaN where DN is 0."""
    values = (dn.astype(np.float32) - offset.dn) / np.float32(10000)
    return np.where(dn == 0, np.float32(np.nan), values).astype(np.float32)


def _refused(scene: Scene, value: float, limit: float, note: str) -> Rejection:
    return Rejection(scene=scene.id, time=scene.time, reason=Reason.OFFSET, value=value, limit=limit, note=note)
