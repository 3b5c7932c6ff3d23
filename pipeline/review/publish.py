"""Everything in out/<site>/, in an order that a crash cannot harm: pictures first, the review file last."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from pipeline.model.alert import Decision, Status
from pipeline.model.errors import ReviewError
from pipeline.model.imagery import Look, SceneRecord
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.review.folder import Folder, make
from pipeline.review.gpkg import adopt, read_rows, write
from pipeline.review.qgis import write_project
from pipeline.review.qgis_style import styles
from pipeline.review.rasters import write_look, write_score
from pipeline.review.report import sentence, write_index, write_report
from pipeline.review.timeline import write_timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Published:
    """What was written. decision: with the ids that the alerts have in the review file; notes: for the user."""

    folder: Folder
    decision: Decision
    changed: int
    notes: tuple[str, ...]


def publish(
    path: Path,
    site: Site,
    decision: Decision,
    looks: Sequence[Look],
    records: Sequence[SceneRecord],
    settings: Settings,
) -> Published:
    """Write a site's review files. Raises ReviewError where the folder or its review file cannot be written.

    A review file that is there is read first: one that is foreign or damaged stops everything before any file of
    the folder is touched.
    """
    folder = make(path)
    decision = adopt(decision, read_rows(folder.gpkg))
    ordered = sorted(looks, key=lambda look: (look.time, look.scene.id))
    by_id = {look.scene.id: look for look in ordered}
    write_look(folder.before, by_id[decision.before_scene])
    write_look(folder.after, by_id[decision.after_scene])
    write_score(folder.score, decision.evidence)
    pictured = [alert for alert in decision.alerts if alert.status is not Status.WITHDRAWN]
    for alert in pictured[: settings.review.max_timelines]:
        write_timeline(folder.timeline(alert.id), alert, ordered, decision.observations)
    notes = _project(folder, site, decision, ordered)
    write_report(folder, site, decision, ordered, records, version("groundbreak"))
    changed = write(folder.gpkg, site, decision, records, styles())
    return Published(folder=folder, decision=decision, changed=changed, notes=notes)


def publish_index(out: Path, published: Sequence[tuple[Site, Published, Sequence[SceneRecord]]]) -> None:
    """out/index.html over the sites of this run."""
    rows = []
    for site, done, records in published:
        newest = max((alert.first_seen for alert in done.decision.alerts), default=date.min)
        rows.append(
            {
                "id": site.id,
                "name": site.name,
                "newest": "" if newest == date.min else newest.isoformat(),
                "note": sentence(done.decision, records),
            }
        )
    write_index(out, rows)


def _project(folder: Folder, site: Site, decision: Decision, looks: Sequence[Look]) -> tuple[str, ...]:
    """Write review.qgz, unless the analyst has changed it: its digest as written lies beside the chips."""
    mark = folder.path.parent / ".groundbreak" / "projects" / f"{site.id}.sha256"
    try:
        if folder.project.exists():
            known = mark.read_text().strip() if mark.exists() else ""
            if hashlib.sha256(folder.project.read_bytes()).hexdigest() != known:
                return (f"{folder.project} has been changed in QGIS and is left as it is",)
        write_project(folder.project, site, decision, looks[0].bands)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(hashlib.sha256(folder.project.read_bytes()).hexdigest() + "\n")
    except OSError as fault:
        raise ReviewError(f"cannot be written: {fault.strerror}", str(folder.project), "mend the rights") from fault
    return ()
