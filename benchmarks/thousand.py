"""A night of many sites by the command itself: wall time, CPU and memory, extrapolated to a thousand.

python -m benchmarks.thousand [SITES]      needs nothing but the embedded archive, and 5 GB of disk

All sites lie over one ground of benchmarks/scale.py and each has a memory of its own, of hard links to that of the one
that was judged first: the work of each night is whole, the disk is read as if all fitted into the system's cache.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from benchmarks import command
from benchmarks.scale import asked, write
from pipeline.model.progress import no_progress
from pipeline.review.gpkg import read_rows
from pipeline.run.process_site import find_scenes, process_site

SITES, SIDE, HISTORY, WORKERS = 200, 300, 40, 2
GOAL_MIN, GOAL_GB = 30, 4
THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Night:
    """One night. alike: sites that tell the same alerts as the first, of `sites`."""

    sites: int
    used: command.Used
    alike: int


def main(sites: int = SITES) -> str:
    """A markdown section."""
    night = measured(sites)
    used, each, all_min = night.used, night.used.cpu_s / sites, THOUSAND / sites * night.used.wall_s / 60
    met = "met" if all_min <= GOAL_MIN and used.peak_gb <= GOAL_GB else "missed"
    return "\n".join([
        "## A thousand sites",
        "",
        f"`benchmarks/thousand.py`: `nightly --workers {WORKERS}` over {sites} sites of {(SIDE / 100) ** 2:.0f} km²",
        f"with their margin, six bands, {HISTORY} looks remembered of each and one new scene, published for the first",
        "time; their ground and their remembered files are the same, so the disk is not what is measured.",
        "",
        "| sites | wall s | CPU s | CPU s a site | peak GB, all processes | sites that tell the same alerts |",
        "|---|---|---|---|---|---|",
        f"| {sites} | {used.wall_s:.0f} | {used.cpu_s:.0f} | {each:.2f} | {used.peak_gb:.2f} "
        f"| {night.alike} of {sites} |",
        "",
        f"A thousand, extrapolated by the wall time of this run: {all_min:.0f} minutes on {os.cpu_count()} cores (goal",
        f"{GOAL_MIN} minutes and {GOAL_GB} GB: {met}).",
    ])  # fmt: skip


def measured(sites: int, side: int = SIDE, history: int = HISTORY, workers: int = WORKERS) -> Night:
    """One night of so many sites, each with `history` looks remembered and one new scene."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        known = _remembered(folder, side, history)
        ids = [f"site-{number:04d}" for number in range(sites)]
        _spread(folder, known, ids)
        asked_for = ["--sites", str(folder / "many.geojson"), "--catalog", str(folder / "catalog.json")]
        used = command.run("nightly", *asked_for, "--out", str(folder / "out"), "--workers", str(workers))
        told = [
            [(row.status, row.outline.wkb) for row in read_rows(folder / "out" / each / "review.gpkg")] for each in ids
        ]
        alike = sum(bool(each) and each == told[0] for each in told)
        return Night(sites, used, alike)


def _remembered(folder: Path, side: int, history: int) -> Path:
    """What is remembered of a site that was judged up to its last but one scene."""
    job = asked(write(folder, side, history + 1), folder / "catalog.json")
    last = find_scenes(job).scenes[-1]
    memory = folder / "memory"
    process_site(replace(job, memory=memory, until=last.time - timedelta(hours=1)), no_progress)
    return memory


def _spread(folder: Path, known: Path, ids: Sequence[str]) -> None:
    """An AOI file of that site under many ids, and the memory of each."""
    feature = json.loads((folder / "sites.geojson").read_text())["features"][0]
    features = [feature | {"properties": {"id": each, "name": each}} for each in ids]
    (folder / "many.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    for each in ids:
        own = folder / "out" / ".groundbreak" / "memory" / each
        own.mkdir(parents=True)
        for path in known.iterdir():
            os.link(path, own / path.name)


if __name__ == "__main__":
    print(main(int(sys.argv[1]) if len(sys.argv) > 1 else SITES))
