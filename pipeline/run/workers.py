"""Who judges the sites: this process, a pool of processes, or the workers of an existing Dask cluster.

The task is the same plain function of a picklable question everywhere, so the answer is too. Nothing is written by
a worker but chips, which any of them may write; ledger and review files are the coordinator's.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from pipeline.model.errors import DecisionError, UsageError
from pipeline.run.looks import Progress
from pipeline.run.process_site import Question, quiet

CONNECT_SECONDS = 20
A = TypeVar("A")
Task = Callable[[Question, Progress], A]
"""A plain function of a question, found by its name in every process."""
Told = Iterator[tuple[Question, Callable[[], A]]]
"""Questions, each with what gives the answer, waiting for it where need be; it raises what the task raised,
and DecisionError where the process that was at it was killed."""


def answers(
    task: Task[A], questions: Sequence[Question], workers: int, scheduler: str | None, step: Progress
) -> Told[A]:
    """Every question with the task's answer, in the order given.

    Raises UsageError where the scheduler cannot be reached, or the `dask` extra is missing.
    """
    if scheduler is not None:
        yield from _by_cluster(task, questions, scheduler, step)
    elif workers == 1 or len(questions) <= 1:
        yield from ((question, partial(task, question, step)) for question in questions)
    else:
        yield from _by_pool(task, questions, workers, step)


def _by_pool(task: Task[A], questions: Sequence[Question], workers: int, step: Progress) -> Told[A]:
    """One question more than there are workers is out at a time: an answer that waits holds a whole stack."""
    workers = min(workers, len(questions))
    pool = _Pool(workers)
    try:
        out = deque((question, pool.submit(task, question)) for question in questions[: workers + 1])
        for done in range(1, len(questions) + 1):
            question, future = out.popleft()
            yield question, partial(_taken, future, task, question)
            del future
            for following in questions[workers + done : workers + done + 1]:
                out.append((following, pool.submit(task, following)))
            step("all sites", done, len(questions), "sites judged")
    finally:
        pool.processes.shutdown()


class _Pool:
    """Processes that are replaced once the system has killed one of them: the others then take nothing more."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self.processes = self._started()

    def submit(self, task: Task[A], question: Question) -> Future[A]:
        try:
            return self.processes.submit(task, question, quiet)
        except BrokenProcessPool:
            self.processes.shutdown()
            self.processes = self._started()
            return self.processes.submit(task, question, quiet)

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"))


def _taken(future: Future[A], task: Task[A], question: Question) -> A:
    """The answer. A process that was killed takes those beside it along: each is asked once more, by itself."""
    try:
        return future.result()
    except BrokenProcessPool:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            try:
                return alone.submit(task, question, quiet).result()
            except BrokenProcessPool as fault:
                what = "the process that judges it was killed, twice: by the system for want of memory, most likely"
                raise DecisionError(what, question.site.id, "use fewer --workers, or more memory") from fault


def _by_cluster(task: Task[A], questions: Sequence[Question], address: str, step: Progress) -> Told[A]:
    client = _connect(address)
    try:
        # a worker that dies takes its task with it; the scheduler gives it to another
        running = [(each, client.submit(task, _anywhere(each), quiet, pure=False)) for each in questions]
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
