"""The progress of a long operation, as a callback."""

from collections.abc import Callable

Progress = Callable[[str, int, int, str], None]
"""`step(site, done, total, what)`: called after each part of an operation on a site."""


def no_progress(_site: str, _done: int, _total: int, _what: str) -> None:
    """Report nothing."""
