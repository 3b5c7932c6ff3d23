"""All scenes of a site to looks: each stage of the correction in its order, without a cache."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from pipeline.correct.look import make_draft, make_look, warped_anew
from pipeline.correct.offset import settle
from pipeline.correct.reference import Draft, Reference, found, founders
from pipeline.correct.release import release
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
    drafts, refused = list[tuple[Sequence[Chip], Draft, float]](), list[Rejection]()
    for chips in settle(scenes):
        draft = make_draft(chips, grid, bands_of(chips), settings)
        if isinstance(draft, Rejection):
            refused.append(draft)
        else:
            drafts.append((chips, replace(draft, reflectance=NO_PIXELS), draft.level))
    if not drafts:
        return (), tuple(refused)
    reference = _build_reference(drafts, settings)
    looks = list[Look]()
    for done, (settled, draft, _) in enumerate(drafts, 1):
        look = make_look(settled, reference, settings, inside, warped_anew(draft, settled))
        on_look(done, len(drafts))
        if isinstance(look, Rejection):
            refused.append(look)
        else:
            looks.append(look)
    return release(looks, settings), tuple(refused)


def bands_of(chips: Sequence[Chip]) -> tuple[Band, ...]:
    """The bands of a scene's chips, in the order of the analysis."""
    return tuple(band for band in ANALYSIS if all(band in chip.dn for chip in chips))


def _build_reference(drafts: Sequence[tuple[Sequence[Chip], Draft, float]], settings: Settings) -> Reference:
    chosen = founders([(draft.scene, draft.clear_share, level) for _, draft, level in drafts])
    return found([warped_anew(drafts[index][1], drafts[index][0]) for index in chosen], settings)
