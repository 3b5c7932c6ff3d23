"""Every scene of a site: select the reader for a source, merge duplicate products, order by time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.catalogue.duplicate_products import merge_duplicates
from pipeline.catalogue.hrefs import local_or_remote
from pipeline.catalogue.product import Product
from pipeline.catalogue.safe import product_paths, read_products
from pipeline.catalogue.stac import is_api, search_stac
from pipeline.catalogue.static import DOCUMENTS, ReadResult, read_static
from pipeline.model.errors import CatalogueError, GroundbreakError
from pipeline.model.imagery import Reason, Rejection, Scene
from pipeline.model.progress import Progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundScenes:
    """Scenes in time order, rejections before any pixel was read, and errors of items that could not be read."""

    scenes: tuple[Scene, ...]
    rejections: tuple[Rejection, ...]
    errors: tuple[GroundbreakError, ...]


def search_scenes(
    site: Site,
    source: str,
    collection: str | None,
    start: datetime | None,
    until: datetime,
    settings: Settings,
    progress: Progress | None = None,
) -> FoundScenes:
    """Search all scenes over a site from `start` (None: the first one) until `until`.

    source: a static STAC document or folder, the root of a STAC API, or a folder of .SAFE products.
    collection: the only one to take; None: of an API the one of the settings, elsewhere whatever there is.
    Raises CatalogueError where the source as a whole cannot be read; an item that cannot is one of `errors`.
    """
    source = local_or_remote(source)
    if _is_searched(source):
        collection = collection or settings.search.collection
        result = search_stac(site, source, collection, start, until, settings.search.asset_hosts)
    else:
        result = _read_files(source, settings)
    wanted = _asked_for(result.products, collection, start, until)
    if progress is not None:
        progress(site.id, len(wanted), len(wanted), "products found")
    merged = merge_duplicates(site, wanted)
    limit = settings.search.max_cloud_percent
    clouded = [scene for scene in merged.scenes if scene.cloud_percent is not None and scene.cloud_percent > limit]
    too_cloudy = [
        Rejection(scene=scene.id, time=scene.time, reason=Reason.CLOUD, value=scene.cloud_percent, limit=limit,
                  note="percent of the whole tile, by the catalogue")
        for scene in clouded
    ]  # fmt: skip
    return FoundScenes(
        scenes=tuple(scene for scene in merged.scenes if scene not in clouded),
        rejections=tuple(sorted((*merged.rejections, *too_cloudy), key=lambda each: (each.time, each.scene))),
        errors=tuple(sorted(set(result.errors), key=str)),
    )


def read_named_scenes(site: Site, references: Sequence[str], settings: Settings) -> tuple[Scene, ...]:
    """The scenes of item JSONs (paths or URLs) or products; what is one acquisition is one scene, however often named.

    Raises CatalogueError where one of them is no scene of this site.
    """
    products: list[Product] = []
    for ref in references:
        result = _read_files(ref, settings)
        if result.errors:
            raise result.errors[0]
        alone = merge_duplicates(site, result.products).scenes
        if len(alone) != 1:
            what = "holds several acquisitions" if alone else "its footprint does not touch the AOI"
            raise CatalogueError(what, ref, "name one item or product that covers the site")
        products += result.products
    return tuple(merge_duplicates(site, products).scenes)


def _is_searched(source: str) -> bool:
    is_document = source.partition("?")[0].lower().endswith(DOCUMENTS)
    return "://" in source and not is_document and is_api(source)


def _read_files(source: str, settings: Settings) -> ReadResult:
    source = local_or_remote(source)
    products = [] if "://" in source else product_paths(Path(source))
    if products:
        return read_products(products)
    return read_static(source, settings.search.asset_hosts, settings.search.asset_folders)


def _asked_for(
    products: Sequence[Product], collection: str | None, start: datetime | None, until: datetime
) -> list[Product]:
    """Filter by date and collection for every source, because servers ignore filters.

    Items that name no collection are taken where none names the one asked for.
    """
    timely = [product for product in products if (start is None or product.time >= start) and product.time <= until]
    if not collection:
        return timely
    named = [product for product in timely if product.collection == collection]
    return named or [product for product in timely if not product.collection]
