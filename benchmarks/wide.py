"""A site judged in cells: time and memory by area, and whether what stands on the seams is found once.

python -m benchmarks.wide       needs nothing but the embedded archive

Each area is judged by the command itself, in a process of its own with one worker, so that its peak is that of one.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from shapely import STRtree
from shapely.geometry import Polygon, box

from benchmarks import command
from benchmarks.scale import LEFT, TOP, Place, write
from pipeline.review.gpkg import read_rows
from pipeline.run.cells import CELL_PX

SIDES, LOOKS = (800, 1200, 1600), 10
OUTER = 1
"""The AOI's margin makes the site's grid begin so many pixels inside the ground there is."""


@dataclass(frozen=True, slots=True)
class Run:
    """One area. once: halls found by exactly one alert, of `halls`; more: alerts where none stands."""

    side: int
    cpu: float
    peak_gb: float
    once: int
    halls: int
    more: int


def main() -> str:
    """A markdown section."""
    runs = [_run(side) for side in SIDES]
    rows = [
        f"| {run.side} x {run.side} | {run.cpu:.0f} | {1000 * run.cpu / LOOKS / (run.side**2 / 1e4):.0f} "
        f"| {run.peak_gb:.2f} | {run.once} of {run.halls} | {run.more} |"
        for run in runs
    ]
    return "\n".join([
        "## A wide area, in cells",
        "",
        f"`benchmarks/wide.py`: {LOOKS} looks, six bands, `detect --workers 1` as a whole, publishing too; a hall of",
        "60 x 80 m on every seam and every corner of the cells.",
        "",
        "| grid, px | CPU s | ms a look and km² | peak GB | halls found once | other alerts |",
        "|---|---|---|---|---|---|",
        *rows,
    ])  # fmt: skip


def _run(side: int) -> Run:
    with tempfile.TemporaryDirectory() as scratch:
        folder, halls = Path(scratch), halls_on_seams(side)
        sites = write(folder, side, LOOKS, halls)
        used = command.run("detect", "--sites", str(sites), "--catalog", str(folder / "catalog.json"),
                           "--out", str(folder / "out"), "--workers", "1")  # fmt: skip
        once, more = told(folder / "out" / "scale" / "review.gpkg", halls)
        return Run(side, used.cpu_s, used.peak_gb, once, len(halls), more)


def told(review: Path, halls: Sequence[Place]) -> tuple[int, int]:
    """How many halls exactly one alert tells, and how many alerts tell none."""
    found = STRtree([row.outline for row in read_rows(review) if row.status != "withdrawn"])
    hall, alert = found.query([_ground(hall) for hall in halls], predicate="intersects")
    return int((np.bincount(hall, minlength=len(halls)) == 1).sum()), len(found.geometries) - len(set(alert.tolist()))


def halls_on_seams(side: int) -> list[Place]:
    """Halls over every inner corner of the cells, and over the middle of every seam."""
    seams = range(OUTER + CELL_PX, side - 80, CELL_PX)
    middles = range(OUTER + CELL_PX // 2, side - 80, CELL_PX)
    places = [*product(seams, seams), *product(seams, middles), *product(middles, seams)]
    return [(slice(row - 3, row + 3), slice(col - 4, col + 4)) for row, col in places]


def _ground(place: Place) -> Polygon:
    rows, cols = place
    return box(LEFT + 10 * cols.start, TOP - 10 * rows.stop, LEFT + 10 * cols.stop, TOP - 10 * rows.start)


if __name__ == "__main__":
    print(main())
