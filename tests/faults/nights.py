"""Nights in processes of their own, so that they can be killed, starved of disk, or cut off."""

import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import requests

from pipeline.catalogue.providers import Access, access_of
from pipeline.review.geoblob import register_functions
from tests import world

PLACE = Path("place")
VERDICT = ("construction", "a hall, seen from the road", "R. E. Viewer")
VOLATILE = ("fid", "reviewed_at")
PATIENCE_S = 3
"""Seconds that a night of these tests waits for a server."""
_getaddrinfo = socket.getaddrinfo
_context = multiprocessing.get_context("forkserver")
# commands are imported when they are called: without the second name each process imports the libraries again
_context.set_forkserver_preload(["pipeline.cli.main", "pipeline.cli.nightly"])


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended. code: its exit code, negative = by that signal. err: what it wrote to stderr.

    peak_mb: the most memory that it held, 0 where it was killed.
    """

    code: int
    err: str
    peak_mb: float = 0.0


def _resolved(host: Any, *rest: Any, **more: Any) -> Any:
    """Names in .invalid (RFC 6761) have no address, and nobody outside this machine is asked for one."""
    if str(host).endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _getaddrinfo(host, *rest, **more)


def _access(href: str) -> Access:
    """As ever, but that what a loopback server keeps under /signed/ is to be signed."""
    return Access(prefix="", sign="planetary-computer") if "/signed/" in href else access_of(href)


def _sign(href: str) -> str:
    """A token asked for once and used until it is forgotten, as the provider's own package does it."""
    root = href.partition("/signed/")[0]
    if root not in _TOKENS:
        _TOKENS[root] = requests.get(f"{root}/token", timeout=PATIENCE_S).text
    return f"{href}?sig={_TOKENS[root]}"


_TOKENS: dict[str, str] = {}
_SIGNER = SimpleNamespace(sas=SimpleNamespace(TOKEN_CACHE=_TOKENS), sign_url=_sign)


def _work(folder: Path, arguments: tuple[str, ...], log: Path) -> None:
    os.chdir(folder)
    for name in [each for each in os.environ if each.startswith("GROUNDBREAK")]:
        del os.environ[name]
    os.environ["GROUNDBREAK_LOCK_SECONDS"] = "5"
    with log.open("w") as lines:
        os.dup2(lines.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        from pipeline.catalogue import fetch, opening, pixels, ranges
        from pipeline.cli.main import _run_command

        # tried again as often as ever, but sooner
        fetch.PAUSE_S = pixels.PAUSE_S = ranges.PAUSE_S = 0.01
        fetch.TIMEOUT_S, ranges.TIMEOUT_S = (PATIENCE_S, PATIENCE_S), (PATIENCE_S, PATIENCE_S)
        opening.access_of = _access
        opening._planetary_computer = lambda: _SIGNER
        socket.getaddrinfo = _resolved
        code = int(_run_command(list(arguments)))
        log.with_suffix(".peak").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
        os._exit(code)


def start(folder: Path, *arguments: str, kill_after: float | None = None) -> Callable[[], Ended]:
    """Start `groundbreak …` in a folder. The answer waits for its end, and kills it -9 after so many seconds."""
    log = folder / f"stderr-{random.getrandbits(32):08x}.txt"
    process = _context.Process(target=_work, args=(folder, arguments, log))
    process.start()

    def end() -> Ended:
        process.join(400 if kill_after is None else kill_after)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
            process.join(20)
        peak = log.with_suffix(".peak")
        held_mb = int(peak.read_text()) / 1024 if peak.exists() else 0.0
        return Ended(int(process.exitcode or 0), log.read_text() if log.exists() else "", held_mb)

    return end


def run(folder: Path, *arguments: str, kill_after: float | None = None) -> Ended:
    """`groundbreak …` in a folder, killed -9 after so many seconds where it still runs then."""
    return start(folder, *arguments, kill_after=kill_after)()


@dataclass(frozen=True, slots=True)
class Stage:
    """A watched place at nightfall: seven scenes judged, one alert, a verdict on it; three more scenes are listed."""

    folder: Path

    def copy(self, to: Path) -> "Stage":
        """The same evening in another folder."""
        shutil.copytree(self.folder / "out", to / "out")
        shutil.copy(self.folder / "sites.geojson", to)
        return Stage(to)

    def night(self, *extra: str, kill_after: float | None = None) -> Ended:
        """One night over it."""
        return run(self.folder, "nightly", "--sites", "sites.geojson", "--workers", "1", *extra, kill_after=kill_after)


def evening(folder: Path, catalog: str | None = None, dates: int = 12, built_from: int = 5) -> Stage:
    """The stage made anew; `catalog`: address of the whole catalogue where it is served."""
    world.catalogue(folder / "catalogue", dates=dates, built_from=built_from)
    whole = folder / "catalogue" / "catalog.json"
    document = json.loads(whole.read_text())
    few = folder / "catalogue" / "few.json"
    few.write_text(json.dumps(document | {"links": document["links"][: dates - 2]}))
    world.write_sites(folder / "sites.geojson", [world.feature(str(few))])
    stage = Stage(folder)
    ended = stage.night()
    assert ended.code == 0, ended.err
    judge(folder)
    world.write_sites(folder / "sites.geojson", [world.feature(catalog or str(whole))])
    return stage


def judge(folder: Path) -> None:
    """The analyst's verdict on every alert."""
    with contextlib.closing(sqlite3.connect(folder / "out" / PLACE / "review.gpkg")) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET verdict = ?, note = ?, reviewer = ?", VERDICT)


def results(folder: Path) -> dict[str, Any]:
    """All that a night leaves, but for the times at which it ran."""
    site = folder / "out" / PLACE
    found: dict[str, Any] = {name: (site / name).read_bytes() for name in ("before.tif", "after.tif", "score.tif")}
    with contextlib.closing(sqlite3.connect(site / "review.gpkg")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table in ("changes", "observations", "scenes"):
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] not in VOLATILE]
            found[table] = sorted(map(str, db.execute(f"SELECT {', '.join(names)} FROM {table}")))
    found["pictures"] = sorted(path.name for path in (site / "timeline").glob("*.png"))
    return found


def verdicts(folder: Path) -> list[tuple[str, ...]]:
    """Every verdict in the review file."""
    with contextlib.closing(sqlite3.connect(folder / "out" / PLACE / "review.gpkg", timeout=10)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return db.execute("SELECT verdict, note, reviewer FROM changes WHERE verdict IS NOT NULL").fetchall()
