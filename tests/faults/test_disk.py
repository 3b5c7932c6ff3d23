"""A disk that is full, an output that may not be written, a review file that somebody holds, files that rotted."""

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.nights import PLACE, VERDICT, Ended, Stage, results, verdicts

SIZES_KB = (0, 16, 40, 80, 120, 160, 200, 260, 320, 1000)
"""Room left on the disk: from nothing at all to nearly enough, so that it ends at a raster, a picture, the review file.
"""
SURELY_FULL_KB = 160


def one_line(ended: Ended) -> bool:
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    return len(lines) == 1 and "unexpected" not in lines[0] and "Traceback" not in ended.err


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """`folder` on a file system of its own, holding what it held, with so much room left."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir()
    used = int(subprocess.run(["du", "-sk", aside], check=True, capture_output=True, text=True).stdout.split()[0])
    size = f"size={used + 64 + kilobytes}k"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this user may not mount a small disk: {made.stderr.strip()}")
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", folder], check=True)
        yield
    finally:
        subprocess.run(["cp", "-a", f"{folder}/.", f"{aside}-after/"], check=True)
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
        Path(f"{aside}-after").rename(folder)


@pytest.mark.parametrize("kilobytes", SIZES_KB)
def test_a_full_disk_harms_nothing_and_is_told(
    staged: tuple[Stage, dict[str, object]], struck: Stage, kilobytes: int
) -> None:
    (struck.folder / "aside-after").mkdir()
    with small_disk(struck.folder / "out", kilobytes):
        ended = struck.night()
        assert verdicts(struck.folder) == [VERDICT]
    assert ended.code or kilobytes > SURELY_FULL_KB, "the disk was not full: nothing was tried"
    if ended.code:
        assert ended.code == 3 and one_line(ended), ended.err
        assert "space" in ended.err
    assert struck.night().code == (0 if ended.code else 4)
    assert results(struck.folder) == staged[1]
    assert verdicts(struck.folder) == [VERDICT]


def test_an_output_that_may_not_be_written_stays_as_it_was(struck: Stage) -> None:
    out = struck.folder / "out"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    mounted = subprocess.run(["mount", "--bind", out, out], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this user may not mount: {mounted.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", out], check=True)
        ended = struck.night()
    finally:
        subprocess.run(["umount", out], check=True)
    assert ended.code == 3 and one_line(ended), ended.err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_review_file_that_somebody_holds_waits_for_the_next_night(
    staged: tuple[Stage, dict[str, object]], struck: Stage
) -> None:
    holder = sqlite3.connect(struck.folder / "out" / PLACE / "review.gpkg")
    holder.execute("BEGIN EXCLUSIVE")
    ended = struck.night()
    holder.rollback()
    holder.close()
    assert ended.code == 3 and one_line(ended), ended.err
    assert verdicts(struck.folder) == [VERDICT]
    assert struck.night().code == 0
    assert results(struck.folder) == staged[1]


def test_a_ledger_that_rotted_is_built_again(staged: tuple[Stage, dict[str, object]], struck: Stage) -> None:
    ledger = struck.folder / "out" / ".groundbreak" / "ledger.sqlite"
    ledger.write_bytes(ledger.read_bytes()[:100] + b"rot" * 500)
    assert struck.night().code == 0
    assert results(struck.folder) == staged[1]
    assert verdicts(struck.folder) == [VERDICT]


def test_a_clock_set_back_is_refused_and_harms_nothing(staged: tuple[Stage, dict[str, object]], struck: Stage) -> None:
    assert struck.night().code == 0
    behind = struck.night("--until", "2020-05-01")
    assert behind.code in (2, 3) and one_line(behind), behind.err
    assert results(struck.folder) == staged[1]
    assert struck.night().code == 4
