"""`detect`: every site asked for, each on its own, so that one that fails stops no other."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.model.alert import Decision
from pipeline.model.errors import GroundbreakError
from pipeline.model.imagery import SceneRecord
from pipeline.model.site import Site
from pipeline.review.index import write_index
from pipeline.review.publish import Published, Wide, publish
from pipeline.run.cells import is_wide
from pipeline.run.correcting import Progress
from pipeline.run.judge import Judged, Question, judge
from pipeline.run.wide import judged_wide
from pipeline.run.workers import answers

ROOM = Path(".groundbreak")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteOutcome:
    """What became of one site. fault: why nothing was published; faults: what was lost on the way."""

    site: Site
    seconds: float
    decision: Decision | None = None
    published: Published | None = None
    records: tuple[SceneRecord, ...] = ()
    faults: tuple[GroundbreakError, ...] = ()
    fault: GroundbreakError | None = None


def detect(
    questions: Sequence[Question], out: Path, workers: int, step: Progress, scheduler: str | None = None
) -> Iterator[SiteOutcome]:
    """Judge and publish site by site, in the order given; a fault in one is that one's outcome.

    With more than one worker, or a Dask scheduler, the sites are judged side by side; publishing stays here.
    out/index.html is written last, over all sites that were ever published there. Raises UsageError where the
    scheduler cannot be reached.
    """
    done = False
    whole = answers(judge, [each for each in questions if not is_wide(each.site)], workers, scheduler, step)
    for question in questions:
        if is_wide(question.site):
            outcome = _finish(question, judged_wide(question, out / ROOM, workers, scheduler, step), out)
        else:
            outcome = _finish(question, _held(next(whole)[1]), out)
        done |= outcome.published is not None
        yield outcome
    if done:
        write_index(out)


@contextmanager
def _held(answer: Callable[[], Judged]) -> Iterator[tuple[Judged, None]]:
    yield answer(), None


def told(fault: Exception, site: Site) -> GroundbreakError:
    """A fault as the line of the site that it broke; one that nobody foresaw asks to be reported."""
    if isinstance(fault, GroundbreakError):
        return fault
    if isinstance(fault, OSError) and fault.strerror:
        what = f"{fault.strerror}: {fault.filename}" if fault.filename else fault.strerror
        line = GroundbreakError(what, site.id, "see to the disk or its permissions; what was there before is whole")
    else:
        what = f"unexpected {type(fault).__name__}: {fault}"
        line = GroundbreakError(what, site.id, "run it alone with --debug and report it")
    line.__cause__ = fault
    return line


def _finish(question: Question, answer: AbstractContextManager[tuple[Judged, Wide | None]], out: Path) -> SiteOutcome:
    began = time.monotonic()
    try:
        with answer as (judged, wide):
            site, settings = judged.site, question.settings
            published = publish(out / site.id, site, judged.decision, judged.looks, judged.records, settings, wide)
    except Exception as fault:  # noqa: BLE001  (the boundary of a site: what breaks it stops no other)
        return SiteOutcome(site=question.site, seconds=time.monotonic() - began, fault=told(fault, question.site))
    return SiteOutcome(
        site=site,
        seconds=time.monotonic() - began,
        decision=published.decision,
        published=published,
        records=judged.records,
        faults=judged.faults,
    )
