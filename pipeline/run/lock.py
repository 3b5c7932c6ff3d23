"""One run at a time over a folder of results: a lock that the system releases when its process ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.model.errors import ReviewError, UsageError
from pipeline.review.gpkg import lock_seconds
from pipeline.review.layout import STATE, Results

WAIT_SECONDS = 60.0
_OTHER = "name a folder with --out, or move that away"


@contextmanager
def output_lock(out: Path) -> Iterator[None]:
    """Hold the folder for this process.

    Raises UsageError for a path that is no folder and for a wrong waiting time in the environment, ReviewError where
    another run holds the folder or it cannot be written.
    """
    lock_seconds()  # wrong for one review file is wrong for all: said before any work
    path = Results(out).lock
    _require_folder(out, out)
    _require_folder(path.parent, out)
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        fix = "wait for it to end, or give another folder with --out"
        raise ReviewError("another run is at work there", str(out), fix) from error
    except (OSError, NotImplementedError) as error:
        fix = "fix its permissions, or give another folder with --out"
        what = f"cannot be written: {getattr(error, 'strerror', None) or error}"
        raise ReviewError(what, str(getattr(error, "filename", None) or out), fix) from error
    try:
        yield
    finally:
        lock.release()


def _require_folder(path: Path, out: Path) -> None:
    """Raise UsageError where a file, or something else that is no folder, lies where a folder of results is to be."""
    try:
        blocking = next((each for each in (path, *path.parents) if os.path.lexists(each) and not each.is_dir()), None)
    except OSError as error:
        raise UsageError(f"no path of a folder: {error.strerror or error}", f"--out {out}", _OTHER) from error
    if blocking is not None:
        raise UsageError(f"{blocking} is no folder", f"--out {out}", _OTHER)


@contextmanager
def file_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for a change of one of its files; who comes second waits.

    Raises ReviewError where it cannot be written, or another process holds it for WAIT_SECONDS.
    """
    lock = FileLock(folder / f"{STATE}.lock", timeout=WAIT_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise ReviewError("another process holds it", str(folder), "try again later") from error
    except (OSError, NotImplementedError) as error:
        raise ReviewError(f"cannot be locked: {error}", str(folder), "fix its permissions") from error
    try:
        yield
    finally:
        lock.release()
