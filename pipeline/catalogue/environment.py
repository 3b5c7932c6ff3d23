"""Environment variables that affect the libraries: data of PROJ, certificates, proxies."""

import os
import ssl
from collections.abc import MutableMapping
from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform

from pipeline.catalogue.hrefs import redact_href
from pipeline.model.errors import UsageError

PROJ_VARIABLES = ("PROJ_DATA", "PROJ_LIB")
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""The first is the documented one; the others are what requests and curl (GDAL) read."""
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")


def proj_hint() -> str:
    """What to do where a coordinate system is unknown because PROJ was pointed at the data of another version."""
    named = [name for name in PROJ_VARIABLES if os.environ.get(name)]
    if not named:
        return ""
    return f"{' and '.join(named)} point PROJ at data of another installation: unset {' and '.join(named)}"


def check_proj() -> None:
    """Raise UsageError where PROJ was pointed at data that it cannot use: every product would be unreadable."""
    hint = proj_hint()
    if not hint:
        return
    try:
        transform("EPSG:32631", "EPSG:4326", [500000.0], [5000000.0])
    except (RasterioError, CRSError, CPLE_BaseError) as error:
        where = ", ".join(f"{name}={os.environ[name]}" for name in PROJ_VARIABLES if os.environ.get(name))
        raise UsageError("PROJ knows no coordinate system", where, hint) from error


def check_certificates() -> None:
    """Raise UsageError where a variable names certificates that cannot be read: no https address would answer."""
    for name in CERTIFICATE_VARIABLES:
        bundle = os.environ.get(name)
        if not bundle:
            continue
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if Path(bundle).is_dir():
                context.load_verify_locations(capath=bundle)
            else:
                context.load_verify_locations(cafile=bundle)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            fix = f"name a file of certificates in PEM form, or unset {name}"
            raise UsageError(f"certificates cannot be read: {reason}", f"{name}={bundle}", fix) from error


def network_settings() -> str:
    """Text on the certificates and proxies in use, without the password of a proxy."""
    bundle = next((f"{name}={os.environ[name]}" for name in CERTIFICATE_VARIABLES if os.environ.get(name)), "")
    proxies = [f"{name}={redact_href(value)}" for name in PROXY_VARIABLES if (value := os.environ.get(name))]
    return ", ".join(([bundle] if bundle else []) + proxies)


def share_network_settings(environment: MutableMapping[str, str] = os.environ) -> None:
    """One setting for all: requests, urllib and GDAL each read a variable of their own, and get the same value.

    Certificates: the first of CERTIFICATE_VARIABLES that is set. Proxies: curl reads http_proxy in lower case only.
    """
    bundle = next((environment[name] for name in CERTIFICATE_VARIABLES if environment.get(name)), None)
    if bundle is not None and not Path(bundle).is_dir():  # which only requests knows
        for name in CERTIFICATE_VARIABLES:
            environment.setdefault(name, bundle)
    for name in PROXY_VARIABLES:
        value = environment.get(name) or environment.get(name.upper())
        if value:
            environment.setdefault(name, value)
            environment.setdefault(name.upper(), value)
