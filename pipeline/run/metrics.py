"""groundbreak.prom: what a monitoring system wants to know of a night, in Prometheus' text format."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from pipeline.run.nightly import NightOutcome
from pipeline.run.notify import Told


def write_metrics(path: Path, nights: Sequence[NightOutcome], told: Told, ended: datetime, seconds: float) -> None:
    """Write the file beside and rename it (the library does): a scraper never sees half of it."""
    registry = CollectorRegistry()

    def gauge(name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"groundbreak_{name}", help_text, labels, registry=registry)

    gauge("last_run_timestamp_seconds", "when the last night ended").set(ended.timestamp())
    gauge("night_seconds", "how long it took").set(seconds)
    sites = gauge("sites", "sites by what became of them", ("outcome",))
    for outcome, count in Counter(_outcome(night) for night in nights).items():
        sites.labels(outcome).set(count)
    scenes = gauge("scenes", "scenes of the sites judged, used or refused and why", ("outcome", "reason"))
    records = [record for night in nights if night.outcome for record in night.outcome.records]
    for (used, reason), count in Counter((record.used, record.reason) for record in records).items():
        scenes.labels("used" if used else "rejected", reason).set(count)
    alerts = gauge("alerts", "alerts of the sites judged", ("status", "kind"))
    found = [
        alert for night in nights if night.outcome and night.outcome.decision for alert in night.outcome.decision.alerts
    ]
    for (status, kind), count in Counter((alert.status.value, alert.kind.value) for alert in found).items():
        alerts.labels(status, kind).set(count)
    sent = gauge("told_alerts", "alerts told last night, each status of each alert once", ("channel",))
    for channel, count in told.alerts.items():
        sent.labels(channel).set(count)
    gauge("untold_messages", "messages that a channel did not take; they are sent the next night").set(len(told.faults))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), registry)


def _outcome(night: NightOutcome) -> str:
    if night.fault is not None:
        return "failed"
    return "idle" if night.outcome is None else "judged"
