"""What a site costs: CPU by area, by length of the history and by stage, and one long history of a large one.

python -m benchmarks.scale      needs nothing but the embedded archive

The ground is one clear scene of the archive, laid side by side in mirror images and on beyond the site, as a tile goes
on; every date has its own gain, haze and noise, and a hall stands from two thirds of the way on.
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.transform import from_origin
from shapely.geometry import box, mapping

import pipeline.run.incremental as deciding
import pipeline.run.looks as correcting
import pipeline.run.process_site as judging
from benchmarks import command
from pipeline.catalogue.sites import read_sites
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.review.publish import publish_site
from pipeline.run.process_site import SiteJob, process_site
from pipeline.study.catalogue_writer import write_catalogue, write_item

ARCHIVE = Path(__file__).resolve().parents[1] / "aois" / "demo" / "archive"
CLEAR = "southern-carpathians-20180830"
BANDS = ("blue", "green", "red", "nir", "nir08", "swir16")
SIDES, LOOKS = (128, 256, 512), 12
LARGE, MANY, GOAL_S, GOAL_GB = 500, 100, 45, 1.5
"""A site of 25 km² with a hundred scenes, first run: at most so many CPU seconds and GB."""
HISTORIES, SIDE = (10, 20, 40), 128
Place = tuple[slice, slice]
AROUND = 20
"""Pixels of ground beyond the square on every side."""
LEFT, TOP, CRS = 500_000.0, 5_000_000.0, "EPSG:32634"
STAGES = {
    "read": (judging, "read_chips"), "first masks": (correcting, "make_unregistered"),
    "reference": (correcting, "build_reference"), "correct": (correcting, "make_look"),
    "persistence": (correcting, "unmask_persistent"), "residuals": (deciding, "residual_of"),
    "natural steps": (deciding, "natural_steps"), "screening": (deciding, "advance_each"),
    "objects": (deciding, "decide"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """One site judged and published. stages: CPU seconds by name. alerts: how many it told."""

    side: int
    looks: int
    stages: dict[str, float]
    alerts: int

    @property
    def seconds(self) -> float:
        return sum(self.stages.values())


def main() -> str:
    """A markdown section."""
    by_area = [cost_of(side, LOOKS) for side in SIDES]
    by_history = [cost_of(SIDE, looks) for looks in HISTORIES]
    area = exponent([cost.side**2 for cost in by_area], [cost.seconds for cost in by_area])
    history = exponent([cost.looks for cost in by_history], [cost.seconds for cost in by_history])
    names = list(by_area[0].stages)
    lines = [
        "## What a site costs",
        "",
        "`benchmarks/scale.py`: CPU seconds of one core for a first run from a local archive, six bands, all stages.",
        "",
        f"| grid, px | looks | {' | '.join(names)} | all | ms a look and km² |",
        "|---" * (len(names) + 4) + "|",
    ]
    for cost in (*by_area, *by_history):
        each = 1000 * cost.seconds / cost.looks / (cost.side**2 / 1e4)
        parts = " | ".join(f"{cost.stages[name]:.1f}" for name in names)
        lines.append(f"| {cost.side} x {cost.side} | {cost.looks} | {parts} | {cost.seconds:.1f} | {each:.0f} |")
    used = _whole(LARGE, MANY)
    met = "met" if used.cpu_s <= GOAL_S and used.peak_gb <= GOAL_GB else "missed"
    return "\n".join([
        *lines,
        "",
        f"Cost grows with area to the power {area:.2f}, with the looks to {history:.2f}.",
        "",
        f"`detect` as a whole, {MANY} looks of {LARGE} x {LARGE} px, what is remembered written too:",
        f"{used.cpu_s:.0f} CPU seconds, {used.peak_gb:.2f} GB (goal {GOAL_S} and {GOAL_GB}: {met}).",
    ])  # fmt: skip


def _whole(side: int, looks: int) -> command.Used:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sites = write(folder, side, looks)
        return command.run("detect", "--sites", str(sites), "--catalog", str(folder / "catalog.json"),
                           "--out", str(folder / "out"), "--workers", "1")  # fmt: skip


def cost_of(side: int, looks: int, halls: Sequence[Place] = ()) -> Cost:
    """A first run, published. Of a short history not every hall becomes an alert."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = asked(write(folder, side, looks, halls), folder / "catalog.json")
        spent: dict[str, float] = {}
        kept = {name: getattr(module, function) for name, (module, function) in STAGES.items()}
        for name, (module, function) in STAGES.items():
            setattr(module, function, _timed(kept[name], name, spent))
        try:
            judged = process_site(job, no_progress)
        finally:
            for name, (module, function) in STAGES.items():
                setattr(module, function, kept[name])
        began = time.process_time()
        publish_site(folder / "out", judged.site, judged.decision, judged.looks, judged.records, Settings())
        spent["publish"] = time.process_time() - began
    return Cost(side, looks, spent, len(judged.decision.alerts))


def asked(sites: Path, catalog: Path) -> SiteJob:
    """The job of the one site of an AOI file."""
    return SiteJob(site=read_sites([sites]).sites[0], source=str(catalog), collection=None, start=None,
                    until=datetime(2030, 1, 1, tzinfo=UTC), settings=Settings())  # fmt: skip


def _timed(function: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        began = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] = spent.get(name, 0.0) + time.process_time() - began

    return run


def write(
    folder: Path,
    side: int,
    looks: int,
    halls: Sequence[Place] = (),
    bands: Sequence[str] = BANDS,
    built: int | None = None,
) -> Path:
    """A catalogue over a square of so many pixels, the site's margin included, and its AOI file.

    halls: where one stands at the end; in the middle of the square if none is given. built: first look with them, from
    two thirds of the way on if none is given.
    """
    built = 2 * looks // 3 if built is None else built
    rng, items = np.random.default_rng(1), []
    whole = side + 2 * AROUND
    grid = GeoBox((whole, whole), from_origin(LEFT - 10 * AROUND, TOP + 10 * AROUND, 10, 10), CRS)
    ground = {band: tiled(band, whole) for band in bands}
    inner = (slice(AROUND, AROUND + side), slice(AROUND, AROUND + side))
    halls = halls or [(slice(side // 2, side // 2 + 6), slice(side // 2, side // 2 + 8))]
    for number in range(looks):
        assets = {}
        for band in bands:
            plane = (1 + 0.04 * np.sin(number)) * ground[band] + 30 * (number % 3)
            for at in halls if number >= built else ():
                plane[inner][at] = 3000
            noisy = np.clip(plane + rng.normal(0, 25, plane.shape), 1, 65535)
            assets[band] = (noisy.astype(np.uint16), grid)
        when = datetime(2020, 1, 5, 9, tzinfo=UTC) + timedelta(days=10 * number)
        items.append(write_item(folder, f"look-{number:03d}", when, assets, {"s2:product_type": "S2MSI2A"}))
    write_catalogue(folder, "scale", "Tiles of real pixels", "for timing", items)
    asked_for = box(LEFT + 330, TOP - 10 * side + 330, LEFT + 10 * side - 330, TOP - 330)
    aoi = mapping(Geometry(asked_for, CRS).to_crs("EPSG:4326").geom)
    feature = {"type": "Feature", "properties": {"id": "scale", "name": "Tiles"}, "geometry": aoi}
    path = folder / "sites.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def tiled(band: str, side: int) -> np.ndarray:
    """The ground of a band over a square of so many pixels, in mirror images of a clear scene."""
    with rasterio.open(ARCHIVE / CLEAR / f"{band}.tif") as source:
        tile = source.read(1).astype(np.float32)
    factor = 10 / source.transform.a
    tile = np.repeat(np.repeat(tile, round(1 / factor), 0), round(1 / factor), 1) if factor < 1 else tile
    whole = np.pad(tile, [(0, max(0, side - size)) for size in tile.shape], mode="symmetric")
    return whole[:side, :side].copy()


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Of the power law through these costs."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


if __name__ == "__main__":
    print(main())
