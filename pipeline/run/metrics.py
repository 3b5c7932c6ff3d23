"""groundbreak.prom: metrics of a night in the text format of Prometheus.

Every series is there every night, with zero where there is nothing: an alert rule cannot distinguish a gap from health.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from pipeline.model.alert import Kind, Status
from pipeline.model.errors import GroundbreakError, ReviewError
from pipeline.model.imagery import Reason
from pipeline.review.existing_results import Counts, count_changes
from pipeline.review.layout import Results
from pipeline.run.ledger import Ledger, SiteEntry
from pipeline.run.nightly import NightOutcome
from pipeline.run.notifications import Notified

_OUTCOMES = ("judged", "idle", "failed")
_CHANNELS = ("feed", "webhook", "mail")


def write_metrics(
    out: Path,
    nights: Sequence[NightOutcome],
    absent: Sequence[str],
    notified: Notified,
    ended: datetime,
    seconds: float,
    *,
    went_well: bool,
) -> None:
    """Write the file beside and rename it (the library does): a scraper never sees half of it.

    absent: sites that could not even be searched for. Raises ReviewError where it cannot be written.
    """
    registry = CollectorRegistry()

    def gauge(name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"groundbreak_{name}", help_text, labels, registry=registry)

    gauge("last_run_timestamp_seconds", "when the last night ended").set(ended.timestamp())
    success = gauge("last_success_timestamp_seconds", "when the last night ended in which few sites failed")
    success.set(
        ended.timestamp() if went_well else _value_before(Results(out).metrics, "last_success_timestamp_seconds")
    )
    gauge("night_seconds", "how long it took").set(seconds)
    sites = gauge("sites", "sites by what became of them", ("outcome",))
    outcomes = Counter(_outcome_label(night) for night in nights)
    outcomes["failed"] += len(absent)
    for outcome in _OUTCOMES:
        sites.labels(outcome).set(outcomes[outcome])
    ids = (*(night.job.site.id for night in nights), *absent)
    _write_counts(out, ids, gauge("scenes", "scenes of all sites, used or refused and why", ("outcome", "reason")),
                  gauge("alerts", "alerts of all sites", ("status", "kind")))  # fmt: skip
    sent = gauge("told_alerts", "notifications of the last night, each status of each alert once", ("channel",))
    for channel in (*_CHANNELS, *notified.alerts):
        sent.labels(channel).set(notified.alerts[channel])
    gauge("untold_messages", "messages that a channel did not take; they are sent the next night").set(
        len(notified.errors)
    )
    failures = gauge("site_consecutive_failures", "nights in a row that a site failed", ("site",))
    successes = gauge("site_last_success_timestamp_seconds", "when a site was last looked at; 0: never", ("site",))
    scenes = gauge("site_last_scene_timestamp_seconds", "when its newest scene was acquired; 0: none", ("site",))
    for site, entry in _ledger_entries(out, ids).items():
        failures.labels(site).set(entry.failures)
        successes.labels(site).set(_to_epoch_seconds(entry.success))
        scenes.labels(site).set(_to_epoch_seconds(entry.last_scene))
    _write_textfile(Results(out).metrics, registry)


def _write_textfile(path: Path, registry: CollectorRegistry) -> None:
    """Not under a name that ends in .prom before it is whole: the node exporter reads all that do."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f"{path.name}.*"):
            leftover.unlink()
        write_to_textfile(str(path), registry)
    except OSError as error:
        what = f"the metrics cannot be written: {error.strerror or error}"
        raise ReviewError(what, str(path), "check the disk and the path; the results are published") from error


def _write_counts(out: Path, ids: Sequence[str], scenes: Gauge, alerts: Gauge) -> None:
    used, found = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for site in ids:
        counts = _count_alerts(Results(out).site(site).gpkg)
        used.update(counts.scenes)
        found.update(counts.alerts)
    for key in {("used", ""), *(("rejected", reason.value) for reason in Reason), *used}:
        scenes.labels(*key).set(used[key])
    for pair in {*((status.value, kind.value) for status in Status for kind in Kind), *found}:
        alerts.labels(*pair).set(found[pair])


def _count_alerts(path: Path) -> Counts:
    """Counts of a review file; zero if it cannot be read, which its site reports."""
    try:
        return count_changes(path)
    except GroundbreakError:
        return Counts()


def _ledger_entries(out: Path, ids: Sequence[str]) -> Mapping[str, SiteEntry]:
    ledger = Ledger(Results(out).ledger)
    try:
        known = ledger.sites()
    finally:
        ledger.close()
    return {site: known.get(site) or SiteEntry(site=site) for site in ids}


def _to_epoch_seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0


def _value_before(path: Path, name: str) -> float:
    """Value in the file of the last night, 0 without one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"groundbreak_{name} ")))
    except (OSError, ValueError, StopIteration, IndexError):
        return 0.0


def _outcome_label(night: NightOutcome) -> str:
    if night.error is not None:
        return "failed"
    return "idle" if night.outcome is None else "judged"
