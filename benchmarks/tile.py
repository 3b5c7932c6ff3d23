"""A whole tile in cells, by two workers: memory, CPU, and whether what stands on the seams is found once.

python -m benchmarks.tile [SIDE]     needs the embedded archive, 40 GB of disk and two cores for an hour or two

Ground and dates are those of benchmarks/scale.py; four bands and six looks, for time.
"""

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.scale import write
from benchmarks.wide import halls_on_seams, told
from pipeline.run.cells import CELL_PX

TILE, LOOKS, BANDS, WORKERS, GOAL_GB = 10_980, 6, ("blue", "green", "red", "nir"), 2, 4
EVERY_S = 2.0
COMMAND = "from pipeline.cli.main import run; run()"


@dataclass(frozen=True, slots=True)
class Run:
    """The command and its workers together. peak_gb: of the memory they hold, what they share counted once."""

    side: int
    wall_s: float
    cpu_s: float
    peak_gb: float
    once: int
    halls: int
    more: int


def main(side: int = TILE) -> str:
    """A markdown section."""
    run = measured(side)
    cells = (-(-side // CELL_PX)) ** 2
    each = 1000 * run.cpu_s / LOOKS / (side**2 / 1e4)
    return "\n".join([
        "## A whole tile",
        "",
        f"`benchmarks/tile.py`: {side:,} x {side:,} px in {cells} cells, {LOOKS} looks of {len(BANDS)} bands, `detect`",
        f"with {WORKERS} workers, from the catalogue to the published project; a hall of 60 x 80 m on every seam and",
        "every corner of the cells.",
        "",
        "| wall, min | CPU, min | ms a look and km² | peak GB, all processes | halls found once | other alerts |",
        "|---|---|---|---|---|---|",
        f"| {run.wall_s / 60:.0f} | {run.cpu_s / 60:.0f} | {each:.0f} | {run.peak_gb:.2f} (goal {GOAL_GB}) "
        f"| {run.once} of {run.halls} | {run.more} |",
    ])  # fmt: skip


def measured(side: int) -> Run:
    """One run over a square of so many pixels. Raises CalledProcessError where it does not end well."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, halls = Path(scratch), halls_on_seams(side)
        sites = write(folder, side, LOOKS, halls, BANDS, LOOKS // 2)
        arguments = ["detect", "--sites", str(sites), "--catalog", str(folder / "catalog.json"),
                     "--out", str(folder / "out"), "--workers", str(WORKERS)]  # fmt: skip
        before, began, peak = _children_cpu(), time.monotonic(), 0
        command = [sys.executable, "-c", COMMAND, *arguments]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                peak = max(peak, _held(process.pid))
                time.sleep(EVERY_S)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        wall, spent = time.monotonic() - began, _children_cpu() - before
        once, more = told(folder / "out" / "scale" / "review.gpkg", halls)
        return Run(side, wall, spent, peak / 1e9, once, len(halls), more)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _held(pid: int) -> int:
    """Bytes of a process and those that it started, each page shared out among those that hold it."""
    total = 0
    try:
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:
        # one ended while it was asked: the next sample counts
        return 0
    return total


if __name__ == "__main__":
    print(main(int(sys.argv[1]) if len(sys.argv) > 1 else TILE))
