"""One run at a time over a folder of results: a lock that the system releases when its process ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.model.errors import ReviewError


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises ReviewError where another run holds it or it cannot be written."""
    path = out / ".groundbreak" / "lock"
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
