"""Makes the injected demonstration site: the embedded archive's real looks with buildings drawn into them.

    python aois/demo/make_simulated.py [--measure] [--to aois/demo/simulated]

Nothing in the real pixels is a building; everything this writes says that its buildings are simulated. Where the looks
lie against each other stands in measured.json, so that the same archive gives the same bytes whatever becomes of the
registration; --measure measures it anew. Looks before the first building share their files with the archive.
"""

import argparse
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geom import point
from shapely.geometry import shape

from pipeline.model.progress import no_progress
from pipeline.study.events import Event, make_building
from pipeline.study.inject import Injection, Measured, inject_events, measure_looks
from pipeline.study.shapes import make_footprint
from pipeline.study.truth import write_json

HERE = Path(__file__).parent
PLACE = "southern-carpathians-simulated"
NAME = "Southern Carpathians with simulated buildings (real looks, nothing of it was ever built)"
SEED = 20
FROM, UNTIL = datetime(2018, 4, 1, tzinfo=UTC), datetime(2020, 10, 1, tzinfo=UTC)
MIN_CLEAR = 0.15
"""Of a look's grid, a third of which lies off the archive."""
ROAD = (slice(2, 22), slice(24, 74))
"""Rows and columns of the archive in which a bright road runs east: its crest lies where the ground lies."""
MAX_ROAD_ERROR_PX = 0.12
SUMMER = (6, 7, 8)
LEFT, TOP, CRS = 5271982.57655193, 2533004.21491519, "EPSG:3035"
# (row, col) of the archive where its own series shows no change; size; degrees; begun; roof
BUILDINGS = (
    ((9.0, 84.0), "60x100 m", 75.0, "2019-06-20", "bare metal"),
    ((24.0, 46.0), "30x60 m", 20.0, "2019-07-12", "blue steel"),
    ((46.0, 22.0), "20x40 m", 110.0, "2019-08-12", "white membrane"),
    ((86.0, 20.0), "L 60x60 m", 15.0, "2019-09-07", "concrete"),
    ((70.0, 22.0), "60x100 m", 160.0, "2020-04-10", "white membrane"),
    ((27.0, 64.0), "30x60 m", 140.0, "2020-05-18", "dark bitumen"),
    ((38.0, 75.0), "20x40 m", 60.0, "2020-05-05", "bare metal"),
    ((30.0, 32.0), "20x20 m", 0.0, "2020-05-14", "white membrane"),
)


def main() -> None:
    """Measure where asked to, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure the looks anew, into measured.json")
    parser.add_argument("--to", type=Path, default=HERE / "simulated")
    arguments = parser.parse_args()
    if arguments.measure:
        write_json(HERE / "measured.json", measured())
    known = json.loads((HERE / "measured.json").read_text(encoding="utf-8"))
    looks = {
        id: Measured(shift=tuple(each["shift"]), clear=each["clear"], offset_dn=each["offset_dn"])
        for id, each in known["looks"].items()
    }
    injection = Injection(
        place=PLACE, name=NAME, crs=known["crs"], events=events(known["crs"]), looks=looks, aoi=shape(aoi())
    )
    if arguments.to.exists():
        shutil.rmtree(arguments.to)
    inject_events(HERE / "archive", arguments.to, injection, no_progress)
    size = sum(path.stat().st_size for path in arguments.to.rglob("*") if path.is_file())
    print(f"{len(looks)} items, {len(injection.events)} buildings, {size / 1e6:.1f} MB in {arguments.to}")  # noqa: T201


def measured() -> dict[str, object]:
    """The looks worth having between the two dates, to a hundredth of a pixel.

    Columns are those of the registration. Rows are those of the road, because under a low sun the shade of this steep
    forest lies up to two pixels further north and registration follows it; in summer the two agree but for a constant.
    """
    crs, found = measure_looks(HERE / "archive", lambda time: FROM <= time < UNTIL, no_progress)
    known = {id: each for id, each in sorted(found.items()) if each.clear >= MIN_CLEAR and any(each.shift)}
    crests = {id: crest(id) for id in known}
    summer = [id for id in known if int(id[-4:-2]) in SUMMER and known[id].clear > 0.6]
    usual = np.nanmedian([crests[id] for id in summer], axis=0)
    rows = {id: offset(crests[id] - usual) for id in known}
    level = float(np.median([rows[id][0] - known[id].shift[0] for id in summer]))
    looks = {
        id: {"shift": [round(rows[id][0] - level, 2), round(each.shift[1], 2)], "clear": each.clear,
             "offset_dn": each.offset_dn}
        for id, each in known.items()
        if rows[id][1] <= MAX_ROAD_ERROR_PX
    }  # fmt: skip
    return {"crs": crs, "looks": looks}


def crest(id: str) -> NDArray[np.float64]:
    """Row of the road's crest in every column of ROAD, NaN where it runs out of the window."""
    with rasterio.open(HERE / "archive" / id / "red.tif") as source:
        window = source.read(1).astype(float)[ROAD]
    found = np.full(window.shape[1], np.nan)
    for column, line in enumerate(window.T):
        top = int(np.argmax(line))
        if 2 <= top < len(line) - 2:
            bright = line[top - 2 : top + 3] - line[top - 2 : top + 3].min()
            found[column] = top - 2 + float((bright * np.arange(5)).sum() / bright.sum())
    return found


def offset(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Median of what is plausible, and its error; infinite where too little of the road shows."""
    near = differences[np.abs(differences) < 3]
    if len(near) < 25:
        return 0.0, float("inf")
    middle = float(np.median(near))
    return middle, 1.86 * float(np.median(np.abs(near - middle))) / len(near) ** 0.5


def events(crs: str) -> tuple[Event, ...]:
    """The buildings, outlines in a CRS."""
    found = []
    for number, ((row, col), size, angle, begun, roof) in enumerate(BUILDINGS):
        place = point(LEFT + 10 * col, TOP - 10 * row, CRS).to_crs(crs)
        outline = make_footprint(size, (place.geom.x, place.geom.y), angle)
        start = datetime.fromisoformat(begun).replace(tzinfo=UTC)
        rng = np.random.default_rng([SEED, number])
        found.append(make_building(f"simulated-{number + 1}", size, outline, start, roof, rng))
    return tuple(found)


def aoi() -> dict[str, object]:
    """The polygon of the untouched demonstration site, lon/lat."""
    features = json.loads((HERE.parent / "demo.geojson").read_text(encoding="utf-8"))["features"]
    geometry: dict[str, object] = next(
        each["geometry"] for each in features if each["properties"]["id"] == "southern-carpathians"
    )
    return geometry


if __name__ == "__main__":
    main()
