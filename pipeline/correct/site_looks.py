"""All scenes of a site to looks: each stage of the correction in its order, without a cache."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from pipeline.correct.look import make_look, make_unregistered, warp_again
from pipeline.correct.offset import resolve_jointly
from pipeline.correct.persistence import unmask_persistent
from pipeline.correct.reference import (
    RECENT_LOOKS,
    Reference,
    UnregisteredImage,
    build_reference,
    select_reference_images,
)
from pipeline.model.bands import ANALYSIS, Band
from pipeline.model.imagery import Chip, Look, Rejection
from pipeline.model.settings import Settings

NO_PIXELS = np.zeros((0, 0, 0), np.float32)


def make_looks(
    scenes: Sequence[Sequence[Chip]],
    grid: GeoBox,
    inside: NDArray[np.bool_],
    settings: Settings,
    on_look: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[tuple[Look, ...], tuple[Rejection, ...]]:
    """Looks of the scenes that can be trusted, in time order, and the refusals of the others.

    scenes: the chips of each scene. grid, inside: the grid of the site, and the mask of its AOI on it. on_look: called
    after each scene with the number done and the number of all.

    Pixels of a scene are warped to the grid twice, so that only those of the reference are in memory at one time.
    """
    images, refused = list[tuple[Sequence[Chip], UnregisteredImage, float]](), list[Rejection]()
    for chips in resolve_jointly(scenes):
        image = make_unregistered(chips, grid, bands_of(chips), settings)
        if isinstance(image, Rejection):
            refused.append(image)
        else:
            images.append((chips, replace(image, reflectance=NO_PIXELS), image.level))
    if not images:
        return (), tuple(refused)
    images.sort(key=lambda each: (each[1].scene.time, each[1].scene.id))
    reference = _build_reference(images, settings)
    looks = list[Look]()
    for done, (settled, image, _) in enumerate(images, 1):
        look = make_look(settled, reference, settings, inside, warp_again(image, settled), looks[-RECENT_LOOKS:])
        on_look(done, len(images))
        if isinstance(look, Rejection):
            refused.append(look)
        else:
            looks.append(look)
    return unmask_persistent(looks, settings), tuple(refused)


def bands_of(chips: Sequence[Chip]) -> tuple[Band, ...]:
    """The bands of a scene's chips, in the order of the analysis."""
    return tuple(band for band in ANALYSIS if all(band in chip.dn for chip in chips))


def _build_reference(
    images: Sequence[tuple[Sequence[Chip], UnregisteredImage, float]], settings: Settings
) -> Reference:
    chosen = select_reference_images([(image.scene, image.clear_share, level) for _, image, level in images])
    return build_reference([warp_again(images[index][1], images[index][0]) for index in chosen], settings)
