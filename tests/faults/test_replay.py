"""Two years night by night, and at once: the same alerts with the same dates, and what was judged stays judged."""

import contextlib
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import world
from tests.faults.nights import PLACE, run

pytestmark = pytest.mark.faults
DATES, DAYS, STEP = 37, 20, 6


def standing(out: Path) -> list[tuple[Any, ...]]:
    """Every alert that stands, without its id: a night mints it from what that night saw."""
    with contextlib.closing(sqlite3.connect(out / PLACE / "review.gpkg")) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(changes)") if row[1] not in ("fid", "change_id")]
        query = f"SELECT {', '.join(names)} FROM changes WHERE status != 'withdrawn' ORDER BY first_seen, lon"
        return db.execute(query).fetchall()


def test_nights_one_by_one_and_all_at_once_agree(tmp_path: Path) -> None:
    catalog = world.catalogue(tmp_path / "catalogue", dates=DATES, built_from=16, days=DAYS)
    world.write_sites(tmp_path / "sites.geojson", [world.feature(str(catalog))])
    for number in range(STEP, DATES + STEP, STEP):
        until = f"{world.FIRST + timedelta(days=DAYS * (min(number, DATES) - 1)):%Y-%m-%d}"
        night = run(tmp_path, "nightly", "--sites", "sites.geojson", "--workers", "1", "--until", until)
        assert night.code == 0, night.err
    once = run(tmp_path, "nightly", "--sites", "sites.geojson", "--workers", "1", "--until", until, "--out", "once")
    assert once.code == 0, once.err
    nights, at_once = standing(tmp_path / "out"), standing(tmp_path / "once")
    assert len(at_once) == 1
    assert nights == at_once
    again = run(tmp_path, "nightly", "--sites", "sites.geojson", "--workers", "1", "--until", until)
    assert again.code == 4, again.err
