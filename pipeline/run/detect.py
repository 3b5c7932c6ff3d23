"""`detect`: process the selected sites independently, so that one failure does not stop the others."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.model.alert import Decision
from pipeline.model.errors import GroundbreakError
from pipeline.model.imagery import SceneRecord
from pipeline.model.progress import Progress
from pipeline.model.site import Site
from pipeline.review.folder import clear_leftovers
from pipeline.review.index import write_index
from pipeline.review.layout import Results
from pipeline.review.publish import Published, Wide, publish_site
from pipeline.run.cells import is_wide
from pipeline.run.process_site import SiteJob, SiteResult, process_site
from pipeline.run.resume import Resumed, notes_of, resume_site
from pipeline.run.wide import process_wide
from pipeline.run.workers import run_jobs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteOutcome:
    """Outcome of one site. `error`: why nothing was published; `errors`: errors that did not stop it."""

    site: Site
    seconds: float
    decision: Decision | None = None
    published: Published | None = None
    records: tuple[SceneRecord, ...] = ()
    errors: tuple[GroundbreakError, ...] = ()
    error: GroundbreakError | None = None


def detect_sites(
    jobs: Sequence[SiteJob], out: Path, workers: int, step: Progress, scheduler: str | None = None
) -> Iterator[SiteOutcome]:
    """Process and publish sites in the given order; an error in one site is the outcome of that site.

    With more than one worker, or a Dask scheduler, the sites are judged side by side; publishing stays here.
    out/index.html is written last, over all sites that were ever published there. Raises UsageError where the
    scheduler cannot be reached.
    """
    clear_leftovers(out)
    done = False
    for outcome in process_sites(jobs, out, workers, step, scheduler):
        done |= outcome.published is not None
        yield outcome
    if done:
        write_index(out)


def process_sites(
    jobs: Sequence[SiteJob], out: Path, workers: int, step: Progress, scheduler: str | None
) -> Iterator[SiteOutcome]:
    """As `detect_sites`, but for the index."""
    resumed = [_resume_site(job, out) for job in jobs]
    ready = [each.job for each in resumed if each.error is None]
    whole = run_jobs(process_site, [each for each in ready if not is_wide(each.site)], workers, scheduler, step)
    for each in resumed:
        job = each.job
        if each.error is not None:
            yield SiteOutcome(site=job.site, seconds=0.0, error=each.error)
        elif is_wide(job.site):
            yield _publish_site(each, process_wide(job, Results(out).state, workers, scheduler, step), out)
        else:
            yield _publish_site(each, _hold_result(next(whole)[1]), out)


def _resume_site(job: SiteJob, out: Path) -> Resumed:
    try:
        return resume_site(job, out)
    except Exception as error:  # noqa: BLE001  (the boundary of a site: what breaks it stops no other)
        return Resumed(job=job, error=as_site_error(error, job.site.id))


@contextmanager
def _hold_result(answer: Callable[[], SiteResult]) -> Iterator[tuple[SiteResult, None]]:
    yield answer(), None


def as_site_error(error: Exception, site: str) -> GroundbreakError:
    """An exception as an error line of its site; the hint of an unexpected one asks for a report."""
    if isinstance(error, GroundbreakError):
        return error
    if isinstance(error, OSError) and error.strerror:
        what = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        line = GroundbreakError(what, site, "see to the disk or its permissions; what was there before is whole")
    else:
        what = f"unexpected {type(error).__name__}: {error}"
        line = GroundbreakError(what, site, "run it alone with --debug and report it")
    line.__cause__ = error
    return line


def _publish_site(
    resumed: Resumed, answer: AbstractContextManager[tuple[SiteResult, Wide | None]], out: Path
) -> SiteOutcome:
    job = resumed.job
    began = time.monotonic()
    try:
        with answer as (result, wide):
            site, settings = result.site, job.settings
            published = publish_site(out / site.id, site, result.decision, result.looks, result.records, settings, wide)
            published = replace(published, notes=notes_of(resumed.notes, published.notes))
    except Exception as error:  # noqa: BLE001  (the boundary of a site: what breaks it stops no other)
        return SiteOutcome(site=job.site, seconds=time.monotonic() - began, error=as_site_error(error, job.site.id))
    return SiteOutcome(
        site=site,
        seconds=time.monotonic() - began,
        decision=published.decision,
        published=published,
        records=result.records,
        errors=result.errors,
    )
