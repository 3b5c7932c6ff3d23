"""Makes the embedded archive again: real Sentinel-2 pixels from a published package, as a static STAC catalogue.

    python aois/demo/make_archive.py [--wheel nrt-0.2.0-py3-none-any.whl] [--to aois/demo/archive]

The pixels are the 1 km test cube that the package nrt 0.2.0 of the European Commission's Joint Research Centre
carries (contains modified Copernicus Sentinel data 2015-2021, processed by the JRC). Without --wheel the package is
fetched with pip and checked by its digest; nothing of it is installed. Same package, same bytes: the catalogue holds no
time stamp and nothing of the machine.

What the cube lacks is left out: product names, baselines, angles, footprints. The time of day is made up (00:00 UTC)
and every item says so.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from pipeline.study.catalogue_writer import write_catalogue, write_item

PACKAGE, VERSION = "nrt", "0.2.0"
WHEEL_SHA256 = "3e94a675e1862e9402fb45a806dc8e37994a6729fadb6b4aebc2147b6685aca0"
CUBES = {10: "sentinel2_cube_subset_romania_10m.nc", 20: "sentinel2_cube_subset_romania_20m.nc"}
LEFT, TOP, CRS = 5271982.57655193, 2533004.21491519, "EPSG:3035"
FIRST_DAY = datetime(2015, 8, 1, tzinfo=UTC)
CLEAR_CLASSES = (4, 5, 6, 7)
MIN_CLEAR = 0.05
"""Dates with less clear ground by SCL are left out, 25 of 140, to keep the repository small."""
KEYS = {"blue": (10, "B2"), "green": (10, "B3"), "red": (10, "B4"), "nir": (10, "B8"), "nir08": (20, "B8A"),
        "swir16": (20, "B11"), "scl": (10, "SCL")}  # fmt: skip
ATTRIBUTION = "contains modified Copernicus Sentinel data 2015-2021, processed by the JRC"


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """One variable of the package's netCDF: (date, row, col), north up, and the days it was acquired on."""

    data: NDArray[np.generic]
    days: tuple[int, ...]


def main() -> None:
    """Fetch, check, convert."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="the package's wheel, if it is at hand")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "archive")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        wheel = arguments.wheel or fetch(Path(scratch))
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != WHEEL_SHA256:
            sys.exit(f"error: {wheel.name} is not the package expected (sha256 {found[:12]}…): give nrt {VERSION}")
        cubes = read(wheel, Path(scratch))
        items = list(convert(cubes, arguments.to))
    write_catalogue(
        arguments.to,
        "southern-carpathians",
        "Southern Carpathians, 1 km of forest and a road, 2015-2021",
        f"Real Sentinel-2 L2A pixels, {len(items)} dates; {ATTRIBUTION}. Product names, baselines and angles are"
        " unknown; the time of day is made up. Before 2022-01-25, so no offset is in the DN.",
        items,
    )
    size = sum(path.stat().st_size for path in arguments.to.rglob("*") if path.is_file())
    print(f"{len(items)} items, {size / 1e6:.1f} MB in {arguments.to}")  # noqa: T201


def fetch(folder: Path) -> Path:
    """The wheel, by pip, from whatever index this machine uses."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "--dest", str(folder), f"{PACKAGE}=={VERSION}"], check=True)
    return next(folder.glob(f"{PACKAGE}-{VERSION}-*.whl"))


def read(wheel: Path, scratch: Path) -> dict[str, Cube]:
    """Every variable needed, rows turned north up (the files store them bottom first)."""
    with zipfile.ZipFile(wheel) as package:
        for name in CUBES.values():
            (scratch / name).write_bytes(package.read(f"nrt/data/{name}"))
    cubes = {}
    for key, (resolution, variable) in KEYS.items():
        with rasterio.open(f"netcdf:{scratch / CUBES[resolution]}:{variable}") as source:
            stored = source.tags()["NETCDF_DIM_time_VALUES"].strip("{}").split(",")
            cubes[key] = Cube(source.read()[:, ::-1, :], tuple(int(float(day)) for day in stored))
    if len({cube.days for cube in cubes.values()}) != 1:
        sys.exit("error: the two cubes have different dates: give the package named above")
    return cubes


def convert(cubes: dict[str, Cube], to: Path) -> Iterator[Path]:
    """One item a date that has any clear ground."""
    for index, day in enumerate(cubes["scl"].days):
        clear = float(np.isin(cubes["scl"].data[index], CLEAR_CLASSES).mean())
        if clear <= MIN_CLEAR:
            continue
        time = FIRST_DAY + timedelta(days=day)
        assets = {}
        for key, (resolution, _) in KEYS.items():
            plane = cubes[key].data[index].astype("uint8" if key == "scl" else "uint16")
            grid = GeoBox(plane.shape, from_origin(LEFT, TOP, resolution, resolution), CRS)
            assets[key] = (plane, grid)
        properties = {
            "constellation": "sentinel-2",
            "s2:product_type": "S2MSI2A",
            "groundbreak:attribution": ATTRIBUTION,
            "groundbreak:made_up": ["time of day"],
        }
        yield write_item(to, f"southern-carpathians-{time:%Y%m%d}", time, assets, properties)


if __name__ == "__main__":
    main()
