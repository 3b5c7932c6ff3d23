"""Dated works at real sites against a live provider: what was found, when, and as what.

python -m benchmarks.field_trial [--catalog URL] [--site ID ...] [--smart FOLDER] [--out DIR]     needs a connection

Writes one table to the screen and to DIR/field_trial.md. With --smart, the folder of the site models that IARPA SMART
published, the regions KR_R001 and KR_R002 are scored as well, by its rule. Exit code 3 where a site could not be asked.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from odc.geo.geom import Geometry, point
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from benchmarks.field_events import EVENTS, Event
from pipeline.catalogue.sites import read_sites
from pipeline.evaluation.measures import SMART_IOU, Measures, evaluate_review
from pipeline.evaluation.reviewed import CHANGE, Reviewed, Truth, read_review
from pipeline.model.alert import Alert, Decision, Kind, Status
from pipeline.model.errors import Exit, GroundbreakError, UsageError
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.review.layout import Results
from pipeline.run.detect import SiteOutcome, detect_sites
from pipeline.run.process_site import SiteJob

WATCH = Path(__file__).resolve().parents[1] / "aois" / "watch.geojson"
HISTORY = timedelta(days=730)
"""Looks asked for from before an event: two of every season."""
NEAR_M = 60.0
"""How far from its published point an outline may end."""
LATE_DAYS = 365
REGIONS = {"smart-kr-r001": "KR_R001", "smart-kr-r002": "KR_R002"}
SMART_PERIOD = (date(2017, 1, 1), date(2021, 8, 31))
"""From when there are surface reflectances until the annotators' last day."""
POSITIVE = ("positive_annotated", "positive_annotated_static", "positive_partial", "positive_partial_static",
            "positive_pending")  # fmt: skip
IGNORED = ("ignore", "positive_unbounded")
HEAD = ("site", "event", "expected between", "found between", "status", "kind", "looks used", "verdict")
HIT, LATE, MISSED, UNASKED = "hit", "late", "missed", "not asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found of an event. alert: the one taken for it. verdict: hit, late, missed or not asked."""

    event: Event
    alert: Alert | None
    looks: int
    verdict: str

    def row(self) -> tuple[str, ...]:
        """One line of the table."""
        event, alert = self.event, self.alert
        found = "-" if alert is None else f"{alert.last_clear_before or '...'} and {alert.first_seen}"
        status, kind = ("-", "-") if alert is None else (alert.status.value, alert.kind.value)
        expected = f"{event.earliest} and {event.latest}"
        return event.site, event.what, expected, found, status, kind, str(self.looks), self.verdict


def trial(arguments: Sequence[str] | None = None) -> int:
    """Ask, print, write; the exit code."""
    wishes = _parser().parse_args(arguments)
    try:
        sites = _sites(wishes.sites, wishes.site, wishes.smart)
        models = {REGIONS[site.id]: read_models(wishes.smart, REGIONS[site.id]) for site in sites if site.id in REGIONS}
    except GroundbreakError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    jobs = [_question(site, wishes.catalog, wishes.out) for site in sites]
    answers: list[Answer] = []
    scores: list[tuple[str, ...]] = []
    failed = False
    for outcome in detect_sites(jobs, wishes.out, wishes.workers, no_progress):
        for error in (*outcome.errors, *([outcome.error] if outcome.error else [])):
            print(f"error: {error}", file=sys.stderr)
        failed |= outcome.error is not None
        answers += [_answer(event, outcome) for event in EVENTS if event.site == outcome.site.id]
        if outcome.site.id in REGIONS and outcome.published is not None:
            region = REGIONS[outcome.site.id]
            reviewed = read_review(outcome.published.folder.gpkg)
            scores.append(_score_row(region, score_region(reviewed, models[region]), len(reviewed.days)))
    text = "\n".join(_tables(answers, scores, wishes.catalog)) + "\n"
    wishes.out.mkdir(parents=True, exist_ok=True)
    (wishes.out / "field_trial.md").write_text(text, encoding="utf-8")
    print(text)
    return int(Exit.SOME_FAILED if failed else Exit.DONE)


def found(event: Event, site: Site, decision: Decision) -> tuple[Alert | None, str]:
    """The alert that is taken for an event, and the verdict on it.

    Of the kinds, sizes and place asked for. A hit: its bracket, last clear look without to first with, meets the days
    published. Late: it begins within a year after them. Surest first among several.
    """
    fitting = [alert for alert in decision.alerts if alert.status is not Status.WITHDRAWN and _fits(event, site, alert)]
    for verdict, is_so in ((HIT, _meets), (LATE, _follows)):
        those = [alert for alert in fitting if is_so(event, alert)]
        if those:
            return max(those, key=lambda alert: (alert.confirmed_at is not None, alert.confidence, alert.id)), verdict
    return None, MISSED


def read_models(folder: Path, region: str) -> tuple[tuple[str, Truth], ...]:
    """(status, outline in lon/lat and first day) of each site model of a region. Raises UsageError where none is."""
    models = []
    for path in sorted(folder.glob(f"{region}_*.geojson")):
        try:
            features = json.loads(path.read_text(encoding="utf-8"))["features"]
            (own,) = (each for each in features if each["properties"]["type"] == "site")
            facts, begun = own["properties"], own["properties"]["start_date"]
            truth = Truth(
                id=facts["site_id"], role=CHANGE, kind=Kind.NEW_STRUCTURE.value, size="site",
                outline=shape(own["geometry"]), begins=date.fromisoformat(begun) if begun else SMART_PERIOD[0],
            )  # fmt: skip
            ended = date.fromisoformat(facts["end_date"]) if facts["end_date"] else date.max
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"no site model: {error}", str(path), "give the published files unchanged") from error
        # what was finished before the first look, no look can show
        if ended > SMART_PERIOD[0]:
            models.append((str(facts["status"]), truth))
    if not models:
        raise UsageError(f"no site model of {region}", str(folder), "give the folder that holds KR_R001_0000.geojson")
    return tuple(models)


def score_region(reviewed: Reviewed, models: Sequence[tuple[str, Truth]]) -> Measures:
    """By the rule of the public scorer: what lies on a site to be ignored neither counts for nor against."""
    local = [
        (status, replace(truth, outline=Geometry(truth.outline, "EPSG:4326").to_crs(reviewed.crs).geom.buffer(0)))
        for status, truth in models
    ]
    asked = [truth for status, truth in local if status in POSITIVE]
    ignored = [truth.outline for status, truth in local if status in IGNORED]
    claims = tuple(
        claim for claim in reviewed.claims if not any(_overlap(claim.outline, other) >= SMART_IOU for other in ignored)
    )
    return evaluate_review(replace(reviewed, claims=claims), asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.field_trial", description=__doc__.splitlines()[0])
    parser.add_argument("--catalog", default=Settings().search.catalog, help="STAC API root, or a static catalogue")
    parser.add_argument("--sites", type=Path, default=WATCH, help="AOI file that holds the sites")
    parser.add_argument("--site", action="append", default=[], help="only this one; may be given again")
    parser.add_argument("--smart", type=Path, help="folder of the site models that IARPA SMART published")
    parser.add_argument("--out", type=Path, default=Path("out/field-trial"), help="where results and chips go")
    parser.add_argument("--workers", type=int, default=1)
    return parser


def _sites(file: Path, ids: Sequence[str], smart: Path | None) -> list[Site]:
    known = {site.id: site for site in read_sites((file,)).sites}
    wanted = ids or [*dict.fromkeys(event.site for event in EVENTS), *(REGIONS if smart is not None else ())]
    for each in wanted:
        if each not in known or not (each in REGIONS or any(event.site == each for event in EVENTS)):
            raise UsageError(f"no event at {each!r}", str(file), "leave --site out: the table then names them")
        if each in REGIONS and smart is None:
            raise UsageError(f"{each} has no truth", "--smart", "give the folder of the published site models")
    return [known[each] for each in wanted]


def _question(site: Site, catalog: str, out: Path) -> SiteJob:
    events = [event for event in EVENTS if event.site == site.id]
    first, last = SMART_PERIOD
    if events:
        first, last = min(event.earliest for event in events) - HISTORY, max(event.until for event in events)
    return SiteJob(
        site=site, source=catalog, collection=site.collection or Settings().search.collection,
        start=datetime.combine(first, time.min, UTC), until=datetime.combine(last, time.max, UTC),
        settings=Settings(), chips=Results(out).chips, memory=Results(out).cache(site.id),
    )  # fmt: skip


def _answer(event: Event, outcome: SiteOutcome) -> Answer:
    if outcome.decision is None:
        return Answer(event=event, alert=None, looks=0, verdict=UNASKED)
    alert, verdict = found(event, outcome.site, outcome.decision)
    looks = sum(record.used for record in outcome.records)
    return Answer(event=event, alert=alert, looks=looks, verdict=verdict)


def _fits(event: Event, site: Site, alert: Alert) -> bool:
    least, most = event.area_m2
    if alert.kind not in event.kinds or not least <= alert.area_m2 <= most:
        return False
    if event.place is None:
        return True
    spot = point(*event.place, "EPSG:4326").to_crs(str(site.grid.crs)).geom
    return bool(alert.outline.distance(spot) <= NEAR_M)


def _meets(event: Event, alert: Alert) -> bool:
    return (alert.last_clear_before or date.min) <= event.latest and alert.first_seen >= event.earliest


def _follows(event: Event, alert: Alert) -> bool:
    return alert.last_clear_before is not None and 0 < (alert.last_clear_before - event.latest).days <= LATE_DAYS


def _overlap(one: BaseGeometry, other: BaseGeometry) -> float:
    return float(one.intersection(other).area / one.union(other).area)


def _score_row(region: str, measures: Measures, looks: int) -> tuple[str, ...]:
    right, wrong, missed = measures.smart
    return region, str(right), str(wrong), str(missed), f"{measures.smart_f1:.2f}", str(looks)


def _tables(answers: Sequence[Answer], scores: Sequence[tuple[str, ...]], catalog: str) -> list[str]:
    lines = ["# Field trial", "", f"Asked of {catalog}, settings as shipped.", ""]
    if answers:
        lines += [*_table(HEAD, (answer.row() for answer in answers)), ""]
    if scores:
        head = ("SMART region", "found", "wrong", "missed", "F1", "looks used")
        lines += ["New structures of 9,000 m2 and more, by the rule of the SMART scorer.", "", *_table(head, scores)]
    return lines


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(each)} |" for each in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    sys.exit(trial())
