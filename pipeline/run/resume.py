"""Preparation of a run from the existing results of a site, before any scene is searched."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pipeline.model.errors import GroundbreakError, UsageError
from pipeline.model.grid import site_grid
from pipeline.review.existing_results import ExistingResults, check_place, read_existing
from pipeline.review.layout import Results
from pipeline.review.qgis_style import layer_styles
from pipeline.review.repair import repair_schema
from pipeline.review.schema import Styles
from pipeline.run.process_site import SiteJob
from pipeline.run.retention import restore_review


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resumed:
    """A job on the grid of its results, and notes on repairs. error: why the site cannot be processed."""

    job: SiteJob
    notes: tuple[str, ...] = ()
    error: GroundbreakError | None = None


def resume_site(job: SiteJob, out: Path) -> Resumed:
    """Restore what is lost or damaged, keep the site's CRS, and refuse what would make less of its results.

    Raises ReviewError for results of another place and for a review file that cannot be used, UsageError for a run
    over a shorter period than that of the results.
    """
    site, folder = job.site, Results(out).site(job.site.id)
    restored = restore_review(out, site.id)
    if not restored and folder.report.exists() and not os.path.lexists(folder.gpkg):
        restored = (f"{site.id}: review.gpkg was gone, without a copy: written again, without its verdicts",)
    notes = (*restored, *repair_schema(folder.gpkg, _layer_styles()))
    existing = read_existing(folder.gpkg)
    if existing is None:
        return Resumed(job=job, notes=notes)
    check_place(existing, site, folder.gpkg)
    _check_period(job, existing)
    if existing.crs and existing.crs != str(site.grid.crs):
        site = replace(site, grid=site_grid(site.aoi, crs=existing.crs))
    return Resumed(job=replace(job, site=site), notes=notes)


@cache
def _layer_styles() -> Styles:
    """The styles of every review file, written once a process: a night over many sites asks for them at each."""
    return layer_styles()


def _check_period(job: SiteJob, existing: ExistingResults) -> None:
    """Refuse a shorter period: it would withdraw alerts that it cannot show, and their verdicts."""
    fix = "write it into a folder of its own with --out"
    last, first = existing.last, existing.first
    if last is not None and job.until < last:
        what = f"already judged until {last:%Y-%m-%d}, later than {job.until:%Y-%m-%d}"
        raise UsageError(what, job.site.id, fix)
    if first is not None and job.start is not None and job.start > first:
        what = f"its results begin with {first:%Y-%m-%d}, earlier than {job.start:%Y-%m-%d}"
        raise UsageError(what, job.site.id, fix)


def notes_of(*parts: Sequence[str]) -> tuple[str, ...]:
    """Every sentence once, in order."""
    return tuple(dict.fromkeys(note for part in parts for note in part))
