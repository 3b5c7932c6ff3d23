"""From products to scenes: one acquisition is one scene, however many products, strips and tiles it was filed as."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from odc.geo.geom import Geometry
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from pipeline.catalogue.product import Product, datatake_start
from pipeline.model.bands import ANALYSIS
from pipeline.model.imagery import Level, Reason, Rejection, Scene
from pipeline.model.site import Site

SLACK_DEG = 0.001
"""Tolerance of a footprint in degrees: providers draw footprints to about 100 m."""
NEVER = datetime.min.replace(tzinfo=UTC)
TILE_KM2 = 109.8**2
KM_PER_DEG = 111.32


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedProducts:
    """Scenes in time order, and the products that were rejected."""

    scenes: tuple[Scene, ...]
    rejections: tuple[Rejection, ...]


def merge_duplicates(site: Site, products: Iterable[Product]) -> MergedProducts:
    """Merge products to scenes. The result does not depend on the order of the products or on repetitions."""
    region = _site_region(site)
    unique = _without_repeats(products)
    chosen, rejections = _one_history(unique)
    groups: dict[str, list[Product]] = defaultdict(list)
    for product in chosen:
        groups[product.datatake or f"={product.granule.id}"].append(product)
    scenes: list[Scene] = []
    for group in groups.values():
        inside = [product for product in group if product.granule.footprint.intersects(site.aoi)]
        rejections += [_reject_product(product, Reason.OUTSIDE, 0.0, "its footprint does not touch the AOI")
                       for product in group if product not in inside]  # fmt: skip
        if inside:
            kept, replaced = _select_products(inside, region, str(site.grid.crs))
            rejections += replaced
            scenes.append(_merge_to_scene(kept))
    return MergedProducts(
        scenes=tuple(sorted(scenes, key=lambda scene: (scene.time, scene.id))),
        rejections=tuple(sorted(set(rejections), key=lambda item: (item.time, item.scene, item.note))),
    )


def _site_region(site: Site) -> BaseGeometry:
    """Area of the site's grid in lon/lat, slightly smaller than the grid."""
    return Geometry(site.grid.extent.geom, str(site.grid.crs)).to_crs("EPSG:4326").geom.buffer(-SLACK_DEG)


def _without_repeats(products: Iterable[Product]) -> list[Product]:
    """Every product once, in an order of its own: the same id may stand for two datastrips, so all of it counts."""
    by_key = {_acquisition_key(product): product for product in products}
    return [by_key[key] for key in sorted(by_key)]


def _acquisition_key(product: Product) -> str:
    granule = product.granule
    parts = [granule.id, product.datatake, product.strip, granule.baseline, str(granule.generated), product.collection]
    assets = {band.value: href for band, href in granule.assets.items()}
    return json.dumps([*parts, assets, granule.scl, granule.declared_offset.dn])


def _one_history(products: Sequence[Product]) -> tuple[list[Product], list[Rejection]]:
    """The products of one level and collection: L2A before L1C, then the one with most scenes; the others are mixed."""
    counts: dict[tuple[Level, str, str], set[str]] = defaultdict(set)
    for product in products:
        counts[_processing_history(product)].add(product.datatake or product.granule.id)
    if len(counts) <= 1:
        return list(products), []
    best = min(counts, key=lambda key: (key[0] is not Level.L2A, -len(counts[key]), key))
    name = " ".join(part for part in (best[0].value, best[1]) if part)
    mixed = [
        _reject_product(
            product, Reason.MIXED, None, f"{product.level.value} {product.collection}; the site uses {name}"
        )
        for product in products
        if _processing_history(product) != best
    ]
    return [product for product in products if _processing_history(product) == best], mixed


def _processing_history(product: Product) -> tuple[Level, str, str]:
    return product.level, product.collection, product.provider


def _select_products(
    group: Sequence[Product], region: BaseGeometry, crs: str
) -> tuple[tuple[Product, ...], list[Rejection]]:
    """Products of one acquisition that add area, in order of precedence; the others are rejected."""
    kept: list[Product] = []
    replaced: list[Rejection] = []
    for product in sorted(group, key=lambda each: _rank_product(each, crs), reverse=True):
        part = product.granule.footprint.intersection(region)
        winner = next((each for each in kept if _replaces(each, product)), None)
        covered = unary_union([each.granule.footprint for each in kept if _is_whole(each)]).buffer(SLACK_DEG)
        if winner is None and kept and covered.covers(part):
            winner = kept[0]
        if winner is None:
            kept.append(product)
        else:
            replaced.append(_reject_product(product, Reason.TWIN, None, f"{winner.granule.id} is used"))
    return tuple(kept), replaced


def _rank_product(product: Product, crs: str) -> tuple[object, ...]:
    """Highest wins: complete, in the site's own zone, first tile by name, newest baseline, newest made, last id."""
    granule = product.granule
    complete = sum(band in granule.assets for band in ANALYSIS)
    tile = tuple(-ord(letter) for letter in granule.tile or "")
    return (complete, granule.crs == crs, tile, granule.baseline or "", granule.generated or NEVER, granule.id,
            product.strip or "", _acquisition_key(product))  # fmt: skip


def _replaces(winner: Product, other: Product) -> bool:
    """Whether both are the same datastrip of the same tile, processed twice."""
    same_tile = winner.granule.tile is not None and winner.granule.tile == other.granule.tile
    return same_tile and winner.strip is not None and winner.strip == other.strip


def _is_whole(product: Product) -> bool:
    """Whether data fill the footprint; some providers always state the full square of the tile."""
    if product.nodata_percent is None:
        return True
    shape = product.granule.footprint
    latitude = shape.centroid.y
    area = float(shape.area) * KM_PER_DEG**2 * math.cos(math.radians(latitude))
    return bool(area / TILE_KM2 <= 1.05 - product.nodata_percent / 100)


def _merge_to_scene(kept: Sequence[Product]) -> Scene:
    first = kept[0]
    clouds = [product.cloud_percent for product in kept if product.cloud_percent is not None]
    return Scene(
        id=first.datatake or first.granule.id,
        time=datatake_start(first.datatake) if first.datatake else first.time,
        level=first.level,
        platform=first.platform,
        relative_orbit=first.relative_orbit,
        collection=first.collection,
        granules=tuple(product.granule for product in kept),
        sun=next((product.sun for product in kept if product.sun is not None), None),
        cloud_percent=min(clouds) if clouds else None,
    )


def _reject_product(product: Product, reason: Reason, value: float | None, note: str) -> Rejection:
    return Rejection(scene=product.granule.id, time=product.time, reason=reason, value=value, note=note)
