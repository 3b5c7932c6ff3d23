"""DNS rebinding: the address that was checked is the address connected to, for documents and for pixels."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from pipeline.catalogue import fetch, hrefs, ranges, transport
from pipeline.catalogue.fetch import FetchError, RetryingStacIO
from pipeline.catalogue.rasters import open_raster
from pipeline.catalogue.scenes import search_scenes
from pipeline.model.errors import SiteError
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings, override_settings
from pipeline.run.process_site import survey_scenes
from pipeline.run.selection import site_job
from tests import world
from tests.catalogue.test_sites import read
from tests.catalogue.test_untrusted import answering, refuse

PUBLIC, NAME = "203.0.114.7", "rebind.example.org"
Resolve = Callable[..., None]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_public", set())
    for module in (fetch, ranges):
        monkeypatch.setattr(module, "TRIES", 1)
        monkeypatch.setattr(module, "PAUSE_S", 0.01)


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Let every name but an address resolve to these, one after another, and to the last of them from then on."""
    real, left = socket.getaddrinfo, list[str | None]()

    def stub(host: str, port: object, *more: object, **named: object) -> object:
        if hrefs.is_local(host) or host == PUBLIC:
            return real(host, port, *more, **named)  # type: ignore[arg-type]
        address = left.pop(0) if len(left) > 1 else left[0]
        if address is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(address, port, *more, **named)  # type: ignore[arg-type]

    def answer(*addresses: str | None) -> None:
        left[:] = addresses

    monkeypatch.setattr(socket, "getaddrinfo", stub)
    return answer


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are connected to."""
    real, seen = socket.socket.connect, list[str]()

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        seen.append(address[0])
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return seen


@contextmanager
def inside(name: str = NAME) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server on this machine under a name, and what is asked of it."""
    with answering(refuse) as (url, asked):
        yield f"http://{name}:{urlsplit(url).port}", asked


def fetched(url: str) -> None:
    RetryingStacIO(tries=1).request(f"{url}/catalog.json")


def opened(url: str) -> None:
    with open_raster(f"{url}/red.tif"):
        pass


def answered(url: str) -> int:
    with transport.new_session() as session, transport.send_request(session, "GET", url) as answer:
        return answer.status_code


@pytest.mark.parametrize("way", [fetched, opened])
def test_the_checked_address_is_connected_to(resolve: Resolve, reached: list[str], way: Callable[[str], None]) -> None:
    resolve(PUBLIC, "127.0.0.1")
    with inside() as (url, asked), pytest.raises((FetchError, ranges.RangeError), match=r"no answer|no connection"):
        way(url)
    assert reached == [PUBLIC] and asked == []


@pytest.mark.parametrize("way", [fetched, opened])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254", "10.0.0.8", "::ffff:127.0.0.1"])
def test_a_public_name_does_not_lead_inside_later(
    resolve: Resolve, reached: list[str], way: Callable[[str], None], address: str
) -> None:
    resolve(PUBLIC, address)
    with inside() as (url, asked):
        with pytest.raises((FetchError, ranges.RangeError)):
            way(url)
        with pytest.raises((FetchError, ranges.RangeError), match="resolves to this machine or its network"):
            way(url)
    assert reached == [PUBLIC] and asked == []


@pytest.mark.parametrize("first", [PUBLIC, None])
@pytest.mark.parametrize("name", [NAME, "Rebind.Example.ORG", "rebind.example.org.", "bücher.example.org"])
def test_the_catalogue_of_an_aoi_file_stays_outside(
    tmp_path: Path, resolve: Resolve, reached: list[str], first: str | None, name: str
) -> None:
    """Its name is resolved to a public address, or to none, when the site is checked, and to this machine later."""
    resolve(first, "127.0.0.1")
    with inside(name) as (url, asked):
        (site,) = read(tmp_path, world.feature(f"{url}/catalog.json")).sites
        wanted = site_job(site, Settings(), catalog=None, start=None, end=None)
        with pytest.raises(FetchError, match="resolves to this machine or its network"):
            search_scenes(site, wanted.source, None, None, wanted.until, Settings())
    assert asked == [] and "127.0.0.1" not in reached


def test_a_process_that_only_reads_pixels_checks_too(tmp_path: Path, resolve: Resolve) -> None:
    resolve(PUBLIC, PUBLIC, "127.0.0.1")
    with inside() as (url, asked):
        (site,) = read(tmp_path, world.feature(f"{url}/catalog.json")).sites
        wanted = site_job(site, Settings(), catalog=None, start=None, end=None)
        found = search_scenes(site, str(world.catalogue(tmp_path / "c", dates=1)), None, None, wanted.until, Settings())
        transport._public.clear()  # as in a worker
        resolve("127.0.0.1")
        with pytest.raises(SiteError, match="on this machine or its network"):
            survey_scenes(replace(wanted, found=found), no_progress)
    assert asked == []


def test_a_trusted_name_may_lead_inside(tmp_path: Path, resolve: Resolve) -> None:
    resolve("127.0.0.1")
    trusting = override_settings(Settings(), {"search.asset_hosts": (NAME,)}, "test")
    with inside() as (url, asked):
        (site,) = read(tmp_path, world.feature(f"{url}/catalog.json")).sites
        wanted = site_job(site, trusting, catalog=None, start=None, end=None)
        with pytest.raises(FetchError, match="answers 404"):
            search_scenes(site, wanted.source, None, None, wanted.until, trusting)
    assert asked


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in ("127.0.0.9", "127.0.0.1")]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **named: entries if host == NAME else real(host, *more, **named)
    )
    with inside() as (url, _):
        assert answered(url) == 404


def test_a_proxy_resolves_the_names(monkeypatch: pytest.MonkeyPatch, resolve: Resolve) -> None:
    resolve(None)
    with answering(refuse) as (url, asked):
        monkeypatch.setenv("http_proxy", url)
        assert answered("http://stac.example.org/v1") == 404
    assert asked == [("GET", "http://stac.example.org/v1")]


@pytest.mark.parametrize("address", ["64:ff9b::7f00:1", "::7f00:1", "2002:7f00:1::", "::ffff:10.0.0.8", "::"])
def test_an_ipv4_address_within_an_ipv6_address_counts(address: str) -> None:
    assert hrefs.is_local(address) and not hrefs.is_local("64:ff9b::808:808") and not hrefs.is_local("2606:4700::1")


def test_an_address_that_cannot_be_sent_to_needs_no_check() -> None:
    with pytest.raises(requests.RequestException):
        requests.Request("GET", "http://*.example.org:x/").prepare()
    transport.require_public("http://*.example.org:x/")
    assert not transport._public
