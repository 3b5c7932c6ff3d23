"""A real Dask cluster on loopback: a scheduler and its workers, each a process of its own."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

START_SECONDS = 60


@dataclass(slots=True)
class Cluster:
    """Where the scheduler listens, and its workers, oldest first."""

    address: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)


def _dask(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
    with (folder / f"{arguments[0]}-{time.monotonic_ns()}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)


def kill_at_work(made: Cluster, count: int) -> threading.Thread:
    """Kills the first `count` workers once the scheduler has given tasks to as many; the thread that does it."""

    def watch() -> None:
        with Client(made.address, set_as_default=False) as client:
            ends = time.monotonic() + START_SECONDS
            while time.monotonic() < ends and sum(map(bool, client.processing().values())) < count:
                time.sleep(0.05)
        for doomed in made.workers[:count]:
            doomed.kill()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Cluster]:
    """A scheduler with so many single-threaded workers, all gone afterwards."""
    told = folder / "scheduler.json"
    scheduler = _dask(folder, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                      "--scheduler-file", str(told))  # fmt: skip
    made = Cluster(address="")
    try:
        ends = time.monotonic() + START_SECONDS
        while not told.exists() or not told.read_text().strip():
            assert time.monotonic() < ends and scheduler.poll() is None, "the scheduler did not start"
            time.sleep(0.1)
        made.address = json.loads(told.read_text())["address"]
        for _ in range(workers):
            made.workers.append(_dask(folder, "worker", made.address, "--host", "127.0.0.1", "--nthreads", "1",
                                      "--no-nanny", "--no-dashboard", "--local-directory", str(folder)))  # fmt: skip
        yield made
    finally:
        for process in (*made.workers, scheduler):
            process.kill()
            process.wait(10)
