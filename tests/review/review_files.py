"""What tests do with a published folder: read and judge rows of review.gpkg, digest every file."""

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

from pipeline.review.geoblob import register_functions
from tests.review import made

TWO = (made.alert(1), made.alert(2, row=30, col=30, confidence=0.6))


class Closing(sqlite3.Connection):
    """A connection whose `with` block ends with it: Python 3.13 warns of those left open."""

    def __exit__(self, *error: Any) -> Any:
        super().__exit__(*error)
        self.close()


def connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path / "review.gpkg", isolation_level=None, factory=Closing)
    db.row_factory = sqlite3.Row
    register_functions(db)
    return db


def rows(path: Path) -> dict[str, dict]:
    with connect(path) as db:
        return {row["change_id"]: dict(row) for row in db.execute("SELECT * FROM changes")}


def judge(path: Path, change_id: str, verdict: str, note: str | None = None) -> None:
    with connect(path) as db:
        db.execute("UPDATE changes SET verdict = ?, note = ?, reviewer = 'ana' WHERE change_id = ?",
                   [verdict, note, change_id])  # fmt: skip


def digests(path: Path) -> dict[str, str]:
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }
