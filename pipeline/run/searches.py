"""Concurrent catalogue searches: threads with a limit per host; a host that does not answer is skipped."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pipeline.catalogue.fetch import FetchError
from pipeline.catalogue.scenes import FoundScenes
from pipeline.model.errors import CatalogueError
from pipeline.run.process_site import SiteJob

HOST_THREADS = 4
"""Searches at once on one host: what the public providers answer without throttling."""
BROKEN_AFTER = 2
"""Searches in a row without an answer, after which a host counts as down."""
LATER = frozenset({403, 408, 425, 429})
"""Answers by which providers put requests off, beside those from 500 on (`catalogue/fetch.py`)."""
SEARCH_SECONDS = 900.0
"""Longest search of one site: a whole archive in pages takes about two minutes on a slow provider."""
GATHER_SECONDS = 2.0
"""How long a batch waits for further sites, so that they are judged side by side."""
_POLL_SECONDS = 0.2


class PostponedError(CatalogueError):
    """A site that was not searched for, because its catalogue does not answer."""

    def __init__(self, host: str, site: str) -> None:
        super().__init__(f"{host} does not answer", site, "put off; the next night searches it")
        self.host = host


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searched:
    """Result of one site's search: scenes, or the error."""

    job: SiteJob
    found: FoundScenes | None = None
    error: Exception | None = None


Search = Callable[[SiteJob], FoundScenes]


def search_sites(jobs: Sequence[SiteJob], search: Search) -> Iterator[list[Searched]]:
    """Search for every job, in batches of results; a slow or failing host does not delay those of others."""
    results: queue.Queue[Searched] = queue.Queue()
    hosts: dict[str, _Host] = {}
    for job in jobs:
        name = host_of(job.source)
        hosts.setdefault(name, _Host(name, search, results)).waiting.append(job)
    for host in hosts.values():
        host.start()
    left = {id(job) for job in jobs}
    while left:
        batch = [each for each in _gather_results(results, hosts, left) if id(each.job) in left]
        left -= {id(each.job) for each in batch}
        if batch:
            yield batch


def host_of(source: str) -> str:
    """The server of a catalogue; empty for one on this machine's disks."""
    return urlsplit(source).netloc if "://" in source else ""


def _gather_results(results: "queue.Queue[Searched]", hosts: "dict[str, _Host]", left: set[int]) -> list[Searched]:
    """Wait for results; returns those that are ready and the searches that have timed out."""
    batch: list[Searched] = []
    until = 0.0
    while True:
        try:
            batch.append(results.get(timeout=_POLL_SECONDS))
            until = until or time.monotonic() + GATHER_SECONDS
        except queue.Empty:
            batch += [late for host in hosts.values() for late in host.overdue()]
        missing = len(left) > len(batch)
        if batch and (not missing or time.monotonic() > until) and results.empty():
            return batch


@dataclass(slots=True, eq=False)
class _Host:
    """One server's searches. down: it has not answered; running: job -> when its search began."""

    name: str
    search: Search
    results: "queue.Queue[Searched]"
    waiting: deque[SiteJob] = field(default_factory=deque)
    put_off: list[SiteJob] = field(default_factory=list)
    running: dict[int, tuple[SiteJob, float]] = field(default_factory=dict)
    silent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Begin to search, in threads that end with the process."""
        count = min(len(self.waiting), HOST_THREADS if self.name else 1)
        threads = [threading.Thread(target=self._search_jobs, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        threading.Thread(target=self._search_silent_hosts, args=[threads], daemon=True).start()

    def overdue(self) -> list[Searched]:
        """Searches that have taken too long; their threads are left to themselves."""
        with self.lock:
            late = [each for each, began in self.running.values() if time.monotonic() - began > SEARCH_SECONDS]
            for job in late:
                del self.running[id(job)]
                self.silent = max(self.silent, BROKEN_AFTER)
        what = f"the search was not done after {SEARCH_SECONDS:.0f} s"
        return [
            Searched(job=each, error=CatalogueError(what, each.source, "the next night tries again")) for each in late
        ]

    def _search_jobs(self) -> None:
        while (job := self._next_job()) is not None:
            self._search_site(job)

    def _next_job(self) -> SiteJob | None:
        with self.lock:
            if self.silent >= BROKEN_AFTER:
                self.put_off += self.waiting
                self.waiting.clear()
            return self.waiting.popleft() if self.waiting else None

    def _search_site(self, job: SiteJob) -> None:
        with self.lock:
            self.running[id(job)] = (job, time.monotonic())
        try:
            answer = Searched(job=job, found=self.search(job))
        except Exception as error:  # noqa: BLE001  (it crosses a thread, and is raised or reported on the other side)
            answer = Searched(job=job, error=error)
        with self.lock:
            on_time = self.running.pop(id(job), None) is not None
            if on_time:
                self.silent = self.silent + 1 if _is_silence(answer.error) else 0
        if on_time:
            self.results.put(answer)

    def _search_silent_hosts(self, threads: Sequence[threading.Thread]) -> None:
        """Once all else is searched, try a host that was down with one site, and give up on the others or go on."""
        for thread in threads:
            thread.join(SEARCH_SECONDS)
        with self.lock:
            rest, self.put_off = self.put_off, []
            self.silent = 0
        for number, job in enumerate(rest):
            if number and self.silent:
                self.results.put(Searched(job=job, error=PostponedError(self.name, job.site.id)))
            else:
                self._search_site(job)


def _is_silence(error: Exception | None) -> bool:
    """Whether a host gave no answer or put all searches off; one that refuses one search says nothing of the others."""
    return isinstance(error, FetchError) and (error.status == 0 or error.status >= 500 or error.status in LATER)
