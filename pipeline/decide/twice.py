"""Objects told twice: outlines follow the ground, so those of two neighbouring regions can end on one object."""

from collections.abc import Sequence

import numpy as np
from shapely import STRtree

from pipeline.decide.objects import Track
from pipeline.decide.shapes import Shape

SHARE = 0.5
"""Of the smaller outline: what has so much in common with another of the same first look is that one."""


def once(found: Sequence[tuple[Shape, Track]]) -> tuple[tuple[Shape, Track], ...]:
    """The same objects in the same order without the smaller of two that are one.

    Two that begin with the same look and on the same pixel always are: they would have one id.
    """
    tree = STRtree([shape.outline for shape, _ in found])
    order = sorted(range(len(found)), key=lambda index: (-found[index][0].area_m2, index))
    kept: set[int] = set()
    for index in order:
        near = kept.intersection(tree.query(found[index][0].outline, predicate="intersects").tolist())
        if not any(_are_one(found[index], found[other]) for other in near):
            kept.add(index)
    return tuple(found[index] for index in sorted(kept))


def _are_one(one: tuple[Shape, Track], two: tuple[Shape, Track]) -> bool:
    if one[1].first != two[1].first:
        return False
    common = one[0].outline.intersection(two[0].outline).area
    return common >= SHARE * min(one[0].outline.area, two[0].outline.area) or origin(one[0]) == origin(two[0])


def origin(shape: Shape) -> tuple[int, int]:
    """Row and column of an object's first pixel, on the whole grid."""
    row, col = np.argwhere(shape.core)[0] + [each.start for each in shape.window]
    return int(row), int(col)
