"""What the doctor says of the ways to tell."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.run.doctor import Check, Health, run_checks


def checked(tmp_path: Path, catalog: str) -> dict[str, Check]:
    settings = f'[search]\ncatalog = "{catalog}"\n[notify]\nmail_to = ["desk@example.org"]\n'
    (tmp_path / "groundbreak.toml").write_text(settings)
    every = run_checks(tmp_path / "out", tmp_path / "groundbreak.toml", tmp_path / "none.geojson", datetime.now(UTC))
    return {check.name: check for check in every}


def told(tmp_path: Path) -> Check:
    return checked(tmp_path, ".")["notify"]


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives every caller these bytes, be they HTTP or not."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_the_doctor_names_the_ways_to_tell_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDBREAK_PING_URL", "https://example.org/T0K3N")
    assert told(tmp_path) == Check(name="notify", health=Health.OK, found="feed, mail, ping")


def test_the_doctor_finds_an_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDBREAK_WEBHOOK_URL", "T0K3N")
    check = told(tmp_path)
    assert check.health is Health.ERROR and "GROUNDBREAK_WEBHOOK_URL" in check.found
    assert "T0K3N" not in check.found + check.fix


@pytest.mark.parametrize("catalog", ["http://127.0.0.1:1/a b", "http://127.0.0.1:port/", "http://[/", "nothing://x"])
def test_the_doctor_diagnoses_an_address_that_is_none(tmp_path: Path, catalog: str) -> None:
    check = checked(tmp_path, catalog)["catalogue"]
    assert check.health is Health.WARNING and "does not answer" in check.found


def test_the_doctor_diagnoses_a_server_that_speaks_no_http(tmp_path: Path) -> None:
    with answering(b"SSH-2.0-OpenSSH_9.6\r\n") as url:
        check = checked(tmp_path, url)["catalogue"]
    assert check.health is Health.WARNING and "does not answer" in check.found


@pytest.mark.parametrize("date", ["", "Date: yesterday", "Date: Mon, 99 Foo 2024 99:99:99 GMT", "Date: "])
def test_a_date_that_cannot_be_read_is_no_time(tmp_path: Path, date: str) -> None:
    with answering(f"HTTP/1.0 200 OK\r\n{date}\r\n\r\n{{}}".encode()) as url:
        found = checked(tmp_path, url)
    assert found["catalogue"].health is Health.OK
    assert found["clock"].health is Health.WARNING and "no time" in found["clock"].found


def test_the_doctor_diagnoses_names_that_are_too_long(tmp_path: Path) -> None:
    assert checked(tmp_path, "x" * 300)["catalogue"].health is Health.ERROR
    every = {check.name: check for check in run_checks(tmp_path / ("x" * 300), tmp_path, tmp_path, datetime.now(UTC))}
    assert every["results"].health is Health.ERROR and every["disk"].health is Health.OK
