"""SQLite files that somebody else may have written, a GeoPackage above all.

A database can hold programs: a view without end, a trigger, a generated column. So what is read must be a plain table,
values and statements have limits, and a statement that does too much is stopped (https://sqlite.org/security.html).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_VALUE_BYTES = 64_000_000
"""Largest text or blob: an outline of a million corners has 16 MB."""
STEPS = 1_000_000
"""Instructions of SQLite between two looks at the budget and at signals; about 10 ms."""
MAX_STEPS = 5_000_000_000
"""Instructions of one connection: a review file of a million observations takes 200 million."""
MAX_GROWTH_BYTES = 2_000_000_000
"""By how much one connection may let a file grow."""
MAGIC = b"SQLite format 3\x00"


class UntrustedError(sqlite3.DatabaseError):
    """A database that holds something else where a table is expected."""


class _Budget:
    """Stops a statement once the connection has done too much."""

    def __init__(self) -> None:
        self.left = MAX_STEPS // STEPS

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@contextmanager
def open_database(path: Path, *, write: bool, wait: float) -> Iterator[sqlite3.Connection]:
    """A connection to a file that is there, within limits; closed, and rolled back, at the end of the block.

    wait: seconds to wait for a program that holds the file. Raises sqlite3.Error.
    """
    with _text_errors():
        db = _connect_file(path, write, wait)
        with _limit_connection(db, write):
            yield db


@contextmanager
def _text_errors() -> Iterator[None]:
    """Names and messages of a damaged file that are no UTF-8, as errors of the database: Python raises its own."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"it holds a name that is no text ({error.reason})") from error


@contextmanager
def _limit_connection(db: sqlite3.Connection, write: bool) -> Iterator[None]:
    """The limits of a connection, which is closed at the end of the block."""
    budget = _Budget()
    db.text_factory = _decode_text
    try:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        db.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 10)
        db.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100)
        db.setlimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
        db.set_progress_handler(budget, STEPS)
        if write:
            size, pages = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count"))
            db.execute(f"PRAGMA max_page_count = {pages + MAX_GROWTH_BYTES // size}")
        else:
            # functions that a schema names are not called; GDAL's own triggers need theirs when a file is written
            db.execute("PRAGMA trusted_schema = OFF")
        yield
    except sqlite3.OperationalError as error:
        if budget.left < 0:
            raise UntrustedError("it asks for more work than any file of its kind") from error
        if str(error) == "interrupted":
            # a signal came while the budget was looked at, and SQLite dropped the exception that it raised
            raise KeyboardInterrupt from error
        raise
    finally:
        db.set_progress_handler(None, 0)
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.close()


def _decode_text(stored: bytes) -> str:
    """A text as it is shown: bytes that are no UTF-8, from a program with another encoding, end no file."""
    return stored.decode("utf-8", "replace")


def _connect_file(path: Path, write: bool, wait: float) -> sqlite3.Connection:
    """Without making a file; a file in a folder that cannot be written is read all the same."""
    address = path.absolute().as_uri()
    db = sqlite3.connect(f"{address}?mode={'rw' if write else 'ro'}", uri=True, timeout=wait, isolation_level=None)
    try:
        db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        db.close()
        if write or "unable to open" not in str(error) or path.with_name(f"{path.name}-wal").exists():
            raise
        return sqlite3.connect(f"{address}?immutable=1", uri=True, timeout=wait, isolation_level=None)
    except (sqlite3.Error, UnicodeDecodeError):
        db.close()
        raise
    return db


def require_tables(db: sqlite3.Connection, names: Iterable[str]) -> None:
    """Raise UntrustedError where one of these names is there and is no plain table with stored columns."""
    for name in names:
        found = db.execute("SELECT type, sql FROM sqlite_schema WHERE lower(name) = lower(?)", [name]).fetchall()
        for kind, sql in found:
            if kind == "view":
                raise UntrustedError(f"{name} is a view, not a table")
            if kind == "table" and str(sql).lstrip().upper().startswith("CREATE VIRTUAL"):
                raise UntrustedError(f"{name} is a virtual table")
        hidden = db.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 0", [name]).fetchone()
        if hidden is not None:
            raise UntrustedError(f"{name}.{hidden[0]} is computed, not stored")


def quote_name(name: str) -> str:
    """A name as SQL has it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
