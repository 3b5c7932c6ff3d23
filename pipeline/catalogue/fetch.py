"""One way to fetch a document: with timeouts that apply, a retry that covers POST and half bodies, and a size limit."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import requests
from pystac_client.stac_api_io import StacApiIO

from pipeline.catalogue.hrefs import redact_href
from pipeline.catalogue.transport import (
    DeadlineError,
    InsideError,
    RedirectError,
    new_session,
    read_at_most,
    run_with_deadline,
    send_request,
    stated_count,
    wanted_pause,
)
from pipeline.model.errors import CatalogueError

TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and between two pieces of an answer; a search takes up to 30 s on a busy provider."""
DEADLINE_S = 120.0
"""Seconds for one answer as a whole, however often a byte of it comes."""
TRIES = 5
"""Attempts for one document."""
PAUSE_S = 1.0
"""Seconds before the second attempt, doubled each time."""
MAX_PAUSE_S = 60.0
"""Longest pause that a server's Retry-After is granted."""
MAX_BYTES = 128_000_000
"""Largest answer taken; 100 recorded items are 3 MB."""
AGAIN = frozenset({403, 408, 425, 429, 500, 502, 503, 504})
"""Answers worth another try; 403 is how one provider throttles."""
NOT_FOLLOWED, TOO_SLOW = 310, 598
"""Status of errors without an HTTP status: a redirect to another host, and an answer that does not end."""
FIX = "try again later; `groundbreak doctor` shows which providers answer"


T = TypeVar("T")


class FetchError(CatalogueError):
    """A document that could not be fetched. status: last HTTP status or 0; wait_s: pause that the server requests."""

    def __init__(self, what: str, where: str, fix: str, status: int = 0, wait_s: float = 0.0) -> None:
        super().__init__(what, where, fix)
        self.status, self.wait_s = status, wait_s


class RetryingStacIO(StacApiIO):
    """HTTP client of pystac-client that retries whole answers.

    urllib3 leaves POST and half-read bodies alone, and `Client.open` forgets the timeout of an IO it is given.
    """

    def __init__(self, tries: int = TRIES) -> None:
        super().__init__(max_retries=None)
        self.tries = tries
        self.session = new_session()

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Text of a JSON document; any other answer is requested again. Raises FetchError for the last one."""
        return self._request_with_retries(href, lambda: self._ask(href, (method or "GET").upper(), headers, parameters))

    def content(self, href: str) -> bytes:
        """Bytes of a file, with the retries of a document. Raises FetchError for the last attempt."""
        return self._request_with_retries(href, lambda: self._fetch_once(href, lambda: self._bytes(href, "GET")))

    def _request_with_retries(self, href: str, ask: Callable[[], T]) -> T:
        error: FetchError | None = None
        for attempt in range(self.tries):
            if error is not None:
                time.sleep(min(max(PAUSE_S * 2 ** (attempt - 1), error.wait_s), MAX_PAUSE_S))
            try:
                return ask()
            except FetchError as refused:
                error = refused
                if refused.status and refused.status not in AGAIN:
                    break
        raise error or FetchError("was never asked", redact_href(href), FIX)

    def _ask(self, href: str, method: str, headers: dict[str, str] | None, parameters: dict[str, Any] | None) -> str:
        payload = {"json": parameters} if method == "POST" else {"params": parameters}
        try:
            text = self._fetch_once(href, lambda: self._bytes(href, method, headers=headers, **payload)).decode(
                "utf-8-sig"
            )
            json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FetchError(f"the answer is no JSON: {_short_reason(error)}", redact_href(href), FIX) from error
        return text

    def _fetch_once(self, href: str, work: Callable[[], bytes]) -> bytes:
        """Result of `work` within the deadline. Raises FetchError for any error."""
        where = redact_href(href)
        try:
            return run_with_deadline(DEADLINE_S, work)
        except RedirectError as error:
            raise FetchError(str(error), where, "name that address, if you trust it", NOT_FOLLOWED) from error
        except InsideError as error:
            raise FetchError(str(error), where, "name a catalogue of a public host", NOT_FOLLOWED) from error
        except DeadlineError as error:
            raise FetchError(str(error), where, FIX, TOO_SLOW) from error
        except (requests.RequestException, OSError) as error:
            raise FetchError(f"no answer: {_short_reason(error)}", where, _fix_for(error)) from error

    def _bytes(self, href: str, method: str, **options: Any) -> bytes:
        with send_request(self.session, method, href, timeout=TIMEOUT_S, **options) as answer:
            if not 200 <= answer.status_code < 300:
                what = f"the server answers {answer.status_code} {answer.reason}"
                wait = wanted_pause(answer, datetime.now(UTC))
                raise FetchError(what, redact_href(href), FIX, answer.status_code, wait)
            if "html" in answer.headers.get("Content-Type", ""):
                raise FetchError(
                    "a web page instead of data", redact_href(href), f"log in if it asks for it; else {FIX}"
                )
            return _read_body(answer, redact_href(href))


def get_json(url: str) -> object:
    """The JSON document at an address. Raises FetchError."""
    return json.loads(RetryingStacIO().request(url))


def get_bytes(url: str) -> bytes:
    """The file at an address. Raises FetchError."""
    return RetryingStacIO().content(url)


def _fix_for(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return (
            "if this server has a certificate of your own authority, name its file in SSL_CERT_FILE (docs/providers.md)"
        )
    return FIX


def _read_body(answer: requests.Response, where: str) -> bytes:
    data = read_at_most(answer, MAX_BYTES)
    if len(data) > MAX_BYTES:
        raise FetchError(f"the answer is larger than {MAX_BYTES / 1e6:.0f} MB", where, "ask for less", 413)
    stated = stated_count(answer.headers.get("Content-Length", ""))
    if stated is not None and "Content-Encoding" not in answer.headers and len(data) != stated:
        raise FetchError(f"the answer broke off after {len(data)} of {stated} bytes", where, FIX)
    return data


def _short_reason(error: Exception) -> str:
    """Reason of an error in short, without the wrappers of the HTTP libraries."""
    reason = getattr(error.args[0] if error.args else None, "reason", None) or error
    return " ".join(str(reason).rpartition("): ")[2].split())[:120]
