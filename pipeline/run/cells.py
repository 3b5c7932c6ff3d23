"""Wide sites, too large for memory, in cells: each is a site of its own, with a halo that overlaps its neighbours.

So the same plain task judges a cell, in any process, and what is remembered of each lets a run that was cut off go on
where it stood.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from pipeline.catalogue.scenes import FoundScenes
from pipeline.model.alert import Alert, Decision, Evidence, Status
from pipeline.model.errors import GroundbreakError
from pipeline.model.grid import aoi_mask, split_into_cells
from pipeline.model.imagery import Look, Scene, SceneRecord
from pipeline.model.progress import Progress
from pipeline.model.site import Site
from pipeline.review.chips import window_around
from pipeline.review.mosaic import Piece
from pipeline.review.rasters import look_dn
from pipeline.run.cell_merging import alerts_touching
from pipeline.run.process_site import SiteJob, common_bands, process_site

WHOLE_PX = 700 * 700
"""Sites of up to 49 km² are held whole: 60 bytes a pixel and look."""
CELL_PX, HALO_PX = 512, 48
"""The halo holds the buffer of a cloud, and any building that reaches out of the cell."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellResult:
    """Result of a cell: the alerts that reach into its core, and the pixels of the core for the pictures.

    seen: the cell's whole grid. aoi_px: pixels of the AOI in the core. looks: by the id of an alert that may be
    pictured, the looks around its outline.
    """

    decision: Decision
    records: tuple[SceneRecord, ...]
    errors: tuple[GroundbreakError, ...]
    piece: Piece
    seen: GeoBox
    before: Scene
    after: Scene
    aoi_px: int
    looks: dict[str, tuple[Look, ...]]


def is_wide(site: Site) -> bool:
    """Whether a site is processed in cells."""
    return int(np.prod(site.grid.shape)) > WHOLE_PX


def cell_jobs(job: SiteJob, found: FoundScenes) -> Iterator[SiteJob]:
    """One job a cell that holds some of the AOI, row by row. found: what the catalogue has for the whole site."""
    site, results = job.site, _result_bytes(job.site, len(common_bands(found.scenes)))
    for core, seen in split_into_cells(site.grid, CELL_PX, HALO_PX):
        if not aoi_mask(replace(site, grid=core)).any():
            continue
        rows, cols = place_of(core, site.grid)
        ground = Geometry(box(*seen.extent.boundingbox.bbox), str(seen.crs)).to_crs("EPSG:4326", resolution=1000).geom
        name = f"{site.id}.{rows.start // CELL_PX}.{cols.start // CELL_PX}"
        here = tuple(scene for scene in found.scenes if _reaches_ground(scene, ground))
        yield replace(
            job,
            site=replace(site, id=name, grid=seen),
            core=core,
            found=replace(found, scenes=here, rejections=(), errors=()),
            results=results,
            extra_scenes=(),
            memory=job.memory and job.memory.with_name(name),
        )


def _result_bytes(site: Site, bands: int) -> int:
    """Of before, after and score, uncompressed: once as they are put together and once as COGs with their overviews."""
    return int(np.prod(site.grid.shape)) * (2 * 2 * bands + 4) * 7 // 3


def process_cell(job: SiteJob, step: Progress) -> CellResult:
    """Process one cell. Raises DecisionError if it has too few looks."""
    site, core = job.site, job.core or job.site.grid
    judged = process_site(job, step)
    decision, inside = judged.decision, place_of(core, site.grid)
    alerts = alerts_touching(decision.alerts, core)
    by_id = {look.scene.id: look for look in judged.looks}
    before, after = by_id[decision.before_scene], by_id[decision.after_scene]
    shown = [alert for alert in alerts if alert.status is not Status.WITHDRAWN][: job.settings.review.max_timelines]
    ids = {alert.id for alert in alerts}
    return CellResult(
        decision=replace(
            decision,
            alerts=alerts,
            observations=tuple(each for each in decision.observations if each.change_id in ids),
            evidence=_shrink_to_corner(decision.evidence),
        ),
        records=judged.records,
        errors=judged.errors,
        piece=Piece(
            core=core, bands=before.bands, before=look_dn(before)[:, *inside], after=look_dn(after)[:, *inside],
            score=decision.evidence.score[inside],
        ),
        seen=site.grid,
        before=before.scene,
        after=after.scene,
        aoi_px=int(aoi_mask(site)[inside].sum()),
        looks={alert.id: _crop_looks(alert, judged.looks) for alert in shown},
    )  # fmt: skip


def place_of(part: GeoBox, grid: GeoBox) -> tuple[slice, slice]:
    """Rows and columns of a grid that a part of it takes."""
    col, row = (round(value) for value in ~grid.affine @ (part.affine.c, part.affine.f))
    return slice(row, row + part.shape[0]), slice(col, col + part.shape[1])


def _reaches_ground(scene: Scene, ground: BaseGeometry) -> bool:
    return any(granule.footprint.intersects(ground) for granule in scene.granules)


def _shrink_to_corner(evidence: Evidence) -> Evidence:
    """Copy of one pixel: the pictures have the others, and a view would keep the whole array in memory."""
    odds, since = evidence.score[:1, :1].copy(), evidence.since[:1, :1].copy()
    return Evidence(grid=evidence.grid[:1, :1], score=odds, since=since)


def _crop_looks(alert: Alert, looks: Sequence[Look]) -> tuple[Look, ...]:
    """The looks cut to what a picture of the alert shows."""
    part = window_around(alert.outline, looks[0].grid)
    return tuple(
        replace(
            look,
            grid=part.grid,
            reflectance=look.reflectance[:, part.rows, part.cols].copy(),
            why=look.why[part.rows, part.cols].copy(),
        )
        for look in looks
    )
