"""Rasters of the looks between which the changes of a site began, for the time slider of the QGIS project."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pipeline.model.alert import Decision, Kind, Status
from pipeline.model.bands import VISIBLE, Band
from pipeline.model.imagery import Look
from pipeline.model.indices import near_infrared
from pipeline.review.annotations import Caption
from pipeline.review.folder import Folder
from pipeline.review.rasters import look_tags, write_look

MAX_LOOKS = 40
"""Rasters of looks in a project, those of the surest new structures first; at 1 km² they take about 10 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One raster of a look. file: relative to the site's folder. until: time of the next one, None for the last."""

    file: str
    scene: str
    time: datetime
    until: datetime | None


def bracket_looks(decision: Decision, looks: Sequence[Look]) -> tuple[Look, ...]:
    """The looks at both ends of each change's bracket and those of its pair, in time order.

    Where there are more than MAX_LOOKS, those of the surest new structures are taken.
    """
    alerts = [alert for alert in decision.alerts if alert.status is not Status.WITHDRAWN]
    alerts.sort(key=lambda alert: (alert.kind is not Kind.NEW_STRUCTURE, -alert.confidence, alert.id))
    clear = {(each.change_id, each.time.date()): each.scene for each in decision.observations if each.score is not None}
    wanted = dict.fromkeys((decision.before_scene, decision.after_scene))
    for alert in alerts:
        ends = (clear.get((alert.id, day)) for day in (alert.last_clear_before, alert.first_seen) if day)
        wanted |= dict.fromkeys(scene for scene in (*ends, alert.before_scene, alert.after_scene) if scene)
    by_id = {look.scene.id: look for look in looks}
    chosen = [by_id[scene] for scene in wanted if scene in by_id][:MAX_LOOKS]
    return tuple(sorted(chosen, key=lambda look: (look.time, look.scene.id)))


def write_looks(
    staged: Folder, folder: Folder, decision: Decision, looks: Sequence[Look], caption: Caption
) -> tuple[Shown, ...]:
    """Write the rasters of `bracket_looks`, but for those that `folder` has already; returns them in time order."""
    chosen = bracket_looks(decision, looks)
    ends = [look.time for look in chosen[1:]]
    shown = []
    for look, until in zip(chosen, [*ends, None], strict=True):
        path = staged.look(f"{look.time:%Y-%m-%d}", look.scene.id)
        write_look(path, _select_bands(look), folder.path / path.relative_to(staged.path), look_tags(look, caption))
        file = path.relative_to(staged.path).as_posix()
        shown.append(Shown(file=file, scene=look.scene.id, time=look.time, until=until))
    return tuple(shown)


def remove_others(folder: Folder, shown: Sequence[Shown]) -> None:
    """Remove the rasters of earlier nights that the project no longer shows."""
    kept = {each.file for each in shown}
    for path in folder.looks.glob("*.tif"):
        if path.relative_to(folder.path).as_posix() not in kept:
            path.unlink(missing_ok=True)


def raster_files(folder: Folder) -> list[Path]:
    """Rasters of looks in a folder."""
    return sorted(folder.looks.glob("*.tif"))


def _select_bands(look: Look) -> Look:
    """Keep the bands of true and false colour, which takes a third less storage."""
    wanted = (*VISIBLE, Band.B08, Band.B8A)
    near = near_infrared(look.bands)
    places = [look.bands.index(band) for band in look.bands if band in wanted and band in (*VISIBLE, near)]
    if len(places) < len(VISIBLE):
        return look
    return replace(
        look, bands=tuple(look.bands[place] for place in places), reflectance=look.reflectance[places],
        noise=look.noise[places],
    )  # fmt: skip
