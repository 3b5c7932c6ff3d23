"""Limit linear algebra to one thread: sums split over threads differ in their last bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from threadpoolctl import threadpool_limits

_LOCK = Lock()
_LIMITS: list[Any] = []
"""One entry per running job of this process; a Dask worker with several threads has several."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP of this process to one thread until the last of those who asked for it is done."""
    with _LOCK:
        _LIMITS.append(_LIMITS[0] if _LIMITS else threadpool_limits(1))
    try:
        yield
    finally:
        with _LOCK:
            limits = _LIMITS.pop()
            if not _LIMITS:
                limits.restore_original_limits()
