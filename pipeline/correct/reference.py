"""The multi-date reference: a cloud-free median image of the site. Looks are registered and normalised to it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from pipeline.correct.alignment import Options, estimate_shift
from pipeline.correct.joint_alignment import PRIOR_PX, estimate_jointly, is_small
from pipeline.correct.offset import Offset
from pipeline.model.bands import ALIGNMENT, Band
from pipeline.model.imagery import Alignment, Look, Scene, Why
from pipeline.model.settings import Settings
from pipeline.numerics.robust import median
from pipeline.numerics.sampling import shift_image

MAX_IMAGES = 24
"""Number of images of the reference: their median is clean, and more only costs memory."""
FIRST_IMAGES = 16
"""Number of first images that the reference is chosen from. It grows in steps of a quarter (20, 25, 31 ...), so that
the reference changes seldom."""
MAX_EXCESS = 0.06
"""Reflectance by which an image may be brighter than the darkest quarter of the images. Without SCL, cloud that
fills an image is flagged only where it is plain (`spectra.is_overcast`). A look this far above its history is rejected
as haze."""
STRIP_PIXELS = 20_000
"""Least pixels of a strip that one band is registered on."""
AGREED_PX = 0.04
"""Uncertainty up to which strips are used: their bands differ by no more than on the whole chip."""
BAND_LIMIT_PX = 0.5
"""Largest uncertainty of the shift of one band, pixels."""
MIN_BUFFERED_SHARE = 0.3
"""Clear share below which the buffers of cloud are used for registration too."""
MAX_SIGMA_PX = 0.3
"""Largest uncertainty of the shift of a look, pixels: above it every edge flickers, however large the noise is set."""
SYSTEMATIC_PX = 0.05
"""Least difference between the shifts of two bands, pixels: light comes from another side."""
WHOLE_SHARE = 0.99
"""Share of a moved pixel that has to be made of usable pixels."""
RECENT_LOOKS = 5
"""Number of latest accepted looks whose median registers a look that the reference refuses. Their median is free of the
cloud and the shift of two of them (docs/decisions/0103)."""
RECENT_SIGMA_PX = 0.15
"""Largest root mean square of the uncertainties of these looks, pixels: half of MAX_SIGMA_PX. An airport that is being
built has 0.06; wooded slopes under low sun, whose shade pulls all looks of a month alike, 0.20."""
MIN_SHIFTS, RAYLEIGH_MEDIAN = 6, 1.1774
"""Least looks for an estimate of the shift scatter; and the median length of a bivariate normal deviate."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnregisteredImage:
    """A scene on the site grid before registration: reflectance (band, row, col), flags (row, col), and the offset of
    each granule.
    """

    scene: Scene
    grid: GeoBox
    bands: tuple[Band, ...]
    reflectance: NDArray[np.float32]
    why: NDArray[np.uint8]
    offsets: tuple[Offset, ...]

    @property
    def measured(self) -> NDArray[np.bool_]:
        """(row, col) bool, True = the look measured the ground, clouded or not."""
        return np.asarray((self.why & np.uint8(Why.NODATA)) == 0)

    @property
    def clear_share(self) -> float:
        """Usable part of the grid, 0..1."""
        return float((self.why == 0).mean())

    @property
    def level(self) -> float:
        """Median reflectance of usable ground in the band of the shortest wavelength; 0 where nothing is usable."""
        shortest = min(range(len(self.bands)), key=lambda index: self.bands[index].centre_nm)
        usable = self.reflectance[shortest][self.why == 0]
        return float(median(usable, axis=0)) if usable.size else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """Robust median of aligned looks. reflectance: (band, row, col) float32, NaN where no look measured the ground.

    shift_scatter_px: 1-sigma length of their shifts, infinite where there are fewer than MIN_SHIFTS.
    """

    grid: GeoBox
    bands: tuple[Band, ...]
    reflectance: NDArray[np.float32]
    scenes: tuple[str, ...]
    shift_scatter_px: float = float("inf")

    @property
    def shift_prior_px(self) -> float | None:
        """1-sigma of a look's shift per axis, px, for small chips; None where there is no stack to compare with."""
        if len(self.scenes) < 2:
            return None
        return self.shift_scatter_px if np.isfinite(self.shift_scatter_px) else PRIOR_PX

    def expected(self) -> NDArray[np.float32]:
        """The reference with its holes filled by the median of its band, for masks that need a value everywhere.

        Read-only: all looks of a site share it.
        """
        return _fill_holes(self)


@lru_cache(maxsize=1)
def _fill_holes(reference: Reference) -> NDArray[np.float32]:
    """See `Reference.expected`. Kept: all looks of a site ask for the same."""
    middle = median(reference.reflectance.reshape(len(reference.bands), -1), axis=1)[:, None, None]
    found = np.where(np.isfinite(reference.reflectance), reference.reflectance, middle).astype(np.float32)
    found.flags.writeable = False
    return found


def make_reference(images: Sequence[UnregisteredImage], settings: Settings) -> Reference:
    """The reference of a set of unregistered images; their order does not matter."""
    chosen = select_reference_images([(each.scene, each.clear_share, each.level) for each in images])
    return build_reference([images[index] for index in chosen], settings)


def select_reference_images(images: Sequence[tuple[Scene, float, float]]) -> tuple[int, ...]:
    """Indices of the images for the reference, the clearest first. images: scene, clear share and level of each.

    The clearest up to 24 of the site's first images, of all while they are few. A new look at the end then leaves the
    reference as it is, and all that was measured against it, until there is a quarter more of them. Images that are far
    brighter than others are left out: without a history, cloud that fills a look is not always recognised as cloud.
    """
    order = sorted(range(len(images)), key=lambda index: (images[index][0].time, images[index][0].id))
    count = FIRST_IMAGES
    while count + count // 4 <= len(order):
        count += count // 4
    first = _without_bright(order[:count], images)
    share = {index: round(images[index][1], 3) for index in first}
    chosen = sorted(share, key=lambda index: -share[index])[:MAX_IMAGES]
    return tuple(index for index in chosen if images[index][1] >= 0.5 * share[chosen[0]])


def _without_bright(order: Sequence[int], images: Sequence[tuple[Scene, float, float]]) -> list[int]:
    """Those of these images that are not far brighter than the darkest quarter of those with usable ground."""
    levels = [images[index][2] for index in order if images[index][1] > 0]
    if not levels:
        return list(order)
    limit = float(np.quantile(levels, 0.25, method="lower")) + MAX_EXCESS
    return [index for index in order if images[index][2] <= limit]


def build_reference(chosen: Sequence[UnregisteredImage], settings: Settings) -> Reference:
    """The reference made of these images, the clearest first.

    All are aligned to the clearest, their median taken, all aligned to that median once more, and the median taken
    again (registration to a stack, not in pairs).
    """
    anchor = chosen[0]
    if len(chosen) == 1:
        return _single_image(anchor)
    median_of_images = np.where(anchor.why == 0, anchor.reflectance, np.nan)
    for _ in range(2):
        shifts = _centre_shifts([align(median_of_images, image, settings) for image in chosen])
        moved = [_move(image, shift) for image, shift in zip(chosen, shifts, strict=True) if shift.accepted]
        median_of_images = _median_image([(each.planes, each.clear) for each in moved], median_of_images)
    median_of_images = _fill_unclear(median_of_images, [(each.planes, each.measured) for each in moved])
    return Reference(
        grid=anchor.grid,
        bands=anchor.bands,
        reflectance=median_of_images.astype(np.float32),
        scenes=tuple(sorted(image.scene.id for image in chosen)),
        shift_scatter_px=_shift_scatter(shifts),
    )


def _single_image(image: UnregisteredImage) -> Reference:
    """One image as the reference: all its measured ground, clouded or not, because there is no other."""
    return Reference(
        grid=image.grid,
        bands=image.bands,
        reflectance=np.where(image.measured, image.reflectance, np.nan).astype(np.float32),
        scenes=(image.scene.id,),
    )


def _shift_scatter(shifts: Sequence[Alignment]) -> float:
    lengths = [float(np.hypot(*each.shift)) for each in shifts if _is_certain(each)]
    return float(np.median(lengths)) / RAYLEIGH_MEDIAN if len(lengths) >= MIN_SHIFTS else float("inf")


def _centre_shifts(shifts: Sequence[Alignment]) -> list[Alignment]:
    """The same shifts against the middle of the stack: where most looks put the ground is nearer to where it lies
    than where the clearest of them does.
    """
    known = [each.shift for each in shifts if _is_certain(each)]
    row, col = np.median(known, axis=0) if known else (0.0, 0.0)
    return [replace(each, shift=(each.shift[0] - float(row), each.shift[1] - float(col))) for each in shifts]


def _is_certain(alignment: Alignment) -> bool:
    """Whether a shift was measured, and not taken from the stack."""
    return alignment.accepted and alignment.sigma_px <= MAX_SIGMA_PX


def align(
    reference: NDArray[Any], image: UnregisteredImage, settings: Settings, prior_px: float | None = PRIOR_PX
) -> Alignment:
    """Shift of an image against a reference image, from up to four bands that vote by their certainty.

    On a chip of 200 px or more each band reads a strip of its own first; where they do not agree, each reads the whole.
    On a small chip all bands share one fit, with the 1-sigma `prior_px` of the stack's shifts, see `joint_alignment`.
    """
    indices = [image.bands.index(each) for each in ALIGNMENT if each in image.bands][:4]
    if is_small(reference, image.measured):
        planes, free = image.reflectance[indices], _usable_ground(image)
        return estimate_jointly(reference[indices], planes, free, settings.correct.max_shift_px, prior_px)
    clear = image.why == 0
    if clear.mean() < MIN_BUFFERED_SHARE:
        # many small bright roofs, each with its buffer, leave nothing; the fit bears the fringe of a cloud
        clear = (image.why & ~np.uint8(Why.BUFFER)) == 0
    options = Options(max_shift_px=settings.correct.max_shift_px, max_sigma_px=BAND_LIMIT_PX)
    known = np.isfinite(reference)

    def vote(strips: Sequence[slice]) -> list[Alignment]:
        return [
            estimate_shift(
                reference[index, rows], image.reflectance[index, rows], clear[rows] & known[index, rows], options
            )
            for index, rows in zip(indices, strips, strict=True)
        ]

    strips = _cut_strips(clear.shape, len(indices))
    if strips is not None:
        found = vote(strips)
        agreed = combine_bands(found)
        if all(each.accepted for each in found) and agreed.sigma_px <= AGREED_PX:
            return agreed
    return combine_bands(vote([slice(None)] * len(indices)))


def align_to_recent(looks: Sequence[Look], image: UnregisteredImage, settings: Settings) -> Alignment:
    """Shift of an image against the median of `looks`, in the frame of the reference that they were resampled to.

    The uncertainty contains that of the looks, as if all of them were off by the same. Where looks are registered one
    on the other, it states their drift, and RECENT_SIGMA_PX limits it.
    """
    inherited = float(np.sqrt(np.mean([look.alignment.sigma_px**2 for look in looks])))
    if not inherited <= RECENT_SIGMA_PX:
        reason = f"their own shifts are uncertain by {inherited:.2f} px, {RECENT_SIGMA_PX} allowed"
        return Alignment(shift=(0.0, 0.0), accepted=False, reliability=0.0, reason=reason)
    found = align(_median_of_looks(looks), image, settings)
    if not found.accepted:
        return found
    return _accept_up_to_limit(found.shift, float(np.hypot(found.sigma_px, inherited)), "fit and recent looks")


def _median_of_looks(looks: Sequence[Look]) -> NDArray[np.float32]:
    """(band, row, col) median of the usable pixels of the looks, NaN where none measured the ground."""
    nowhere = np.full_like(looks[0].reflectance, np.nan)
    clear = _median_image([(look.reflectance, look.usable) for look in looks], nowhere)
    return _fill_unclear(clear, [(look.reflectance, (look.why & np.uint8(Why.NODATA)) == 0) for look in looks])


def _cut_strips(shape: tuple[int, ...], count: int) -> list[slice] | None:
    """Rows of each of `count` strips, together over the whole chip; None where they would be no less than half of it.

    The four together measure a shift to 0.001 px as well as the whole chip does (docs/decisions/0115).
    """
    rows, cols = shape
    height = max(-(-rows // count), -(-STRIP_PIXELS // cols))
    if 2 * height > rows:
        return None
    return [slice(start, start + height) for start in np.linspace(0, rows - height, count).astype(int).tolist()]


def combine_bands(found: Sequence[Alignment]) -> Alignment:
    """One alignment of several bands. Its uncertainty is the larger of what the bands claim and how they scatter."""
    good = [each for each in found if each.accepted]
    if not good:
        return max(found, key=lambda each: each.reliability)
    shifts = np.array([each.shift for each in good])
    weights = np.array([1 / (each.sigma_px**2 + SYSTEMATIC_PX**2) for each in good])
    mean = (shifts * weights[:, None]).sum(axis=0) / weights.sum()
    scatter = float(np.sqrt((weights[:, None] * (shifts - mean) ** 2).sum() / weights.sum() / 2))
    sigma = max(float(1 / np.sqrt(weights.sum())), scatter / float(np.sqrt(max(len(good) - 1, 1))))
    if len(good) == 1:
        sigma = max(sigma, good[0].sigma_px)
    return _accept_up_to_limit((float(mean[0]), float(mean[1])), sigma, f"{len(good)} bands")


def _accept_up_to_limit(shift: tuple[float, float], sigma_px: float, source: str) -> Alignment:
    """A shift, accepted up to MAX_SIGMA_PX. source: what its uncertainty comes from, for the refusal."""
    accepted = sigma_px <= MAX_SIGMA_PX
    return Alignment(
        shift=shift,
        accepted=accepted,
        reliability=float(np.clip(1 - sigma_px / (2 * MAX_SIGMA_PX), 0, 1)),
        sigma_px=sigma_px,
        reason="" if accepted else f"{source} leave the shift uncertain by {sigma_px:.2f} px",
    )


def _usable_ground(image: UnregisteredImage) -> NDArray[np.bool_]:
    """Usable ground of a small chip; with the buffers of cloud, where those take most of what was measured."""
    clear = np.asarray(image.why == 0)
    if clear.sum() >= MIN_BUFFERED_SHARE * image.measured.sum():
        return clear
    return np.asarray((image.why & ~np.uint8(Why.BUFFER)) == 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _MovedImage:
    """An image moved onto the reference. planes: (band, row, col). clear, measured: (row, col) bool, True = made
    of pixels that are usable, or measured, alone.
    """

    planes: NDArray[np.float32]
    clear: NDArray[np.bool_]
    measured: NDArray[np.bool_]


def _move(image: UnregisteredImage, alignment: Alignment) -> _MovedImage:
    """The image sampled at x + shift."""
    # cubic, or the reference is blurred; cloud keeps its pixels so that the kernel meets no step, they fall out after
    filled = image.reflectance
    if not np.isfinite(filled).all():
        middle = median(filled.reshape(len(image.bands), -1), axis=1)[:, None, None]
        filled = np.where(np.isfinite(filled), filled, middle)
    planes = np.stack([shift_image(plane, alignment.shift, 3) for plane in filled])
    clear, measured = (
        shift_image(usable.astype(np.float32), alignment.shift, 1) > WHOLE_SHARE
        for usable in (image.why == 0, image.measured)
    )
    return _MovedImage(planes=planes, clear=clear, measured=measured)


def _take(planes: NDArray[np.float32], where: NDArray[np.intp]) -> NDArray[np.float32]:
    """(band, where): these pixels of (band, row, col)."""
    return planes.reshape(len(planes), -1).take(where, axis=1)


def _median_image(
    images: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]], fallback: NDArray[Any]
) -> NDArray[np.float32]:
    """Median per pixel of (band, ...) images where they count, a band at a time; the fallback where none does."""
    if not images:
        return np.asarray(fallback, np.float32)
    bands = (
        median(np.stack([np.where(counts, planes[index], np.nan) for planes, counts in images]), axis=0)
        for index in range(len(fallback))
    )
    return np.stack([np.where(np.isfinite(each), each, last) for each, last in zip(bands, fallback, strict=True)])


def _fill_unclear(
    image: NDArray[np.float32], images: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]]
) -> NDArray[np.float32]:
    """(band, row, col) with the median of what was measured, clouded or not, in its holes.

    images: (band, row, col) and (row, col) True = measured. Ground that every look calls cloud is a bright roof as
    often as bad luck: its own median is better than none.
    """
    holes = np.flatnonzero(~np.isfinite(image).all(axis=0))
    if not holes.size:
        return image
    flat = image.reshape(len(image), -1)
    flat[:, holes] = _median_image(
        [(_take(planes, holes), measured.reshape(-1)[holes]) for planes, measured in images], flat[:, holes]
    )
    return flat.reshape(image.shape)
