"""One way over HTTP for documents and pixels: no redirect to another host, no retry behind the caller's back, a
deadline for the whole of an answer, and no connection into this network for a name that stands for a public host.

GDAL follows every redirect and has no setting against it, so it is not given addresses (docs/decisions/0110).
A resolver may give another address each time (DNS rebinding), so a connection is made to the address that was checked.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.util.retry import Retry

from pipeline.catalogue.hrefs import addresses_of, is_local

MAX_REDIRECTS = 4
_REDIRECTS = (301, 302, 303, 307, 308)
_public: set[str] = set()
"""Names that must resolve to public addresses, for the life of the process."""
T = TypeVar("T")


class InsideError(requests.RequestException):
    """A name that must be public and resolves to this machine or its network."""


class RedirectError(requests.RequestException):
    """A redirect that is not followed. target: the host that it names."""

    def __init__(self, target: str) -> None:
        super().__init__(f"redirected to {target}")
        self.target = target


class DeadlineError(requests.Timeout):
    """An answer that was not complete in time, however often a byte of it came."""


def require_public(address: str) -> None:
    """Refuse connections of this process to the host of an address wherever its name resolves into this network."""
    with suppress(requests.RequestException):  # an address that cannot be sent to
        sent_to = requests.Request("GET", address).prepare().url
        _public.add(_spell_host(urlsplit(str(sent_to)).hostname or ""))


def _spell_host(name: str) -> str:
    return name.lower().rstrip(".")


class _InsideError(HTTPError):
    """InsideError on its way through urllib3, which takes other errors for a broken connection."""


class _CheckedConnection(HTTPConnection):
    """A connection to an address that was checked. A name that was public once stays so."""

    def _new_conn(self) -> socket.socket:
        name = self.host
        if self.proxy is not None or is_local(name):
            return super()._new_conn()  # a proxy resolves the name; an address was checked where it was read
        failure: HTTPError | None = None
        for address in _checked_addresses(name, self):
            try:
                self.host = address
                return super()._new_conn()
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = error
            finally:
                self.host = name
        raise failure or NewConnectionError(self, f"no address of {name}")


class _CheckedTlsConnection(_CheckedConnection, HTTPSConnection):
    """The same with TLS: the certificate is that of the name."""


def _checked_addresses(name: str, connection: HTTPConnection) -> list[str]:
    try:
        addresses = addresses_of(name)
    except (OSError, UnicodeError) as error:
        raise NewConnectionError(connection, f"{name} cannot be resolved: {error}") from error
    if not any(map(is_local, addresses)):
        _public.add(_spell_host(name))
    elif _spell_host(name) in _public:
        raise _InsideError(f"{name} resolves to this machine or its network")
    return addresses


class _CheckedPool(HTTPConnectionPool):
    ConnectionCls = _CheckedConnection


class _CheckedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedTlsConnection


class _CheckedAdapter(HTTPAdapter):
    def init_poolmanager(self, *positional: Any, **named: Any) -> None:
        super().init_poolmanager(*positional, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _CheckedPool, "https": _CheckedTlsPool}


class _Session(requests.Session):
    """Session that ignores redirects: requests parses them even if it follows none, and fails on invalid ones."""

    def resolve_redirects(self, *_: Any, **__: Any) -> Iterator[Any]:  # type: ignore[override]
        return iter(())


def new_session() -> requests.Session:
    """A session that neither retries nor redirects by itself, and connects to addresses that were checked."""
    made = _Session()
    for scheme in ("https://", "http://"):
        made.mount(scheme, _CheckedAdapter(max_retries=Retry(total=0, redirect=0)))
    return made


def send_request(line: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
    """The answer to a request; a redirect is followed within the same host, and never from https to http.

    Raises RedirectError for any other, InsideError for a name that leads inside, requests' own errors for the rest.
    """
    for _ in range(MAX_REDIRECTS):
        try:
            answer = line.request(method, url, stream=True, allow_redirects=False, **options)
        except _InsideError as error:
            raise InsideError(str(error)) from error
        target = answer.headers.get("Location")
        if answer.status_code not in _REDIRECTS or target is None:
            return answer
        answer.close()
        url = _redirect_target(url, target)
    raise RedirectError("itself, in a circle")


def _redirect_target(url: str, target: str) -> str:
    try:
        onward = urljoin(url, target)
        before, after = urlsplit(url), urlsplit(onward)
        same = after.hostname == before.hostname and after.scheme in (before.scheme, "https")
    except ValueError as error:
        raise RedirectError("an invalid address") from error
    if not same:
        raise RedirectError(after.hostname if after.hostname not in (None, before.hostname) else f"{after.scheme}:")
    return onward


def stated_count(text: str) -> int | None:
    """A whole number in a header of an answer, None for any other text; large ones are cut."""
    return int(text[:18]) if text.isascii() and text.isdigit() else None


def wanted_pause(answer: requests.Response, now: datetime) -> float:
    """Pause in seconds that a server requests (Retry-After), as a number or a date; 0 if it states neither."""
    wait = answer.headers.get("Retry-After", "")
    seconds = stated_count(wait)
    if seconds is not None:
        return float(seconds)
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
    """Result or exception of `work`. Raises DeadlineError if it takes longer.

    The timeouts of a socket start again with every byte; this one does not. The work that was given up ends with its
    connection, in a thread that keeps no program alive.
    """
    outcome: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  (raised again in the thread that asked)
            errors.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    if errors:
        raise errors[0]
    if not outcome:
        raise DeadlineError(f"no complete answer within {seconds:.0f} s")
    return outcome[0]
