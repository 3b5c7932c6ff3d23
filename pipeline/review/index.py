"""index.html over all sites: a table to search, sort and filter, for one site or a thousand."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from odc.geo.geom import Geometry

from pipeline.model.errors import ReviewError
from pipeline.review.contents import GONE, Overview, read_overview
from pipeline.review.descriptions import describe_change
from pipeline.review.folder import Folder, begins_with, replace_file
from pipeline.review.layout import Results
from pipeline.review.locator import world_path
from pipeline.review.maps import compact_png
from pipeline.review.matching import REJECTIONS
from pipeline.review.pages import render_page
from pipeline.review.summary import DEFAULT_KINDS, kinds_of

MAX_CARDS = 6
"""Newest changes shown with their picture, one per site: the page stays below 2 MB whatever the number of sites."""


def write_index(out: Path) -> Path:
    """Write out/index.html over every site folder, newest change first; an unreadable folder is listed as such."""
    rows = [_site_row(folder.path) for folder in Results(out).sites()]
    rows.sort(key=lambda row: str(row["id"]))
    rows.sort(key=lambda row: str(row["newest"]), reverse=True)
    page = render_page(
        "index.html.j2",
        script="index.js",
        rows=rows,
        dots=[row for row in rows if row["point"]],
        cards=[row for row in rows if row["picture"]][:MAX_CARDS],
        compact=lambda row: compact_png(row["picture"]),
        land=world_path(),
        to_do=sum(row["to_do"] for row in rows),
        failed=sum(bool(row["error"]) for row in rows),
    )
    with replace_file(Results(out).index, begins_with(b"groundbreak")) as beside:
        beside.write_text(page, encoding="utf-8")
    return Results(out).index


def _site_row(path: Path) -> Mapping[str, Any]:
    """Row of one site in the index."""
    empty: dict[str, Any] = {
        "id": path.name, "name": path.name, "error": "", "newest": "", "label": "", "words": "", "picture": None,
        "point": None, "structures": 0, "others": 0, "to_do": 0, "last_look": "", "simulated": "",
    }  # fmt: skip
    folder = Folder(path)
    try:
        site = read_overview(folder.gpkg)
        centre = Geometry(site.aoi.centroid, site.crs).to_crs("EPSG:4326").geom
        return {
            **empty,
            "name": site.name,
            "point": (centre.x, centre.y),
            "last_look": site.last_look,
            "simulated": site.provenance.get("simulated", ""),
            **_count_alerts(site, folder),
        }
    except ReviewError as error:
        return {**empty, "error": str(error)}
    except (ValueError, TypeError, LookupError, ArithmeticError, OSError) as error:
        return {**empty, "error": f"cannot be read: {error}"}


def _count_alerts(site: Overview, folder: Folder) -> dict[str, Any]:
    shown = [c for c in site.changes if c["status"] != GONE and c["verdict"] not in REJECTIONS]
    machine = [change for change in shown if change["change_id"]]
    kinds = kinds_of(site.provenance)
    first = [change for change in shown if _is_one_of(change, kinds)]
    # a site may show other change types first: that does not make them new structures
    structures = sum(_is_one_of(change, DEFAULT_KINDS) for change in shown)
    dated = [change for change in first if change["first_seen"]] or machine
    newest = max(dated, key=lambda c: (c["first_seen"] or "", c["confidence"] or 0.0), default=None)
    found = {
        "structures": structures,
        "others": len(shown) - structures,
        "to_do": sum(change["verdict"] is None for change in machine),
    }
    if newest is None:
        return found
    picture = folder.pair(str(newest["change_id"]))
    return {
        **found,
        "newest": newest["first_seen"] or "",
        "label": newest["label"] or "",
        "words": describe_change(newest),
        "picture": picture if newest in first and picture.is_file() else None,
    }


def _is_one_of(change: Mapping[str, Any], kinds: Collection[str]) -> bool:
    """Whether a change is of these types, or a person drew it or called it construction."""
    return not change["change_id"] or change["verdict"] == "construction" or change["kind"] in kinds
