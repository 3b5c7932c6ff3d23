"""Masks: drawn clouds and shadows, clouds pasted on a real series, its bad dates, and objects that SCL calls cloud.

python -m benchmarks.masks
"""

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning
from scipy import ndimage
from shapely.geometry import box

from benchmarks.drawing import blank, link
from benchmarks.lasting import table
from pipeline.correct import masks
from pipeline.correct.look import make_look, make_unregistered
from pipeline.correct.persistence import unmask_persistent
from pipeline.correct.reference import make_reference
from pipeline.model.bands import Band
from pipeline.model.imagery import Chip, DeclaredOffset, Granule, Level, Look, Raster, Scene, Why
from pipeline.model.settings import Settings

ARCHIVE = Path(__file__).resolve().parents[1] / "aois" / "demo" / "archive"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ASSETS = {"blue": Band.B02, "green": Band.B03, "red": Band.B04, "nir": Band.B08, "nir08": Band.B8A, "swir16": Band.B11}
BANDS = tuple(ASSETS.values())
BAD = {
    "2016-05-07": "large shadow", "2016-05-27": "cloud and shadow", "2016-09-24": "large shadow",
    "2017-06-21": "wisps", "2018-08-15": "cloud band", "2020-09-03": "thin cloud everywhere",
}  # fmt: skip
PASTE_ON = ("2017-07-11", "2017-08-15", "2018-05-22", "2018-09-19", "2019-07-06", "2020-07-10")
REACHES_PX = range(7)
ROOF = np.array([0.42, 0.43, 0.44, 0.46, 0.46, 0.42])
SETTINGS = Settings()


def main() -> str:
    """Markdown tables."""
    if not (SHARED / "cloud_reference").is_dir():
        raise FileNotFoundError("masks: the drawn labels are not beside this checkout")
    image, labels = _labelled()
    lines = ["## Masks", "", "Script: `benchmarks/masks.py`.", "", "| set | flag | F1 | IoU |", "|---|---|---|---|"]
    bands = (Band.B02, Band.B03, Band.B04, Band.B08, Band.B11, Band.B12)
    why = masks.classify_pixels(image, bands, None, None, None, 30.0)
    lines += _rows("drawn labels, one L1C image, no SCL, no history", why, labels == 4, labels == 0)
    series = {item.name[-8:]: _chip(item) for item in sorted(ARCHIVE.glob("southern-carpathians-*"))}
    grid = next(iter(series.values())).dn[Band.B02].grid
    drafts = [make_unregistered((chip,), grid, BANDS, SETTINGS) for chip in series.values()]
    reference = make_reference([draft for draft in drafts if hasattr(draft, "why")], SETTINGS)
    pasted = [_pasted(series[day.replace("-", "")], image, labels, index) for index, day in enumerate(PASTE_ON)]
    looks = [make_look((chip,), reference, SETTINGS) for chip, _, _ in pasted]
    kept = [(look, *truth) for look, (_, *truth) in zip(looks, pasted, strict=True) if isinstance(look, Look)]
    found, cloud, shadow = (np.stack(part) for part in zip(*((k.why, c, s) for k, c, s in kept), strict=True))
    lines += _rows(
        f"the same clouds pasted on {len(kept)} of {len(pasted)} real looks, history, SCL blind", found, cloud, shadow
    )
    lines += ["", "| date | what SCL passes | usable by SCL | usable by us |", "|---|---|---|---|"]
    for day, what in BAD.items():
        chip = series[day.replace("-", "")]
        look = make_look((chip,), reference, SETTINGS)
        told = f"{(look.why == 0).mean():.2f}" if isinstance(look, Look) else look.reason.value
        assert chip.scl is not None
        lines.append(f"| {day} | {what} | {np.isin(chip.scl.data, (4, 5, 6, 7)).mean():.2f} | {told} |")
    sets = {
        "drawn labels, one L1C image, 30 m": (why[None], labels[None] == 4, labels[None] == 0),
        "the same clouds on real looks, 10 m, history": (found, cloud, shadow),
    }
    lasting = table(
        series, reference, lambda chip, index: _pasted(chip, image, labels, index), SHARED / "oscd", SETTINGS
    )
    return "\n".join([*lines, "", *_roof(series, reference), "", *lasting, "", _drawn(sets)]) + "\n"


Stack = NDArray[Any]


def _drawn(sets: dict[str, tuple[Stack, Stack, Stack]]) -> str:
    """Precision and recall of cloud and shadow, by how many pixels an edge may lie elsewhere.

    sets: by name the flags found, true cloud and true shadow, each (look, row, col).
    """
    figure = blank(8, 3.6)
    for axes, (name, (why, *truth)) in zip(figure.subplots(1, len(sets), sharey=True), sets.items(), strict=True):
        for flag, true, colour in zip((Why.CLOUD, Why.SHADOW), truth, ("tab:blue", "tab:orange"), strict=True):
            found = (why & np.uint8(flag)) > 0
            for what, of, near, dashes in (("precision", found, true, "-"), ("recall", true, found, "--")):
                away = np.concatenate([ndimage.distance_transform_edt(~b)[a] for a, b in zip(of, near, strict=True)])
                shares = [float((away <= reach).mean()) for reach in REACHES_PX]
                axes.plot(REACHES_PX, shares, dashes, color=colour, label=f"{flag.name.lower()}, {what}")
        axes.set_title(name, fontsize=9)
        axes.set(xlabel="an edge may lie off by, px", ylim=(0, 1.02))
    figure.axes[0].set_ylabel("share of pixels")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return link(figure, "masks", "precision and recall of cloud and shadow by tolerance")


def _roof(series: dict[str, Chip], reference: Any) -> list[str]:
    """A new roof of 60 x 60 m that SCL calls cloud in every look."""
    out = ["| look after the roof | usable share of the roof, alone | with all looks so far |", "|---|---|---|"]
    days = ("20180825", "20190616", "20190701", "20190706", "20190810")
    looks: list[Look] = []
    for number, day in enumerate(days, 1):
        found = make_look((_roofed(series[day]),), reference, SETTINGS)
        if not isinstance(found, Look):
            continue
        looks.append(found)
        core = (slice(51, 55), slice(41, 45))
        freed = unmask_persistent(looks, SETTINGS)[-1]
        out.append(f"| {number} ({day}) | {found.usable[core].mean():.2f} | {freed.usable[core].mean():.2f} |")
    return out


def _rows(name: str, why: NDArray[np.uint8], cloud: NDArray[np.bool_], shadow: NDArray[np.bool_]) -> list[str]:
    rows = []
    for flag, true in ((Why.CLOUD, cloud), (Why.SHADOW, shadow)):
        found = (why & np.uint8(flag)) > 0
        both = (found & true).sum()
        f1, iou = 2 * both / (found.sum() + true.sum()), both / (found | true).sum()
        rows.append(f"| {name} | {flag.name.lower()} | {f1:.3f} | {iou:.3f} |")
    return rows


def _labelled() -> tuple[NDArray[Any], NDArray[np.uint8]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(SHARED / "cloud_reference" / "image.tif") as source:
            image = source.read() / 1e4
        with rasterio.open(SHARED / "cloud_reference" / "labels.tif") as source:
            return image, source.read(1)


def _chip(item: Path) -> Chip:
    planes, scl = {}, None
    for path in sorted(item.glob("*.tif")):
        with rasterio.open(path) as source:
            raster = Raster(grid=GeoBox(source.shape, source.transform, source.crs), data=source.read(1))
        if path.stem == "scl":
            scl = raster
        elif path.stem in ASSETS:
            planes[ASSETS[path.stem]] = raster
    granule = Granule(
        id=item.name, tile=None, baseline=None, generated=None,
        declared_offset=DeclaredOffset(dn=0, reason="before 2022"),
        assets={}, scl=None, crs=None, footprint=box(22, 45, 23, 46),
    )  # fmt: skip
    scene = Scene(
        id=item.name, time=datetime.strptime(item.name[-8:], "%Y%m%d").replace(tzinfo=UTC), level=Level.L2A,
        platform=None, relative_orbit=None, collection="demo", granules=(granule,),
    )  # fmt: skip
    return Chip(scene=scene, granule=granule, dn=planes, scl=scl)


def _pasted(
    chip: Chip, image: NDArray[Any], labels: NDArray[np.uint8], index: int
) -> tuple[Chip, NDArray[np.bool_], NDArray[np.bool_]]:
    """Drawn clouds at a tenth of a degree of size: brightness from the labelled image, shadow as its darkening."""
    row, col = 20 + 60 * index, (30 * index) % 150
    window = (slice(row, row + 100), slice(col, col + 100))
    cloud, shadow = labels[window] == 4, labels[window] == 0
    opaque = ndimage.gaussian_filter(cloud.astype(float), 1.0)
    dim = 1 - 0.6 * ndimage.gaussian_filter(shadow.astype(float), 1.0)
    order = {Band.B02: 0, Band.B03: 1, Band.B04: 2, Band.B08: 3, Band.B8A: 3, Band.B11: 4}
    planes = {}
    for band, raster in chip.dn.items():
        over, share, lit = image[order[band]][window] * 1e4, opaque, dim
        if raster.data.shape != cloud.shape:
            over, share, lit = (part.reshape(50, 2, 50, 2).mean(axis=(1, 3)) for part in (over, share, lit))
        planes[band] = Raster(
            grid=raster.grid, data=np.clip(raster.data * lit * (1 - share) + over * share, 1, 65535).astype(np.uint16)
        )
    blind = None if chip.scl is None else Raster(grid=chip.scl.grid, data=np.full(chip.scl.data.shape, 4, np.uint8))
    return Chip(scene=chip.scene, granule=chip.granule, dn=planes, scl=blind), cloud, shadow


def _roofed(chip: Chip) -> Chip:
    planes = {}
    for value, (band, raster) in zip(ROOF, ((band, chip.dn[band]) for band in BANDS), strict=True):
        data, step = raster.data.copy(), raster.data.shape[0] / 100
        rows, cols = (slice(int(start * step), int((start + 6) * step)) for start in (50, 40))
        data[rows, cols] = round(value * 1e4)
        planes[band] = Raster(grid=raster.grid, data=data)
    assert chip.scl is not None
    scl = chip.scl.data.copy()
    scl[50:56, 40:46] = 9
    return Chip(scene=chip.scene, granule=chip.granule, dn=planes, scl=Raster(grid=chip.scl.grid, data=scl))


if __name__ == "__main__":
    print(main())
