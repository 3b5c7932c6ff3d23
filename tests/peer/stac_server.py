"""A real STAC API on loopback: PostgreSQL with pgstac behind stac-fastapi, started for a test and gone afterwards.

Needs PostgreSQL 15 with PostGIS (Debian's /usr/lib/postgresql/15/bin) and a Python with `pypgstac[psycopg]`,
`stac-fastapi.pgstac` and `uvicorn`: the one running, or that which GROUNDBREAK_PGSTAC_PYTHON names.
"""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peer.stac_api import collection

BINARIES = Path("/usr/lib/postgresql/15/bin")
START_S = 40.0


def missing() -> str | None:
    """What this machine lacks for the server, None if it has everything."""
    if not (BINARIES / "initdb").exists():
        return "PostgreSQL 15 (apt install postgresql-15 postgresql-15-postgis-3)"
    probe = "import pypgstac, psycopg, stac_fastapi.pgstac, uvicorn"
    found = subprocess.run([_python(), "-c", probe], capture_output=True, check=False)
    return None if found.returncode == 0 else "pypgstac[psycopg], stac-fastapi.pgstac and uvicorn"


@contextmanager
def serve(items: Sequence[Mapping[str, Any]], settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """The root address of an API that holds these items. settings: pgstac's own, such as context = on."""
    place = Path(tempfile.mkdtemp(prefix="pgstac-"))
    place.chmod(0o755)
    database, api = _free_port(), _free_port()
    try:
        _start_database(place, database)
        try:
            environment = _environment(database, "postgres")
            _load(place, items, environment, settings or {})
            with _api(api, _environment(database, "api")) as url:
                yield url
        finally:
            _as_postgres(str(BINARIES / "pg_ctl"), "-D", str(place / "pg" / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _python() -> str:
    return os.environ.get("GROUNDBREAK_PGSTAC_PYTHON", sys.executable)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_postgres(*command: str) -> None:
    """Run as the database's own user, which a root shell must become; anyone else runs it as they are."""
    become = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    done = subprocess.run([*become, *command], capture_output=True, text=True, check=False, cwd="/", timeout=60)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr or done.stdout}")


def _start_database(place: Path, port: int) -> None:
    folder = place / "pg"
    folder.mkdir()
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    data = str(folder / "data")
    _as_postgres(
        str(BINARIES / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"
    )
    quick = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=40"
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} {quick}"
    _as_postgres(str(BINARIES / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "pg.log"), "-o", options, "start")
    _as_postgres(str(BINARIES / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "stac")


def _environment(port: int, user: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/tmp", "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": user,
            "PGDATABASE": "stac", "PGPASSWORD": "api"}  # fmt: skip


def _load(
    place: Path, items: Sequence[Mapping[str, Any]], environment: Mapping[str, str], settings: Mapping[str, str]
) -> None:
    names = sorted({str(item["collection"]) for item in items})
    (place / "collections.ndjson").write_text("".join(json.dumps(collection(name)) + "\n" for name in names))
    (place / "items.ndjson").write_text("".join(json.dumps(item) + "\n" for item in items))
    pypgstac = [_python(), "-m", "pypgstac.pypgstac"]
    sql = "create role api login password 'api' in role pgstac_read; alter role api set search_path to pgstac, public;"
    for name, value in settings.items():
        sql += f"insert into pgstac.pgstac_settings(name, value) values('{name}', '{value}')"
        sql += f" on conflict(name) do update set value = '{value}';"
    for command in (
        [*pypgstac, "pgready"],
        [*pypgstac, "migrate"],
        [str(BINARIES / "psql"), "-q", "-c", sql],
        [*pypgstac, "load", "collections", str(place / "collections.ndjson"), "--method", "insert_ignore"],
        [*pypgstac, "load", "items", str(place / "items.ndjson"), "--method", "upsert"],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[-4:])}: {done.stderr[-800:]}")


@contextmanager
def _api(port: int, environment: Mapping[str, str]) -> Iterator[str]:
    command = [_python(), "-m", "uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app", "--host", "127.0.0.1"]
    running = subprocess.Popen(
        [*command, "--port", str(port), "--log-level", "warning"], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{url}/_mgmt/ping", running)
        yield url
    finally:
        running.terminate()
        running.wait(10)


def _wait(address: str, running: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and running.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the API did not come up within {START_S:.0f} s")
