"""One way over HTTP for documents and pixels: no redirect to another host, no retry behind the caller's back, and a
deadline for the whole of an answer.

GDAL follows every redirect and has no setting against it, so it is not given addresses (docs/decisions/0110).
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

MAX_REDIRECTS = 4
_REDIRECTS = (301, 302, 303, 307, 308)
T = TypeVar("T")


class RedirectError(requests.RequestException):
    """A redirect that is not followed. target: the host that it names."""

    def __init__(self, target: str) -> None:
        super().__init__(f"redirected to {target}")
        self.target = target


class DeadlineError(requests.Timeout):
    """An answer that was not complete in time, however often a byte of it came."""


def new_session() -> requests.Session:
    """A session that neither retries nor redirects by itself."""
    made = requests.Session()
    for scheme in ("https://", "http://"):
        made.mount(scheme, HTTPAdapter(max_retries=Retry(total=0, redirect=0)))
    return made


def send(line: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
    """The answer to a request; a redirect is followed within the same host, and never from https to http.

    Raises RedirectError for any other, requests' own errors for the rest.
    """
    for _ in range(MAX_REDIRECTS):
        answer = line.request(method, url, stream=True, allow_redirects=False, **options)
        target = answer.headers.get("Location")
        if answer.status_code not in _REDIRECTS or target is None:
            return answer
        answer.close()
        url = _onward(url, target)
    raise RedirectError("itself, in a circle")


def _onward(url: str, target: str) -> str:
    try:
        onward = urljoin(url, target)
        before, after = urlsplit(url), urlsplit(onward)
        same = after.hostname == before.hostname and after.scheme in (before.scheme, "https")
    except ValueError as fault:
        raise RedirectError("an invalid address") from fault
    if not same:
        raise RedirectError(str(after.hostname) if after.hostname != before.hostname else f"{after.scheme}:")
    return onward


def wanted_pause(answer: requests.Response, now: datetime) -> float:
    """Seconds that a server asks to be left alone, given as a number or as a date; 0 where it says neither."""
    wait = answer.headers.get("Retry-After", "")
    if wait.isdigit():
        return float(wait)
    try:
        moment = parsedate_to_datetime(wait)
    except ValueError:
        return 0.0
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)


def read_at_most(answer: requests.Response, limit: int) -> bytes:
    """The body of an answer, cut after `limit` + 1 bytes, so that a caller sees that there was more."""
    parts, size = [], 0
    for part in answer.iter_content(1 << 16):
        parts.append(part)
        size += len(part)
        if size > limit:
            break
    return b"".join(parts)[: limit + 1]


def run_with_deadline(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns or raises. Raises DeadlineError where it takes longer.

    The timeouts of a socket start again with every byte; this one does not. The work that was given up ends with its
    connection, in a thread that keeps no program alive.
    """
    outcome: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as fault:  # noqa: BLE001  (raised again in the thread that asked)
            errors.append(fault)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    if errors:
        raise errors[0]
    if not outcome:
        raise DeadlineError(f"no complete answer within {seconds:.0f} s")
    return outcome[0]
