"""What a night costs that has one new scene, by the length of the history behind it, in CPU seconds of one core.

python -m benchmarks.nights      needs nothing but the embedded archive

Grounds and dates are those of benchmarks/scale.py. Each site is judged up to its last but one scene, then up to the
last with what it remembers, then once more without: the two answers have to be the same.
"""

import tempfile
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from benchmarks.scale import asked, write
from pipeline.catalogue.pixels import read_chips
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.review.publish import publish_site
from pipeline.run.process_site import SiteJob, SiteResult, find_scenes, process_site

SIDE, HISTORIES, USUAL = 300, (10, 50, 200), 50
SITES = 1000


@dataclass(frozen=True, slots=True)
class Night:
    """One site's. All in CPU seconds but `held_mb`, what is remembered of it. anew: without a memory."""

    history: int
    anew: float
    judged: float
    published: float
    read: float
    held_mb: float


def main() -> str:
    """A markdown section."""
    nights = [_night(history) for history in HISTORIES]
    middle = next(night for night in nights if night.history == USUAL)
    usual = middle.judged + middle.published
    mean = 0.9 * usual + 0.1 * (middle.anew + middle.published)
    rows = [
        f"| {night.history} | {night.anew:.1f} | {night.judged:.2f} | {night.published:.2f} | {night.read:.3f} "
        f"| {night.held_mb:.0f} |"
        for night in nights
    ]
    return "\n".join([
        "## What a night costs",
        "",
        f"`benchmarks/nights.py`: CPU seconds of one core, a site of {(SIDE / 100) ** 2:.0f} km² with its margin, six",
        "bands, local archive, one new scene. While a site has fewer than 16 looks, and whenever it has a quarter",
        "more, its reference is founded anew and every look with it: such a night costs what judging all anew does.",
        "",
        "| history | all anew | a night: judged | published | reading the new scene | remembered, MB |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"With memory and without, the answers were the same. A thousand such sites with {USUAL} looks, extrapolated",
        f"from one: {SITES * usual / 3600:.1f} CPU hours on a usual night; founded anew every tenth night,",
        f"{SITES * mean / 3600:.1f} on the average.",
    ])  # fmt: skip


def _night(history: int) -> Night:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = asked(write(folder, SIDE, history + 1), folder / "catalog.json")
        last = find_scenes(job).scenes[-1]
        memory = folder / "memory"
        before = replace(job, memory=memory, until=last.time - timedelta(hours=1))
        process_site(before, no_progress)
        night, answer = _timed(replace(job, memory=memory))
        anew, whole = _timed(job)
        assert whole.decision.alerts == answer.decision.alerts and whole.records == answer.records
        began = time.process_time()
        publish_site(folder / "out", answer.site, answer.decision, answer.looks, answer.records, Settings())
        published = time.process_time() - began
        began = time.process_time()
        read_chips(last, answer.site.grid, tuple(last.granules[0].assets))
        read = time.process_time() - began
        held = sum(path.stat().st_size for path in memory.iterdir()) / 1e6
    return Night(history, anew, night, published, read, held)


def _timed(job: SiteJob) -> tuple[float, SiteResult]:
    began = time.process_time()
    answer = process_site(job, no_progress)
    return time.process_time() - began, answer


if __name__ == "__main__":
    print(main())
