"""Run the jobs of sites: in this process, in a pool of processes, or on the workers of an existing Dask cluster.

The task is the same plain function of a picklable job everywhere, so the result is the same. Nothing is written by
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
from pipeline.model.progress import Progress, no_progress
from pipeline.run.process_site import SiteJob

CONNECT_SECONDS = 20
A = TypeVar("A")
Task = Callable[[SiteJob, Progress], A]
"""A plain function of a job, found by its name in every process."""
JobResults = Iterator[tuple[SiteJob, Callable[[], A]]]
"""Jobs, each with a function that waits for the result of its task. It raises what the task raised, and DecisionError
where the process of the task was killed."""


def run_jobs(
    task: Task[A], jobs: Sequence[SiteJob], workers: int, scheduler: str | None, step: Progress
) -> JobResults[A]:
    """Every job with the result of the task, in the order given.

    Raises UsageError where the scheduler cannot be reached, or the `dask` extra is missing.
    """
    if scheduler is not None:
        yield from _by_cluster(task, jobs, scheduler, step)
    elif workers == 1 or len(jobs) <= 1:
        yield from ((job, partial(task, job, step)) for job in jobs)
    else:
        yield from _by_pool(task, jobs, workers, step)


def _by_pool(task: Task[A], jobs: Sequence[SiteJob], workers: int, step: Progress) -> JobResults[A]:
    """One job more than there are workers is submitted at a time: a result that waits holds a whole stack."""
    workers = min(workers, len(jobs))
    pool = _Pool(workers)
    try:
        out = deque((job, pool.submit(task, job)) for job in jobs[: workers + 1])
        for done in range(1, len(jobs) + 1):
            job, future = out.popleft()
            yield job, partial(_take_result, future, task, job)
            del future
            for following in jobs[workers + done : workers + done + 1]:
                out.append((following, pool.submit(task, following)))
            step("all sites", done, len(jobs), "sites judged")
    finally:
        pool.processes.shutdown()


class _Pool:
    """Processes that are replaced once the system has killed one of them: the others then take nothing more."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self.processes = self._started()

    def submit(self, task: Task[A], job: SiteJob) -> Future[A]:
        try:
            return self.processes.submit(task, job, no_progress)
        except BrokenProcessPool:
            self.processes.shutdown()
            self.processes = self._started()
            return self.processes.submit(task, job, no_progress)

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"))


def _take_result(future: Future[A], task: Task[A], job: SiteJob) -> A:
    """Result of a future. A killed process ends its whole pool: each lost job runs once more by itself."""
    try:
        return future.result()
    except BrokenProcessPool:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            try:
                return alone.submit(task, job, no_progress).result()
            except BrokenProcessPool as error:
                what = "the process that judges it was killed, twice: by the system for want of memory, most likely"
                raise DecisionError(what, job.site.id, "use fewer --workers, or more memory") from error


def _by_cluster(task: Task[A], jobs: Sequence[SiteJob], address: str, step: Progress) -> JobResults[A]:
    client = _connect_scheduler(address)
    try:
        # a worker that dies takes its task with it; the scheduler gives it to another
        running = [(each, client.submit(task, _with_absolute_paths(each), no_progress, pure=False)) for each in jobs]
        for done, (job, future) in enumerate(running, 1):
            yield job, future.result
            future.release()
            step("all sites", done, len(running), "sites judged")
    finally:
        client.close()


def _with_absolute_paths(job: SiteJob) -> SiteJob:
    """The same job for a process that works in another folder of the same file system."""

    def absolute(reference: str) -> str:
        return str(Path(reference).resolve()) if "://" not in reference and Path(reference).exists() else reference

    return replace(
        job,
        source=absolute(job.source),
        extra_scenes=tuple(map(absolute, job.extra_scenes)),
        chips=job.chips and job.chips.resolve(),
        memory=job.memory and job.memory.resolve(),
    )


def _connect_scheduler(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError("no Dask here", "--scheduler", "install groundbreak[dask]") from error
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers: {error}", address, "start one (dask scheduler), or leave --scheduler out"
        ) from error
