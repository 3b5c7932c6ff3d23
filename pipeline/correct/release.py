"""Persistence, the last witness: what is still there at the third sight is no cloud and no cloud's shadow.

Bright roofs are white and new, as clouds are, and every mask calls them cloud again and again; dark ones look like
shadow. But clouds move.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.correct.masks import buffer
from pipeline.correct.spectra import smooth
from pipeline.model.imagery import Look, Why
from pipeline.model.settings import Settings

SIGHTS = 3
ALIKE_SHARE, ALIKE_REFLECTANCE = 0.15, 0.02
"""Two sights are of one thing where every band agrees within this share of it, and this much besides."""
OVERCAST_SHARE = 0.6
AROUND_PX = 25.0
"""Under a wide cloud nothing is sighted: of the ground within this radius most must be free."""
MIN_CONTRAST = 0.03
SKIRT_PX, SKIRT_SHARE = 7.0, 0.15
MAX_ZENITH = 50.0
"""With the sun lower, slopes and woods cast shade that stands still for weeks; it stays flagged. Degrees."""
_SUSPECT = np.uint8(Why.CLOUD | Why.SHADOW)
_BLIND = np.uint8(Why.NODATA | Why.SNOW | Why.SATURATED)


def release(looks: Sequence[Look], settings: Settings) -> tuple[Look, ...]:
    """The looks in time order, without the cloud and shadow flags on what stood still.

    A pixel that is called cloud or shadow in three looks running, with the same spectrum each time and standing out
    of its surroundings, is released in all of them; a look that shows the place free ends the run, as it does
    for every cloud. Wide overcast is no sight. A pure function of the set of looks: order does not matter.
    """
    ordered = sorted(looks, key=lambda look: (look.time, look.scene.id))
    if len(ordered) < SIGHTS:
        return tuple(ordered)
    kept = [np.zeros(look.why.shape, bool) for look in ordered]
    seen = [_sight(look) for look in ordered]
    _mark(ordered, seen, Why.CLOUD, kept)
    _mark(ordered, seen, Why.SHADOW, kept)
    return tuple(
        _without(look, free, settings) if free.any() else look for look, free in zip(ordered, kept, strict=True)
    )


def _sight(look: Look) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(sighted, usable): measured and standing out under no wide cloud; plainly free."""
    flagged = (look.why & (_SUSPECT | np.uint8(Why.BUFFER))) > 0
    blind = (look.why & _BLIND) > 0
    overcast = ndimage.uniform_filter(flagged.astype(np.float32), int(2 * AROUND_PX + 1), mode="nearest")
    known = np.asarray(np.isfinite(look.reflectance).all(axis=0))
    contrast = np.max(
        [
            np.abs(np.nan_to_num(plane) - smooth(np.nan_to_num(plane), known, AROUND_PX / 2))
            for plane in look.reflectance
        ],
        axis=0,
    )
    standing = (contrast > MIN_CONTRAST) | ((look.why & np.uint8(Why.SHADOW)) > 0)
    return known & ~blind & (overcast < OVERCAST_SHARE) & standing, (look.why == 0) & known


def _mark(
    looks: Sequence[Look],
    seen: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]],
    flag: Why,
    kept: Sequence[NDArray[np.bool_]],
) -> None:
    """Walks the looks in time; marks in `kept` the pixels of each run of at least SIGHTS like sights."""
    shape = looks[0].why.shape
    thing = np.zeros((len(looks[0].bands), *shape), np.float32)
    run = np.zeros(shape, np.int16)
    number = np.full(shape, -1, np.int32)
    members: list[NDArray[Any]] = []
    passed: dict[int, NDArray[np.bool_]] = {}
    begun = np.zeros(shape, np.int32)
    for index, (look, (sighted, free)) in enumerate(zip(looks, seen, strict=True)):
        told = flag is not Why.SHADOW or _zenith(look) < MAX_ZENITH
        suspect = ((look.why & np.uint8(flag)) > 0) & sighted & told
        values = np.nan_to_num(_measured(look))
        alike = (np.abs(values - thing) < ALIKE_SHARE * np.abs(thing) + ALIKE_REFLECTANCE).all(axis=0)
        fresh = suspect & ((run == 0) | ~alike)
        same = suspect & (run > 0) & alike
        ended = free
        begun = np.where(fresh, index, begun)
        number = np.where(fresh, index, np.where(ended, -1, number))
        thing = np.where(fresh, values, np.where(same, thing + (values - thing) / (run + 1), thing)).astype(np.float32)
        run = np.where(fresh, 1, np.where(same, run + 1, np.where(ended, 0, run))).astype(np.int16)
        members.append(np.where(suspect, number, -1))
        for start in np.unique(begun[run >= SIGHTS]):
            passed.setdefault(int(start), np.zeros(shape, bool))[(run >= SIGHTS) & (begun == start)] = True
    for index, member in enumerate(members):
        for start, where in passed.items():
            if start <= index:
                kept[index][(member == start) & where] = True


def _measured(look: Look) -> NDArray[np.float32]:
    """Reflectance before normalisation: a gain fitted on dark woods says little of a bright roof."""
    if not look.gain:
        return look.reflectance
    gain, offset = (np.array(part, np.float32)[:, None, None] for part in (look.gain, look.offset))
    return np.asarray((look.reflectance - offset) / gain, np.float32)


def _zenith(look: Look) -> float:
    """Of the sun, degrees; from the season and the latitude at noon where the metadata are silent."""
    if look.scene.sun is not None:
        return look.scene.sun[0]
    latitude = look.grid.geographic_extent.centroid.coords[0][1]
    declination = -23.44 * math.cos(2 * math.pi * (look.time.timetuple().tm_yday + 10) / 365.25)
    return abs(latitude - declination)


def _without(look: Look, free: NDArray[np.bool_], settings: Settings) -> Look:
    """The look with `free` pixels released and the buffer drawn anew around what is left."""
    bare = np.where((look.why & np.uint8(Why.BUFFER)) > 0, 0, look.why)
    bare = np.where(free | _skirt(look, free), bare & ~_SUSPECT, bare).astype(np.uint8)
    why = buffer(bare, settings.correct.cloud_buffer_m, look.grid.resolution.x)
    return dataclasses.replace(look, why=why)


def _skirt(look: Look, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Flagged only because a smooth residual spreads: near what is released, in a patch that is mostly that thing."""
    labels, count = ndimage.label((look.why & _SUSPECT) > 0)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    shares = np.bincount(labels[free], minlength=count + 1) / np.maximum(sizes, 1)
    shares[0] = 0
    near = ndimage.distance_transform_edt(~free) <= SKIRT_PX
    return np.asarray(near & (shares[labels] >= SKIRT_SHARE))
