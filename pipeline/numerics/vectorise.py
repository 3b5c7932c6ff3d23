"""Evidence to outlines: regions by hysteresis, polygons in metres."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry import MultiPolygon, Polygon, shape
from shapely.ops import unary_union
from skimage.measure import find_contours

EIGHT = np.ones((3, 3), bool)


def label_regions(
    evidence: NDArray[Any], threshold: float, low: float, min_pixels: float, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.int32]:
    """Labels (row, col), 0 = none: connected evidence above `low` that reaches `threshold` somewhere.

    allowed: (row, col), where a region may lie. Regions of fewer than `min_pixels` are dropped. Labels follow the
    order of the first pixel, so that the same evidence gives the same numbers.
    """
    wide = np.nan_to_num(evidence, nan=-np.inf) >= low
    core = np.nan_to_num(evidence, nan=-np.inf) >= threshold
    if allowed is not None:
        wide &= allowed
        core &= allowed
    labels, count = ndimage.label(wide, structure=EIGHT)
    if count == 0:
        return np.zeros(wide.shape, np.int32)
    index = np.arange(1, count + 1)
    strong = ndimage.maximum(core, labels, index) > 0
    large = ndimage.sum_labels(wide, labels, index) >= min_pixels
    renumbered = np.zeros(count + 1, np.int32)
    renumbered[1:][strong & large] = np.arange(1, int((strong & large).sum()) + 1)
    return np.asarray(renumbered[labels], np.int32)


def outlines(labels: NDArray[np.int32], grid: GeoBox) -> Mapping[int, Polygon | MultiPolygon]:
    """Label -> polygon along pixel edges, in the grid's CRS."""
    found: dict[int, list[Polygon]] = {}
    for geometry, value in shapes(labels, mask=labels > 0, connectivity=8, transform=grid.affine):
        found.setdefault(int(value), []).append(shape(geometry).buffer(0))
    return {label: unary_union(parts) for label, parts in sorted(found.items())}


def contour(share: NDArray[np.float64], grid: GeoBox) -> Polygon | MultiPolygon | None:
    """The outline of what is covered by half or more, in the grid's CRS; None where nothing is.

    Sub-pixel: counting pixels overstates small buildings, whose edges smear over their neighbours.
    """
    padded = np.pad(share, 1)
    # +0.5: a contour runs through pixel centres, the transform speaks of corners
    rings = [
        Polygon([grid.affine @ (col - 1 + 0.5, row - 1 + 0.5) for row, col in ring])
        for ring in find_contours(padded, 0.5)  # type: ignore[no-untyped-call]
        if len(ring) >= 4
    ]
    solid = [ring.buffer(0) for ring in rings if ring.area > 0]
    if not solid:
        return None
    solid.sort(key=lambda ring: -ring.area)
    whole = solid[0]
    for ring in solid[1:]:
        whole = whole.difference(ring) if whole.contains(ring.representative_point()) else whole.union(ring)
    return whole if whole.area > 0 else None
