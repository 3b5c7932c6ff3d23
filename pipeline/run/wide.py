"""Results of the cells of a wide site, merged to one; its rasters are never in memory as a whole."""

import heapq
import pickle
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from pipeline.catalogue.scenes import FoundScenes
from pipeline.model.alert import Alert, Evidence
from pipeline.model.errors import DecisionError, ReviewError
from pipeline.model.imagery import Alignment, Look, Reason, Rejection, Scene, SceneRecord, Why
from pipeline.model.progress import Progress, no_progress
from pipeline.review.mosaic import Mosaic, read_thumbnail
from pipeline.review.publish import Wide
from pipeline.review.rasters import picture_order
from pipeline.run.cell_merging import CellAlert, merge_alerts
from pipeline.run.cells import CellResult, cell_jobs, process_cell
from pipeline.run.process_site import SiteJob, SiteResult, common_bands, find_scenes, refusal_record
from pipeline.run.workers import JobResults, run_jobs

SCRATCH = "wide-"
CACHE_BYTES = 256_000_000
"""Of the whole area's rasters GDAL holds so much: two rows of blocks of a tile. It would hold a twentieth of what the
machine has."""


@contextmanager
def process_wide(
    job: SiteJob, room: Path, workers: int, scheduler: str | None, step: Progress
) -> Iterator[tuple[SiteResult, Wide]]:
    """The answer about a wide site, and what of it lies on disk, in `room`, as long as the context lasts.

    A cell that cannot be judged is said, and is a hole in the score. Raises DecisionError where none can.
    """
    room.mkdir(parents=True, exist_ok=True)
    for leftover in room.glob(f"{SCRATCH}*"):
        shutil.rmtree(leftover)
    folder = Path(mkdtemp(prefix=SCRATCH, dir=room))
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
            yield _decide_cells(job, folder, workers, scheduler, step)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _decide_cells(
    job: SiteJob, folder: Path, workers: int, scheduler: str | None, step: Progress
) -> tuple[SiteResult, Wide]:
    found = find_scenes(job)
    asked = tuple(cell_jobs(job, found))
    results = run_jobs(process_cell, asked, workers, scheduler, no_progress)
    gathered = _gather_cells(job, found, asked, results, folder, step)
    return _site_result(job, found, gathered, len(asked)), Wide(mosaic=gathered.mosaic, looks_of=gathered.looks_of)


@dataclass(slots=True, kw_only=True, eq=False)
class _Gathered:
    """What is kept of the cells' answers: all but their pixels, which lie on disk.

    most: alerts whose looks are kept, the surest. pictured: outline -> id of the alert whose looks they are.
    """

    mosaic: Mosaic
    folder: Path
    most: int
    cells: list[CellResult] = field(default_factory=list)
    blind: list[DecisionError] = field(default_factory=list)
    pictured: dict[bytes, str] = field(default_factory=dict)
    _sure: list[tuple[float, str]] = field(default_factory=list)

    def add(self, cell: CellResult) -> None:
        """Put the pixels on disk, keep the rest. Raises ReviewError where the disk takes no more."""
        try:
            self.mosaic.add(cell.piece)
            for alert in cell.decision.alerts:
                self._keep(alert, cell.looks.get(alert.id, ()))
        except (OSError, RasterioError) as error:
            fix = "free some disk space, then run again: what is remembered of the cells is not lost"
            raise ReviewError(f"cannot be written: {error}", str(self.folder), fix) from error
        none = np.zeros((0, 0, 0), np.uint16)
        bare = replace(cell.piece, before=none, after=none, score=np.zeros((0, 0), np.float32))
        self.cells.append(replace(cell, piece=bare, looks={}))

    def _keep(self, alert: Alert, looks: tuple[Look, ...]) -> None:
        if not looks:
            return
        self._place(alert.id).write_bytes(pickle.dumps(looks, pickle.HIGHEST_PROTOCOL))
        heapq.heappush(self._sure, (alert.confidence, alert.id))
        if len(self._sure) > self.most:
            self._place(heapq.heappop(self._sure)[1]).unlink()

    def alerts(self) -> tuple[Alert, ...]:
        """Alerts without duplicates; their looks are then found by outline, whatever their id."""
        merged = merge_alerts([
            CellAlert(alert=alert, core=cell.piece.core, seen=cell.seen)
            for cell in self.cells for alert in cell.decision.alerts
        ])  # fmt: skip
        self.pictured = {alert.outline.wkb: alert.id for alert in merged}
        return merged

    def looks_of(self, alert: Alert) -> Sequence[Look]:
        """The looks around an alert, as its cell saw them; none where too many others were surer."""
        place = self._place(self.pictured[alert.outline.wkb])
        if not place.exists():
            return ()
        # written a moment ago by this very process, in a folder that it alone knows
        looks: tuple[Look, ...] = pickle.loads(place.read_bytes())
        return looks

    def _place(self, change_id: str) -> Path:
        return self.folder / f"{change_id}.looks"


def _gather_cells(
    job: SiteJob,
    found: FoundScenes,
    asked: Sequence[SiteJob],
    results: JobResults[CellResult],
    folder: Path,
    step: Progress,
) -> _Gathered:
    site = job.site
    # a change on a corner is reported by four cells
    most = 4 * job.settings.review.max_timelines
    with Mosaic(folder, site.grid, common_bands(found.scenes)) as mosaic:
        gathered = _Gathered(mosaic=mosaic, folder=folder, most=most)
        for done, (_, answer) in enumerate(results, 1):
            try:
                gathered.add(answer())
            except DecisionError as error:
                gathered.blind.append(error)
            step(site.id, done, len(asked), "cells judged")
    if not gathered.cells:
        raise gathered.blind[0]
    return gathered


def _site_result(job: SiteJob, found: FoundScenes, gathered: _Gathered, asked: int) -> SiteResult:
    cells, alerts = gathered.cells, gathered.alerts()
    kept = {alert.id for alert in alerts}
    before, after = (_commonest_scene([getattr(cell, name) for cell in cells]) for name in ("before", "after"))
    mosaic = gathered.mosaic
    shown = [_thumbnail_look(scene, path, mosaic) for scene, path in ((before, mosaic.before), (after, mosaic.after))]
    small, odds = read_thumbnail(mosaic.score, mosaic.grid)
    observed = {(each.change_id, each.scene): each for cell in cells for each in cell.decision.observations}
    decision = replace(
        cells[0].decision,
        site=job.site.id,
        alerts=alerts,
        observations=tuple(each for each in observed.values() if each.change_id in kept),
        evidence=Evidence(grid=small, score=odds[0], since=np.full(odds[0].shape, -1, np.int16)),
        before_scene=before.id,
        after_scene=after.id,
        cautions=_cell_cautions(gathered, asked),
    )
    records = merged_records(found, cells)
    errors = {str(error): error for cell in cells for error in cell.errors}.values()
    return SiteResult(
        site=job.site, decision=decision, looks=tuple(shown), records=records, errors=(*found.errors, *errors)
    )


def _cell_cautions(gathered: _Gathered, asked: int) -> tuple[str, ...]:
    said = dict.fromkeys(caution for cell in gathered.cells for caution in cell.decision.cautions)
    words = [f"judged in {asked} cells: before and after show each cell at its own clearest looks"]
    if gathered.blind:
        first, count = gathered.blind[0], len(gathered.blind)
        words.append(f"nothing is known of {count} of {asked} cells, holes in score.tif: {first.what}, {first.where}")
    return (*words, *said)


def _commonest_scene(scenes: Sequence[Scene]) -> Scene:
    counts = Counter(scene.id for scene in scenes)
    return min(scenes, key=lambda scene: (-counts[scene.id], scene.id))


def _thumbnail_look(scene: Scene, path: Path, mosaic: Mosaic) -> Look:
    """A mosaic as a small look, from which the project fits its colours."""
    grid, dn = read_thumbnail(path, mosaic.grid)
    known = (dn > 0).all(axis=0)
    order = picture_order(mosaic.bands)
    return Look(
        scene=scene,
        grid=grid,
        bands=order,
        reflectance=np.where(known, dn / np.float32(10_000), np.nan).astype(np.float32),
        why=np.where(known, 0, np.uint8(Why.NODATA)).astype(np.uint8),
        alignment=Alignment(shift=(0.0, 0.0), accepted=True, reliability=1.0),
        noise=np.zeros(len(order), np.float32),
        boa_offset_dn=0,
    )


def merged_records(found: FoundScenes, cells: Sequence[CellResult]) -> tuple[SceneRecord, ...]:
    """Records of the scenes of all cells: used if any cell used it; the clear share is that of the whole AOI.

    A scene that only cells without an answer saw is refused for their too short history.
    """
    by_scene: dict[str, list[tuple[SceneRecord, int]]] = defaultdict(list)
    for cell in cells:
        for record in cell.records:
            by_scene[record.scene].append((record, cell.aoi_px))
    whole = sum(cell.aoi_px for cell in cells)
    unseen = [
        Rejection(scene=scene.id, time=scene.time, reason=Reason.HISTORY, note="in all of its cells")
        for scene in found.scenes if scene.id not in by_scene
    ]  # fmt: skip
    rows = [refusal_record(item) for item in (*found.rejections, *unseen)]
    rows += [_merge_records(each, whole) for each in by_scene.values()]
    return tuple(sorted(rows, key=lambda row: (row.time, row.scene)))


def _merge_records(records: Sequence[tuple[SceneRecord, int]], whole: int) -> SceneRecord:
    used = [(record, size) for record, size in records if record.used]
    if not used:
        return max(
            (record for record, _ in records), key=lambda record: (record.clear_share or 0.0, record.value or 0.0)
        )
    shifts = np.array([record.shift for record, _ in used])
    row, col = np.median(shifts, axis=0)
    clear = sum((record.clear_share or 0.0) * size for record, size in used) / max(whole, 1)
    return replace(
        used[0][0],
        shift=(float(row), float(col)),
        reliability=float(np.median([record.reliability for record, _ in used])),
        clear_share=clear,
        note="" if len(used) == len(records) else f"used in {len(used)} of {len(records)} cells",
    )
