"""`detect`: every site asked for, each on its own, so that one that fails stops no other."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.model.alert import Decision
from pipeline.model.errors import GroundbreakError
from pipeline.model.imagery import SceneRecord
from pipeline.model.site import Site
from pipeline.review.publish import Published, publish
from pipeline.review.report import write_index
from pipeline.run.correcting import Progress
from pipeline.run.judge import Question
from pipeline.run.workers import Answer, answers


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
    for question, answer in answers(questions, workers, scheduler, step):
        outcome = _finish(question, answer, out)
        done |= outcome.published is not None
        yield outcome
    if done:
        write_index(out)


def _finish(question: Question, answer: Answer, out: Path) -> SiteOutcome:
    began = time.monotonic()
    try:
        judged = answer()
        published = publish(
            out / question.site.id,
            question.site,
            judged.decision,
            judged.looks,
            judged.records,
            question.settings,
        )
    except GroundbreakError as fault:
        return SiteOutcome(site=question.site, seconds=time.monotonic() - began, fault=fault)
    except Exception as fault:  # noqa: BLE001  (the boundary of a site: what breaks it stops no other)
        wrapped = GroundbreakError(
            f"unexpected {type(fault).__name__}: {fault}", question.site.id, "run it alone with --debug and report it"
        )
        wrapped.__cause__ = fault
        return SiteOutcome(site=question.site, seconds=time.monotonic() - began, fault=wrapped)
    return SiteOutcome(
        site=question.site,
        seconds=time.monotonic() - began,
        decision=published.decision,
        published=published,
        records=judged.records,
        faults=judged.faults,
    )
