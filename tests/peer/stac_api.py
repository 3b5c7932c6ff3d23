"""A small STAC API on loopback, with the habits and faults of the large ones.

    with serve(items, faults=[503, "cut", "ok"]) as api: ...

`faults` are given to the searches in turn ("ok" when they are used up): a status code; cut (body broken off); html;
empty (a page without items but with a next link); repeat (a next link to the same page); hang; forbidden.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from shapely.geometry import shape

CONFORMS = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]


@dataclass
class Api:
    """A running API. url: its root; asked: method, limit and token of every search."""

    url: str
    asked: list[tuple[str, int, int]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news here."""


@contextmanager
def serve(
    items: Sequence[Mapping[str, Any]], *, faults: Sequence[object] = (), max_page: int = 1000, post: bool = True,
    matched: bool = True, ignores_query: bool = False,
) -> Iterator[Api]:  # fmt: skip
    """Serve items for as long as the block lasts."""
    todo, stop = list(faults), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a body after its headers would wait 40 ms for an acknowledgement

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            if parts.path == "/":
                self.reply(200, landing(api.url))
            elif parts.path == "/collections":
                self.reply(200, {"collections": [collection(name) for name in names()], "links": []})
            elif parts.path.removeprefix("/collections/") in names():
                self.reply(200, collection(parts.path.removeprefix("/collections/")))
            elif parts.path == "/search":
                if "intersects" in query:
                    query["intersects"] = json.loads(query["intersects"])
                query["collections"] = str(query.get("collections", "")).split(",")
                self.search("GET", query)
            else:
                self.reply(404, {"code": "NotFound"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if urlsplit(self.path).path != "/search":
                self.reply(404, {"code": "NotFound"})
            elif not post:
                self.reply(405, {"code": "MethodNotAllowed"})
            else:
                self.search("POST", body)

        def search(self, method: str, asked: dict[str, Any]) -> None:
            limit, token = int(asked.get("limit", 10)), int(asked.get("token", 0))
            api.asked.append((method, limit, token))
            fault = todo.pop(0) if todo else "ok"
            if limit > max_page:
                fault = 502
            if isinstance(fault, int):
                self.reply(fault, {"code": "busy"}, {"Retry-After": "0"})
            elif fault == "html":
                self.reply(200, "<html>down for maintenance</html>")
            elif fault == "hang":
                stop.wait(20)
                self.close_connection = True
            else:
                self.page(method, asked, limit, token, str(fault))

        def page(self, method: str, asked: dict[str, Any], limit: int, token: int, fault: str) -> None:
            fitting = list(items) if ignores_query else [item for item in items if fits(item, asked)]
            onward = token + limit
            some = fitting[token:onward]
            if fault == "empty":
                some, onward = [], token
            document: dict[str, Any] = {"type": "FeatureCollection", "features": some, "links": []}
            if matched:
                document["numberMatched"] = len(fitting)
            if fault == "repeat":
                onward = token
            if onward < len(fitting):
                document["links"].append(link(api.url, method, asked, onward))
            self.reply(200, document, cut=fault == "cut")

        def reply(self, status: int, value: object, extra: Mapping[str, str] | None = None, cut: bool = False) -> None:
            data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(status)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(extra or {})}
            for key, text in headers.items():
                self.send_header(key, text)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = cut or self.close_connection

    def names() -> list[str]:
        return sorted({str(item["collection"]) for item in items})

    server = _Server(("127.0.0.1", 0), Handler)
    api = Api(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def landing(url: str) -> dict[str, Any]:
    links = [{"rel": "root", "href": url}, {"rel": "self", "href": url}, {"rel": "data", "href": f"{url}/collections"}]
    links += [{"rel": "search", "href": f"{url}/search", "method": method} for method in ("GET", "POST")]
    return {"type": "Catalog", "stac_version": "1.0.0", "id": "loopback", "description": "A test.",
            "conformsTo": CONFORMS, "links": links}  # fmt: skip


def collection(name: str) -> dict[str, Any]:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2015-06-23T00:00:00Z", None]]}}
    return {"type": "Collection", "stac_version": "1.0.0", "id": name, "description": name, "license": "other",
            "extent": extent, "links": []}  # fmt: skip


def link(url: str, method: str, asked: Mapping[str, Any], token: int) -> dict[str, Any]:
    if method == "POST":
        return {
            "rel": "next",
            "method": "POST",
            "href": f"{url}/search",
            "merge": False,
            "body": {**asked, "token": token},
        }
    query = {**asked, "collections": ",".join(asked["collections"]), "intersects": json.dumps(asked["intersects"])}
    return {"rel": "next", "method": "GET", "href": f"{url}/search?{urlencode({**query, 'token': token})}"}


def fits(item: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    first, _, last = str(asked.get("datetime", "../..")).partition("/")
    time = str(item["properties"]["datetime"])[:19]
    in_time = (first == ".." or time >= first[:19]) and (last in ("", "..") or time <= last[:19])
    return in_time and item["collection"] in asked["collections"] and shape(item["geometry"]).intersects(
        shape(asked["intersects"])
    )  # fmt: skip
