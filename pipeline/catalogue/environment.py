"""What the environment does to the libraries that read: PROJ's data, certificates, proxies."""

import os
from collections.abc import MutableMapping

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


def share_network_settings(environment: MutableMapping[str, str] = os.environ) -> None:
    """One setting for all: requests, urllib and GDAL each read a variable of their own, and get the same value.

    Certificates: the first of CERTIFICATE_VARIABLES that is set. Proxies: curl reads http_proxy in lower case only.
    """
    bundle = next((environment[name] for name in CERTIFICATE_VARIABLES if environment.get(name)), None)
    if bundle is not None:
        for name in CERTIFICATE_VARIABLES:
            environment.setdefault(name, bundle)
    for name in PROXY_VARIABLES:
        value = environment.get(name) or environment.get(name.upper())
        if value:
            environment.setdefault(name, value)
            environment.setdefault(name.upper(), value)
