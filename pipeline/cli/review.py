"""`groundbreak review`: verdicts by single keys in a browser."""

import getpass
import secrets
import socket
import webbrowser
from importlib.util import find_spec
from pathlib import Path

import typer

from pipeline.cli.console import print_line
from pipeline.cli.report import site_folder
from pipeline.model.errors import Exit, UsageError
from pipeline.review.report import write_report

EXTRA = ("starlette", "uvicorn")


def review(
    site: str = typer.Argument(..., help="id of a site with results"),
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
    port: int = typer.Option(0, min=0, max=65535, help="port on 127.0.0.1; 0: a free one"),
    browser: bool = typer.Option(True, help="open the page in the browser"),
) -> int:
    r"""Serve a local page for verdicts by single keys, until Ctrl+C.

    \b
    groundbreak review february-11-plant
    """
    place = site_folder(folder, site)
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise UsageError(f"{missing[0]} is not installed", "review", "run `pip install 'groundbreak[review]'`")
    # only here: the other commands must not need the extra
    import uvicorn

    from pipeline.review.server import make_app

    token = secrets.token_urlsafe(24)
    with socket.socket() as door:
        try:
            door.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(f"cannot listen: {error.strerror}", f"port {port}", "give another --port") from error
        port = door.getsockname()[1]
        address = f"http://127.0.0.1:{port}/?token={token}"
        print_line(f"{address}\nCtrl+C ends the review")
        app = make_app(place, token, port, getpass.getuser())
        if browser:
            webbrowser.open(address)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False))
        try:
            server.run(sockets=[door])
        except KeyboardInterrupt:
            print_line("ended; every verdict is stored")
    write_report(place)
    return Exit.DONE
