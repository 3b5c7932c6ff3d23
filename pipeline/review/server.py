"""A local page to give verdicts by single keys: `groundbreak review`.

It listens on 127.0.0.1 only. A request needs the token of this run, a host that is the server's own, and for a verdict
an origin that is the server's own too: another page in the same browser can do nothing here.
"""

import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pipeline.model.errors import GroundbreakError, UsageError
from pipeline.review.annotations import scale_bar
from pipeline.review.contents import Change, Contents, Overview, read_contents, read_overview
from pipeline.review.descriptions import UNJUDGED, change_details, change_heading, format_position
from pipeline.review.folder import Folder
from pipeline.review.pages import render_page
from pipeline.review.schema import VERDICTS
from pipeline.review.strips import read_strip
from pipeline.review.summary import split_changes
from pipeline.review.verdicts import give_verdict

MAX_BODY = 20_000
"""Bytes of a request; a verdict with the longest note fits."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def review_page(contents: Contents | Overview, token: str) -> str:
    """The page; its script loads the changes."""
    return render_page(
        "review.html.j2", script="review.js", connects="'self'", contents=contents, token=token, verdicts=VERDICTS,
        facts=contents.provenance,
    )  # fmt: skip


def make_app(folder: Folder, token: str, port: int, reviewer: str) -> Starlette:
    """The application for one site's folder, for requests to 127.0.0.1:port that carry the token."""
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = _refuse_request(request, hosts, token) or await call_next(request)
        response.headers.update(HEADERS)
        return response

    def page(_: Request) -> Response:
        return HTMLResponse(review_page(read_overview(folder.gpkg), token))

    def changes(_: Request) -> Response:
        contents = read_contents(folder.gpkg, looks=False)
        first, folded = split_changes(contents)
        listed = {change.id: change for change in (*first, *folded, *contents.changes)}
        rows = [_change_row(change, contents) for change in listed.values()]
        return JSONResponse([row for row in rows if row["waits"] or row["verdict"]])

    def strip(request: Request) -> Response:
        found = read_strip(folder.strip(request.path_params["change_id"]))
        if found is None:
            return JSONResponse(None)
        frames = [[frame.day, frame.seen] for frame in found.frames]
        bar = scale_bar(found.width * found.pixel_m)
        return JSONResponse(
            {"frames": frames, "width": found.width, "height": found.height, "corners": found.corners, "bar": bar,
             "before": found.before, "after": found.after, "data": found.data}
        )  # fmt: skip

    async def verdict(request: Request) -> Response:
        given = _parse_body(await request.body())
        give_verdict(folder.gpkg, request.path_params["change_id"], given["verdict"], given["note"], reviewer)
        return JSONResponse({"reviewer": reviewer})

    return Starlette(
        routes=[
            Route("/", page),
            Route("/changes", changes),
            Route("/strip/{change_id}", strip),
            Route("/verdict/{change_id}", verdict, methods=["POST"]),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        exception_handlers={GroundbreakError: _error_response},
    )


def _refuse_request(request: Request, hosts: set[str], token: str) -> Response | None:
    """Response that refuses a request; None for a request of the program's own page."""
    if request.headers.get("host") not in hosts:
        return JSONResponse({"error": "wrong host"}, 400)
    origin = request.headers.get("origin")
    if (origin is not None or request.method == "POST") and origin not in {f"http://{host}" for host in hosts}:
        return JSONResponse({"error": "wrong origin"}, 403)
    given = request.query_params.get("token", "") if request.url.path == "/" else request.headers.get("x-token", "")
    if not hmac.compare_digest(given.encode(), token.encode()):
        return JSONResponse({"error": "wrong token: open the address that the command printed"}, 403)
    if int(request.headers.get("content-length") or 0) > MAX_BODY:
        return JSONResponse({"error": "request too large"}, 413)
    return None


def _error_response(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400 if isinstance(error, UsageError) else 503)


def _parse_body(content: bytes) -> dict[str, str | None]:
    """`verdict` and `note` of a request, each a text or null."""
    try:
        found = json.loads(content[:MAX_BODY])
        given = {name: found[name] for name in ("verdict", "note")}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError("not a verdict", "request", "send JSON with verdict and note") from error
    if not all(value is None or isinstance(value, str) for value in given.values()):
        raise UsageError("not a verdict", "request", "send texts or null")
    return {**given, "note": (given["note"] or "").strip() or None}


def _change_row(change: Change, contents: Contents) -> dict[str, Any]:
    gone = change["status"] == "withdrawn"
    return {
        "id": change.id,
        "label": change.label,
        "kind": change["kind"] or "drawn by the analyst",
        "heading": change_heading({**change.facts, "verdict": None})
        if not change.drawn
        else change_heading(change.facts),
        "details": change_details({**change.facts, "verdict": None}).removesuffix(UNJUDGED),
        "place": format_position(change["lon"], change["lat"]) if change["lon"] is not None else "",
        "verdict": change["verdict"],
        "note": change["note"],
        "reviewer": change["reviewer"],
        "drawn": change.drawn,
        "waits": not gone and not change.drawn,
        "simulated": bool(contents.provenance.get("simulated")),
    }
