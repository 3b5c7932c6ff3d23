"""report.html of a site: one self-contained page, every text escaped, made from the review file and its pictures."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import UndefinedError
from odc.geo.geom import Geometry

from pipeline.model.errors import ReviewError
from pipeline.review.annotations import scale_bar
from pipeline.review.contents import Change, Contents, read_contents
from pipeline.review.descriptions import (
    change_details,
    change_heading,
    describe_confidence,
    describe_phases,
    describe_update,
    format_confidence,
    format_position,
)
from pipeline.review.features import geojson_feature
from pipeline.review.folder import Folder, replace_file
from pipeline.review.locator import locator_map
from pipeline.review.maps import LABEL_PART, Map, compact_png, place_labels, read_evidence, read_pair
from pipeline.review.observed import read_observed
from pipeline.review.pages import render_page
from pipeline.review.stretch import parse_stretch
from pipeline.review.strips import Strip, read_strip
from pipeline.review.summary import bracket_words, count_by_type, day_words, split_changes, summarise, unseen_words

MAX_PICTURES = 24
"""Changes with pictures in one page, those shown first before the folded ones: a page has to open at once."""
MAX_LABELS = 60
"""Outlines that carry their label on the map: more would hide the ground."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One change with its pictures. bar: (part of the width, label) of a scale bar. geojson: a data URI."""

    change: Change
    strip: Strip | None
    bar: tuple[float, str]
    timeline: str
    geojson: str

    @property
    def frames(self) -> str:
        """Frames of the strip for the script, as JSON."""
        strip = self.strip
        if strip is None:
            return "{}"
        frames = [[frame.day, int(frame.seen)] for frame in strip.frames]
        return json.dumps({"frames": frames, "before": strip.before, "after": strip.after, "bar": self.bar})


def write_report(folder: Folder) -> None:
    """The page of one site, from its review file and the pictures beside it. Raises ReviewError where they fail."""
    try:
        _write_report(folder)
    except (UndefinedError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        fix = "run `groundbreak nightly`: what the machine wrote is written again"
        raise ReviewError(f"a value is missing or odd: {error}", str(folder.gpkg), fix) from error


def _write_report(folder: Folder) -> None:
    contents = read_contents(folder.gpkg)
    before, after = read_pair(folder.before, folder.after, parse_stretch(contents.provenance.get("stretch")))
    observed = read_observed(folder, contents)
    first, folded = split_changes(contents)
    cards = {change.id: _change_card(folder, contents, change) for change in (*first, *folded)[:MAX_PICTURES]}
    fresh = _fresh_ids(contents)
    sentences = summarise(contents, observed)
    shown = (cards[change.id] for change in (*first, *folded) if change.id in cards)
    hero = next((card for card in shown if card.strip), None)
    point = Geometry(contents.aoi.centroid, contents.crs).to_crs("EPSG:4326").geom
    centre = (point.x, point.y)
    page = render_page(
        "report.html.j2",
        script="report.js",
        contents=contents,
        facts=contents.provenance,
        sentences=sentences,
        social=_open_graph(folder, contents, sentences, hero),
        news=describe_update(contents.news) if fresh else "",
        fresh=fresh,
        hero=hero,
        cards=cards,
        first=first,
        folded=folded,
        rest=[change for change in first if change.id not in cards],
        dropped=[change for change in contents.changes if change not in contents.shown],
        centre=centre,
        locator=locator_map(*centre),
        overview=_overview_layer(contents, before, after, first, folded),
        before=before,
        after=after,
        evidence=read_evidence(folder.score, before),
        observed=observed,
        used=[scene for scene in contents.scenes if scene["used"]],
        rejected=[scene for scene in contents.scenes if not scene["used"]],
        say=_PHRASES,
    )
    with replace_file(folder.report) as beside:
        beside.write_text(page, encoding="utf-8")


_PHRASES = {
    "ground": describe_phases,
    "heading": change_heading,
    "details": change_details,
    "place": format_position,
    "certainty": format_confidence,
    "strength": describe_confidence,
    "day": day_words,
    "bracket": bracket_words,
    "counted": count_by_type,
    "unseen": unseen_words,
}


def _fresh_ids(contents: Contents) -> set[str]:
    """Ids of changes with news in the last night; empty if all have, as after the first night."""
    fresh = {str(each["change_id"]) for each in contents.news}
    return set() if fresh >= {change.id for change in contents.changes} else fresh


def _change_card(folder: Folder, contents: Contents, change: Change) -> Card:
    strip = None if change.drawn else read_strip(folder.strip(change.id))
    timeline = folder.timeline(change.id)
    feature = json.dumps(geojson_feature(change, contents), ensure_ascii=False)
    return Card(
        change=change,
        strip=strip,
        bar=scale_bar(strip.width * strip.pixel_m) if strip else (0.0, ""),
        timeline=compact_png(timeline) if not change.drawn and timeline.is_file() else "",
        geojson="data:application/geo+json;base64," + base64.b64encode(feature.encode()).decode(),
    )


def _overview_layer(
    contents: Contents, before: Map, after: Map, first: Sequence[Change], folded: Sequence[Change]
) -> Mapping[str, Any]:
    """The vector layer over the picture of the whole site."""
    size = before.width * LABEL_PART
    spots = [(*before.spot(change.outline), change.label) for change in first[:MAX_LABELS]]
    return {
        "aoi": before.path(contents.aoi),
        "new": [before.path(change.outline) for change in first],
        "other": [before.path(change.outline) for change in folded],
        "labels": place_labels(spots, size),
        "label_size": round(size, 2),
        "scale": scale_bar(after.width_m),
    }


def _open_graph(
    folder: Folder, contents: Contents, sentences: Sequence[tuple[str, str]], hero: Card | None
) -> Mapping[str, str]:
    """The Open Graph properties of the page: what a chat or a newsroom shows of its link."""
    page = contents.provenance.get("page", "")
    simulated = "Simulated. " if contents.provenance.get("simulated") else ""
    said = {
        "og:type": "article",
        "og:site_name": "groundbreak",
        "og:title": f"{contents.name}: what was built",
        "og:description": simulated + " ".join(answer for _, answer in sentences[:4]),
    }
    if page:
        said["og:url"] = f"{page}{folder.report.name}"
    if hero is not None and folder.pair(hero.change.id).is_file():
        said["og:image"] = f"{page}pair/{folder.pair(hero.change.id).name}"
        said["og:image:alt"] = f"{contents.name} before and after, {hero.change.label}"
    return said
