"""A self-contained STAC catalogue: an item for each change, raster and look; looks lead to the provider's items."""

import json
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
from pystac.layout import TemplateLayoutStrategy
from shapely.geometry import mapping

from pipeline.model.credit import LEGAL_NOTICE
from pipeline.model.errors import ReviewError, UsageError
from pipeline.review.contents import Change, Contents
from pipeline.review.folder import Folder, file_name_of
from pipeline.review.lonlat import lonlat_bounds, to_lonlat
from pipeline.review.stac_rasters import ASSET, link_to_look, raster_items

_CHILDREN = {
    "changes": "What changed, one item a change",
    "scenes": "The looks that the changes were found in",
    "rasters": "The site before and after, and the score of change of each pixel",
}
_PROVIDERS = (
    pystac.Provider(
        "European Space Agency", "Copernicus Sentinel-2 mission",
        [pystac.ProviderRole.PRODUCER, pystac.ProviderRole.LICENSOR], "https://sentinels.copernicus.eu",
    ),
    pystac.Provider("groundbreak", "co-registration, masks and change detection", [pystac.ProviderRole.PROCESSOR]),
)  # fmt: skip
_IMAGES = {".png": pystac.MediaType.PNG, ".jpg": pystac.MediaType.JPEG}
_MOST_NAMES = 20
"""Summaries of a collection list the values of a property with at most this many different texts."""


def write_stac(folder: Folder, contents: Contents, path: Path) -> None:
    """A folder with catalog.json and a folder each of changes, scenes and rasters. An earlier export is replaced.

    Raises UsageError where anything else stands at `path`, ReviewError where it cannot be written.
    """
    place = path.resolve()
    if not _is_free(place, contents.site):
        fix = "give --to a folder that is new, empty, or written by an earlier export of this site"
        raise UsageError("something else stands there, and an export replaces its folder", str(path), fix)
    # pystac takes a folder with a dot in its name for a file
    beside = place.with_name(f".{place.name.replace('.', '-')}-new")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        catalog = _make_catalog(contents)
        changes, scenes, rasters = (each for each in catalog.get_children() if isinstance(each, pystac.Collection))
        made = {str(scene["scene"]): _scene_item(scene, contents) for scene in contents.scenes if scene["used"]}
        _add_items(scenes, made.values())
        _add_items(rasters, raster_items(folder, contents, made))
        _add_items(changes, (_change_item(each, contents, folder, made) for each in contents.shown if not each.drawn))
        strategy = TemplateLayoutStrategy(item_template="${id}")
        catalog.normalize_hrefs(str(beside), strategy=strategy)
        _with_files(catalog)
        catalog.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
        if place.exists():
            shutil.rmtree(place)
        beside.rename(place)
    except OSError as error:
        raise ReviewError(f"cannot be written: {error.strerror or error}", str(path), "fix the permissions") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _is_free(place: Path, site: str) -> bool:
    """Whether a folder may stand here: nothing does, or an empty one, or an earlier export of the same site."""
    if Path.cwd().is_relative_to(place):
        return False
    try:
        if not place.exists() or not any(place.iterdir()):
            return True
        catalog = json.loads((place / "catalog.json").read_text(encoding="utf-8"))
        children = {link["href"] for link in catalog["links"] if link["rel"] == "child"}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(children) and children <= {f"./{site}-{name}/collection.json" for name in _CHILDREN}


def _make_catalog(contents: Contents) -> pystac.Catalog:
    catalog = pystac.Catalog(id=contents.site, title=contents.name, description=f"Changes at {contents.name}")
    box = list(lonlat_bounds(to_lonlat(contents.aoi, contents.crs)))
    first, last = (_parse_time(contents.provenance[key]) for key in ("first_look", "last_look"))
    extent = pystac.Extent(pystac.SpatialExtent([box]), pystac.TemporalExtent([[first, last]]))
    facts = {key: contents.provenance[key] for key in ("software", "settings_digest", "threshold")}
    facts |= {key: contents.provenance.get(key, "") for key in ("attribution", "simulated")}
    for name, text in _CHILDREN.items():
        child = pystac.Collection(
            id=f"{contents.site}-{name}", title=f"{contents.name}: {name}", extent=extent,
            description=f"{text}. {facts['attribution']}", license="other", providers=list(_PROVIDERS),
            keywords=["sentinel-2", "change detection", "construction"],
            extra_fields={f"groundbreak:{key}": value for key, value in facts.items()},
        )  # fmt: skip
        child.add_link(pystac.Link("license", LEGAL_NOTICE, title="Legal notice on the use of Sentinel data"))
        catalog.add_child(child)
    return catalog


def _add_items(collection: pystac.Collection, items: Iterable[pystac.Item]) -> None:
    """Items with titled links, and summaries: the range of a number, the values of a text with few of them."""
    values: dict[str, list[Any]] = {}
    for item in items:
        collection.add_item(item, title=item.properties["title"])
        for name, value in item.properties.items():
            if value is not None and name not in ("title", "datetime", "start_datetime", "end_datetime"):
                values.setdefault(name, []).append(value)
    summaries = pystac.Summaries.empty()
    for name, found in values.items():
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in found):
            summaries.add(name, pystac.RangeSummary(min(found), max(found)))
        elif all(isinstance(value, str | bool) for value in found) and len(set(found)) <= _MOST_NAMES:
            summaries.add(name, sorted(set(found)))
    collection.summaries = summaries


def _scene_item(scene: Mapping[str, Any], contents: Contents) -> pystac.Item:
    shape = to_lonlat(contents.aoi, contents.crs)
    names = ("shift_row_px", "shift_col_px", "reliability", "clear_share", "boa_offset_dn", "offset_note")
    item = pystac.Item(
        id=file_name_of(str(scene["scene"])),
        geometry=mapping(shape),
        bbox=list(lonlat_bounds(shape)),
        datetime=_parse_time(scene["time"]),
        properties={"title": scene["scene"], **{f"groundbreak:{name}": scene[name] for name in names}},
    )
    for href in contents.sources.get(str(scene["scene"]), ()):
        item.add_link(pystac.Link("derived_from", href, title="the item of the provider"))
    return item


def _change_item(change: Change, contents: Contents, folder: Folder, scenes: Mapping[str, pystac.Item]) -> pystac.Item:
    shape = to_lonlat(change.outline, contents.crs)
    own = {f"groundbreak:{name}": value for name, value in change.facts.items() if name not in ("fid", "change_id")}
    first, last = (datetime.fromisoformat(change[name]).replace(tzinfo=UTC) for name in ("first_seen", "last_seen"))
    item = pystac.Item(
        id=file_name_of(change.id),
        geometry=mapping(shape),
        bbox=list(lonlat_bounds(shape)),
        datetime=None,
        start_datetime=first,
        end_datetime=max(first, last),
        properties={"title": contents.sentence_of(change), **own},
    )
    sources = [scenes[look["scene"]] for look in contents.looks.get(change.id, ()) if look["scene"] in scenes]
    item.add_links([link_to_look(source) for source in sources])
    for name, role, file in (
        ("timeline", "overview", folder.timeline(change.id)),
        ("pair", "thumbnail", folder.pair(change.id)),
        ("looks", "overview", folder.strip(change.id)),
    ):
        if file.is_file():
            item.add_asset(name, pystac.Asset(str(file), media_type=_IMAGES[file.suffix], roles=[role]))
    return item


def _with_files(catalog: pystac.Catalog) -> None:
    """Copy pictures and rasters beside their items and refer to them by relative hrefs."""
    for item in catalog.get_items(recursive=True):
        place = Path(item.self_href).parent
        place.mkdir(parents=True, exist_ok=True)
        for name, asset in item.assets.items():
            suffix = Path(asset.href).suffix
            kept = place / (f"{item.id}{suffix}" if name == ASSET else f"{item.id}-{name}{suffix}")
            shutil.copyfile(asset.href, kept)
            asset.href = f"./{kept.name}"


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
