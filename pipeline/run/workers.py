"""Who judges the sites: this process, a pool of processes, or the workers of an existing Dask cluster.

The task is the same plain function of a picklable question everywhere, so the answer is too. Nothing is written by
a worker but chips, which any of them may write; ledger and review files are the coordinator's.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pipeline.model.errors import UsageError
from pipeline.run.correcting import Progress
from pipeline.run.judge import Judged, Question, judge, quiet

CONNECT_SECONDS = 20
Answer = Callable[[], Judged]
"""Gives the answer, waiting for it where need be; raises what judging raised."""


def answers(
    questions: Sequence[Question], workers: int, scheduler: str | None, step: Progress
) -> Iterator[tuple[Question, Answer]]:
    """Every question with its answer, in the order given.

    Raises UsageError where the scheduler cannot be reached, or the `dask` extra is missing.
    """
    if scheduler is not None:
        yield from _by_cluster(questions, scheduler, step)
    elif workers == 1 or len(questions) <= 1:
        yield from ((question, partial(judge, question, step)) for question in questions)
    else:
        yield from _by_pool(questions, workers, step)


def _by_pool(questions: Sequence[Question], workers: int, step: Progress) -> Iterator[tuple[Question, Answer]]:
    """One question more than there are workers is out at a time: an answer that waits holds a whole stack."""
    workers = min(workers, len(questions))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        out = deque((question, pool.submit(judge, question, quiet)) for question in questions[: workers + 1])
        for done in range(1, len(questions) + 1):
            question, future = out.popleft()
            yield question, future.result
            del future
            for following in questions[workers + done : workers + done + 1]:
                out.append((following, pool.submit(judge, following, quiet)))
            step("all sites", done, len(questions), "sites judged")


def _by_cluster(questions: Sequence[Question], address: str, step: Progress) -> Iterator[tuple[Question, Answer]]:
    client = _connect(address)
    try:
        # a worker that dies takes its task with it; the scheduler gives it to another
        running = [(each, client.submit(judge, _anywhere(each), quiet, pure=False)) for each in questions]
        for done, (question, future) in enumerate(running, 1):
            yield question, future.result
            future.release()
            step("all sites", done, len(running), "sites judged")
    finally:
        client.close()


def _anywhere(question: Question) -> Question:
    """The same question for a process that works in another folder of the same file system."""

    def absolute(reference: str) -> str:
        return str(Path(reference).resolve()) if "://" not in reference and Path(reference).exists() else reference

    return replace(
        question,
        source=absolute(question.source),
        extra_scenes=tuple(map(absolute, question.extra_scenes)),
        chips=question.chips and question.chips.resolve(),
        memory=question.memory and question.memory.resolve(),
    )


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as fault:
        raise UsageError("no Dask here", "--scheduler", "install groundbreak[dask]") from fault
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as fault:
        raise UsageError(
            f"no Dask scheduler answers: {fault}", address, "start one (dask scheduler), or leave --scheduler out"
        ) from fault
