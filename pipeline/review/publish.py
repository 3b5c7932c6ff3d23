"""Publication of a site: files are written beside, matched with the existing ones, and renamed together."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from odc.geo.geom import Geometry

from pipeline.model.alert import Alert, Decision, Status
from pipeline.model.errors import ReviewError
from pipeline.model.grid import PIXEL_M
from pipeline.model.imagery import Look, SceneRecord
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.review.annotations import site_caption
from pipeline.review.detection_default import noise_of
from pipeline.review.existing_results import check_place, read_existing
from pipeline.review.folder import Folder, clear_leftovers, make_folder, stage_files
from pipeline.review.gpkg import ReviewUpdate, read_provenance, survey_rows, write_changes
from pipeline.review.labels import assign_labels, with_labels
from pipeline.review.matching import Matched, Row, match_alerts
from pipeline.review.mosaic import Mosaic
from pipeline.review.qgis import has_been_saved, write_project
from pipeline.review.qgis_raster import fit_stretches, raster_styles
from pipeline.review.qgis_style import layer_styles
from pipeline.review.rasters import look_tags, site_tags, write_look, write_mosaic, write_score
from pipeline.review.repair import repair_schema
from pipeline.review.report import write_report
from pipeline.review.stretch import Stretch, ground_stretch
from pipeline.review.through_time import Shown, remove_others, write_looks
from pipeline.review.timeline import Pictures, write_pictures


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Published:
    """Result of a publication. decision: with the ids that its alerts have in the review file.

    changed: alerts that are new or differ from the night before. notes: sentences for the user.
    """

    folder: Folder
    paths: tuple[Path, ...]
    decision: Decision
    changed: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wide:
    """What a site that was judged in cells has on disk instead of whole looks.

    mosaic: before, after and score. looks_of: by the outline's own alert, the looks around it, in time order.
    """

    mosaic: Mosaic
    looks_of: Callable[[Alert], Sequence[Look]]


def publish_site(
    path: Path,
    site: Site,
    decision: Decision,
    looks: Sequence[Look],
    records: Sequence[SceneRecord],
    settings: Settings,
    wide: Wide | None = None,
) -> Published:
    """Write a site's review files, with the sentence on what could not have been seen where it is known.

    looks: all; of a site judged in cells, given as `wide`, only thumbnails of before and after.
    Raises ReviewError where the folder cannot be written or its review file is locked, damaged or not ours; all
    files are then as they were. The report is made last, from what the others hold.
    """
    folder = make_folder(path)
    clear_leftovers(path)
    repaired = repair_schema(folder.gpkg, layer_styles())
    check_place(read_existing(folder.gpkg), site, folder.gpkg)
    ordered = sorted(looks, key=lambda look: (look.time, look.scene.id))
    held = survey_rows(folder.gpkg)
    matched = match_alerts(held.rows, decision, held.own_ids)
    labels = assign_labels(held.rows, matched.decision)
    decision = with_labels(matched.decision, labels)
    notes = [*repaired, *held.remarks, *_matching_notes(matched)]
    with stage_files(folder) as stage:
        pictured = [alert for alert in decision.alerts if alert.status is not Status.WITHDRAWN]
        tone = _tone_curve(decision, ordered)
        source = Pictures(
            caption=site_caption(site), stretch=tone, decision=decision,
            looks_of=wide.looks_of if wide else lambda _: ordered,
        )  # fmt: skip
        with ThreadPoolExecutor(1) as beside:
            rasters = beside.submit(_write_rasters, stage.files, folder, source, ordered, wide)
            write_pictures(stage.files, folder, source, pictured[: settings.review.max_timelines])
            shown = rasters.result()
        facts = _provenance(site, decision, ordered, records, settings)
        facts["stretch"] = str(tone)
        project = stage.files, folder, site, decision, ordered, records, tone, shown
        facts["project_digest"], kept = _stage_project(*project)
        notes += kept
        night = ReviewUpdate(
            site=site,
            decision=decision,
            records=records,
            as_of=_look_times(records)[-1],
            provenance=facts,
            over=matched.over | _unwatched_ids(held.rows, site),
            labels=labels,
        )
        changed = write_changes(folder.gpkg, night, layer_styles(), stage.release)
    if not kept:
        # a project of the analyst's may still show the others
        remove_others(folder, shown)
    write_report(folder)
    paths = (folder.gpkg, folder.project, folder.before, folder.after, folder.score, folder.report)
    return Published(folder=folder, paths=paths, decision=decision, changed=changed, notes=tuple(notes))


def _unwatched_ids(rows: Sequence[Row], site: Site) -> frozenset[str]:
    """Ids of rows outside of a changed AOI: without looks of their ground they are not withdrawn."""
    aoi = Geometry(site.aoi, "EPSG:4326").to_crs(str(site.grid.crs), resolution=0.01).geom
    return frozenset(row.change_id for row in rows if row.change_id and row.outline.distance(aoi) > 2 * PIXEL_M)


def _look_times(records: Sequence[SceneRecord]) -> list[datetime]:
    """Times of the looks, in order."""
    return sorted(record.time for record in records if record.used)


def _write_rasters(
    files: Folder, folder: Folder, shown: Pictures, looks: Sequence[Look], wide: Wide | None
) -> tuple[Shown, ...]:
    """Into `files`, but for what `folder` has already; returns the rasters of looks for the time slider."""
    decision, by_id = shown.decision, {look.scene.id: look for look in looks}
    before, after = by_id[decision.before_scene], by_id[decision.after_scene]
    tags = [look_tags(look, shown.caption) for look in (before, after)]
    if wide is None:
        write_look(files.before, before, folder.before, tags[0])
        write_look(files.after, after, folder.after, tags[1])
        write_score(files.score, decision.evidence, site_tags(shown.caption))
    else:
        write_mosaic(files.before, wide.mosaic.before, tags[0])
        write_mosaic(files.after, wide.mosaic.after, tags[1])
        write_mosaic(files.score, wide.mosaic.score, site_tags(shown.caption))
    for name, qml in raster_styles(before.bands, fit_stretches([before, after], shown.stretch)).items():
        (files.path / name).write_text(qml, encoding="utf-8")
    return write_looks(files, folder, decision, looks, shown.caption) if wide is None else ()


def _stage_project(
    staged: Folder,
    folder: Folder,
    site: Site,
    decision: Decision,
    looks: Sequence[Look],
    records: Sequence[SceneRecord],
    tone: Stretch,
    through_time: Sequence[Shown],
) -> tuple[str, tuple[str, ...]]:
    """Stage review.qgz, unless the analyst has changed it; the digest to store, and the notes."""
    known = read_provenance(folder.gpkg).get("project_digest")
    if folder.project.exists():
        if not folder.project.is_file():
            raise ReviewError("no file stands there", str(folder.project), "remove it: the project is written again")
        found = _file_digest(folder.project)
        if found != known and (known is not None or has_been_saved(folder.project)):
            kept = f"{folder.project} is not as it was written here and is left alone; delete it to get a new one"
            return known or found, (kept,)
    period = _look_times(records)[0].date(), _look_times(records)[-1].date()
    write_project(staged.project, site, decision, looks, period, tone, through_time)
    return _file_digest(staged.project), ()


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tone_curve(decision: Decision, looks: Sequence[Look]) -> Stretch:
    """The tone curve of the site's pictures, from the ground of before and after that did not change."""
    pair = [look for look in looks if look.scene.id in (decision.before_scene, decision.after_scene)]
    return ground_stretch(pair, [alert.outline for alert in decision.alerts])


def _provenance(
    site: Site, decision: Decision, looks: Sequence[Look], records: Sequence[SceneRecord], settings: Settings
) -> dict[str, str]:
    """Provenance of the results, as stored in the table `provenance`."""
    period = _look_times(records)
    caption = site_caption(site)
    times: Mapping[str, datetime] = {look.scene.id: look.time for look in looks}
    return {
        "software": f"groundbreak {version('groundbreak')}",
        "settings_digest": decision.settings_digest,
        "threshold": f"{decision.threshold:.6g}",
        "before_scene": decision.before_scene,
        "before_time": times[decision.before_scene].isoformat(),
        "after_scene": decision.after_scene,
        "after_time": times[decision.after_scene].isoformat(),
        "first_look": period[0].isoformat(),
        "last_look": period[-1].isoformat(),
        "bands": " ".join(looks[0].bands),
        "noise": f"{noise_of(looks):.5f}",
        "cautions": json.dumps(list(decision.cautions), ensure_ascii=False),
        "simulated": caption.simulated,
        "attribution": caption.attribution,
        "source": str(site.properties.get("source") or ""),
        "items": json.dumps(_item_addresses(looks)),
        "report_kinds": json.dumps(settings.report.kinds),
        "page": f"{settings.notify.base_url.rstrip('/')}/{site.id}/" if settings.notify.base_url else "",
    }


def _item_addresses(looks: Sequence[Look]) -> dict[str, list[str]]:
    """Scene id -> addresses of the provider's items."""
    hrefs = {look.scene.id: [granule.href for granule in look.scene.granules if granule.href] for look in looks}
    return {scene: found for scene, found in hrefs.items() if found}


def _matching_notes(matched: Matched) -> Sequence[str]:
    """Notes on alerts that overlap outlines or rejections of the analyst."""
    said = []
    if matched.drawn:
        said.append(f"{sum(matched.drawn.values())} found again on outlines that the analyst drew")
    if matched.suppressed:
        said.append(f"{sum(matched.suppressed.values())} left out: they lie on changes that were rejected")
    said += [f"{change_id} is an alert although its place was rejected: it is clearly stronger now, or began later"
             for change_id in matched.returned]  # fmt: skip
    return said
