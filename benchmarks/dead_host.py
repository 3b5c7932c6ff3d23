"""A night over two catalogue hosts, one of which is dead: how long searching takes, and which sites come first.

python -m benchmarks.dead_host [SITES]     nothing but this machine; two minutes for 10,000 sites a host

Answers are simulated: a healthy host answers after ANSWER_S and has nothing new; a dead one is given up after
SILENCE_S, which is what five tries of a connection take (`catalogue/fetch.py`), scaled like the answers. Order, circuit
breaker and ledger are those of the command.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from shapely.geometry import box

from pipeline.catalogue.fetch import FetchError
from pipeline.catalogue.scenes import FoundScenes
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run import nightly as night
from pipeline.run.process_site import SiteJob

SITES = 10_000
ANSWER_S, SILENCE_S = 0.02, 6.5
"""A tenth of what a provider takes for a search of one site, and of five tries with their pauses."""
SCALE = 10
UNTIL = datetime(2024, 3, 1, tzinfo=UTC)
DEAD = "dead.invalid"


@dataclass(frozen=True, slots=True)
class Night:
    """One night. asked: searches that the dead host got; healthy_s, all_s: when they were done, and all.

    before: healthy sites that were done before the first site of the dead host was given up.
    """

    sites: int
    asked: int
    before: int
    healthy_s: float
    all_s: float


def main(sites: int = SITES) -> str:
    """A markdown section."""
    done = measured(sites)
    return "\n".join([
        "## A dead catalogue host",
        "",
        f"`benchmarks/dead_host.py`: one night over {sites:,} sites on each of two hosts, one of which does not",
        f"answer. Answers are simulated, {SCALE} times as fast as a provider's: {ANSWER_S:g} s a search,",
        f"{SILENCE_S:g} s until the dead host is given up. With a provider the times are about {SCALE} times as long.",
        "",
        "| sites | healthy sites done, s | all done, s | searches that the dead host got | healthy sites done before"
        " the first of the dead host |",
        "|---|---|---|---|---|",
        f"| {2 * done.sites:,} | {done.healthy_s:.0f} | {done.all_s:.0f} | {done.asked} | {done.before:,} |",
    ])  # fmt: skip


def measured(sites: int, answer_s: float = ANSWER_S, silence_s: float = SILENCE_S) -> Night:
    """One night over so many sites a host, in the order dead, healthy, dead, healthy."""
    asked: list[str] = []

    def answer(job: SiteJob) -> FoundScenes:
        if DEAD in job.source:
            asked.append(job.site.id)
            time.sleep(silence_s)
            raise FetchError("no answer: timed out", job.source, "try again later")
        time.sleep(answer_s)
        return FoundScenes(scenes=(), rejections=(), errors=())

    with tempfile.TemporaryDirectory() as scratch:
        kept, night.find_scenes = night.find_scenes, answer
        try:
            began = time.monotonic()
            ends = [
                (outcome.job.source, time.monotonic() - began)
                for outcome in night.run_night(_questions(sites), Path(scratch), 1, no_progress, now=UNTIL)
            ]
        finally:
            night.find_scenes = kept
    healthy = [moment for source, moment in ends if DEAD not in source]
    first_dead = next(index for index, (source, _) in enumerate(ends) if DEAD in source)
    before = sum(DEAD not in source for source, _ in ends[:first_dead])
    return Night(sites, len(asked), before, healthy[-1], ends[-1][1])


def _questions(sites: int) -> Sequence[SiteJob]:
    grid = GeoBox((256, 256), from_origin(500_000, 5_000_000, 10, 10), "EPSG:32634")
    place = Site(id="site", name="site", aoi=box(21, 45.1, 21.01, 45.11), grid=grid)
    return [
        SiteJob(
            site=replace(place, id=f"{host.partition('.')[0]}-{number:05d}"), source=f"https://{host}/v1",
            collection=None, start=None, until=UNTIL, settings=Settings(),
        )
        for number in range(sites)
        for host in (DEAD, "healthy.invalid")
    ]  # fmt: skip


if __name__ == "__main__":
    print(main(int(sys.argv[1]) if len(sys.argv) > 1 else SITES))
