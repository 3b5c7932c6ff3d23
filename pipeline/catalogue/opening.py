"""How an href is opened: signed at the moment of reading, past GDAL's memory of faults, with what its store needs."""

import importlib
import os
from types import ModuleType

import requests

from pipeline.catalogue.hrefs import redact
from pipeline.catalogue.providers import Access, access_of
from pipeline.model.errors import PixelError

STATUS_TIMEOUT_S = (5.0, 10.0)
"""For the one question asked after a failed read, to tell a missing file from a busy server."""


def is_remote(href: str) -> bool:
    """Whether an href is read over the network."""
    return href.startswith(("https://", "http://", "s3://"))


def opened(href: str, attempt: int) -> tuple[str, dict[str, str]]:
    """What GDAL is to open and the settings it needs; from the second attempt on nothing is taken from its cache.

    Raises PixelError where a key or a package is missing.
    """
    access = access_of(href)
    missing = [name for name in access.needs if not os.environ.get(name)]
    if missing:
        raise PixelError(f"needs {' and '.join(missing)}", redact(href), "set them in the environment")
    options = dict(access.gdal)
    if not is_remote(href):
        return href, options
    target = f"/vsis3/{href.removeprefix('s3://')}" if href.startswith("s3://") else _signed(href, access, attempt)
    if attempt > 0:
        # GDAL remembers a failed answer for the life of the process and never asks again
        options["CPL_VSIL_CURL_NON_CACHED"] = target if target.startswith("/vsi") else f"/vsicurl/{_base(target)}"
    return target, options


def status(href: str) -> str:
    """What the server says to a request of our own, as GDAL loses it: "HTTP 404", "a web page", or nothing telling."""
    if not href.startswith("http"):
        return ""
    try:
        target = _signed(href, access_of(href), 0)
        ask = {"Range": "bytes=0-0"}
        with requests.get(target, headers=ask, timeout=STATUS_TIMEOUT_S, stream=True, allow_redirects=False) as answer:
            if answer.status_code >= 300:
                return f"HTTP {answer.status_code}"
            return "a web page" if "html" in answer.headers.get("Content-Type", "") else ""
    except (requests.RequestException, OSError) as fault:
        return "no answer in time" if isinstance(fault, requests.Timeout) else "no connection"


def _signed(href: str, access: Access, attempt: int) -> str:
    """The href with a fresh signature where its store asks for one; never kept, never logged."""
    if access.sign is None:
        return href
    package = _planetary_computer()
    if attempt > 0:
        package.sas.TOKEN_CACHE.clear()
    try:
        return str(package.sign_url(href))
    except requests.RequestException as fault:
        raise PixelError("no token to read with", redact(href), "it is asked for again next time") from fault


def _planetary_computer() -> ModuleType:
    try:
        return importlib.import_module("planetary_computer")
    except ImportError as fault:
        mend = "pip install 'groundbreak[planetary]'"
        raise PixelError("planetary-computer is not installed", "signed addresses", mend) from fault


def _base(target: str) -> str:
    return target.partition("?")[0]
