"""nrt's EWMA and CuSum and pyxccd's COLD over stacks of corrected looks, in their own environment.

Given `asked`, JSON: `bands`, their names a stack; `settings`, a list of {"method": ...}; `skipped`, [stack, setting]
that are not wanted. For every stack N: days_N (look,) since 1970; reflectance_N (look, band, row, col), NaN where not
usable; history_N, how many looks are stable history. Answers for stack N and setting K flagged_N_K (row, col) int32,
the day since 1970 at which a pixel was flagged, 0 = never; and seconds_K, CPU seconds over all stacks and fits.
"""

import copy
import json
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from nrt.monitor.cusum import CuSum
from nrt.monitor.ewma import EWMA
from pyxccd import cold_detect_flex

EPOCH = date(1970, 1, 1).toordinal()


def nrt_index(index, names, reflectance):
    """One plane a look, which is what nrt monitors; the mean visible where a series has no near infrared for NDVI."""
    plane = {name: reflectance[:, number] for number, name in enumerate(names)}
    near = plane.get("B08", plane.get("B8A"))
    if index == "ndvi" and near is not None:
        return (near - plane["B04"]) / (near + plane["B04"])
    return (plane["B02"] + plane["B03"] + plane["B04"]) / 3


def fitted(setting, index, days, history, kept):
    """A monitor with its stable history, fitted once for all thresholds."""
    key = tuple(setting[each] for each in ("method", "index", "harmonic_order"))
    if key not in kept:
        times = np.array(days[:history], "datetime64[D]").astype("datetime64[ns]")
        rows, cols = index.shape[1:]
        cube = xr.DataArray(
            index[:history], dims=("time", "y", "x"),
            coords={"time": times, "y": np.arange(rows), "x": np.arange(cols)},
        )  # fmt: skip
        kept[key] = {"EWMA": EWMA, "CuSum": CuSum}[setting["method"]](
            trend=False, harmonic_order=setting["harmonic_order"]
        )
        kept[key].fit(dataarray=cube)
    monitor = copy.deepcopy(kept[key])
    if setting["method"] == "EWMA":
        monitor.boundary = monitor.boundary * (setting["sensitivity"] / monitor.sensitivity)
        monitor.threshold = setting["threshold_outlier"]
    elif setting["critical"]:
        monitor.critval = setting["critical"]
    return monitor


def by_nrt(setting, names, reflectance, days, history, kept):
    """Days at which pixels were flagged."""
    index = nrt_index(setting["index"], names, reflectance)
    monitor = fitted(setting, index, days, history, kept)
    for plane, day in zip(index[history:], days[history:], strict=True):
        monitor.monitor(array=plane, date=datetime(1970, 1, 1) + timedelta(days=int(day)))
    return np.where(monitor.mask == 3, monitor.detection_date, 0)


def by_cold(setting, names, reflectance, days, kept):
    """Days of the first break of each pixel that is strong enough; COLD needs no stable history told."""
    if setting["conse"] not in kept:
        kept[setting["conse"]] = breaks(setting["conse"], names, reflectance, days)
    day, strength = kept[setting["conse"]]
    return np.where(strength >= setting["strength"], day, 0)


def breaks(conse, names, reflectance, days):
    """(row, col): day of each pixel's strongest break, 0 = none, and its strength in noises of the pixel."""
    rows, cols = reflectance.shape[2:]
    ordinals = (days + EPOCH).astype(np.int64)
    green = names.index("B03") + 1
    swir = next(names.index(each) + 1 for each in ("B11", "B8A", "B08") if each in names)
    clear = np.isfinite(reflectance).all(1)
    day, strength = np.zeros((rows, cols), np.int32), np.zeros((rows, cols))
    for row, col in np.ndindex(rows, cols):
        at = clear[:, row, col]
        values = np.ascontiguousarray(reflectance[at, :, row, col] * 10_000, dtype=np.int64)
        try:
            segments = cold_detect_flex(
                ordinals[at], values, np.zeros(int(at.sum()), np.int64), lam=20, conse=conse,
                tmask_b1_index=green, tmask_b2_index=swir,
            )  # fmt: skip
        except Exception:  # noqa: BLE001, S112  (all that it raises where a pixel has too few clear looks for a model)
            continue
        for segment in segments:
            size = np.linalg.norm(segment["magnitude"] / np.maximum(segment["rmse"], 1))
            if segment["t_break"] > 0 and segment["change_prob"] == 100 and size > strength[row, col]:
                day[row, col], strength[row, col] = segment["t_break"] - EPOCH, size
    return day, strength


def main(folder):
    """Answer what is given in the folder."""
    answer = {}
    with np.load(folder / "given.npz") as given:
        asked = json.loads(str(given["asked"]))
        seconds = np.zeros(len(asked["settings"]))
        for stack, names in enumerate(asked["bands"]):
            days, reflectance, history = (given[f"{name}_{stack}"] for name in ("days", "reflectance", "history"))
            kept = {}
            for number, setting in enumerate(asked["settings"]):
                if [stack, number] in asked["skipped"]:
                    continue
                began = time.process_time()
                if setting["method"] == "COLD":
                    flagged = by_cold(setting, names, reflectance, days, kept)
                else:
                    flagged = by_nrt(setting, names, reflectance, days, int(history), kept)
                seconds[number] += time.process_time() - began
                answer[f"flagged_{stack}_{number}"] = flagged.astype(np.int32)
    np.savez(folder / "answer.npz", seconds=seconds, **answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
