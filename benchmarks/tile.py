"""A whole tile in cells, by two workers: memory, CPU, and whether what stands on the seams is found once.

python -m benchmarks.tile [SIDE]     needs the embedded archive, 70 GB of disk and two cores for an hour or two

Ground and dates are those of benchmarks/scale.py; four bands and six looks, for time.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import command
from benchmarks.scale import write
from benchmarks.wide import halls_on_seams, told
from pipeline.run.cells import CELL_PX

TILE, LOOKS, BANDS, WORKERS, GOAL_GB = 10_980, 6, ("blue", "green", "red", "nir"), 2, 4


@dataclass(frozen=True, slots=True)
class Run:
    """One area. once: halls found by exactly one alert, of `halls`; more: alerts where none stands."""

    side: int
    used: command.Used
    once: int
    halls: int
    more: int


def main(side: int = TILE) -> str:
    """A markdown section."""
    run = measured(side)
    used = run.used
    cells = (-(-side // CELL_PX)) ** 2
    each = 1000 * used.cpu_s / LOOKS / (side**2 / 1e4)
    return "\n".join([
        "## A whole tile",
        "",
        f"`benchmarks/tile.py`: {side:,} x {side:,} px in {cells} cells, {LOOKS} looks of {len(BANDS)} bands, `detect`",
        f"with {WORKERS} workers, from the catalogue to the published project; a hall of 60 x 80 m on every seam and",
        "every corner of the cells.",
        "",
        "| CPU, min | ms a look and km² | peak GB, all processes | halls found once | other alerts |",
        "|---|---|---|---|---|",
        f"| {used.cpu_s / 60:.0f} | {each:.0f} | {used.peak_gb:.2f} (goal {GOAL_GB}) "
        f"| {run.once} of {run.halls} | {run.more} |",
    ])  # fmt: skip


def measured(side: int) -> Run:
    """One run over a square of so many pixels. Raises CalledProcessError where it does not end well."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, halls = Path(scratch), halls_on_seams(side)
        sites = write(folder, side, LOOKS, halls, BANDS, LOOKS // 2)
        used = command.run("detect", "--sites", str(sites), "--catalog", str(folder / "catalog.json"),
                           "--out", str(folder / "out"), "--workers", str(WORKERS))  # fmt: skip
        once, more = told(folder / "out" / "scale" / "review.gpkg", halls)
        return Run(side, used, once, len(halls), more)


if __name__ == "__main__":
    print(main(int(sys.argv[1]) if len(sys.argv) > 1 else TILE))
