"""Some looks of a series moved by known sub-pixel shifts, or given a little noise: what they score, and what is told.

A part of benchmarks/stack.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy import ndimage

from pipeline.decide.alerts import decide_site, founding_looks, in_order
from pipeline.decide.residuals import Residual, build_baseline, reflectance_of, residual_of
from pipeline.model.alert import Alert
from pipeline.model.imagery import Chip, Look, Raster
from pipeline.model.progress import no_progress
from pipeline.run.looks import correct_chips
from pipeline.run.process_site import SiteJob

SHIFTS_M = ((3.7, -6.1), (-8.2, 2.4), (5.0, 5.0))
MOVED = 6
"""Looks of a series that are moved, by each of the shifts in turn."""
NOISE_DN, SEED = 1.0, 5
"""What the same looks are given instead, as the control: less than any sensor's own."""
SEEN_SIGMAS = 3.0
"""Length of a residual in spreads of its look from which it is compared."""


def moved_looks(series: Mapping[str, tuple[list[tuple[Chip, ...]], SiteJob]]) -> list[str]:
    """Lines of markdown: two tables of what was moved beside itself unmoved."""
    rows = [row for name, (chips, job) in series.items() for row in _rows(name, chips, job)]
    return [
        f"{MOVED} looks of a series moved by known shifts of 7 to 9 m, their pixels interpolated once more for it, all",
        f"else as before; and as a control the same looks unmoved, with noise of {NOISE_DN:.0f} DN. Shift found to:",
        "less what all looks share, as the reference moves with its looks. Residual: length in spreads of its look.",
        f"Seen alike: pixels of more than {SEEN_SIGMAS:.0f} spreads, those of both over those of either.",
        "",
        "| series | used, refused | shift found to, median and worst px | residuals apart, median | 99 % "
        "| its own residuals unmoved, 99 % | seen alike |",
        "|---|---|---|---|---|---|---|",
        *(row.scored for row in rows),
        "",
        "In common: alerts with one of the same kind on their ground in the other.",
        "",
        "| series | alerts | in common | ever confirmed | in common |",
        "|---|---|---|---|---|",
        *(row.alerted for row in rows),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _History:
    """A series of corrected looks, the residual lengths of each look, and the alerts."""

    looks: tuple[Look, ...]
    lengths: tuple[NDArray[np.float32] | None, ...]
    alerts: tuple[Alert, ...]


def _history(chips: Sequence[tuple[Chip, ...]], job: SiteJob) -> _History:
    site, settings = job.site, job.settings
    looks = in_order(correct_chips(site, chips, settings, no_progress)[0])
    founding = founding_looks(site, len(looks), settings)
    baseline = build_baseline(looks[:founding])
    lengths = tuple(_length(residual_of(look, baseline)) for look in looks)
    return _History(looks, lengths, decide_site(site, looks, settings).alerts)


def _length(residual: Residual) -> NDArray[np.float32] | None:
    """(row, col) length of the residuals in spreads of the look, NaN where not usable; None where nothing is."""
    values, clear = reflectance_of(residual.pooled[0][None])
    if not clear.any():
        return None
    length = np.sqrt(np.mean((values[0] / residual.noise[:, None, None]) ** 2, axis=0))
    return np.where(clear[0], length, np.nan).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Row:
    """What some looks score when disturbed, and what alerts that makes: a row of each table."""

    scored: str
    alerted: str


def _rows(name: str, chips: list[tuple[Chip, ...]], job: SiteJob) -> list[_Row]:
    """Some looks moved by known shifts, and the same with noise instead, beside the series as it is."""
    still = _history(chips, job)
    chosen = np.linspace(len(still.looks) // 4, len(still.looks) - 1, MOVED).astype(int).tolist()
    metres = {still.looks[index].scene.id: by for index, by in zip(chosen, cycle(SHIFTS_M), strict=False)}
    moved = [tuple(_shifted(chip, metres.get(chip.scene.id), job.site.grid) for chip in each) for each in chips]
    rng = np.random.default_rng(SEED)
    noisy = [tuple(_noisy(chip, rng) if chip.scene.id in metres else chip for chip in each) for each in chips]
    return [
        _row(f"{name}, moved", still, _history(moved, job), metres),
        _row(f"{name}, noise", still, _history(noisy, job), dict.fromkeys(metres, (0.0, 0.0))),
    ]


def _row(name: str, still: _History, other: _History, metres: dict[str, tuple[float, float]]) -> _Row:
    where = {look.scene.id: index for index, look in enumerate(other.looks)}
    both = [(index, where[look.scene.id]) for index, look in enumerate(still.looks) if look.scene.id in where]
    moved = {still.looks[one].scene.id: np.subtract(other.looks[two].alignment.shift, still.looks[one].alignment.shift)
             for one, two in both}  # fmt: skip
    shared = np.median([by for scene, by in moved.items() if scene not in metres], axis=0)
    off = [np.hypot(*(moved[scene] - shared - np.array(by) / 10)) for scene, by in metres.items() if scene in moved]
    apart, usual, seen = [], [], np.zeros(2)
    for one, two in both:
        pair = still.lengths[one], other.lengths[two]
        if still.looks[one].scene.id not in metres or pair[0] is None or pair[1] is None:
            continue
        known = np.isfinite(pair[0]) & np.isfinite(pair[1])
        apart.append(np.abs(pair[0] - pair[1])[known])
        usual.append(np.abs(pair[0] - np.nanmedian(pair[0]))[known])
        hot = [each[known] > SEEN_SIGMAS for each in pair]
        seen += ((hot[0] & hot[1]).sum(), (hot[0] | hot[1]).sum())
    scores = np.concatenate(apart)
    return _Row(
        f"| {name} | {len(off)}, {len(metres) - len(off)} | {np.median(off):.3f}, {max(off):.3f} "
        f"| {np.median(scores):.2f} | {np.quantile(scores, 0.99):.2f} | {np.quantile(np.concatenate(usual), 0.99):.2f} "
        f"| {seen[0] / max(seen[1], 1):.0%} |",
        f"| {name} | {_beside(still, other)} |",
    )


def _beside(still: _History, other: _History) -> str:
    """Alerts of both and the share in common: all, and the confirmed ones."""
    pairs = [(still.alerts, other.alerts)]
    pairs += [tuple(tuple(alert for alert in each if alert.confirmed_at is not None) for each in pairs[0])]  # type: ignore[list-item]
    return " | ".join(f"{len(one)}, {len(two)} | {_in_common(one, two):.0%}" for one, two in pairs)


def _in_common(some: Sequence[Alert], others: Sequence[Alert]) -> float:
    """Share of the alerts of both that have one of the same kind on their ground in the other."""
    found = [
        any(one.kind is two.kind and one.outline.intersects(two.outline) for two in there)
        for mine, there in ((some, others), (others, some)) for one in mine
    ]  # fmt: skip
    return float(np.mean(found)) if found else 1.0


def _shifted(chip: Chip, metres: tuple[float, float] | None, site: GeoBox) -> Chip:
    """The chip as if the ground lay elsewhere by so many metres down and right on the site's grid, resampled once."""
    if metres is None:
        return chip
    moved = {}
    for band, raster in chip.dn.items():
        by = _native(metres, raster.grid, site)
        plane = ndimage.shift(raster.data.astype(np.float64), by, order=5, mode="nearest")
        known = ndimage.binary_erosion(raster.data > 0, iterations=3, border_value=1)
        data = np.where(known, np.clip(np.round(plane), 1, 65535), 0).astype(np.uint16)
        moved[band] = Raster(grid=raster.grid, data=data)
    return replace(chip, dn=moved)


def _noisy(chip: Chip, rng: np.random.Generator) -> Chip:
    moved = {}
    for band, raster in chip.dn.items():
        plane = np.clip(np.round(raster.data + rng.normal(0, NOISE_DN, raster.data.shape)), 1, 65535)
        moved[band] = Raster(grid=raster.grid, data=np.where(raster.data > 0, plane, 0).astype(np.uint16))
    return replace(chip, dn=moved)


def _native(metres: tuple[float, float], native: GeoBox, site: GeoBox) -> tuple[float, float]:
    """So many metres down and right on the site's grid as (row, col) pixels of a native one, which may be turned."""
    x, y = (np.mean(side) for side in (site.boundingbox.range_x, site.boundingbox.range_y))
    there = Transformer.from_crs(str(site.crs), str(native.crs), always_xy=True)
    ends = (x, y), (x + metres[1], y - metres[0])
    cols, rows = zip(*(~native.affine * there.transform(*at) for at in ends), strict=True)
    return rows[1] - rows[0], cols[1] - cols[0]
