"""One run at a time over a folder of results: a lock that dies with its process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.model.errors import ReviewError

WAIT_SECONDS = 60.0


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


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Hold a folder for a change of one of its files; who comes second waits.

    The folder itself is locked, so nothing is left in it. Raises ReviewError where it cannot be read, or another
    process holds it for WAIT_SECONDS.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as fault:
        raise ReviewError(f"cannot be locked: {fault.strerror}", str(folder), "fix its permissions") from fault
    try:
        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as fault:
                if time.monotonic() > until:
                    raise ReviewError("another process holds it", str(folder), "try again later") from fault
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)
