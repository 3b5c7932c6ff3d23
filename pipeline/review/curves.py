"""Brightness and greenness of a footprint in every clear look, and their expected range from its history."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from pipeline.model.alert import Alert
from pipeline.model.bands import VISIBLE, Band
from pipeline.model.imagery import Look
from pipeline.model.indices import near_infrared
from pipeline.review.chips import window_around

SEASON_DAYS = 30.0
"""Standard deviation in days of the weights by day of the year."""
MIN_SEASONAL = 12
"""Smallest number of clear looks for a seasonal band; with fewer it is constant."""
MIN_HISTORY = 3
LOW, HIGH = 0.1, 0.9
Series = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """One quantity of a footprint over time. band: (days, low, high) of its history, None where that is too short."""

    name: str
    times: Sequence[datetime]
    values: Series
    band: tuple[Sequence[datetime], Series, Series] | None
    note: str


def compute_curves(alert: Alert, looks: Sequence[Look]) -> tuple[Curve, ...]:
    """Visible reflectance and, where there is a near infrared band, NDVI. looks: clear ones in time order."""
    bands = looks[0].bands
    visible = [band for band in VISIBLE if band in bands] or [bands[0]]
    near = near_infrared(bands)
    means = _footprint_means(alert, looks)
    found = [("brightness", np.mean([means[band] for band in visible], axis=0))]
    if near is not None and Band.B04 in bands:
        total = np.maximum(means[near] + means[Band.B04], 1e-3)
        found.append(("NDVI", (means[near] - means[Band.B04]) / total))
    made = [_make_curve(name, values, alert, looks) for name, values in found]
    # said once: both bands come from the same looks
    return (made[0], *(replace(curve, note="") for curve in made[1:]))


def _footprint_means(alert: Alert, looks: Sequence[Look]) -> dict[Band, Series]:
    """Mean reflectance of the footprint in every look over its usable pixels, NaN where there are none."""
    part = window_around(alert.outline, looks[0].grid)
    shape, transform = tuple(part.grid.shape), part.grid.affine
    inside = geometry_mask([alert.outline], shape, transform, invert=True)
    if not inside.any():
        inside = geometry_mask([alert.outline], shape, transform, all_touched=True, invert=True)
    rows = []
    for look in looks:
        where = inside & (look.why[part.rows, part.cols] == 0)
        values = look.reflectance[:, part.rows, part.cols][:, where]
        rows.append(values.mean(axis=1) if where.any() else np.full(len(look.bands), np.nan))
    table = np.asarray(rows, float)
    return {band: table[:, index] for index, band in enumerate(looks[0].bands)}


def _make_curve(name: str, values: Series, alert: Alert, looks: Sequence[Look]) -> Curve:
    times = [look.time for look in looks]
    past = [i for i, time in enumerate(times) if time.date() < alert.first_seen and np.isfinite(values[i])]
    band, note = None, ""
    if len(past) >= MIN_HISTORY:
        seasonal = len(past) >= MIN_SEASONAL
        band = _history_quantiles([times[i] for i in past], values[past], times[0], times[-1], seasonal)
        note = f"shaded: 10 to 90 % of its own past{', same season' if seasonal else ''} ({len(past)} looks)"
    return Curve(name=name, times=times, values=values, band=band, note=note)


def _history_quantiles(
    times: Sequence[datetime], values: Series, first: datetime, last: datetime, seasonal: bool
) -> tuple[Sequence[datetime], Series, Series]:
    """Weighted quantiles of the past over a line of days, looks of the same season counting most."""
    steps = max(int((last - first).days / 10), 1) + 1
    days = [first + (last - first) * (index / max(steps - 1, 1)) for index in range(steps)]
    if not seasonal:
        low, high = np.quantile(values, (LOW, HIGH))
        return days, np.full(steps, low), np.full(steps, high)
    of_year = np.array([_day_of_year(time) for time in times])
    order = np.argsort(values)
    quantiles = []
    for day in days:
        apart = np.abs(of_year - _day_of_year(day))
        weight = np.exp(-0.5 * (np.minimum(apart, 365.25 - apart) / SEASON_DAYS) ** 2) + 1e-3
        share = np.cumsum(weight[order]) - 0.5 * weight[order]
        quantiles.append(np.interp((LOW, HIGH), share / weight.sum(), values[order]))
    low, high = np.asarray(quantiles).T
    return days, low, high


def _day_of_year(time: datetime) -> float:
    return (time - time.replace(month=1, day=1)) / timedelta(days=1)
