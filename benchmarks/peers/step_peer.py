"""CPU seconds of one monitoring step by nrt and pyxccd, of loading a stack by odc-stac, in their own environment.

Given reflectance (look, band, row, col) and days (look,) since 1970; `asked`, JSON: bands, catalogue (a static STAC
file), epsg and bounds of a site's grid. Answers name and seconds, of the least of three turns each, and `pixels`, how
many of the image's pixels a step was taken over; S-CCD is stepped over a sample, one call a pixel as it asks.
"""

import json
import sys
from copy import deepcopy
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import odc.stac
import pystac
import xarray as xr
from nrt.monitor.cusum import CuSum
from nrt.monitor.ewma import EWMA
from pyxccd import sccd_detect_flex, sccd_update_flex
from turns import TURNS, least

SAMPLE = 400


def by_nrt(monitor, method, index, days):
    """Seconds of one `monitor` call with the last look, after a history of all others."""
    rows, cols = index.shape[1:]
    times = np.array(days[:-1], "datetime64[D]").astype("datetime64[ns]")
    coords = {"time": times, "y": np.arange(rows), "x": np.arange(cols)}
    fitted = monitor(trend=False)
    fitted.fit(dataarray=xr.DataArray(index[:-1], dims=("time", "y", "x"), coords=coords), method=method)
    when = datetime(1970, 1, 1) + timedelta(days=int(days[-1]))
    turns = [deepcopy(fitted) for _ in range(TURNS + 1)]
    return least(lambda: turns.pop().monitor(array=index[-1], date=when))


def by_sccd(reflectance, days, names):
    """Seconds of `sccd_update_flex` with the last look over a sample of pixels."""
    ordinals = (days + date(1970, 1, 1).toordinal()).astype(np.int64)
    flat = np.nan_to_num(reflectance.reshape(*reflectance.shape[:2], -1)[:, :, :SAMPLE] * 10_000).astype(np.int64)
    bands = {"tmask_b1_index": names.index("B03") + 1, "tmask_b2_index": names.index("B11") + 1}
    clear = np.zeros(len(days), np.int64)
    series = [np.ascontiguousarray(flat[:, :, pixel]) for pixel in range(SAMPLE)]
    packs = [sccd_detect_flex(ordinals[:-1], each[:-1], clear[:-1], lam=20, **bands) for each in series]

    def step():
        for pack, each in zip(packs, series, strict=True):
            sccd_update_flex(pack, ordinals[-1:], each[-1:], clear[-1:], lam=20, **bands)

    return least(step)


def by_odc(asked):
    """Seconds of loading all items of a catalogue on the site's grid."""
    items = list(pystac.Catalog.from_file(asked["catalogue"]).get_items(recursive=True))

    def load():
        return odc.stac.load(
            items, bands=asked["assets"], crs=f"EPSG:{asked['epsg']}", resolution=10, x=tuple(asked["x"]),
            y=tuple(asked["y"]), resampling="cubic", chunks=None, fail_on_error=True, pool=1,
        )  # fmt: skip

    return least(load), np.array([load()[name].values for name in asked["assets"]])


def main(folder):
    """Answer what is given in the folder."""
    with np.load(folder / "given.npz") as given:
        asked, days, reflectance = json.loads(str(given["asked"])), given["days"], given["reflectance"]
    names = asked["bands"]
    near, red = reflectance[:, names.index("B08")], reflectance[:, names.index("B04")]
    index = (near - red) / (near + red)
    pixels = index[0].size
    loaded, stack = by_odc(asked)
    np.savez(
        folder / "answer.npz",
        names=np.array(["nrt EWMA", "nrt CuSum", "pyxccd S-CCD", "odc-stac"]),
        seconds=np.array([
            by_nrt(EWMA, "OLS", index, days), by_nrt(CuSum, "OLS", index, days),
            by_sccd(reflectance, days, names), loaded,
        ]),
        pixels=np.array([pixels, pixels, SAMPLE, pixels]),
        stack=stack,
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
