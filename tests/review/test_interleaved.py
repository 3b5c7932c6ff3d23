"""Nights, edit sessions of QGIS and verdicts of the review page in any order: no verdict is lost."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.review.geoblob import register_functions
from pipeline.review.schema import VERDICTS
from pipeline.review.verdicts import give_verdict
from tests.qgis.night import night

VERDICT = st.sampled_from([*VERDICTS, None])
ROW = st.integers(0, 5)
NOTE = st.sampled_from([None, "a field", 'it\'s "new"', "룡성"])
STEP = st.one_of(
    st.tuples(st.just("night"), st.integers(0, 10**6)),
    st.tuples(st.just("page"), ROW, VERDICT, NOTE),
    st.tuples(st.just("edit"), ROW, VERDICT, NOTE),
    st.tuples(st.just("save"), st.booleans()),
    st.tuples(st.just("discard")),
)


@contextlib.contextmanager
def opened(path: Path):
    with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as db:
        register_functions(db)
        yield db


class Session:
    """An edit session of QGIS: rows are known by their fid from its begin on, and written when it is saved."""

    def __init__(self, path: Path) -> None:
        self.path, self.pending = path, {}
        with opened(path) as db:
            self.fids = dict(db.execute("SELECT change_id, fid FROM changes"))

    def save(self, names_all_columns: bool) -> None:
        """QGIS 3.40 names the edited columns, 3.22 all of them with the values that it has just read again."""
        with opened(self.path) as db:
            db.execute("BEGIN IMMEDIATE")
            for change_id, edit in self.pending.items():
                fid = self.fids[change_id]
                kept = {}
                if names_all_columns:
                    cursor = db.execute("SELECT * FROM changes WHERE fid = ?", [fid])
                    kept = dict(zip([c[0] for c in cursor.description], cursor.fetchone(), strict=True))
                    del kept["fid"]
                new = {**kept, "verdict": edit[0], "note": edit[1], "reviewer": "ana"}
                words = ", ".join(f"{name} = ?" for name in new)
                db.execute(f"UPDATE changes SET {words} WHERE fid = ?", [*new.values(), fid])
            db.execute("COMMIT")
        self.pending = {}


def given_in(path: Path) -> dict[str, tuple[str | None, str | None]]:
    with opened(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {
            key: (verdict, note) for key, verdict, note in db.execute("SELECT change_id, verdict, note FROM changes")
        }


def logged_in(path: Path) -> list[tuple[str, str | None, str | None]]:
    with opened(path) as db:
        return db.execute("SELECT change_id, verdict, note FROM review_log ORDER BY fid").fetchall()


@pytest.fixture(scope="module")
def first_night(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("interleaved") / "review.gpkg"
    night(path, 1)
    return path


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=4, max_size=14))
def test_no_order_of_nights_edit_sessions_and_page_verdicts_loses_a_verdict(first_night, tmp_path, steps):
    path = Path(shutil.copy(first_night, tmp_path / "review.gpkg"))
    names = sorted(given_in(path))
    expected, log = given_in(path), []
    session = Session(path)

    def said(change_id: str, words: tuple[str | None, str | None]) -> None:
        if expected[change_id] != words:
            log.append((change_id, *words))
        expected[change_id] = words

    for step, *facts in [*steps, ("save", False), ("night", 7)]:
        if step == "night":
            night(path, facts[0])
        elif step == "page":
            row, *words = facts
            give_verdict(path, names[row], *words, "ana")
            said(names[row], tuple(words))
        elif step == "edit":
            row, *words = facts
            session.pending[names[row]] = tuple(words)
        elif step == "save":
            pending = dict(session.pending)
            session.save(*facts)
            for change_id, words in pending.items():
                said(change_id, words)
        else:
            session.pending = {}
        now = given_in(path)
        assert {key: now[key] for key in expected} == expected
        assert all(words == (None, None) for key, words in now.items() if key not in expected)
        assert logged_in(path) == log
