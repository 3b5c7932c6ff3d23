"""One run at a time over a folder of results: a lock that dies with its process."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.model.errors import ReviewError


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises ReviewError where another run holds it or it cannot be written."""
    path = out / ".groundbreak" / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as fault:
        mend = "mend the rights, or give another folder with --out"
        raise ReviewError(f"cannot be written: {fault.strerror}", str(out), mend) from fault
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            mend = "wait for it to end, or give another folder with --out"
            raise ReviewError("another run is at work there", str(out), mend) from fault
        yield
