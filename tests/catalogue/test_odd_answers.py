"""Answers that servers, proxies and portals give besides the right one: each is read, or one clean error."""

import gzip
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import requests

from pipeline.catalogue import fetch, ranges, transport
from pipeline.catalogue.fetch import FetchError, RetryingStacIO
from pipeline.catalogue.ranges import RangeError
from pipeline.catalogue.rasters import open_raster
from tests.catalogue.test_untrusted import answering
from tests.catalogue.tiles import TILE10, ramp

Reply = Callable[[BaseHTTPRequestHandler], None]
ODD_NUMBERS = ("-5", "²", "٣", "1.5", "soon", "", "9" * 400, "Thu, 01 Jan 0001 00:00:00 GMT", "1e3")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fetch, ranges):
        monkeypatch.setattr(module, "PAUSE_S", 0.01)
        monkeypatch.setattr(module, "MAX_PAUSE_S", 0.01)
        monkeypatch.setattr(module, "TIMEOUT_S", (1, 1))
    monkeypatch.setattr(ranges, "TRIES", 1)


def reply(body: bytes, code: int = 200, headers: Iterable[tuple[str, str]] = (), length: str | None = None) -> Reply:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in (*headers, ("Content-Length", str(len(body)) if length is None else length)):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return send


def raw(text: bytes) -> Reply:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(text)
        handler.close_connection = True

    return send


READ = {
    "a mark of Windows": reply(b'\xef\xbb\xbf{"a": 1}'),
    "gzip": reply(gzip.compress(b'{"a": 1}'), headers=[("Content-Encoding", "gzip")]),
    "a length that is none": reply(b'{"a": 1}', length="x"),
    "a partial answer that is whole": reply(b'{"a": 1}', 206),
}
REFUSED = {
    "a page of a portal": (reply(b"<html>", headers=[("Content-Type", "text/html")]), "web page instead of data"),
    "gzip without a word": (reply(gzip.compress(b"{}")), "no JSON"),
    "torn gzip": (
        reply(gzip.compress(b'{"a": "x"}')[:20], headers=[("Content-Encoding", "gzip")]),
        "no JSON|no answer",
    ),
    "no content": (reply(b"", 204), "no JSON"),
    "no HTTP": (raw(b"\x00\xff\n\n"), "no answer"),
    "endless headers": (raw(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 500 + b"\r\n{}"), "no answer"),
    "a torn chunk": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"), "no answer"),
    "a file as a redirect": (reply(b"", 302, [("Location", "file:///etc/passwd")]), "redirected to file:"),
    "a redirect to nowhere": (reply(b"", 302, [("Location", "http://[")]), "redirected to an invalid address"),
    "a redirect of bytes": (reply(b"", 302, [("Location", "/\xff\xfe")]), "redirected to itself"),
}


@pytest.mark.parametrize("name", READ)
def test_an_odd_answer_that_is_whole_is_read(name: str) -> None:
    with answering(READ[name]) as (url, _):
        assert '"a": 1' in RetryingStacIO(tries=1).request(url)


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_of_another_kind_is_one_clean_error(name: str) -> None:
    answer, words = REFUSED[name]
    with answering(answer) as (url, _), pytest.raises(FetchError, match=words) as caught:
        RetryingStacIO(tries=1).request(url)
    assert "Pool(" not in str(caught.value) and "object at" not in str(caught.value)


@pytest.mark.parametrize("wait", ODD_NUMBERS)
def test_a_wait_that_is_no_number_is_none(wait: str) -> None:
    answer = requests.Response()
    answer.headers["Retry-After"] = wait
    assert transport.wanted_pause(answer, datetime(2024, 3, 1, tzinfo=UTC)) in (0.0, float("9" * 18))


def ranged(data: bytes, stated: Callable[[int, int], str]) -> Reply:
    """A server of ranges that states `stated(start, bytes)` of each."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        start, _, end = handler.headers["Range"].removeprefix("bytes=").partition("-")
        part = data[int(start) : int(end) + 1]
        reply(part, 206, [("Content-Range", stated(int(start), len(part)))])(handler)

    return send


@pytest.mark.parametrize("total", ["0", "-5", "*", "²", str(10**30), "9" * 400, ""])
def test_a_file_of_an_absurd_size_is_not_read(tile: Path, total: str) -> None:
    answer = ranged((tile / "red.tif").read_bytes(), lambda start, size: f"bytes {start}-{start + size - 1}/{total}")
    with answering(answer) as (url, _), pytest.raises(RangeError, match="another range"), open_raster(f"{url}/red.tif"):
        pass


def test_a_whole_file_that_is_packed_on_the_way_is_read(tile: Path) -> None:
    packed = reply(gzip.compress((tile / "red.tif").read_bytes()), headers=[("Content-Encoding", "gzip")])
    with answering(packed) as (url, _), open_raster(f"{url}/red.tif") as source:
        np.testing.assert_array_equal(source.read(1), ramp(TILE10, 1))
