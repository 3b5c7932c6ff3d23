"""Review files with anything in them: each is repaired or refused in one line, and no other site is touched."""

import contextlib
import shutil
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.model.errors import GroundbreakError
from pipeline.model.settings import Keep, Notify, Settings
from pipeline.notify.channels import Secrets
from pipeline.review.existing_results import count_changes, machine_digest
from pipeline.review.folder import Folder
from pipeline.review.geoblob import register_functions
from pipeline.review.index import write_index
from pipeline.review.report import write_report
from pipeline.run.notifications import notify
from pipeline.run.outputs import measure_outputs
from pipeline.run.process_site import SiteJob
from pipeline.run.resume import resume_site
from pipeline.run.retention import apply_retention
from tests.review import made
from tests.review.conftest import put

NOW = datetime(2024, 3, 1, 3, 20, tzinfo=UTC)
ALERTS = (made.alert(1), made.alert(2, row=30, col=30, confidence=0.6))
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking, which would take minutes: an example publishes a site twice."""
TABLES = ("changes", "observations", "scenes", "aoi", "provenance", "news", "review_log", "outlines_written")
VALUES = st.one_of(
    st.none(), st.integers(-(2**62), 2**62), st.floats(), st.text(max_size=30), st.binary(max_size=60),
    st.sampled_from(["", "2023-13-45", "confirmed", "'", '"', "[/red]", "\x1b[2J", "EPSG:4326", b"GP\x00\x01"]),
)  # fmt: skip
STATEMENTS = st.sampled_from([
    "DELETE FROM {table}", "DROP TABLE {table}", "DROP INDEX IF EXISTS changes_change_id",
    "DROP TRIGGER IF EXISTS changes_reviewed", "DELETE FROM gpkg_contents", "DELETE FROM gpkg_geometry_columns",
    "ALTER TABLE {table} RENAME TO another", "ALTER TABLE {table} ADD COLUMN priority", "DROP TABLE layer_styles",
    "DROP TABLE rtree_changes_geom", "INSERT INTO {table} DEFAULT VALUES", "CREATE VIEW later AS SELECT * FROM {table}",
])  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fuzz") / "out"
    put(out / "made-place", ALERTS)
    return out


def job() -> SiteJob:
    return SiteJob(
        site=made.site(), source="none", collection=None, start=None, until=datetime(2030, 1, 1, tzinfo=UTC),
        settings=Settings(),
    )  # fmt: skip


def survives(out: Path) -> None:
    """Every step of a night on a site: it goes well or says so in one line, and steps over all sites always go well."""
    folder = Folder(out / "made-place")
    for step in (
        lambda: resume_site(job(), out),
        lambda: machine_digest(folder.gpkg, 0.1),
        lambda: write_report(folder),
        lambda: put(folder.path, ALERTS, max_timelines=0),
        lambda: write_report(folder),
        lambda: measure_outputs(folder),
        lambda: count_changes(folder.gpkg),
    ):
        try:
            step()
        except GroundbreakError as error:
            assert "\n" not in str(error) and error.fix, str(error)
    write_index(out)
    assert all(isinstance(error, GroundbreakError) for error in apply_retention(out, ["made-place"], Keep(), NOW))
    told = notify(out, ["made-place"], Notify(), NOW, Secrets())
    assert all(isinstance(error, GroundbreakError) and "unexpected" not in str(error) for error in told.errors)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(data=st.data())
def test_a_file_with_odd_values_in_any_table_is_repaired_or_refused(first: Path, data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(shutil.copytree(first, Path(folder) / "out"))
        path = out / "made-place" / "review.gpkg"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            register_functions(db)
            for _ in range(data.draw(st.integers(1, 4))):
                table = data.draw(st.sampled_from(TABLES))
                with contextlib.suppress(sqlite3.Error):
                    if data.draw(st.booleans()):
                        db.execute(data.draw(STATEMENTS).format(table=table))
                    else:
                        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
                        column = data.draw(st.sampled_from(columns or ["fid"]))
                        few = data.draw(st.sampled_from(["", " WHERE rowid = 1", " WHERE rowid % 2"]))
                        db.execute(f"UPDATE {table} SET {column} = ?{few}", [data.draw(VALUES)])
        survives(out)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(data=st.data())
def test_a_file_with_altered_bytes_is_repaired_or_refused(first: Path, data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(shutil.copytree(first, Path(folder) / "out"))
        path = out / "made-place" / "review.gpkg"
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(content) - 1))
            piece = data.draw(st.binary(min_size=1, max_size=40))
            content[at : at + len(piece)] = piece
        if data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content))) :]
        path.write_bytes(content)
        survives(out)


def test_one_bad_file_costs_no_other_site_its_messages_or_its_copy(first: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(first, tmp_path / "out"))
    shutil.copytree(out / "made-place", out / "bad")
    with contextlib.closing(sqlite3.connect(out / "bad" / "review.gpkg")) as db, db:
        register_functions(db)
        db.execute("UPDATE changes SET geom = x'00', first_seen = 'never', confidence = 'very', kind = NULL")
        db.execute("UPDATE scenes SET time = NULL")
    told = notify(out, ["bad", "made-place"], Notify(), NOW, Secrets())
    assert told.alerts["feed"] == 2
    write_index(out)
    assert "Made Place" in (out / "index.html").read_text(encoding="utf-8")
    apply_retention(out, ["bad", "made-place"], Keep(), NOW)
    assert list((out / ".groundbreak" / "backups" / "made-place").glob("*.gpkg"))
    put(out / "bad", ALERTS)
    assert machine_digest(out / "bad" / "review.gpkg") == machine_digest(out / "made-place" / "review.gpkg")


FOUND = {
    "a number beyond all integers in a table that is built again": (
        "UPDATE scenes SET boa_offset_dn = 2.2e54",
        "UPDATE changes SET looks_seen = -9.3e18",
        "DELETE FROM gpkg_contents",
    ),
}
"""What random files have found, by what it was."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_stays_repaired(first: Path, tmp_path: Path, name: str) -> None:
    out = Path(shutil.copytree(first, tmp_path / "out"))
    with contextlib.closing(sqlite3.connect(out / "made-place" / "review.gpkg", isolation_level=None)) as db:
        register_functions(db)
        for statement in FOUND[name]:
            db.execute(statement)
    survives(out)
