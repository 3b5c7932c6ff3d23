"""How alerts change from night to night: the looks of the demonstration sites, decided one after the other.

python -m benchmarks.churn

Each look is judged with those before it alone, as a night judges it. The looks themselves are corrected once, over the
whole archive. An alert of a night is the one of the next night that shares most of its outline, at least SAME.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from pipeline.catalogue.sites import read_sites
from pipeline.decide import alerts
from pipeline.decide.objects import Stack
from pipeline.decide.residuals import build_baseline, residual_of
from pipeline.decide.screening import advance_each, begin_screening, leaf_to_soil, natural_steps
from pipeline.model.alert import Alert, Decision, Status
from pipeline.model.imagery import Look
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run.process_site import SiteJob, process_site

ROOT = Path(__file__).resolve().parents[1]
SAME, SURE = 0.5, 0.9
"""Share of the smaller outline that one alert has in common on two nights; confidence from which an alert is sure."""
CONFIRMED = (Status.CONFIRMED, Status.FINISHED)


@dataclass(slots=True)
class Churn:
    """Counts over the nights of a site. kept: outlines with an IoU of 0.8 or more. kinds: alert-nights whose change
    type changed after confirmation, without and with a new phase."""

    nights: int = 0
    sure: int = 0
    fallen: int = 0
    pairs: int = 0
    kept: int = 0
    kinds: list[int] = field(default_factory=lambda: [0, 0])


def main() -> str:
    """A markdown section."""
    rows = [(site.id, measure(site, Settings())) for site in read_sites((ROOT / "aois" / "demo.geojson",)).sites]
    lines = [
        "## From night to night", "",
        "`benchmarks/churn.py`: the demonstration sites, decided again with each look.",
        "Fallen: sure alerts (confidence of 0.9 or more) that were confirmed, and a night later not, without an end.",
        "Kept: alerts confirmed on two nights in a row whose outlines have an IoU of 0.8 or more.", "",
        "| site | nights | sure alerts | fallen | alert-nights | kept | other type without a new phase | with one |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, one in rows:
        lines.append(
            f"| {name} | {one.nights} | {one.sure} | {one.fallen} | {one.pairs} | {one.kept / max(one.pairs, 1):.3f} "
            f"| {one.kinds[0]} | {one.kinds[1]} |"
        )
    return "\n".join(lines)


def measure(site: Site, settings: Settings) -> Churn:
    """Over all nights of a site from its archive."""
    job = SiteJob(
        site=site, source=str(site.catalog), collection=None, start=None, until=datetime(2030, 1, 1, tzinfo=UTC),
        settings=settings,
    )  # fmt: skip
    found = process_site(job, no_progress)
    out, before = Churn(), list[Alert]()
    sure = dict[str, bool]()
    names = dict[str, str]()
    for decision in nights(found.site, alerts.in_order(found.looks), settings):
        out.nights += 1
        now, named = [each for each in decision.alerts if each.status is not Status.WITHDRAWN], dict[str, str]()
        for old in before:
            name = names[old.id]
            new = _same(old, now)
            if new is not None:
                named.setdefault(new.id, name)
            if old.status not in CONFIRMED:
                continue
            if new is None or new.status not in CONFIRMED:
                ended = any(each.ended and _shared(old, each) >= SAME for each in decision.alerts)
                if name in sure and not ended:
                    sure[name] = True
                continue
            out.pairs += 1
            out.kept += old.outline.intersection(new.outline).area >= 0.8 * old.outline.union(new.outline).area
            if old.kind is not new.kind:
                out.kinds[len(new.phases) > len(old.phases)] += 1
        names = {each.id: named.get(each.id, each.id) for each in now}
        for each in now:
            if each.status in CONFIRMED and each.confidence >= SURE:
                sure.setdefault(names[each.id], False)
        before = now
    out.sure, out.fallen = len(sure), sum(sure.values())
    return out


def nights(site: Site, looks: Sequence[Look], settings: Settings) -> Iterator[Decision]:
    """The decision with each look and those before it, as `decide_site` makes it."""
    counts = range(settings.decide.min_history + 1, len(looks) + 1)
    for known, group in groupby(counts, lambda count: alerts.founding_looks(site, count, settings)):
        stops = tuple(group)
        baseline = build_baseline(looks[:known])
        residuals = [residual_of(look, baseline) for look in looks[: stops[-1]]]
        times = alerts.times_between(looks[: stops[-1]], residuals, known)
        axis = leaf_to_soil(baseline, looks[0].bands)
        natural = natural_steps(baseline, residuals[:known], alerts.first_times(times, known), axis)
        screened = advance_each([(begin_screening(baseline), stops)], baseline, natural, residuals, times)
        for stop, screening in zip(stops, screened, strict=True):
            stack = Stack(
                baseline=baseline, natural=natural, residuals=residuals[:stop],
                times=alerts.first_times(times, stop), screening=screening,
            )  # fmt: skip
            yield alerts.decide(site, looks[:stop], stack, settings)


def _same(old: Alert, now: Sequence[Alert]) -> Alert | None:
    """The alert that shares most of the outline of another."""
    best = max(now, key=lambda each: _shared(old, each), default=None)
    return best if best is not None and _shared(old, best) >= SAME else None


def _shared(one: Alert, two: Alert) -> float:
    smaller = min(one.outline.area, two.outline.area)
    return float(one.outline.intersection(two.outline).area / smaller) if smaller else 0.0


if __name__ == "__main__":
    print(main())
