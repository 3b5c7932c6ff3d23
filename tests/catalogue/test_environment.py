"""Certificates, proxies and PROJ's data: one setting for all that reads, named where it is wrong."""

import http.server
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.catalogue import fetch, ranges
from pipeline.catalogue.environment import check_certificates, share_network_settings
from pipeline.catalogue.fetch import FetchError, get_json
from pipeline.catalogue.rasters import open_raster
from pipeline.model.errors import UsageError
from pipeline.run.doctor import Health, run_checks
from pipeline.study.catalogue_writer import write_cog
from tests import world
from tests.catalogue.tiles import TILE10, ramp

INTRANET = "stac.intranet.example"
ROOT = Path(__file__).resolve().parents[2]
RUN = "from pipeline.cli.main import run; import sys; run(sys.argv[1:])"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*fetch_variables(), "PROJ_DATA", "PROJ_LIB"):
        monkeypatch.delenv(name, raising=False)
    for module in (fetch, ranges):
        monkeypatch.setattr(module, "TRIES", 1)
        monkeypatch.setattr(module, "PAUSE_S", 0.01)


def fetch_variables() -> list[str]:
    proxies = ["http_proxy", "https_proxy", "no_proxy", "all_proxy"]
    return ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", *proxies, *(name.upper() for name in proxies)]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server with a certificate of an authority of its own: its address, and the authority's file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "files"
    files.mkdir()
    (files / "catalog.json").write_text('{"type": "Catalog", "id": "x", "links": []}')
    write_cog(files / "red.tif", ramp(TILE10, 1), TILE10)
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=localhost "
        f"-addext subjectAltName=DNS:localhost,DNS:{INTRANET}"
    )
    subprocess.run(
        [*command.split(), "-keyout", folder / "key.pem", "-out", folder / "ca.pem"], check=True, capture_output=True
    )

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object, **more: object) -> None:
            super().__init__(*arguments, directory=str(files), **more)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_address[1]}", folder / "ca.pem"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_one_variable_serves_search_pixels_and_doctor(
    secure: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    url, authority = secure
    (tmp_path / "groundbreak.toml").write_text(f'[search]\ncatalog = "{url}/catalog.json"\n')

    def said() -> dict[str, tuple[Health, str]]:
        every = run_checks(
            tmp_path / "out", tmp_path / "groundbreak.toml", tmp_path / "none.geojson", datetime.now(UTC)
        )
        return {check.name: (check.health, check.found + check.fix) for check in every}

    with pytest.raises(FetchError, match="SSL_CERT_FILE"):
        get_json(f"{url}/catalog.json")
    with pytest.raises(ranges.RangeError, match="certificate"), open_raster(f"{url}/red.tif"):
        pass
    assert said()["catalogue"][0] is Health.WARNING and "SSL_CERT_FILE" in said()["catalogue"][1]
    monkeypatch.setenv(variable, str(authority))
    shared = dict(os.environ)
    share_network_settings(shared)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, shared[name])
    assert get_json(f"{url}/catalog.json") == {"type": "Catalog", "id": "x", "links": []}
    with open_raster(f"{url}/red.tif") as source:
        assert source.shape == TILE10.shape
    assert said()["catalogue"][0] is Health.OK and str(authority) in said()["certificates"][1]


@pytest.mark.parametrize(("name", "is_right"), [(INTRANET, True), ("other.intranet.example", False)])
def test_a_certificate_is_that_of_the_name_not_of_the_address(
    secure: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, is_right: bool
) -> None:
    url, authority = secure
    real = socket.getaddrinfo
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **named: real("127.0.0.1" if host == name else host, *more, **named)
    )
    address = f"{url.replace('localhost', name)}/catalog.json"
    if is_right:
        assert get_json(address) == {"type": "Catalog", "id": "x", "links": []}
    else:
        with pytest.raises(FetchError, match="SSL_CERT_FILE"):
            get_json(address)


def test_a_proxy_is_set_once_and_its_password_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"HTTPS_PROXY": "http://user:s3cret@proxy.example.org:3128", "no_proxy": "localhost"}
    share_network_settings(given)
    assert given["https_proxy"] == given["HTTPS_PROXY"] and given["NO_PROXY"] == "localhost"
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    every = run_checks(tmp_path / "out", tmp_path / "none.toml", tmp_path / "none.geojson", datetime.now(UTC))
    found = next(check.found for check in every if check.name == "certificates")
    assert "proxy.example.org" in found and "s3cret" not in found


@pytest.mark.parametrize("content", [None, "not PEM at all", ""])
def test_certificates_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(UsageError, match=r"SSL_CERT_FILE=.*ca\.pem"):
        check_certificates()


@pytest.mark.parametrize("variable", ["PROJ_DATA", "PROJ_LIB"])
@pytest.mark.parametrize("words", [("detect", "--sites", "s.geojson"), ("doctor",)])
def test_data_of_another_proj_are_named_before_anything_is_read(
    tmp_path: Path, variable: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "proj.db").write_bytes(b"of another age")
    world.write_sites(tmp_path / "s.geojson", [world.feature(str(tmp_path))])
    (tmp_path / "groundbreak.toml").write_text('[search]\ncatalog = "."\n')
    environment = {**os.environ, variable: str(tmp_path / "proj"), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if f"unset {variable}" in line]
    assert len(lines) == 1 and str(tmp_path / "proj") in lines[0]
