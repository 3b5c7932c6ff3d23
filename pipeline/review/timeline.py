"""The timeline picture of one alert: what each clear look saw, and how sure it was."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import geometry_mask
from shapely.geometry import MultiPolygon, Polygon

from pipeline.model.alert import Alert, Observation, Status
from pipeline.model.bands import VISIBLE, Band
from pipeline.model.imagery import Look
from pipeline.review.folder import replacing

matplotlib.use("Agg")

CHIPS = 10
CONTEXT_PX = 14
"""Ground shown around an alert on each side, pixels."""
SEEN, NOT_SEEN, GREY, LINE = "#b2182b", "#2166ac", "#8a8a8a", "#ffd92f"
DPI = 110
METADATA = {"Software": "groundbreak"}


def write_timeline(path: Path, alert: Alert, looks: Sequence[Look], observations: Sequence[Observation]) -> None:
    """Small multiples of clear looks around the change, and the curves of score, NDVI and brightness.

    looks: all looks of the site in time order. observations: those of this alert. Written as PNG.
    """
    figure = Figure(figsize=(11.6, 4.9), layout="constrained", facecolor="white")
    mine = {seen.scene: seen for seen in observations if seen.change_id == alert.id}
    clear = [look for look in looks if look.scene.id in mine and mine[look.scene.id].clear_share >= 0.6]
    chosen = _chosen(clear, alert)
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.15, 2.2))
    strip, plots = parts
    _chips(strip, alert, chosen, mine)
    upper, lower = plots.subplots(2, 1, sharex=True)
    _scores(upper, [mine[look.scene.id] for look in looks if look.scene.id in mine])
    _spectra(lower, alert, clear)
    for axis in (upper, lower):
        _marks(axis, alert)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    locator: Any = AutoDateLocator(minticks=5, maxticks=12)  # type: ignore[no-untyped-call]
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    figure.suptitle(_title(alert), fontsize=10.5, x=0.01, ha="left")
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=DPI, metadata=METADATA)


def _title(alert: Alert) -> str:
    begun = f"not there {alert.last_clear_before}, there {alert.first_seen}"
    size = f"{alert.area_m2:,.0f} ± {alert.area_error_m2:,.0f} m²".replace(",", "\u202f")
    return (
        f"{alert.kind.value}, {alert.status.value} · {begun} · {size} · "
        f"{alert.looks_seen} of {alert.looks_clear} clear looks · confidence {alert.confidence:.2f}"
    )


def _chosen(clear: Sequence[Look], alert: Alert) -> list[Look]:
    """The last looks without it, the first with it, and a few spread over what came later."""
    before = [look for look in clear if look.time.date() < alert.first_seen]
    after = [look for look in clear if look.time.date() >= alert.first_seen]
    head = before[-3:]
    room = CHIPS - len(head)
    if len(after) <= room:
        return [*before[-(CHIPS - len(after)) :], *after]
    spread = np.unique(np.linspace(3, len(after) - 1, room - 3).round().astype(int))
    return [*head, *after[:3], *[after[index] for index in spread]]


def _window(alert: Alert, grid: GeoBox) -> tuple[slice, slice]:
    left, bottom, right, top = alert.outline.bounds
    inverse = ~grid.affine
    col0, row0 = inverse.a * left + inverse.c, inverse.e * top + inverse.f
    col1, row1 = inverse.a * right + inverse.c, inverse.e * bottom + inverse.f
    half = max(row1 - row0, col1 - col0) / 2 + CONTEXT_PX
    row, col = (row0 + row1) / 2, (col0 + col1) / 2
    rows = slice(max(int(row - half), 0), min(int(row + half) + 1, grid.shape[0]))
    cols = slice(max(int(col - half), 0), min(int(col + half) + 1, grid.shape[1]))
    return rows, cols


def _chips(figure: Any, alert: Alert, looks: Sequence[Look], mine: Mapping[str, Observation]) -> None:
    axes = np.atleast_1d(figure.subplots(1, CHIPS))
    for axis in axes:
        axis.set_axis_off()
    if not looks:
        return
    rows, cols = _window(alert, looks[0].grid)
    pictures = [_rgb(look, rows, cols) for look in looks]
    low, high = np.nanpercentile(np.stack(pictures), (1, 99))
    for axis, look, picture in zip(axes, looks, pictures, strict=False):
        shown = np.clip((picture - low) / max(high - low, 0.02), 0, 1)
        axis.imshow(np.nan_to_num(shown, nan=1.0) ** 0.8, interpolation="nearest")
        _outline(axis, alert.outline, looks[0].grid, rows, cols)
        seen = mine[look.scene.id].seen
        axis.set_title(f"{look.time:%Y-%m-%d}", fontsize=7.5, color=SEEN if seen else "black", pad=2)


def _rgb(look: Look, rows: slice, cols: slice) -> NDArray[np.float32]:
    bands = [band for band in VISIBLE if band in look.bands] or [look.bands[0]]
    planes = [look.reflectance[look.bands.index(band), rows, cols] for band in bands]
    return np.stack((planes * 3)[:3] if len(planes) < 3 else planes, axis=-1)


def _outline(axis: Any, outline: Polygon | MultiPolygon, grid: GeoBox, rows: slice, cols: slice) -> None:
    inverse = ~grid.affine
    for part in getattr(outline, "geoms", [outline]):
        x, y = np.asarray(part.exterior.coords).T[:2]
        col = inverse.a * x + inverse.b * y + inverse.c - cols.start - 0.5
        row = inverse.d * x + inverse.e * y + inverse.f - rows.start - 0.5
        axis.plot(col, row, color=LINE, linewidth=1.0)


def _scores(axis: Any, seen: Sequence[Observation]) -> None:
    known = [each for each in seen if each.score is not None]
    times = [each.time for each in known]
    scores = [min(float(each.score or 0), 25.0) for each in known]
    colours = [SEEN if each.seen else NOT_SEEN for each in known]
    sizes = [8 + 22 * each.clear_share for each in known]
    axis.scatter(times, scores, c=colours, s=sizes, zorder=3, linewidths=0)
    axis.axhline(3.0, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_ylabel("score (sigma)", fontsize=8)
    axis.set_ylim(bottom=min([-1.5, *scores]) - 0.5)


def _spectra(axis: Any, alert: Alert, clear: Sequence[Look]) -> None:
    """NDVI and visible brightness of the footprint, and the band of its history."""
    if not clear:
        return
    inside = _inside(alert, clear[0].grid)
    times = [look.time for look in clear]
    curves = {"visible reflectance": (_mean(clear, inside, VISIBLE), "#4d4d4d")}
    near = next((band for band in (Band.B08, Band.B8A) if band in clear[0].bands), None)
    if near is not None and Band.B04 in clear[0].bands:
        red, infrared = _mean(clear, inside, (Band.B04,)), _mean(clear, inside, (near,))
        curves["NDVI"] = ((infrared - red) / np.maximum(infrared + red, 1e-3), "#1b7837")
    other = axis.twinx() if "NDVI" in curves else None
    for name, (values, colour) in curves.items():
        target = other if name == "NDVI" and other is not None else axis
        past = [value for value, time in zip(values, times, strict=True) if time.date() < alert.first_seen]
        if past:
            middle, spread = np.nanmedian(past), 1.4826 * np.nanmedian(np.abs(past - np.nanmedian(past)))
            target.axhspan(middle - 2 * spread, middle + 2 * spread, color=colour, alpha=0.10, linewidth=0)
        target.plot(times, values, ".-", color=colour, markersize=4, linewidth=0.8)
        target.set_ylabel(name, fontsize=8, color=colour)
        target.tick_params(labelsize=8)
    if other is not None:
        other.spines["top"].set_visible(False)


def _inside(alert: Alert, grid: GeoBox) -> NDArray[np.bool_]:
    shape = tuple(grid.shape)
    inside = geometry_mask([alert.outline], shape, grid.affine, invert=True)
    return np.asarray(inside if inside.any() else geometry_mask([alert.outline], shape, grid.affine, True, True))


def _mean(looks: Sequence[Look], inside: NDArray[np.bool_], bands: Sequence[Band]) -> NDArray[np.float64]:
    """Mean reflectance of a footprint in every look over its usable pixels, NaN where there are none."""
    means = []
    for look in looks:
        planes = [
            look.reflectance[look.bands.index(band)][inside & look.usable] for band in bands if band in look.bands
        ]
        values = np.concatenate(planes) if planes else np.array([])
        means.append(float(values.mean()) if values.size else np.nan)
    return np.array(means)


def _marks(axis: Any, alert: Alert) -> None:
    """The bracket the change began in, and the day it was confirmed."""
    if alert.last_clear_before is not None:
        axis.axvspan(alert.last_clear_before, alert.first_seen, color=LINE, alpha=0.45, linewidth=0)
    axis.axvline(alert.first_seen, color=SEEN, linewidth=0.9)
    if alert.confirmed_at is not None and alert.status is not Status.PROVISIONAL:
        axis.axvline(alert.confirmed_at, color=SEEN, linewidth=0.9, linestyle="--")
