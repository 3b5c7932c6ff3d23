"""Monitors of single pixels beside groundbreak: nrt's EWMA and CuSum, pyxccd's COLD, on the same corrected looks.

python -m benchmarks.monitors      needs the recorded city pairs and series beside the checkout, and `make peers`

The peers get groundbreak's own looks: registered, normalised, masked. nrt is told which looks are stable history, all
before the first building can begin; groundbreak and COLD are not. Pixels that a peer flags are joined to polygons
(eight neighbours, the least area that groundbreak keeps) and scored by the same `evaluate`.
"""

import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry import shape
from shapely.ops import unary_union

from benchmarks import real_series, series
from benchmarks.peers import PeerMissingError, ask
from pipeline.evaluation.measures import OVERLAP, Measures, evaluate_review, pool_measures
from pipeline.evaluation.reviewed import Claim, Reviewed, Truth
from pipeline.model.errors import GroundbreakError
from pipeline.model.grid import aoi_mask
from pipeline.model.imagery import Look
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run.process_site import SiteResult, process_site
from pipeline.study.scenarios import BEGUN, DAYS, PASSES, START

SEED = 101
GROUNDS, COLD_GROUNDS = ("aguasclaras", "paris"), ("paris",)
"""COLD takes a millisecond and more a pixel: it is run where no threshold of groundbreak was ever set."""
SIZES = ("20x20 m", "20x40 m", "30x60 m", "60x100 m", "80x150 m")
BUILT = "new structure"
NRT = tuple({"index": index, "harmonic_order": order} for index in ("ndvi", "visible") for order in (2, 1))
Setting = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Watched:
    """One series as a peer sees it. at: where its crop lies on the site's grid. truths: None where none is known."""

    name: str
    looks: tuple[Look, ...]
    at: tuple[slice, slice]
    inside: NDArray[np.bool_]
    reviewed: Reviewed
    truths: tuple[Truth, ...] | None
    history: int


def settings() -> list[Setting]:
    """Every setting tried; the first of each method is as documented, the others sweep what its user can turn."""
    ewma = [
        {"method": "EWMA", **each, "sensitivity": level, "threshold_outlier": outlier}
        for each, outlier, level in itertools.product(NRT, (10, 1e9), (2, 6, 12))
    ]
    cusum = [{"method": "CuSum", **each, "critical": level} for each, level in itertools.product(NRT, (None, 2, 4, 8))]
    cold = [{"method": "COLD", "conse": 6, "strength": level} for level in (0, 6, 10, 15, 20, 30)]
    return [*ewma, *cusum, *cold]


def watched(name: str, found: SiteResult, reviewed: Reviewed, truths: tuple[Truth, ...] | None, until: date) -> Watched:
    """The looks, cropped to the AOI; `until` is the end of the stable history."""
    inside = aoi_mask(found.site)
    at = ndimage.find_objects(inside.astype(int))[0]
    history = sum(look.time.date() <= until for look in found.looks)
    return Watched(name, found.looks, at, inside[at], reviewed, truths, history)


def simulated() -> Iterator[Watched]:
    """Each ground with and without events."""
    until = (START + BEGUN * timedelta(days=PASSES * DAYS)).date()
    for ground in GROUNDS:
        for nothing in (False, True):
            year = series.simulated(ground, SEED, nothing)
            yield watched(ground, year.found, year.reviewed, year.truths, until)


def real() -> Iterator[Watched]:
    """The recorded series that can be judged; nothing was built, half of the looks are history."""
    for name, bands in real_series.SERIES.items():
        with tempfile.TemporaryDirectory() as scratch:
            site = real_series.catalogue(real_series.DATA / name, bands, Path(scratch))
            try:
                found = process_site(real_series.job(site), no_progress)
            except GroundbreakError:
                continue
            crs = str(site.grid.crs)
            days = tuple(look.time.date() for look in found.looks)
            claims = tuple(_own(alert) for alert in found.decision.alerts if alert.status in real_series.CONFIRMED)
            aoi = Geometry(site.aoi, "EPSG:4326").to_crs(crs).geom
            reviewed = Reviewed(name=name, crs=crs, claims=claims, aoi=aoi, days=days)
            yield watched(name, found, reviewed, None, days[len(days) // 2 - 1])


def _own(alert: Any) -> Claim:
    return Claim(
        id=alert.id, outline=alert.outline, status=alert.status.value, kind=alert.kind.value,
        confidence=alert.confidence, area_m2=alert.area_m2, first_seen=alert.first_seen,
        confirmed_at=alert.confirmed_at, verdict=None,
    )  # fmt: skip


def answers(stacks: Sequence[Watched], tried: Sequence[Setting], method: str) -> Mapping[str, NDArray[Any]]:
    """What the peers flag with the settings of a method. Raises PeerMissingError."""
    given: dict[str, NDArray[Any]] = {}
    for number, stack in enumerate(stacks):
        rows, cols = stack.at
        values = [np.where(look.why == 0, look.reflectance, np.nan)[:, rows, cols] for look in stack.looks]
        given[f"reflectance_{number}"] = np.array(values, np.float32)
        given[f"days_{number}"] = np.array([(look.time.date() - date(1970, 1, 1)).days for look in stack.looks])
        given[f"history_{number}"] = np.array(stack.history)
    left_out = [
        (number, index)
        for number, stack in enumerate(stacks) for index, setting in enumerate(tried)
        if setting["method"] != method or (method == "COLD" and stack.name not in COLD_GROUNDS)
    ]  # fmt: skip
    bands = [[band.value for band in stack.looks[0].bands] for stack in stacks]
    given["asked"] = np.array(json.dumps({"bands": bands, "settings": list(tried), "skipped": left_out}))
    return ask("series", "monitor_peer.py", given)


def claims(flagged: NDArray[np.int32], stack: Watched) -> tuple[Claim, ...]:
    """Flagged pixels joined to polygons, dated by their median day."""
    grid: GeoBox = stack.looks[0].grid[stack.at]
    labels, count = ndimage.label((flagged > 0) & stack.inside, structure=np.ones((3, 3)))
    least = Settings().decide.min_area_m2 / abs(grid.affine.a * grid.affine.e)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(count + 1))
    kept = np.where(sizes[labels] >= least, labels, 0).astype(np.int32)
    parts: dict[int, list[Any]] = {}
    for outline, label in shapes(kept, kept > 0, connectivity=4, transform=grid.affine):
        parts.setdefault(int(label), []).append(shape(outline))
    return tuple(_claim(label, unary_union(each), flagged[labels == label]) for label, each in parts.items())


def _claim(label: int, outline: Any, days: NDArray[np.int32]) -> Claim:
    day = date(1970, 1, 1) + timedelta(days=int(np.median(days)))
    return Claim(
        id=str(label), outline=outline, status="confirmed", kind=BUILT, confidence=0.5, area_m2=outline.area,
        first_seen=day, confirmed_at=day, verdict=None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Score:
    """One method with one setting. busy, still: with and without events. real: confirmed per 100 km2 and year."""

    busy: Measures
    still: Measures
    real: float

    @property
    def built(self) -> list[Any]:
        return [each for each in self.busy.sought if each.kind == BUILT]

    @property
    def outlined(self) -> int:
        """New structures confirmed and overlapped: one polygon over everything finds all and outlines nothing."""
        return sum(each.confirmed and each.iou >= OVERLAP for each in self.built)

    @property
    def f1(self) -> float:
        """Of outlined new structures and false polygons, both years."""
        hits = self.outlined
        wrong = len(self.busy.wrong) + len(self.still.wrong)
        return 2 * hits / (hits + len(self.built) + wrong)


def score(stacks: Sequence[Watched], claimed: Mapping[int, tuple[Claim, ...]]) -> Score:
    """claimed: by number of the stack; stacks that are not in it are left out."""
    busy, still, count, years = [], [], 0, 0.0
    for number, polygons in claimed.items():
        stack = stacks[number]
        old = stack.reviewed
        reviewed = Reviewed(name=old.name, crs=old.crs, claims=polygons, aoi=old.aoi, days=old.days)
        if stack.truths is None:
            count, years = count + len(polygons), years + reviewed.km2_years
        else:
            (busy if stack.truths else still).append(evaluate_review(reviewed, stack.truths))
    return Score(pool_measures(busy), pool_measures(still), 100 * count / years if years else float("nan"))


def main() -> str:
    """A markdown section."""
    stacks, tried = [*simulated(), *real()], settings()
    own = {number: stack.reviewed.claims for number, stack in enumerate(stacks)}
    few = {number: own[number] for number, stack in enumerate(stacks) if stack.name in COLD_GROUNDS}
    rows = [_row("groundbreak, as shipped", score(stacks, own)), *_rows(stacks, tried, "EWMA"),
            *_rows(stacks, tried, "CuSum"), _row("groundbreak, the ground of COLD", score(stacks, few)),
            *_rows(stacks, tried, "COLD")]  # fmt: skip
    return "\n".join([*_head(stacks), *rows, "", *_notes()])


def _rows(stacks: Sequence[Watched], tried: Sequence[Setting], method: str) -> list[str]:
    """A method as documented, and with the setting that does best."""
    try:
        answer = answers(stacks, tried, method)
    except PeerMissingError as missing:
        return [f"| {method} | {missing}" + " |" * (len(SIZES) + 7)]
    scores = {
        index: score(stacks, {
            number: claims(answer[f"flagged_{number}_{index}"], stack)
            for number, stack in enumerate(stacks) if f"flagged_{number}_{index}" in answer
        })
        for index, setting in enumerate(tried) if setting["method"] == method
    }  # fmt: skip
    best = max(scores, key=lambda index: scores[index].f1)
    return [
        _row(f"{method}, as documented", scores[min(scores)]),
        _row(f"{method}, best of {len(scores)} on this truth: {_said(tried[best])}", scores[best]),
    ]


def _said(setting: Setting) -> str:
    return ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in setting.items() if name != "method")  # fmt: skip


def _row(name: str, found: Score) -> str:
    hits = [each for each in found.built if each.confirmed]
    by_size = " | ".join(
        f"{sum(each.confirmed for each in found.built if each.size == size)} of "
        f"{sum(each.size == size for each in found.built)}"
        for size in SIZES
    )
    iou = f"{np.median([each.iou for each in hits]):.2f}" if hits else "-"
    real_rate = "-" if np.isnan(found.real) else f"{found.real:.0f}"
    return (
        f"| {name} | {by_size} | {len(hits)} of {len(found.built)} | {found.outlined} | {found.still.false_rate:.1f} "
        f"| {found.busy.false_rate:.1f} | {iou} | {found.f1:.2f} | {real_rate} |"
    )


def _head(stacks: Sequence[Watched]) -> list[str]:
    real_ones = sum(stack.truths is None for stack in stacks)
    return [
        "## Monitors of single pixels on the same looks",
        "",
        f"`benchmarks/monitors.py`: the simulated years of benchmarks/series.py, {len(GROUNDS)} grounds, seed",
        f"{SEED}, and {real_ones} recorded series in which nothing was built; looks corrected by groundbreak. False:",
        "confirmed polygons per 100 km² and year. Outlined: confirmed with an IoU of 0.2 or more; one polygon over all",
        "of the ground finds everything and outlines nothing. F1: structures outlined, false polygons of both years.",
        "",
        f"| method | {' | '.join(SIZES)} | all new structures | outlined | false, nothing happening | with distractors "
        "| IoU, median | F1 | confirmed, real series |",
        "|---" * (len(SIZES) + 8) + "|",
    ]


def _notes() -> list[str]:
    return [
        "As documented: NDVI, no trend, EWMA with two harmonics, Shewhart screening and sensitivity 2; CuSum with two",
        "harmonics, ROC history and a level of 0.05; COLD on all bands, six observations, probability 0.99. Swept:",
        "NDVI or mean visible, one or two harmonics, threshold, outlier limit; for COLD the least strength of breaks.",
        "COLD starts its model with a year of looks: of 600 days it flags the last 235, and what was built before is",
        "beyond it here. nrt has 300 days of history, less than its examples use. These series hold no",
        "more; longer ones would suit both better.",
    ]


if __name__ == "__main__":
    print(main())
