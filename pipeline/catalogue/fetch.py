"""One way to fetch a document: with timeouts that apply, a retry that covers POST and half bodies, and a size limit."""

import json
import time
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from pipeline.catalogue.deadline import within
from pipeline.catalogue.hrefs import redact
from pipeline.model.errors import CatalogueError

TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and between two pieces of an answer; a search takes up to 30 s on a busy provider."""
ANSWER_S = 120.0
"""Seconds for a whole answer; a server that needs them once is not asked again for the same document."""
TRIES = 5
"""Attempts for one document."""
PAUSE_S = 1.0
"""Seconds before the second attempt, doubled each time."""
MAX_PAUSE_S = 60.0
"""Longest pause that a server's Retry-After is granted."""
MAX_BYTES = 256_000_000
"""Largest answer taken; 100 recorded items are 3 MB."""
AGAIN = frozenset({403, 408, 425, 429, 500, 502, 503, 504})
"""Answers worth another try; 403 is how one provider throttles."""
MEND = "try again later; `groundbreak doctor` tells which providers answer"


class RefusedError(CatalogueError):
    """A document that was not had. status: last HTTP code, 0 if there was none; wait_s: what the server asked for."""

    def __init__(self, what: str, where: str, mend: str, status: int = 0, wait_s: float = 0.0) -> None:
        super().__init__(what, where, mend)
        self.status, self.wait_s = status, wait_s


class PatientIO(StacApiIO):
    """pystac-client's line to a server, made to retry whole answers.

    urllib3 leaves POST and half-read bodies alone, and `Client.open` forgets the timeout of an IO it is given.
    """

    def __init__(self, tries: int = TRIES) -> None:
        super().__init__(max_retries=None)
        self.tries = tries
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=Retry(total=0, redirect=0)))

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text of a JSON document; anything else is asked for again. Raises RefusedError with the last fault."""
        fault: RefusedError | None = None
        for attempt in range(self.tries):
            if fault is not None:
                time.sleep(min(max(PAUSE_S * 2 ** (attempt - 1), fault.wait_s), MAX_PAUSE_S))
            try:
                asked = partial(self._ask, href, (method or "GET").upper(), headers, parameters)
                return within(ANSWER_S, asked)
            except TimeoutError:
                fault = RefusedError(f"no whole answer within {ANSWER_S:.0f} s", redact(href), MEND)
                break
            except RefusedError as refused:
                fault = refused
                if refused.status and refused.status not in AGAIN:
                    break
        raise fault or RefusedError("was never asked", redact(href), MEND)

    def _ask(self, href: str, method: str, headers: dict[str, str] | None, parameters: dict[str, Any] | None) -> str:
        where = redact(href)
        payload = {"json": parameters} if method == "POST" else {"params": parameters}
        try:
            answer = self._send(href, method, headers, payload)
            with answer:
                if not 200 <= answer.status_code < 300:
                    wait = answer.headers.get("Retry-After", "")
                    what = f"the server answers {answer.status_code} {answer.reason}"
                    raise RefusedError(what, where, MEND, answer.status_code, float(wait) if wait.isdigit() else 0.0)
                text = _body(answer, where).decode("utf-8")
            json.loads(text)
        except (requests.RequestException, OSError) as fault:
            raise RefusedError(f"no answer: {_short(fault)}", where, MEND) from fault
        except (ValueError, RecursionError) as fault:
            raise RefusedError(f"the answer is no JSON: {_short(fault)}", where, MEND) from fault
        return text

    def _send(
        self, href: str, method: str, headers: dict[str, str] | None, payload: dict[str, Any]
    ) -> requests.Response:
        """Ask, and follow redirects as long as they stay with the host that was named."""
        for _ in range(4):
            answer = self.session.request(
                method, href, headers=headers, timeout=TIMEOUT_S, stream=True, allow_redirects=False, **payload
            )
            target = answer.headers.get("Location")
            if answer.status_code not in (301, 302, 303, 307, 308) or target is None:
                return answer
            answer.close()
            onward = urljoin(href, target)
            if urlsplit(onward).hostname != urlsplit(href).hostname:
                raise RefusedError(f"redirected to {urlsplit(onward).hostname}", redact(href), "name that address", 310)
            href = onward
        raise RefusedError("redirected in a circle", redact(href), MEND, 310)


def get_json(url: str) -> object:
    """The JSON document at an address. Raises RefusedError."""
    return json.loads(PatientIO().request(url))


def _body(answer: requests.Response, where: str) -> bytes:
    parts, size = [], 0
    for part in answer.iter_content(1 << 16):
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise RefusedError(f"the answer is larger than {MAX_BYTES / 1e6:.0f} MB", where, "ask for less", 413)
    stated = answer.headers.get("Content-Length", "")
    if stated.isdigit() and "Content-Encoding" not in answer.headers and size != int(stated):
        raise RefusedError(f"the answer broke off after {size} of {stated} bytes", where, MEND)
    return b"".join(parts)


def _short(fault: Exception) -> str:
    return " ".join(str(fault).split())[:120]
