"""Registration, R4: recorded pairs, bands that must agree, loops that must close, and a shift that must not score.

python -m benchmarks.stack      needs the recorded coregistration pairs beside the checkout, and the embedded archive
"""

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.real_series import SERIES, catalogue
from pipeline.catalogue.sites import read_sites
from pipeline.correct.alignment import Options, estimate
from pipeline.correct.look import make_draft
from pipeline.correct.reference import Draft, align, build
from pipeline.decide.alerts import decide_site, in_order, learned_from
from pipeline.decide.fold import fold
from pipeline.model.alert import Alert
from pipeline.model.bands import ALIGNMENT
from pipeline.model.imagery import Chip, Raster
from pipeline.model.settings import Settings
from pipeline.run.correcting import bands_of, correct_chips
from pipeline.run.judge import Question, quiet, read_all, scenes_of

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RECORDED, FLAT = DATA / "coregistration", "iberia_series/site_a"
SITES = ROOT / "aois" / "demo.geojson"
TRUTH = (-1.8, 0.6)
SHIFTS_M = ((3.7, -6.1), (-8.2, 2.4), (5.0, 5.0))
MOVED = 6
"""Looks that are moved, one at a time, for each of the shifts."""
LOOP_LOOKS = 12


def main() -> str:
    """A markdown section."""
    if not RECORDED.is_dir():
        raise FileNotFoundError("the coregistration pairs are not beside this checkout")
    chips, question = _archive()
    settings = question.settings
    drafts = _drafts(chips, question)
    with tempfile.TemporaryDirectory() as scratch:
        place = catalogue(DATA / FLAT, SERIES[FLAT], Path(scratch))
        asked = replace(question, site=place, source=str(place.catalog))
        flat = _drafts(read_all(asked, scenes_of(asked).scenes, quiet)[0], asked)
    return "\n".join([
        "## Registration, R4: pairs, bands, loops, and what a shift scores",
        "",
        "`python -m benchmarks.stack`.",
        "",
        *_simulated(),
        "",
        *_real(),
        "",
        "Embedded series, wooded slopes whose shade moves with the sun:",
        "",
        *_bands(drafts, settings),
        "",
        *_loops(drafts, settings),
        "",
        "Recorded Iberian series, flat farmland:",
        "",
        *_bands(flat, settings),
        "",
        *_loops(flat, settings),
        "",
        "The pipeline goes no such way: every look is registered to the common reference, where a loop closes by",
        "construction.",
        "",
        *_moved(chips, question),
    ])  # fmt: skip


def _archive() -> tuple[list[tuple[Chip, ...]], Question]:
    site = read_sites([SITES]).sites[0]
    question = Question(site=site, source=str(site.catalog), collection=None, start=None,
                        until=datetime(2030, 1, 1, tzinfo=UTC), settings=Settings())  # fmt: skip
    return read_all(question, scenes_of(question).scenes, quiet)[0], question


def _drafts(chips: list[tuple[Chip, ...]], question: Question) -> list[Draft]:
    made = (make_draft(each, question.site.grid, bands_of(each), question.settings) for each in chips)
    return [each for each in made if isinstance(each, Draft)]


def _read(path: Path) -> NDArray[np.float32]:
    with rasterio.open(path) as source:
        return source.read(1).astype(np.float32)


def _simulated() -> list[str]:
    rows, errors = [], []
    for case in csv.DictReader((RECORDED / "simulated" / "truth.csv").open()):
        first, second, usable = (
            _read(RECORDED / "simulated" / f"case_{case['case']}_{name}.tif")
            for name in ("reference", "target", "usable")
        )
        found = estimate(first, second, usable > 0)
        error = np.array(found.shift) - (float(case["shift_row"]), float(case["shift_col"]))
        errors.append(np.abs(error).max())
        rows.append(f"| {case['case']} | {case['shift_row']}, {case['shift_col']} | {float(case['cloud_share']):.0%} "
                    f"| {'yes' if found.accepted else 'no'} | {errors[-1]:.4f} |")  # fmt: skip
    head = ["| simulated pair | shift, px | cloud | accepted | error px |", "|---|---|---|---|---|"]
    return [*head, *rows]


def _real() -> list[str]:
    lines = ["| real pair | shift found, px | from the truth of about -1.8, +0.6 | accepted |", "|---|---|---|---|"]
    for name in ("fields", "cloud_edge"):
        first, second = (_read(RECORDED / "real" / name / f"{each}.tif")
                         for each in ("reference_2016-06-08", "target_2016-05-29"))  # fmt: skip
        found = estimate(first, second, (first > 0) & (second > 0))
        off = float(np.hypot(*(np.array(found.shift) - TRUTH)))
        lines.append(f"| {name} | {found.shift[0]:+.3f}, {found.shift[1]:+.3f} | {off:.2f} | {found.accepted} |")
    return lines


def _bands(drafts: list[Draft], settings: Settings) -> list[str]:
    reference = build(drafts, settings)
    bands = [band for band in ALIGNMENT if band in reference.bands][:3]
    found = {band: [_one(reference.reflectance, draft, draft.bands.index(band), settings) for draft in drafts]
             for band in bands}  # fmt: skip
    lines = [
        "| two bands of one look | looks | median px | 95 % px | worst px |",
        "|---|---|---|---|---|",
    ]
    for one, two in combinations(bands, 2):
        apart = [np.hypot(*(np.subtract(a, b)))
                 for a, b in zip(found[one], found[two], strict=True) if a is not None and b is not None]  # fmt: skip
        lines.append(f"| {one} {one.role}, {two} {two.role} | {len(apart)} | {np.median(apart):.3f} "
                     f"| {np.quantile(apart, 0.95):.3f} | {max(apart):.3f} |")  # fmt: skip
    return lines


def _one(image: NDArray[np.float32], draft: Draft, index: int, settings: Settings) -> tuple[float, float] | None:
    usable = (draft.why == 0) & np.isfinite(image[index])
    options = Options(max_shift_px=settings.correct.max_shift_px)
    found = estimate(image[index], draft.reflectance[index], usable, options)
    return found.shift if found.accepted else None


def _loops(drafts: list[Draft], settings: Settings) -> list[str]:
    """A to B to C and back to A, each pair on its own; a look against the common reference closes by construction."""
    clear = sorted(drafts, key=lambda draft: -draft.clear_share)[:LOOP_LOOKS]
    images = [np.where(draft.why == 0, draft.reflectance, np.nan) for draft in clear]
    shift = {}
    for one, two in combinations(range(len(clear)), 2):
        for a, b in ((one, two), (two, one)):
            found = align(images[a], clear[b], settings)
            if found.accepted:
                shift[a, b] = np.array(found.shift)
    gaps = [
        float(np.hypot(*(shift[a, b] + shift[b, c] + shift[c, a])))
        for a, b, c in combinations(range(len(clear)), 3)
        if {(a, b), (b, c), (c, a)} <= set(shift)
    ]
    return [
        "| loops of three looks, pair by pair | loops | median px | 95 % px | worst px |",
        "|---|---|---|---|---|",
        f"| {len(clear)} clearest looks | {len(gaps)} | {np.median(gaps):.3f} | {np.quantile(gaps, 0.95):.3f} "
        f"| {max(gaps):.3f} |",
    ]


def _moved(chips: list[tuple[Chip, ...]], question: Question) -> list[str]:
    """One look at a time moved by a known shift; what it scores beside the same look unmoved."""
    site, settings = question.site, question.settings
    still = in_order(correct_chips(site, chips, settings, quiet)[0])
    learning = learned_from(site, len(still), settings)
    before, alerts = fold(still, learning), decide_site(site, still, settings).alerts
    by_scene = {each[0].scene.id: index for index, each in enumerate(chips)}
    chosen = np.linspace(learning + 1, len(still) - 1, MOVED).astype(int).tolist()
    rows = []
    for metres in SHIFTS_M:
        found, same, score, noise = [], [], [], []
        for index in chosen:
            at = by_scene[still[index].scene.id]
            other = list(chips)
            other[at] = tuple(_shifted(chip, metres) for chip in chips[at])
            looks = in_order(correct_chips(site, other, settings, quiet)[0])
            if len(looks) != len(still):
                continue
            after = fold(looks, learning)
            moved = np.subtract(looks[index].alignment.shift, still[index].alignment.shift) * 10
            found.append(np.hypot(*(moved - metres)) / 10)
            one, two = before.scores[index], after.scores[index]
            if one is not None and two is not None:
                both = np.isfinite(one) & np.isfinite(two)
                score.append(np.abs(one - two)[both])
                noise.append(np.abs(one - np.nanmedian(one))[both])
            same.append(_in_common(decide_site(site, looks, settings).alerts, alerts))
        apart, usual = np.concatenate(score), np.concatenate(noise)
        rows.append(
            f"| {metres[0]:+.1f}, {metres[1]:+.1f} | {len(found)} | {np.median(found):.3f}, {max(found):.3f} "
            f"| {np.median(apart):.2f} | {np.quantile(apart, 0.99):.2f} | {np.quantile(usual, 0.99):.2f} "
            f"| {np.mean(same):.0%} |"
        )
    head = (
        "Embedded series, one look at a time moved by a known shift. On its slopes the bands disagree, so that the "
        "shift\nfound depends on which of them are believed.\n\n"
        "| one look moved by, m | looks | shift found to, median and worst px | score apart, median sigma | 99 % "
        "| its own scores unmoved, 99 % | alerts in common |"
    )
    return [head, "|---|---|---|---|---|---|---|", *rows]


def _in_common(some: Sequence[Alert], others: Sequence[Alert]) -> float:
    """Share of the alerts of both that have one of the same kind on their ground in the other."""
    found = [
        any(one.kind is two.kind and one.outline.intersects(two.outline) for two in there)
        for mine, there in ((some, others), (others, some)) for one in mine
    ]  # fmt: skip
    return float(np.mean(found)) if found else 1.0


def _shifted(chip: Chip, metres: tuple[float, float]) -> Chip:
    """The chip as if the ground lay elsewhere by so many metres down and right, resampled once."""
    moved = {}
    for band, raster in chip.dn.items():
        pixel = raster.grid.resolution.x
        plane = ndimage.shift(raster.data.astype(np.float64), np.array(metres) / pixel, order=5, mode="nearest")
        known = ndimage.binary_erosion(raster.data > 0, iterations=3, border_value=1)
        data = np.where(known, np.clip(np.round(plane), 1, 65535), 0).astype(np.uint16)
        moved[band] = Raster(grid=raster.grid, data=data)
    return replace(chip, dn=moved)


if __name__ == "__main__":
    print(main())
