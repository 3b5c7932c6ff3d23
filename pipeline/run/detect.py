"""`detect`: every site asked for, each on its own, so that one that fails stops no other."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from pipeline.model.alert import Decision
from pipeline.model.errors import GroundbreakError
from pipeline.model.imagery import SceneRecord
from pipeline.model.site import Site
from pipeline.review.publish import Published, publish
from pipeline.review.report import write_index
from pipeline.run.judge import Judged, Progress, Question, judge, quiet


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


def detect(questions: Sequence[Question], out: Path, workers: int, step: Progress) -> Iterator[SiteOutcome]:
    """Judge and publish site by site, in the order given; a fault in one is that one's outcome.

    With more than one worker the sites are judged in a pool of processes; publishing stays here. out/index.html is
    written last, over all sites that were ever published there.
    """
    done = False
    for outcome in _outcomes(questions, out, workers, step):
        done |= outcome.published is not None
        yield outcome
    if done:
        write_index(out)


def _outcomes(questions: Sequence[Question], out: Path, workers: int, step: Progress) -> Iterator[SiteOutcome]:
    if workers == 1 or len(questions) <= 1:
        for question in questions:
            yield _finish(question, partial(judge, question, step), out)
        return
    with ProcessPoolExecutor(min(workers, len(questions)), mp_context=get_context("spawn")) as pool:
        running = [(question, pool.submit(judge, question, quiet)) for question in questions]
        for done, (question, future) in enumerate(running, 1):
            yield _finish(question, future.result, out)
            step("all sites", done, len(running), "sites judged")


def _finish(question: Question, answer: Callable[[], Judged], out: Path) -> SiteOutcome:
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
