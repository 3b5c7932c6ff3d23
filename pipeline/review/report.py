"""report.html of a site and index.html over all: self-contained pages, no library, every text escaped."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError
from markupsafe import Markup
from odc.geo.geom import Geometry

from pipeline.model.errors import ReviewError
from pipeline.review.contents import Change, Contents, read
from pipeline.review.folder import Folder, begins_with, replacing
from pipeline.review.maps import compact, read_evidence, read_pair
from pipeline.review.marks import scale_bar
from pipeline.review.phrases import brought, certainty, place, sentence, words

MAX_PICTURES = 24
"""Timelines in one page, surest first: a page has to open at once and fit into a letter."""
MAX_NUMBERS = 60
"""Outlines that carry their number on the map, surest first: more would hide the ground."""
_PAGES = Environment(
    loader=PackageLoader("pipeline.review", "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


def write_report(folder: Folder) -> None:
    """The page of one site, from its review file and the pictures beside it. Raises ReviewError where they fail."""
    try:
        _write_report(folder)
    except (UndefinedError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        mend = "run `groundbreak nightly`: what the machine wrote is written again"
        raise ReviewError(f"a value is missing or odd: {error}", str(folder.gpkg), mend) from error


def _write_report(folder: Folder) -> None:
    contents = read(folder.gpkg)
    before, after = read_pair(folder.before, folder.after)
    shown = contents.shown
    pictures = [
        (change, compact(path))
        for change in shown
        if not change.drawn and (path := folder.timeline(change.id)).is_file()
    ][:MAX_PICTURES]
    fresh = _fresh(contents)
    page = _page(
        "report.html.j2",
        script="report.js",
        contents=contents,
        facts=contents.provenance,
        summary=sentence([change.facts for change in shown], contents.scenes),
        news=brought(contents.news) if fresh else "",
        fresh=fresh,
        before=before,
        after=after,
        evidence=read_evidence(folder.score, before),
        outlines=[before.path(change.outline) for change in shown],
        spots=[before.spot(change.outline) for change in shown[:MAX_NUMBERS]],
        numbers={change.id: number for number, change in enumerate(shown, 1)},
        scale=scale_bar(before.width_m),
        aoi=before.path(contents.aoi),
        shown=shown,
        dropped=[change for change in contents.changes if change not in shown],
        pictures=pictures,
        pictured={change.id for change, _ in pictures},
        used=[scene for scene in contents.scenes if scene["used"]],
        rejected=[scene for scene in contents.scenes if not scene["used"]],
        words=words,
        place=place,
        certainty=certainty,
    )
    with replacing(folder.report) as beside:
        beside.write_text(page, encoding="utf-8")


def _fresh(contents: Contents) -> set[str]:
    """Changes that the last news were about; none where all are, as after the first night."""
    told = {str(each["change_id"]) for each in contents.news}
    return set() if told >= {change.id for change in contents.changes} else told


def write_index(out: Path) -> Path:
    """out/index.html over every site folder, newest change first; a folder that cannot be read says so there."""
    rows = [_row(path.parent) for path in sorted(out.glob("*/review.gpkg"))]
    ordered = sorted(rows, key=lambda row: row["id"])
    ordered.sort(key=lambda row: row["newest"], reverse=True)
    page = _page("index.html.j2", script=None, rows=ordered, dots=[row for row in ordered if row["point"]])
    with replacing(out / "index.html", begins_with(b"groundbreak")) as beside:
        beside.write_text(page, encoding="utf-8")
    return out / "index.html"


def _row(path: Path) -> Mapping[str, Any]:
    """What the index says of one site."""
    folder = Folder(path)
    empty = {
        "id": path.name,
        "name": path.name,
        "newest": "",
        "point": None,
        "picture": None,
        "open": 0,
        "to_do": 0,
        "simulated": "",
    }
    try:
        contents = read(folder.gpkg)
        picture = _thumbnail(folder, contents)
    except (ReviewError, UndefinedError, ValueError, TypeError, LookupError, ArithmeticError, OSError) as fault:
        return {**empty, "note": str(fault) if isinstance(fault, ReviewError) else f"cannot be read: {fault}"}
    shown = [change for change in contents.shown if not change.drawn]
    centre = Geometry(contents.aoi.centroid, contents.crs).to_crs("EPSG:4326").geom
    return {
        "id": path.name,
        "name": contents.name,
        "newest": max((change["first_seen"] for change in shown), default=""),
        "note": sentence([change.facts for change in contents.shown], contents.scenes),
        "point": (centre.x, centre.y),
        "picture": picture,
        "open": len(shown),
        "to_do": sum(change["verdict"] is None for change in shown),
        "simulated": contents.provenance.get("simulated", ""),
    }


def _thumbnail(folder: Folder, contents: Contents) -> Mapping[str, Any] | None:
    if not folder.report.is_file():
        return None
    _, after = read_pair(folder.before, folder.after, THUMBNAIL_PX)
    paths: Sequence[tuple[Change, str]] = [(change, after.path(change.outline)) for change in contents.shown]
    return {"map": after, "paths": [path for _, path in paths[:MAX_PICTURES]]}


THUMBNAIL_PX = 320


def _page(template: str, *, script: str | None, **values: Any) -> str:
    """A page whose policy allows its own style and script, by their digests, and nothing else."""
    style = _source("report.css")
    code = _source(script) if script else Markup()
    policy = f"default-src 'none'; img-src data:; style-src {_allowed(style)}; base-uri 'none'; form-action 'none'"
    if script:
        policy += f"; script-src {_allowed(code)}"
    # the policy is our own text: its quotes must stay quotes
    return _PAGES.get_template(template).render(style=style, script=code, policy=Markup(policy), **values)


def _source(name: str) -> Markup:
    """A part of the page that is ours and therefore not escaped."""
    loader = _PAGES.loader
    if loader is None:
        raise LookupError(name)
    return Markup(loader.get_source(_PAGES, name)[0])


def _allowed(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
