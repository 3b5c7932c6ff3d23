"""Time beside the peers, at what both do: a monitoring step, a registration, outlines, a stack from a catalogue.

python -m benchmarks.beside      needs the recorded city pairs beside the checkout, and `make peers`

CPU seconds of one core, the least of three turns, all in one run. Grounds and dates are those of benchmarks/scale.py.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import shapes
from scipy import ndimage

from benchmarks import registration
from benchmarks.peers import Arrays, PeerMissingError, ask
from benchmarks.peers.turns import least
from benchmarks.scale import asked, write
from pipeline.catalogue.pixels import read_chips
from pipeline.correct.look import to_grid
from pipeline.correct.masks import classify_pixels
from pipeline.correct.offset import Offset
from pipeline.decide.alerts import first_times, founding_looks, in_order, times_between
from pipeline.decide.residuals import build_baseline, residual_of
from pipeline.decide.screening import advance_screening, begin_screening, leaf_to_soil, natural_steps
from pipeline.model.bands import Band
from pipeline.model.imagery import Look
from pipeline.model.progress import no_progress
from pipeline.numerics.vectorise import outlines
from pipeline.run.looks import correct_chips
from pipeline.run.process_site import SiteJob, common_bands, find_scenes, read_all, with_scenes

SIDE, LOOKS = 200, 45
CHIP = 256
BLOBS = 400


@dataclass(frozen=True, slots=True)
class Row:
    """One peer. seconds: ours and theirs, in the unit of the row. why: where ours is slower."""

    what: str
    unit: str
    ours: float
    peer: str
    theirs: float
    why: str = ""

    @property
    def text(self) -> str:
        ratio = self.ours / self.theirs
        return (
            f"| {self.what} | {self.ours:.4g} {self.unit} | {self.peer} | {self.theirs:.4g} {self.unit} "
            f"| {ratio:.2g} | {'faster' if ratio < 1 else f'slower: {self.why}'} |"
        )


def main() -> str:
    """A markdown section."""
    rows = _registered()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = asked(write(folder, SIDE, LOOKS), folder / "catalog.json")
        rows += _monitored_and_loaded(job)
        rows.append(_outlined(job.site.grid))
    return "\n".join([
        "## Time beside the peers",
        "",
        f"`benchmarks/beside.py`: CPU of one core, one run. Registration: {CHIP} x {CHIP} px, the middles of pairs.",
        f"Step: one new look of {(SIDE / 100) ** 2:.0f} km² after {LOOKS - 1}. Stack: {LOOKS} scenes of six bands from",
        "a local catalogue.",
        "Ratio: ours to theirs, below 1 = faster.",
        "",
        "| what | groundbreak | peer | theirs | ratio | |",
        "|---|---|---|---|---|---|",
        *(row.text if isinstance(row, Row) else row for row in rows),
    ])  # fmt: skip


def _registered() -> list[Row | str]:
    tried = []
    for before, after in registration.pairs().values():
        row, col = ((size - CHIP) // 2 for size in before.shape)
        pair = [image[row : row + CHIP, col : col + CHIP] for image in (before, after)]
        tried.append(registration.Case(*pair, np.zeros(2)))
    estimators = {"us": registration.ours, "scikit-image": registration.peer(None)}
    spent = {name: 1000 * np.median(registration.measured(each, tried)[1]) for name, each in estimators.items()}
    why = "it fits both ways by least squares, nearly twenty times as exact (R1), and tells whether to believe it"
    rows: list[Row | str] = [Row("registration", "ms", spent["us"], "scikit-image", spent["scikit-image"], why)]
    try:
        alone, whole = registration.arosics(tried)
    except PeerMissingError as missing:
        return [*rows, f"| registration | {spent['us']:.4g} ms | AROSICS | {missing} | | |"]
    theirs = {"AROSICS, the shift alone": alone[1], "AROSICS, with its set-up": whole}
    return [*rows, *(Row("registration", "ms", spent["us"], name, 1000 * float(np.median(each)), why)
                     for name, each in theirs.items())]  # fmt: skip


def _monitored_and_loaded(job: SiteJob) -> list[Row | str]:
    job = with_scenes(job)
    scenes = find_scenes(job).scenes
    looks = in_order(correct_chips(job.site, read_all(job, scenes, no_progress)[0], job.settings, no_progress)[0])
    step = least(_step(job, looks))
    grid, bands = job.site.grid, common_bands(scenes)
    load = least(lambda: [to_grid(read_chips(scene, grid, bands), [_none()], grid, bands) for scene in scenes])
    mask = least(lambda: classify_pixels(looks[-1].reflectance, looks[-1].bands, None, looks[-2].reflectance))
    flags = classify_pixels(looks[-1].reflectance, looks[-1].bands, None, looks[-2].reflectance)
    floor = least(lambda: list(shapes(flags, transform=grid.affine)))
    why = "it weighs spectrum, history and shadow geometry of every pixel, where the floor only walks along edges"
    rows: list[Row | str] = [Row("masks of a look", "s", mask, "rasterio.features.shapes of the mask", floor, why)]
    try:
        answer = _theirs(job, looks)
    except PeerMissingError as missing:
        return [*rows, f"| step and stack | | nrt, pyxccd, odc-stac | {missing} | | |"]
    pixels = looks[0].why.size
    reasons = (
        "six bands, a season, two scales and windows of many lengths, where nrt predicts one index and sums it",
    ) * 3
    for number, name in enumerate(answer["names"][:3]):
        theirs = float(answer["seconds"][number] / answer["pixels"][number]) * 1e6
        rows.append(Row("step", "s/Mpx", step / pixels * 1e6, str(name), theirs, reasons[number]))
    why = "it warps every band by the kernel that carries shifts; odc-stac reads what lies on the grid already"
    rows.append(Row("stack", "s", load, "odc-stac", float(answer["seconds"][3]), why))
    return rows


def _step(job: SiteJob, looks: Sequence[Look]) -> Callable[[], object]:
    """One new look after all others: its residual, and the windows of looks that end with it."""
    known = founding_looks(job.site, len(looks) - 1, job.settings)
    baseline = build_baseline(looks[:known])
    residuals = [residual_of(look, baseline) for look in looks]
    times, last = times_between(looks, residuals, known), len(looks) - 1
    axis = leaf_to_soil(baseline, looks[0].bands)
    natural = natural_steps(baseline, residuals[:known], first_times(times, known), axis)
    before = advance_screening(begin_screening(baseline), baseline, natural, residuals[:last], first_times(times, last))
    return lambda: (residual_of(looks[-1], baseline), advance_screening(before, baseline, natural, residuals, times))


def _none() -> Offset:
    return Offset(dn=0, reason="none is in these pixels")


def _theirs(job: SiteJob, looks: Sequence[Look]) -> Arrays:
    grid, bands = job.site.grid, looks[0].bands
    rows, cols = grid.shape
    left, top, size = grid.affine.c, grid.affine.f, grid.affine.a
    wanted = {
        "bands": [band.value for band in bands], "assets": [Band(band).role for band in bands],
        "catalogue": job.source, "epsg": grid.crs.epsg,
        "x": [left, left + size * cols], "y": [top - size * rows, top],
    }  # fmt: skip
    values = np.array([look.reflectance for look in looks], np.float32)
    days = np.array([(look.time.date() - date(1970, 1, 1)).days for look in looks])
    return ask("series", "step_peer.py", {"asked": np.array(json.dumps(wanted)), "reflectance": values, "days": days})


def _outlined(grid: GeoBox) -> Row:
    """Polygons of some hundred regions, against the walk along their edges that both begin with."""
    labels = _regions(tuple(grid.shape))
    ours = least(lambda: outlines(labels, grid))
    floor = least(lambda: list(shapes(labels, mask=labels > 0, connectivity=8, transform=grid.affine)))
    why = "the floor gives bare rings; valid polygons joined by region are made of them"
    return Row(f"outlines of {labels.max()} regions", "s", ours, "rasterio.features.shapes", floor, why)


def _regions(shape: tuple[int, ...]) -> NDArray[np.int32]:
    rng = np.random.default_rng(3)
    field = np.zeros(shape)
    field[tuple(rng.integers(0, size, BLOBS) for size in shape)] = rng.uniform(5, 40, BLOBS)
    return np.asarray(ndimage.label(ndimage.gaussian_filter(field, 1.5) > 0.15)[0], np.int32)


if __name__ == "__main__":
    print(main())
