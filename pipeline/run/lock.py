"""One run at a time over a folder of results: a lock that the system releases when its process ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.model.errors import ReviewError
from pipeline.review.layout import STATE, Results

WAIT_SECONDS = 60.0


@contextmanager
def output_lock(out: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises ReviewError where another run holds it or it cannot be written."""
    path = Results(out).lock
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as fault:
        fix = "wait for it to end, or give another folder with --out"
        raise ReviewError("another run is at work there", str(out), fix) from fault
    except (OSError, NotImplementedError) as fault:
        fix = "fix its permissions, or give another folder with --out"
        raise ReviewError(f"cannot be written: {getattr(fault, 'strerror', None) or fault}", str(out), fix) from fault
    try:
        yield
    finally:
        lock.release()


@contextmanager
def file_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for a change of one of its files; who comes second waits.

    Raises ReviewError where it cannot be written, or another process holds it for WAIT_SECONDS.
    """
    lock = FileLock(folder / f"{STATE}.lock", timeout=WAIT_SECONDS)
    try:
        lock.acquire()
    except Timeout as fault:
        raise ReviewError("another process holds it", str(folder), "try again later") from fault
    except (OSError, NotImplementedError) as fault:
        raise ReviewError(f"cannot be locked: {fault}", str(folder), "fix its permissions") from fault
    try:
        yield
    finally:
        lock.release()
