"""AROSICS's COREG on pairs of images, in its own environment: shifts in this project's sign, and CPU seconds.

Given reference_N and target_N, (row, col), 0 = nodata. Answers shift (pair, 2), (row, col) in pixels, target(x + shift)
~ reference(x), NaN where it raised; and two CPU times a pair: of `calculate_spatial_shifts` alone, and with the making
of the COREG object, which draws the footprints of both images.
"""

import contextlib
import sys
import time
from pathlib import Path

import numpy as np
from osgeo import gdal

if not hasattr(gdal, "config_options"):  # GDAL 3.6; AROSICS sets GDAL_NUM_THREADS with it
    gdal.config_options = lambda *_args, **_kwargs: contextlib.nullcontext()

from arosics import COREG
from geoarray import GeoArray

PLACE, UTM = (500_000.0, 10.0, 0.0, 5_000_000.0, 0.0, -10.0), "EPSG:32634"
MAX_SHIFT_PX = 8


def shift_of(reference, target):
    """(row, col), CPU seconds of the shift alone, and with all that comes before."""
    began = time.process_time()
    images = [GeoArray(np.ascontiguousarray(image), PLACE, UTM, nodata=0) for image in (reference, target)]
    rows, cols = reference.shape
    middle = (PLACE[0] + 5.0 * cols, PLACE[3] - 5.0 * rows)
    found = COREG(
        *images, wp=middle, ws=(cols, rows), max_shift=MAX_SHIFT_PX, nodata=(0, 0), align_grids=False, CPUs=1,
        ignore_errors=True, progress=False, q=True,
    )  # fmt: skip
    made = time.process_time()
    found.calculate_spatial_shifts()
    ended = time.process_time()
    # x_shift_px, y_shift_px move the target onto the reference; ours says where the target's pixel lies
    moved = (np.nan, np.nan) if found.x_shift_px is None else (-found.y_shift_px, -found.x_shift_px)
    return moved, ended - made, ended - began


def main(folder):
    """Answer what is given in the folder."""
    with np.load(folder / "given.npz") as given:
        count = sum(name.startswith("reference_") for name in given)
        pairs = [(given[f"reference_{number}"], given[f"target_{number}"]) for number in range(count)]
    shift_of(*pairs[0])
    answers = [shift_of(*pair) for pair in pairs]
    shift, alone, whole = (np.array(each, dtype=float) for each in zip(*answers, strict=True))
    np.savez(folder / "answer.npz", shift=shift, alone=alone, whole=whole)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
