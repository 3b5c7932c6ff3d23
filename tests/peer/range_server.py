"""A file server with byte ranges that can be told to misbehave: the first part of a path names the fault.

/ok/red.tif              the file, in ranges
/503/red.tif             503 always;    /503x2/red.tif   503 for the first two requests of that file
/cut/… /cutx1/…          the body breaks off half-way;   /html/…  a login page with 200
/zero/…                  right length, all zeros;        /hang/…  no answer
/norange/…               the whole file with 200;        /redirect/…  302 to another host
/flaky/…                 503 for three requests in ten, by lot
/signed/…?sig=TOKEN      403 but with a token of /token, which is good for so many requests (`token_lasts`)

`spoiled` gives the files of a folder a fault without changing their address.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HANG_S = 30.0


@dataclass
class Ranges:
    """A running server. url: its root; log: (method, path, range) of every request."""

    url: str
    log: list[tuple[str, str, str]] = field(default_factory=list)
    spoiled: dict[str, str] = field(default_factory=dict)
    token_lasts: int = 0
    tokens: list[int] = field(default_factory=list)
    expired: int = 0

    def is_signed(self, query: str) -> bool:
        """Whether a request carries a token that is still good; each one wears it."""
        number = query.removeprefix("sig=token")
        if not number.isdigit() or int(number) >= len(self.tokens) or self.tokens[int(number)] == 0:
            self.expired += 1
            return False
        self.tokens[int(number)] -= 1
        return True

    def token(self) -> str:
        """A new one."""
        self.tokens.append(self.token_lasts)
        return f"token{len(self.tokens) - 1}"

    def requests(self, path: str) -> int:
        """How many requests a path has had."""
        return sum(each[1] == path for each in self.log)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news here."""


@contextmanager
def serve(folder: Path, delay_s: float = 0.0) -> Iterator[Ranges]:
    """Serve a folder on loopback for as long as the block lasts."""
    counts: Counter[str] = Counter()
    lock, stop, lot = threading.Lock(), threading.Event(), random.Random(5)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a body after its headers would wait 40 ms for an acknowledgement

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            time.sleep(delay_s)
            path = urlsplit(self.path).path
            fault, _, name = path.lstrip("/").partition("/")
            with lock:
                running.log.append((self.command, path, self.headers.get("Range", "")))
                fault = running.spoiled.get(name.partition("/")[0], fault)
                if fault == "token":
                    self.reply(200, running.token().encode(), body, kind="text/plain")
                    return
                if fault == "signed":
                    fault = "ok" if running.is_signed(urlsplit(self.path).query) else "403"
                if fault == "flaky":
                    fault = "503" if lot.random() < 0.3 else "ok"
                fault, _, times = fault.partition("x")
                counts[path] += 1
                spent = bool(times) and counts[path] > int(times)
            file = folder / name
            if not file.is_file():
                self.reply(404, b"", body)
            elif spent or fault == "ok":
                self.ranged(file.read_bytes(), body)
            else:
                self.misbehave(fault, file.read_bytes(), body)

        def misbehave(self, fault: str, data: bytes, body: bool) -> None:
            if fault.isdigit():
                self.reply(int(fault), b"busy", body)
            elif fault == "html":
                self.reply(200, b"<html>log in</html>", body, kind="text/html")
            elif fault == "hang":
                stop.wait(HANG_S)
                self.close_connection = True
            elif fault == "norange":
                self.reply(200, data, body)
            elif fault == "redirect":
                self.reply(302, b"", body, extra={"Location": "http://169.254.169.254/secret"})
            else:
                self.ranged(data if fault == "cut" else bytes(len(data)), body, cut=fault == "cut" and body)

        def ranged(self, data: bytes, body: bool, cut: bool = False) -> None:
            asked = self.headers.get("Range", "").removeprefix("bytes=")
            if not asked:
                self.reply(200, data, body, cut=cut)
                return
            first, _, last = asked.partition("-")
            start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
            extra = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
            self.reply(206, data[start : end + 1], body, extra=extra, cut=cut)

        def reply(self, status: int, data: bytes, body: bool, *, kind: str = "image/tiff",
                  extra: dict[str, str] | None = None, cut: bool = False) -> None:  # fmt: skip
            self.send_response(status)
            for key, value in {"Content-Type": kind, "Content-Length": str(len(data)), "Accept-Ranges": "bytes",
                               **(extra or {})}.items():  # fmt: skip
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = cut or self.close_connection

    server = _Server(("127.0.0.1", 0), Handler)
    running = Ranges(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
