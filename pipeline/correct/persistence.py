"""Persistence: cloud and shadow flags are removed from what keeps its spectrum and its outline from look to look.

Bright roofs and concrete are white and new, as clouds are; dark roofs resemble shadow. A cloud or a shadow of another
day has another shape. The size and the brightness of an object do not count.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.masks import buffer_clouds
from pipeline.correct.spectra import INFRARED, VISIBLE
from pipeline.correct.structure import Level, gradient_pyramid, structure_similarity
from pipeline.model.bands import Band
from pipeline.model.imagery import Look, Why
from pipeline.model.settings import Settings
from pipeline.numerics.smoothing import gaussian

MIN_LOOKS = 3
"""Looks that must show the same object, the flagged one among them."""
REACH_LOOKS = 10
"""Looks before and after a look that are compared with it."""
ALIKE_SHARE, ALIKE_REFLECTANCE = 0.15, 0.02
"""Two flagged looks agree where every band differs by no more than this share of it plus this reflectance."""
FREE_SHARE, FREE_REFLECTANCE = 0.08, 0.01
"""The same for a flagged look and an unflagged one: half of it, as thin cloud over unchanged ground must not agree."""
SAME_STRUCTURE = 0.5
"""Gradient similarity from which two looks show the same outlines: repeated looks at unchanged ground have 0.7 and
more, clouds of two days below 0.3."""
SMEAR_PX, SMEAR_SHARE = 3.5, 0.3
"""Gaussian sigma in pixels over which a residual is smeared around an object, and the share of the departure from the
median of the look within it that must be unflagged for the smeared part to be unflagged too."""
MAX_ZENITH = 50.0
"""Zenith of the sun in degrees from which slopes and woods cast shade that stays in place for weeks."""
SAME_SUN, LIT_SHARE = 3.0, 0.6
"""Under a low sun a dark object is new, not shade, where it begins between two looks with nearly the same sun: the
zenith of the first look with it exceeds that of the last lit one by at most this many degrees. Lit: the infrared of the
dark look is below this share of it."""
_SUSPECT = np.uint8(Why.CLOUD | Why.SHADOW)


@dataclasses.dataclass(kw_only=True, eq=False)
class _View:
    """A look as it is compared with others. zenith: of the sun, degrees."""

    look: Look
    zenith: float

    @cached_property
    def why(self) -> NDArray[np.uint8]:
        return self.look.why.ravel()

    @cached_property
    def visible(self) -> tuple[Level, ...]:
        return self._structure(VISIBLE)

    @cached_property
    def infrared(self) -> tuple[Level, ...]:
        return self._structure(INFRARED)

    def values(self, where: NDArray[np.intp]) -> NDArray[np.float32]:
        """(band, where): before normalisation, because a gain fitted on dark woods is wrong for a bright roof."""
        flat = self.look.reflectance.reshape(len(self.look.bands), -1)
        return self._measured(flat.take(where, axis=1), slice(None))

    def infrared_at(self, where: NDArray[np.intp]) -> NDArray[np.float32]:
        """(where,): mean of the infrared bands."""
        return _mean_of_bands(self.values(where), self.look.bands, INFRARED)

    def _measured(self, values: NDArray[np.float32], rows: slice | list[int]) -> NDArray[np.float32]:
        """Normalised values of these bands as they were measured. values: (band, pixel)."""
        if self.look.gain:
            gain, offset = (np.array(part, np.float32)[rows, None] for part in (self.look.gain, self.look.offset))
            values = (values - offset) / gain
        return np.asarray(values, np.float32)

    def free_structures(self) -> None:
        """Free the memory of the structure."""
        self.__dict__.pop("visible", None), self.__dict__.pop("infrared", None)

    def _structure(self, wanted: Sequence[Band]) -> tuple[Level, ...]:
        rows = _band_indices(self.look.bands, wanted)
        image = self._measured(self.look.reflectance[rows].reshape(len(rows), -1), rows).mean(axis=0)
        image = np.asarray(image, np.float32).reshape(self.look.why.shape)
        return gradient_pyramid(image, np.isfinite(image))


def unmask_persistent(looks: Sequence[Look], settings: Settings, wanted: range | None = None) -> tuple[Look, ...]:
    """The looks in time order, without the cloud and shadow flags on what persists.

    A flagged pixel is unflagged where two more looks near in time show the same spectrum and the same structure there
    (`structure_similarity`). The search in each direction ends at a look that shows the place unflagged and different.
    A shadow flag under a low sun is removed only where the place is dark under a high sun too, or was lit shortly
    before with the sun as low. A pure function of the set of looks. The flags of a look depend on REACH looks before
    and after it.
    wanted: which of them, by their place in time; None = all.
    """
    ordered = sorted(looks, key=lambda look: (look.time, look.scene.id))
    wanted = range(len(ordered)) if wanted is None else wanted
    if len(ordered) < MIN_LOOKS:
        return tuple(ordered[index] for index in wanted)
    views = [_View(look=look, zenith=zenith) for look, zenith in zip(ordered, _sun_zeniths(ordered), strict=True)]
    out = []
    for index in wanted:
        look = ordered[index]
        free = np.zeros(look.why.size, bool)
        for flag in (Why.CLOUD, Why.SHADOW):
            where = np.flatnonzero(views[index].why & np.uint8(flag))
            if where.size:
                free[where] = _is_persistent(views, index, where, flag)
        if index >= REACH_LOOKS:
            views[index - REACH_LOOKS].free_structures()
        out.append(_unflag(look, free.reshape(look.why.shape), settings) if free.any() else look)
    return tuple(out)


def _is_persistent(views: Sequence[_View], index: int, where: NDArray[np.intp], flag: Why) -> NDArray[np.bool_]:
    """(where,): whether enough other looks show the same object at these pixels of a look, which have the flag."""
    view = views[index]
    likes = np.zeros(where.size, np.int16)
    proven = np.full(where.size, flag is not Why.SHADOW or view.zenith < MAX_ZENITH)
    for ahead in (True, False):
        alive, begun = np.arange(where.size), np.full(where.size, view.zenith)
        for other in _views_around(views, index, ahead):
            alive = alive[(likes[alive] < MIN_LOOKS - 1) | ~proven[alive]]
            if alive.size == 0:
                break
            spot = where[alive]
            free, alike = _compare(view, other, spot, flag)
            same = np.zeros(spot.size, bool)
            if alike.any():
                same[alike] = _compare_structure(view, other, flag, spot[alike]) > SAME_STRUCTURE
            likes[alive[same]] += 1
            begun[alive[same]] = other.zenith
            ended = free & ~alike
            if other.zenith < MAX_ZENITH:
                proven[alive[same]] = True
            if not ahead and not proven.all():
                sudden = other.zenith >= begun[alive] - SAME_SUN
                proven[alive[ended & sudden & (view.infrared_at(spot) < LIT_SHARE * other.infrared_at(spot))]] = True
            alive = alive[~ended]
    return np.asarray((likes >= MIN_LOOKS - 1) & proven)


def _views_around(views: Sequence[_View], index: int, ahead: bool) -> Iterator[_View]:
    if ahead:
        yield from views[index + 1 : index + 1 + REACH_LOOKS]
    else:
        yield from reversed(views[max(0, index - REACH_LOOKS) : index])


def _compare(
    view: _View, other: _View, spot: NDArray[np.intp], flag: Why
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(spot,) twice: whether the other look shows the place unflagged, and whether the spectra agree."""
    why = other.why[spot]
    free, suspect = why == 0, (why & np.uint8(flag)) > 0
    then, now = view.values(spot), other.values(spot)
    share = np.where(free, np.float32(FREE_SHARE), np.float32(ALIKE_SHARE))
    least = np.where(free, np.float32(FREE_REFLECTANCE), np.float32(ALIKE_REFLECTANCE))
    with np.errstate(invalid="ignore"):
        alike = (np.abs(now - then) < share * np.abs(then) + least).all(axis=0)
    return free, np.asarray(alike & (free | suspect))


def _compare_structure(view: _View, other: _View, flag: Why, spot: NDArray[np.intp]) -> NDArray[np.float32]:
    if flag is Why.SHADOW:
        return structure_similarity(view.infrared, other.infrared, spot)
    return structure_similarity(view.visible, other.visible, spot)


def _sun_zeniths(looks: Sequence[Look]) -> list[float]:
    """Zenith of the sun of each look in degrees: from the metadata, else at noon of its day."""
    silent = any(look.scene.sun is None for look in looks)
    latitude = looks[0].grid.geographic_extent.centroid.coords[0][1] if silent else 0.0
    return [look.scene.sun[0] if look.scene.sun is not None else _noon_zenith(look, latitude) for look in looks]


def _noon_zenith(look: Look, latitude: float) -> float:
    """Zenith of the sun at noon, degrees."""
    declination = -23.44 * math.cos(2 * math.pi * (look.time.timetuple().tm_yday + 10) / 365.25)
    return abs(latitude - declination)


def _unflag(look: Look, free: NDArray[np.bool_], settings: Settings) -> Look:
    """The look without flags on the `free` pixels, and with a new buffer around the flags that are left."""
    bare = np.where((look.why & np.uint8(Why.BUFFER)) > 0, 0, look.why)
    smeared = _find_smeared(look, free, Why.CLOUD) | _find_smeared(look, free, Why.SHADOW)
    bare = np.where(free | smeared, bare & ~_SUSPECT, bare).astype(np.uint8)
    why = buffer_clouds(bare, settings.correct.cloud_buffer_m, look.grid.resolution.x)
    return dataclasses.replace(look, why=why)


def _find_smeared(look: Look, free: NDArray[np.bool_], flag: Why) -> NDArray[np.bool_]:
    """Flagged only because a smoothed residual spreads: most of what departs from the look's median nearby is free.

    Cloud departs upwards in the visible, shadow downwards in the infrared.
    """
    flagged = (look.why & np.uint8(flag)) > 0
    wanted, sign = (VISIBLE, 1) if flag is Why.CLOUD else (INFRARED, -1)
    level = np.nan_to_num(_mean_of_bands(look.reflectance, look.bands, wanted))
    clear = look.why == 0
    usual = float(np.median(level[clear])) if clear.any() else 0.0
    away = np.where(flagged, np.maximum(sign * (level - usual), 0), 0)
    kept, whole = gaussian(np.stack([np.where(free, away, 0), away]), SMEAR_PX)
    return np.asarray(flagged & (kept > SMEAR_SHARE * whole))


def _mean_of_bands(planes: NDArray[np.float32], bands: Sequence[Band], wanted: Sequence[Band]) -> NDArray[np.float32]:
    """Mean of the wanted bands, of all bands where there is none of them."""
    return np.asarray(planes[_band_indices(bands, wanted)].mean(axis=0), np.float32)


def _band_indices(bands: Sequence[Band], wanted: Sequence[Band]) -> list[int]:
    """Places of the wanted bands, of all bands where there is none of them."""
    return [index for index, band in enumerate(bands) if band in wanted] or list(range(len(bands)))
