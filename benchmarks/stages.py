"""Where the time of a first run and of a usual night goes, by stage, in CPU seconds of one core.

python -m benchmarks.stages      needs nothing but the embedded archive

The ground and its dates are those of benchmarks/scale.py. What a stage calls that is a stage itself counts
for that one only. The bound of a stage is what it cannot do without: its pixels read and written once at the speed of
memory, or decoded or deflated once.
"""

import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

import pipeline.run.incremental as deciding
import pipeline.run.looks as correcting
import pipeline.run.process_site as judging
from benchmarks.peers.turns import least
from benchmarks.scale import BANDS, asked, write
from pipeline.correct import look, reference
from pipeline.correct.persistence import REACH_LOOKS
from pipeline.correct.reference import MAX_IMAGES
from pipeline.decide import alerts
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.review.publish import publish_site
from pipeline.run.process_site import SiteJob, SiteResult, find_scenes, process_site
from pipeline.run.result_cache import ResultCache

SIDE, HISTORY = 200, 22
"""Pixels and looks: as many that the night after them keeps their reference."""
READ, DRAFT, FOUND, REGISTER, NORMALISE = "read pixels", "first masks", "reference", "register", "masks, normalise"
WARP, PERSISTENCE, RESIDUALS, SCREENING = "warp", "masks by persistence", "residuals", "screening: steps of pixels"
LOAD, STORE, PUBLISH, REST = "memory: read and verify", "memory: write", "publish", "all else of judging"
STAGES = (
    ("search the catalogue", judging, "search_scenes"), (READ, judging, "read_chips"),
    (DRAFT, correcting, "make_unregistered"), (FOUND, correcting, "build_reference"), (REGISTER, reference, "align"),
    (REGISTER, look, "align"), (NORMALISE, correcting, "make_look"), (WARP, look, "to_grid"),
    (PERSISTENCE, correcting, "unmask_persistent"), ("baseline image", deciding, "build_baseline"),
    (RESIDUALS, deciding, "residual_of"), ("natural steps", deciding, "natural_steps"),
    (SCREENING, deciding, "advance_each"), (LOAD, ResultCache, "find_arrays"), (STORE, ResultCache, "store_arrays"),
    ("objects: regions, series", alerts, "grow_objects"), ("detections: outlines, kinds", alerts, "make_detections"),
)  # fmt: skip
"""Name, and where the function is looked up when it is called."""
COPIED = 1 << 26
"""Bytes of the copy that measures memory: more than the caches hold."""


class Clock:
    """CPU seconds by stage, each without the stages within it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._within = [0.0]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its own time counted under a name."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self._within.append(0.0)
            began = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.process_time() - began
                self.spent[name] = self.spent.get(name, 0.0) + whole - self._within.pop()
                self._within[-1] += whole

        return run


@contextmanager
def clocked() -> Iterator[Clock]:
    """Every stage timed within."""
    clock = Clock()
    kept = [(owner, function, getattr(owner, function)) for _, owner, function in STAGES]
    for (name, owner, function), (_, _, original) in zip(STAGES, kept, strict=True):
        setattr(owner, function, clock.timed(name, original))
    try:
        yield clock
    finally:
        for owner, function, original in kept:
            setattr(owner, function, original)


@dataclass(frozen=True, slots=True)
class Run:
    """CPU seconds by stage; bounds: of some stages, what their bytes alone take."""

    spent: dict[str, float]
    bounds: dict[str, float]


def runs(folder: Path) -> tuple[Run, Run]:
    """A first run that is remembered and published, and the night after it with one new scene."""
    job = replace(asked(folder / "sites.geojson", folder / "catalog.json"), memory=folder / "memory")
    newest = find_scenes(job).scenes[-1]
    first = _run(replace(job, until=newest.time - timedelta(hours=1)), folder / "out", HISTORY)
    return first, _run(job, folder / "out", 1)


def _run(job: SiteJob, out: Path, fresh: int) -> Run:
    """fresh: looks that are made."""
    with clocked() as clock:
        answer = clock.timed(REST, process_site)(job, no_progress)
        told = (answer.site, answer.decision, answer.looks, answer.records, Settings())
        clock.timed(PUBLISH, publish_site)(out, *told)
    return Run(clock.spent, _bounds(job, answer, fresh, out))


def _bounds(job: SiteJob, answer: SiteResult, fresh: int, out: Path) -> dict[str, float]:
    """By stage: its pixels read once and written once, as they are stored, at the CPU seconds a byte of a copy."""
    each, looks = int(np.prod(answer.site.grid.shape)) * len(BANDS), len(answer.looks)
    source, target = np.ones(COPIED, np.uint8), np.empty(COPIED, np.uint8)
    byte = least(lambda: np.copyto(target, source)) / (2 * COPIED)
    dn, reflectance, count = (each * np.dtype(kind).itemsize for kind in (np.uint16, np.float32, np.int16))
    scales = 1.25 * count
    drafts = min(MAX_IMAGES, looks) if fresh > 1 else 0
    near = looks if fresh > 1 else 2 * REACH_LOOKS + 1
    # four of the six bands of two images are registered
    moved = {
        DRAFT: fresh * (dn + reflectance), FOUND: 2 * drafts * reflectance,
        REGISTER: (fresh + 2 * drafts) * 2 * reflectance * 4 / len(BANDS), WARP: fresh * (dn + reflectance),
        NORMALISE: fresh * 2 * reflectance, PERSISTENCE: near * reflectance,
        RESIDUALS: fresh * (2 * reflectance + scales), SCREENING: looks * scales,
        LOAD: 0 if fresh > 1 else looks * (reflectance + scales), STORE: fresh * (reflectance + scales),
    }  # fmt: skip
    bounds = {name: bytes_ * byte for name, bytes_ in moved.items() if bytes_}
    return bounds | {READ: fresh * _decoded(Path(job.source).parent), PUBLISH: _packed(out)}


def _decoded(catalogue: Path) -> float:
    """CPU seconds to read the files of one scene, opening included."""
    paths = sorted(next(path for path in sorted(catalogue.glob("look-*")) if path.is_dir()).glob("*.tif"))

    def read() -> None:
        for path in paths:
            with rasterio.open(path) as source:
                source.read()

    return least(read)


def _packed(folder: Path) -> float:
    """CPU seconds to deflate the pixels of the published rasters, once."""
    raw = []
    for name in ("before.tif", "after.tif", "score.tif"):
        with rasterio.open(folder / name) as source:
            raw.append(source.read().tobytes())
    return least(lambda: [zlib.compress(each, 6) for each in raw])


def main() -> str:
    """A markdown section."""
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch), SIDE, HISTORY + 1)
        return section(*runs(Path(scratch)))


def section(first: Run, night: Run) -> str:
    """Both tables."""
    return "\n".join([
        "## Where the time goes",
        "",
        f"`benchmarks/stages.py`: CPU of one core, a site of {(SIDE / 100) ** 2:.0f} km² and its margin, six bands.",
        "Bounds: the pixels of a stage read and written once at the speed at which memory is copied; for reading, the",
        "files of its scenes decoded once; for publishing, the pixels of its three rasters deflated once.",
        "The site ends where its files end, so its looks are warped by GDAL and not by a few taps (decision 0082).",
        "",
        *_table(f"A first run of {HISTORY} looks, remembered and published", first),
        "",
        *_table(f"The night after it, with one new scene and {HISTORY} looks remembered", night),
    ])  # fmt: skip


def _table(title: str, run: Run) -> list[str]:
    whole = sum(run.spent.values())
    rows = []
    for name, seconds in sorted(run.spent.items(), key=lambda each: -each[1]):
        bound = run.bounds.get(name)
        told = "| | |" if bound is None else f"| {bound:.3f} | {seconds / bound:.0f} |"
        rows.append(f"| {name} | {seconds:.2f} | {seconds / whole:.0%} {told}")
    return [
        f"{title}: {whole:.2f} s.",
        "",
        "| stage | CPU s | share | bound, s | times the bound |",
        "|---|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    print(main())
