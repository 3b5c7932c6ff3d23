"""Remote files for GDAL: byte ranges over this program's HTTP client instead of GDAL's.

rasterio hands GDAL's reads to `RemoteFile`. Whatever goes wrong on the way is kept in `error`, as GDAL itself reports
only that a read failed.
"""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import requests
from rasterio.abc import MultiByteRangeResourceContainer

from pipeline.catalogue.transport import (
    InsideError,
    RedirectError,
    new_session,
    read_at_most,
    run_with_deadline,
    send_request,
    stated_count,
    wanted_pause,
)

TIMEOUT_S = (10.0, 15.0)
"""Seconds to connect, and between two pieces of an answer."""
DEADLINE_S = 60.0
"""Seconds for one answer as a whole: 64 blocks of 1.5 MB at 2 MB/s."""
TRIES = 4
"""Requests for one range before the read fails."""
PAUSE_S = 1.0
"""Seconds before a range is asked for again; grows with each try."""
MAX_PAUSE_S = 60.0
"""Longest pause in seconds that a server is granted."""
CHUNK = 16384
"""Bytes read at once where GDAL asks for a few: all headers of a Sentinel-2 COG lie in the first 16 KiB."""
MAX_RANGE = 256_000_000
"""Largest range read, bytes, and largest file of a server that knows no ranges."""
MAX_TOTAL = 10_000_000_000
"""Largest file, bytes: more than the largest raster that is read has without compression."""
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_LATER = frozenset({429, 503})
"""HTTP statuses that concern the server, not one file."""


class RangeError(OSError):
    """A range that could not be read.

    is_busy: the server may answer the same request later. pause_s: pause that the server requests.
    is_silent: the server gave no answer, or requested a pause.
    """

    def __init__(
        self, reason: str, *, is_busy: bool = False, is_missing: bool = False, is_silent: bool = False,
        pause_s: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(reason)
        self.is_busy, self.is_missing, self.is_silent, self.pause_s = is_busy, is_missing, is_silent, pause_s


class RemoteFile(MultiByteRangeResourceContainer):  # type: ignore[misc]
    """One file at one address, in the form of rasterio's openers. `error`: why the last read failed, or None."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.error: RangeError | None = None
        self._line = new_session()
        self._chunks: dict[int, bytes] = {}
        self._facts: tuple[int, str] | None = None
        self._whole: bytes | None = None
        self._lock = threading.RLock()

    def head(self, count: int) -> bytes:
        """The first bytes. Raises RangeError."""
        return self.bytes_at(0, count)

    def bytes_at(self, start: int, count: int) -> bytes:
        """Bytes from an offset on, fewer at the end of the file. Raises RangeError."""
        with self._lock:
            try:
                if self._facts is None:
                    self._fetch_chunks(0, 0)
                count = max(min(count, self.total - start), 0)
                return self._cached(start, count) if count else b""
            except RangeError as error:
                self.error = error
                raise

    @property
    def total(self) -> int:
        """Size of the file, bytes; known once anything of it was read."""
        return self._facts[0] if self._facts else 0

    def close(self) -> None:
        """Give up the connections."""
        self._line.close()

    def _cached(self, start: int, count: int) -> bytes:
        if self._whole is not None:
            return self._whole[start : start + count]
        first, last = start // CHUNK, (start + count - 1) // CHUNK
        if last - first > 8:
            return self._fetch(start, count)
        missing = [index for index in range(first, last + 1) if index not in self._chunks]
        if missing:
            self._fetch_chunks(missing[0], missing[-1])
        if self._whole is not None:
            return self._whole[start : start + count]
        joined = b"".join(self._chunks[index] for index in range(first, last + 1))
        return joined[start - first * CHUNK :][:count]

    def _fetch_chunks(self, first: int, last: int) -> None:
        data = self._fetch(first * CHUNK, (last - first + 1) * CHUNK)
        for index in range(first, last + 1):
            self._chunks[index] = data[(index - first) * CHUNK :][:CHUNK]

    def _fetch(self, start: int, count: int) -> bytes:
        if count > MAX_RANGE:
            raise RangeError(f"{count / 1e6:.0f} MB are asked for at once")
        for attempt in range(1, TRIES + 1):
            try:
                return self._ask(start, count)
            except RangeError as error:
                if not error.is_busy or attempt == TRIES:
                    raise
                time.sleep(min(max(PAUSE_S * attempt, error.pause_s), MAX_PAUSE_S))
        raise AssertionError("unreachable")

    def _ask(self, start: int, count: int) -> bytes:
        try:
            return run_with_deadline(DEADLINE_S, lambda: self._answer(start, count))
        except (RedirectError, InsideError) as error:
            raise RangeError(str(error)) from error
        except requests.Timeout as error:
            raise RangeError("no answer in time", is_silent=True) from error
        except (requests.RequestException, OSError) as error:
            if isinstance(error, RangeError):
                raise
            kind = "certificate" if isinstance(error, requests.exceptions.SSLError) else "connection"
            silent = isinstance(error, requests.ConnectionError)  # not: an answer that breaks off
            raise RangeError(f"no {kind} that holds", is_busy=True, is_silent=silent) from error

    def _answer(self, start: int, count: int) -> bytes:
        headers = {"Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"}
        with send_request(self._line, "GET", self.url, headers=headers, timeout=TIMEOUT_S) as answer:
            code = answer.status_code
            if code not in (200, 206):
                pause = wanted_pause(answer, datetime.now(UTC))
                raise RangeError(
                    f"HTTP {code}", is_busy=code in _BUSY, is_missing=code in (404, 410), is_silent=code in _LATER,
                    pause_s=pause,
                )  # fmt: skip
            if "html" in answer.headers.get("Content-Type", ""):
                raise RangeError("a web page instead of the file")
            if code == 200:
                return self._take_whole(answer)[start : start + count]
            total = _total_size(answer, start)
            self._check_same(total, answer.headers.get("ETag", ""))
            wanted = min(count, total - start)
            data = read_at_most(answer, wanted)
        if len(data) != wanted:
            raise RangeError(f"the answer broke off after {len(data)} of {wanted} bytes", is_busy=True)
        return data

    def _take_whole(self, answer: requests.Response) -> bytes:
        """The file of a server that knows no ranges."""
        stated = stated_count(answer.headers.get("Content-Length", ""))
        if stated is not None and stated > MAX_RANGE:
            raise RangeError("the server gives no ranges of a large file")
        data = read_at_most(answer, MAX_RANGE)
        if len(data) > MAX_RANGE:
            raise RangeError("the server gives no ranges of a large file")
        if stated is not None and "Content-Encoding" not in answer.headers and len(data) != stated:
            raise RangeError(f"the answer broke off after {len(data)} of {stated} bytes", is_busy=True)
        self._whole, self._facts = data, (len(data), "")
        return data

    def _check_same(self, total: int, tag: str) -> None:
        if self._facts is None:
            self._facts = (total, tag)
        elif self._facts != (total, tag):
            raise RangeError("the file was replaced while it was read")

    # what rasterio asks of a container of files; this one has one file under any name

    def open(self, path: str, mode: str = "rb") -> "_Reading":  # noqa: ARG002
        """A handle to read from."""
        return _Reading(self)

    def size(self, path: str) -> int:  # noqa: ARG002
        """Size of the file."""
        return self.total

    def isfile(self, path: str) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def isdir(self, path: str) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def ls(self, path: str) -> list[str]:  # noqa: ARG002
        """No file beside it is ever looked at."""
        return []

    def mtime(self, path: str) -> int:  # noqa: ARG002
        """Not known."""
        return 0

    def rm(self, path: str) -> None:  # noqa: ARG002
        """Refused."""
        raise OSError("files behind an address are only read")


class _Reading:
    """A handle with a position, as a Python file has it."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._position = file, 0

    def __enter__(self) -> "_Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to an offset from the start, the position or the end."""
        self._position = offset + {0: 0, 1: self._position, 2: self._file.total}[whence]
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Bytes from the position on; empty after an error, which GDAL then reports as a failed read."""
        wanted = self._file.total - self._position if count < 0 else count
        try:
            data = self._file.bytes_at(self._position, wanted)
        except RangeError:
            return b""  # kept in `error`
        self._position += len(data)
        return data

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """Several ranges; those that touch are one request. Empty bytes after an error, as in `read`."""
        found = []
        try:
            for start, parts in _contiguous_ranges(offsets, sizes):
                data = self._file.bytes_at(start, sum(parts))
                for size in parts:
                    found.append(data[:size])
                    data = data[size:]
        except RangeError:
            found += [b""] * (len(sizes) - len(found))
        return found

    def close(self) -> None:
        """Nothing is held by a handle."""


def _contiguous_ranges(offsets: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, list[int]]]:
    """(start, sizes) of ranges that follow one another without a gap."""
    runs: list[tuple[int, list[int]]] = []
    for start, size in zip(offsets, sizes, strict=True):
        if runs and runs[-1][0] + sum(runs[-1][1]) == start and sum(runs[-1][1]) + size <= MAX_RANGE:
            runs[-1][1].append(size)
        else:
            runs.append((start, [size]))
    return runs


def _total_size(answer: requests.Response, start: int) -> int:
    """Size of the whole file, by an answer that must begin where it was asked to."""
    place, _, size = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    total = stated_count(size)
    if total is None or not start < total <= MAX_TOTAL or place.partition("-")[0] != str(start):
        raise RangeError("the server gives another range than was asked for")
    return total
