"""Registration, R4: recorded pairs, bands that must agree, loops that must close, and a shift that must not score.

python -m benchmarks.stack      needs the recorded coregistration pairs beside the checkout, and the embedded archive
"""

import csv
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from benchmarks.moved import moved_looks
from benchmarks.real_series import SERIES, catalogue
from pipeline.catalogue.sites import read_sites
from pipeline.correct.alignment import Options, estimate_shift
from pipeline.correct.look import make_unregistered
from pipeline.correct.reference import UnregisteredImage, align, make_reference
from pipeline.correct.site_looks import bands_of
from pipeline.model.bands import ALIGNMENT
from pipeline.model.imagery import Chip
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run.process_site import SiteJob, find_scenes, read_all, with_scenes

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RECORDED, FLAT = DATA / "coregistration", "iberia_series/site_a"
SITES = ROOT / "aois" / "demo.geojson"
TRUTH = (-1.8, 0.6)
LOOP_LOOKS = 12


def main() -> str:
    """A markdown section."""
    if not RECORDED.is_dir():
        raise FileNotFoundError("the coregistration pairs are not beside this checkout")
    chips, job = _archive()
    settings = job.settings
    drafts = _drafts(chips, job)
    with tempfile.TemporaryDirectory() as scratch:
        place = catalogue(DATA / FLAT, SERIES[FLAT], Path(scratch))
        asked = with_scenes(replace(job, site=place, source=str(place.catalog), found=None))
        flat_chips = read_all(asked, find_scenes(asked).scenes, no_progress)[0]
    flat = _drafts(flat_chips, asked)
    return "\n".join([
        "## Registration, R4: pairs, bands, loops, and what a shift scores",
        "",
        "`python -m benchmarks.stack`.",
        "",
        *_simulated(),
        "",
        *_real(),
        "",
        "Goal for bands and loops: 0.02 px. Gap in sigmas: of a loop, over what its three shifts claim to be uncertain",
        "by. Halves: two references, each of every second look; a look's shift against either, less what all share.",
        "",
        "Embedded series, wooded slopes whose shade moves with the sun:",
        "",
        *_consistency(drafts, settings),
        "",
        "Recorded Iberian series, flat farmland:",
        "",
        *_consistency(flat, settings),
        "",
        "The pipeline goes no way from look to look: every look is registered to the common reference, where a loop",
        "closes by construction, and what is left is how far two references would differ.",
        "",
        *moved_looks({"embedded": (chips, job), "flat": (flat_chips, asked)}),
    ])  # fmt: skip


def _archive() -> tuple[list[tuple[Chip, ...]], SiteJob]:
    site = next(each for each in read_sites([SITES]).sites if each.id == "southern-carpathians")
    asked = SiteJob(site=site, source=str(site.catalog), collection=None, start=None,
                     until=datetime(2030, 1, 1, tzinfo=UTC), settings=Settings())  # fmt: skip
    job = with_scenes(asked)
    return read_all(job, find_scenes(job).scenes, no_progress)[0], job


def _drafts(chips: list[tuple[Chip, ...]], job: SiteJob) -> list[UnregisteredImage]:
    made = (make_unregistered(each, job.site.grid, bands_of(each), job.settings) for each in chips)
    return [each for each in made if isinstance(each, UnregisteredImage)]


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
        found = estimate_shift(first, second, usable > 0)
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
        found = estimate_shift(first, second, (first > 0) & (second > 0))
        off = float(np.hypot(*(np.array(found.shift) - TRUTH)))
        lines.append(f"| {name} | {found.shift[0]:+.3f}, {found.shift[1]:+.3f} | {off:.2f} | {found.accepted} |")
    return lines


def _bands(drafts: list[UnregisteredImage], settings: Settings) -> list[str]:
    reference = make_reference(drafts, settings)
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


def _one(
    image: NDArray[np.float32], draft: UnregisteredImage, index: int, settings: Settings
) -> tuple[float, float] | None:
    usable = (draft.why == 0) & np.isfinite(image[index])
    options = Options(max_shift_px=settings.correct.max_shift_px)
    found = estimate_shift(image[index], draft.reflectance[index], usable, options)
    return found.shift if found.accepted else None


def _consistency(drafts: list[UnregisteredImage], settings: Settings) -> list[str]:
    return [*_bands(drafts, settings), "", *_loops(drafts, settings), "", *_halves(drafts, settings)]


def _loops(drafts: list[UnregisteredImage], settings: Settings) -> list[str]:
    """A to B to C and back to A, each pair on its own; a look against the common reference closes by construction."""
    clear = sorted(drafts, key=lambda draft: -draft.clear_share)[:LOOP_LOOKS]
    images = [np.where(draft.why == 0, draft.reflectance, np.nan) for draft in clear]
    found = {}
    for one, two in combinations(range(len(clear)), 2):
        for a, b in ((one, two), (two, one)):
            alignment = align(images[a], clear[b], settings)
            if alignment.accepted:
                found[a, b] = alignment
    loops = [
        [found[pair] for pair in ((a, b), (b, c), (c, a))]
        for a, b, c in combinations(range(len(clear)), 3)
        if {(a, b), (b, c), (c, a)} <= set(found)
    ]
    gaps = np.array([np.hypot(*np.sum([each.shift for each in loop], axis=0)) for loop in loops])
    claimed = np.array([np.linalg.norm([each.sigma_px for each in loop]) for loop in loops])
    return [
        "| loops of three looks, pair by pair | loops | median px | 95 % px | worst px | gap in sigmas, median, 95 % |",
        "|---|---|---|---|---|---|",
        f"| {len(clear)} clearest looks | {len(gaps)} | {np.median(gaps):.3f} | {np.quantile(gaps, 0.95):.3f} "
        f"| {gaps.max():.3f} | {np.median(gaps / claimed):.1f}, {np.quantile(gaps / claimed, 0.95):.1f} |",
    ]


def _halves(drafts: list[UnregisteredImage], settings: Settings) -> list[str]:
    """The shifts of all looks against two references that have no look in common."""
    ordered = sorted(drafts, key=lambda draft: draft.scene.time)
    references = [make_reference(ordered[start::2], settings).reflectance for start in (0, 1)]
    found = [[align(image, draft, settings) for image in references] for draft in ordered]
    both = np.array([np.subtract(one.shift, two.shift) for one, two in found if one.accepted and two.accepted])
    apart = np.hypot(*(both - np.median(both, axis=0)).T)
    return [
        "| references of disjoint halves | looks | median px | 95 % px | worst px |",
        "|---|---|---|---|---|",
        f"| shifts apart | {len(apart)} | {np.median(apart):.3f} | {np.quantile(apart, 0.95):.3f} "
        f"| {apart.max():.3f} |",
    ]


if __name__ == "__main__":
    print(main())
