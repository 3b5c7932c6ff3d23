"""Opening of hrefs: signed when they are read, with the settings of their store."""

import importlib
import os
from datetime import UTC, datetime
from types import ModuleType

import requests

from pipeline.catalogue import s3
from pipeline.catalogue.hrefs import redact_href
from pipeline.catalogue.providers import Access, access_of
from pipeline.model.errors import PixelError


def is_remote(href: str) -> bool:
    """Whether an href is read over the network."""
    return href.startswith(("https://", "http://", "s3://"))


def address_of(href: str, attempt: int) -> str:
    """Path or address to open; from the second attempt on with a new signature.

    Raises PixelError where a key or a package is missing.
    """
    access = access_of(href)
    missing = [name for name in access.needs if not os.environ.get(name)]
    if missing:
        raise PixelError(f"needs {' and '.join(missing)}", redact_href(href), "set them in the environment")
    if href.startswith("s3://"):
        return s3.address_of(href, access, os.environ, datetime.now(UTC))
    return _sign_href(href, access, attempt) if is_remote(href) else href


def _sign_href(href: str, access: Access, attempt: int) -> str:
    """The href with a fresh signature where its store asks for one; never kept, never logged."""
    if access.sign is None:
        return href
    package = _planetary_computer()
    if attempt > 0:
        package.sas.TOKEN_CACHE.clear()
    try:
        return str(package.sign_url(href))
    except requests.RequestException as error:
        raise PixelError("no token to read with", redact_href(href), "it is asked for again next time") from error


def _planetary_computer() -> ModuleType:
    try:
        return importlib.import_module("planetary_computer")
    except ImportError as error:
        fix = "pip install 'groundbreak[planetary]'"
        raise PixelError("planetary-computer is not installed", "signed addresses", fix) from error
