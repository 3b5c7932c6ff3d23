"""Persistence, the last witness: what is still there at the third sight is no cloud and no cloud's shadow.

Bright roofs are white and new, as clouds are, and every mask calls them cloud again and again; dark ones look like
shadow. But clouds move.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.correct.masks import buffer
from pipeline.correct.spectra import smooth_all
from pipeline.model.imagery import Look, Why
from pipeline.model.settings import Settings

SIGHTS = 3
REACH = 10
"""Looks ahead in which a sight's like is sought: real clouds pass over between."""
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sights:
    """Of one look, suspect: (pixel,) bool. What it shows is read where a sight is sought: most of a site is never."""

    look: Look
    suspect: NDArray[np.bool_]

    def free(self, where: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(where,): at these pixels, whether the ground was seen with nothing in the way."""
        known = np.isfinite(self._reflectance(where)).all(axis=0)
        return np.asarray(known & (self.look.why.reshape(-1)[where] == 0))

    def values(self, where: NDArray[np.intp]) -> NDArray[np.float32]:
        """(band, where): before normalisation, as a gain fitted on dark woods says little of a bright roof."""
        values = self._reflectance(where)
        if self.look.gain:
            gain, offset = (np.array(part, np.float32)[:, None] for part in (self.look.gain, self.look.offset))
            values = (values - offset) / gain
        return np.nan_to_num(values)

    def _reflectance(self, where: NDArray[np.intp]) -> NDArray[np.float32]:
        return self.look.reflectance.reshape(len(self.look.reflectance), -1).take(where, axis=1)


def release(looks: Sequence[Look], settings: Settings) -> tuple[Look, ...]:
    """The looks in time order, without the cloud and shadow flags on what stood still.

    A pixel that is called cloud or shadow is released where at least two more looks near in time show the same
    spectrum there, standing out of its surroundings, and none between shows the place free, as one does after every
    cloud. What passes over between, wide overcast most of all, is no sight. A pure function of the set of looks.
    """
    ordered = sorted(looks, key=lambda look: (look.time, look.scene.id))
    if len(ordered) < SIGHTS:
        return tuple(ordered)
    kept = np.zeros((len(ordered), *ordered[0].why.shape), bool)
    standing = [_standing(look) for look in ordered]
    low = _low_suns(ordered)
    for flag in (Why.CLOUD, Why.SHADOW):
        told = [flag is not Why.SHADOW or not each for each in low]
        sights = [_sights(*each, flag) for each in zip(ordered, standing, told, strict=True)]
        kept |= (_likes(sights) >= SIGHTS - 1).reshape(kept.shape)
    return tuple(
        _without(look, free, settings) if free.any() else look for look, free in zip(ordered, kept, strict=True)
    )


def _standing(look: Look) -> NDArray[np.bool_]:
    """(row, col): measured under no wide cloud, and standing out of its surroundings; asked for where it is suspect."""
    if not (look.why & _SUSPECT).any():
        return np.zeros(look.why.shape, bool)
    flagged = (look.why & (_SUSPECT | np.uint8(Why.BUFFER))) > 0
    blind = (look.why & _BLIND) > 0
    overcast = ndimage.uniform_filter(flagged.astype(np.float32), int(2 * AROUND_PX + 1), mode="nearest")
    known = np.asarray(np.isfinite(look.reflectance).all(axis=0))
    contrast = np.zeros(look.why.shape, np.float32)
    part = _around((look.why & _SUSPECT) > 0, round(4 * AROUND_PX / 2) + 1)
    planes = np.nan_to_num(look.reflectance[(slice(None), *part)])
    contrast[part] = np.max(
        [
            np.abs(plane - smoothed)
            for plane, smoothed in zip(planes, smooth_all(planes, known[part], AROUND_PX / 2), strict=True)
        ],
        axis=0,
    )
    out = (contrast > MIN_CONTRAST) | ((look.why & np.uint8(Why.SHADOW)) > 0)
    return np.asarray(known & ~blind & (overcast < OVERCAST_SHARE) & out)


def _around(marked: NDArray[np.bool_], reach: int) -> tuple[slice, slice]:
    """Rows and columns of what is marked, and so many more on every side: a filter reaches no further."""
    edges = [np.flatnonzero(marked.any(axis=axis)) for axis in (1, 0)]
    rows, cols = (slice(max(0, int(each[0]) - reach), int(each[-1]) + reach + 1) for each in edges)
    return rows, cols


def _sights(look: Look, standing: NDArray[np.bool_], told: bool, flag: Why) -> _Sights:
    """told: False where the flag says nothing in the light of this look."""
    return _Sights(look=look, suspect=(((look.why & np.uint8(flag)) > 0) & standing & told).ravel())


def _likes(sights: Sequence[_Sights]) -> NDArray[np.int16]:
    """(look, pixel): how many other suspect sights are of the same thing; 0 where the look's is no suspect.

    Sought from each suspect sight forwards, until the place is seen free, and counted for both.
    """
    likes = np.zeros((len(sights), sights[0].suspect.size), np.int16)
    for index, sight in enumerate(sights):
        where = np.flatnonzero(sight.suspect)
        for ahead in range(index + 1, min(index + 1 + REACH, len(sights))):
            if where.size == 0:
                break
            other = sights[ahead]
            now, then = other.values(where), sight.values(where)
            alike = (np.abs(now - then) < ALIKE_SHARE * np.abs(then) + ALIKE_REFLECTANCE).all(axis=0)
            same = where[alike & other.suspect[where]]
            likes[index, same] += 1
            likes[ahead, same] += 1
            where = where[~other.free(where)]
    return likes


def _low_suns(looks: Sequence[Look]) -> list[bool]:
    """Of each look, whether the sun stood lower than MAX_ZENITH: by the metadata, else at noon of its day."""
    silent = any(look.scene.sun is None for look in looks)
    latitude = looks[0].grid.geographic_extent.centroid.coords[0][1] if silent else 0.0
    zeniths = (look.scene.sun[0] if look.scene.sun is not None else _noon(look, latitude) for look in looks)
    return [zenith >= MAX_ZENITH for zenith in zeniths]


def _noon(look: Look, latitude: float) -> float:
    """Zenith of the sun at noon, degrees."""
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
