"""Where the time of a usual night goes, by stage, in CPU seconds of one core.

python -m benchmarks.stages      needs nothing but the embedded archive

The site, its ground and its dates are those of benchmarks/nights.py. What a stage calls that is a stage itself counts
for that one only.
"""

import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

import pipeline.run.incremental as deciding
import pipeline.run.looks as correcting
import pipeline.run.process_site as judging
from benchmarks.nights import SIDE
from benchmarks.peers.turns import least
from benchmarks.scale import asked, write
from pipeline.correct import look
from pipeline.correct.release import REACH
from pipeline.decide import alerts
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.review.publish import publish
from pipeline.run.process_site import find_scenes, process_site
from pipeline.run.result_cache import ResultCache

HISTORY = 40
PERSISTENCE, PUBLISH = "masks by persistence", "publish"
STAGES = (
    ("search the catalogue", judging, "find_scenes"), ("read pixels", judging, "read_chips"),
    ("first masks", correcting, "make_draft"), ("correct: masks, normalise", correcting, "make_look"),
    ("correct: register", look, "align"), ("correct: warp", look, "to_grid"),
    (PERSISTENCE, correcting, "release"), ("baseline image", deciding, "build_baseline"),
    ("residuals", deciding, "residual_of"), ("natural steps", deciding, "natural_steps"),
    ("screening: steps of pixels", deciding, "advance_each"),
    ("memory: read and verify", ResultCache, "find"), ("memory: write", ResultCache, "keep"),
    ("objects: regions, series", alerts, "objects"), ("detections: outlines, kinds", alerts, "detections"),
)  # fmt: skip
"""Name, and where the function is looked up when it is called."""


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
class Night:
    """CPU seconds by stage; bounds: of some stages, what their bytes alone take."""

    spent: dict[str, float]
    bounds: dict[str, float]


def night() -> Night:
    """One night with one new scene, after one that published too."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = asked(write(folder, SIDE, HISTORY + 1), folder / "catalog.json")
        job = replace(job, memory=folder / "memory")
        before = process_site(replace(job, until=find_scenes(job).scenes[-1].time - timedelta(hours=1)), no_progress)
        out = folder / "out"
        publish(out, before.site, before.decision, before.looks, before.records, Settings())
        with clocked() as clock:
            answer = clock.timed("all else of judging", process_site)(job, no_progress)
            told = (answer.site, answer.decision, answer.looks, answer.records, Settings())
            clock.timed(PUBLISH, publish)(out, *told)
        bounds = {PERSISTENCE: _passed([look.reflectance for look in answer.looks[-2 * REACH - 1 :]]),
                  PUBLISH: _packed(out)}  # fmt: skip
    return Night(clock.spent, bounds)


def _passed(planes: Sequence[NDArray[np.float32]]) -> float:
    """CPU seconds to take an offset from all of these, divide by a gain and fill the gaps, once."""
    return least(lambda: [np.nan_to_num((each - np.float32(0.01)) / np.float32(1.1)) for each in planes])


def _packed(folder: Path) -> float:
    """CPU seconds to deflate the pixels of the published rasters, once."""
    raw = []
    for name in ("before.tif", "after.tif", "score.tif"):
        with rasterio.open(folder / name) as source:
            raw.append(source.read().tobytes())
    return least(lambda: [zlib.compress(each, 6) for each in raw])


def main() -> str:
    """A markdown section."""
    found = night()
    whole = sum(found.spent.values())
    rows = []
    for name, seconds in sorted(found.spent.items(), key=lambda each: -each[1]):
        bound = found.bounds.get(name)
        told = "| | |" if bound is None else f"| {bound:.3f} | {seconds / bound:.1f} |"
        rows.append(f"| {name} | {seconds:.3f} | {seconds / whole:.0%} {told}")
    return "\n".join([
        "## Where a night goes",
        "",
        f"`benchmarks/stages.py`: CPU of one core, a site of {(SIDE / 100) ** 2:.0f} km² and its margin, six bands,",
        f"one new scene after {HISTORY}, as in benchmarks/nights.py; {whole:.2f} s in all. Bounds: for the masks by",
        f"persistence one pass of arithmetic over {2 * REACH + 1} looks, all that a new one needs; for publishing,",
        "deflating the pixels of its three rasters.",
        "",
        "| stage | CPU s | share | bound, s | times the bound |",
        "|---|---|---|---|---|",
        *rows,
    ])  # fmt: skip


if __name__ == "__main__":
    print(main())
