"""Construction drawn into the archive's real looks: where it stands and nowhere else, as the look would show it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry, point
from shapely.geometry import box

from pipeline.catalogue.static import read_static
from pipeline.model.errors import UsageError
from pipeline.model.progress import no_progress
from pipeline.study.events import CHANGE, Event, Phase
from pipeline.study.illumination import estimate_illumination
from pipeline.study.inject import PIXELS, Injection, Measured, inject_events, measure_looks
from pipeline.study.materials import ROOFS
from pipeline.study.shapes import make_footprint, pixel_coverage

DEMO = Path(__file__).resolve().parents[2] / "aois" / "demo"
CRS, OWN = "EPSG:32634", "EPSG:3035"
LEFT, TOP = 5271982.57655193, 2533004.21491519
EARLY, CLEAR = "southern-carpathians-20180701", "southern-carpathians-20190706"
LATER, CLOUDED = "southern-carpathians-20190810", "southern-carpathians-20190914"
HALL_AT = (68.0, 22.0)
"""(row, col) of the archive, forest that stays; under the cloud of 2019-09-14."""
Kept = Mapping[str, tuple[float, float]]


def hall(begun: datetime = datetime(2019, 1, 1, tzinfo=UTC)) -> Event:
    place = point(LEFT + 10 * HALL_AT[1], TOP - 10 * HALL_AT[0], OWN).to_crs(CRS).geom
    outline = make_footprint("60x100 m", (place.x, place.y), 10)
    phase = Phase(start=begun, end=None, material="white", spectrum=ROOFS["white membrane"])
    return Event(
        id="hall", role=CHANGE, kind="new structure", size="60x100 m", material="white", outline=outline,
        phases=(phase,),
    )  # fmt: skip


def drawn(out: Path, shifts: Kept, event: Event | None = None) -> Path:
    looks = {id: Measured(shift=shift, clear=0.7, offset_dn=0) for id, shift in shifts.items()}
    injection = Injection(
        place="injected",
        name="Injected",
        crs=CRS,
        events=(event or hall(),),
        looks=looks,
        aoi=box(22.146, 45.201, 22.157, 45.209),
    )
    inject_events(DEMO / "archive", out, injection, no_progress)
    return out


@pytest.fixture(scope="module")
def injected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue beside a copy of nothing: four looks, all with what they need."""
    still = (0.0, 0.0)
    return drawn(tmp_path_factory.mktemp("injected"), dict.fromkeys((EARLY, CLEAR, LATER, CLOUDED), still))


def before_and_after(out: Path, id: str, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64], GeoBox]:
    new = f"injected-{id[-8:]}"
    asset = json.loads((out / new / f"{new}.json").read_text())["assets"][key]
    with rasterio.open(DEMO / "archive" / id / f"{key}.tif") as old, rasterio.open(out / new / asset["href"]) as made:
        return old.read(1) / 10000, made.read(1) / 10000, GeoBox(old.shape, old.transform, str(old.crs))


def share_of(event: Event, grid: GeoBox) -> NDArray[np.float32]:
    whole = np.zeros(tuple(grid.shape), np.float32)
    found = pixel_coverage(Geometry(event.outline, CRS).to_crs(OWN).geom, grid)
    assert found is not None
    whole[found[0]] = found[1]
    return whole


@pytest.mark.parametrize("key", ["blue", "red", "nir", "swir16"])
def test_a_hall_shows_its_roof_where_it_stands_and_nowhere_else(injected: Path, key: str) -> None:
    before, after, grid = before_and_after(injected, CLEAR, key)
    share = share_of(hall(), grid)
    roof = next(level for band, level in ROOFS["white membrane"].items() if band.role == key)
    assert after[share > 0.93].mean() == pytest.approx(roof, rel=0.2)
    assert (after[share > 0.5] > before[share > 0.5]).all()
    assert (after[share == 0] == before[share == 0]).all()
    assert (share == 0).mean() > 0.9


def test_before_it_is_begun_the_files_of_the_archive_are_shared(injected: Path) -> None:
    item = json.loads((injected / "injected-20180701" / "injected-20180701.json").read_text())
    assert item["properties"]["groundbreak:drawn"] is False
    assert all("archive" in asset["href"] for asset in item["assets"].values())
    assert [path.name for path in (injected / "injected-20180701").iterdir()] == ["injected-20180701.json"]


def test_under_a_cloud_nothing_shows(injected: Path) -> None:
    before, after, grid = before_and_after(injected, CLOUDED, "blue")
    under = (share_of(hall(), grid) > 0.9) & (before > 0.45)
    assert under.sum() >= 5
    assert np.abs(after - before)[under].max() < 0.02


def test_a_building_is_moved_by_the_misregistration_of_its_look(tmp_path: Path) -> None:
    def centre(shift: tuple[float, float], name: str) -> tuple[float, float]:
        out = drawn(tmp_path / name, {CLEAR: shift, LATER: (0.0, 0.0), EARLY: (0.0, 0.0)})
        before, after, grid = before_and_after(out, CLEAR, "blue")
        rise = after - before
        rows, cols = np.indices(rise.shape)
        x, y = grid.affine * ((cols * rise).sum() / rise.sum() + 0.5, (rows * rise).sum() / rise.sum() + 0.5)
        place = point(x, y, OWN).to_crs(CRS).geom
        return float(place.x), float(place.y)

    still, moved = centre((0.0, 0.0), "still"), centre((0.8, -0.5), "moved")
    # down a row is south, back a column is west
    assert (moved[0] - still[0], moved[1] - still[1]) == pytest.approx((-5.0, -8.0), abs=0.6)


def test_truth_counts_the_looks_that_show_the_ground(injected: Path) -> None:
    (feature,) = json.loads((injected / "truth.geojson").read_text())["features"]
    own = feature["properties"]
    assert (own["last_clear_without"], own["begins"], own["simulated"]) == ("2018-07-01", "2019-07-06", True)
    shape = Geometry(hall().outline, CRS).to_crs("EPSG:4326")
    assert feature["geometry"]["coordinates"][0][0] == pytest.approx(shape.geom.exterior.coords[0], abs=1e-6)


def test_a_look_that_a_cloud_hides_is_no_bracket(tmp_path: Path) -> None:
    looks = (EARLY, CLEAR, LATER, CLOUDED, "southern-carpathians-20200804")
    out = drawn(tmp_path, dict.fromkeys(looks, (0.0, 0.0)), hall(datetime(2019, 10, 1, tzinfo=UTC)))
    (feature,) = json.loads((out / "truth.geojson").read_text())["features"]
    assert feature["properties"]["last_clear_without"] == "2019-08-10"


def test_everything_says_simulated(injected: Path) -> None:
    assert PIXELS in json.loads((injected / "catalog.json").read_text())["description"]
    for path in injected.glob("injected-*/*.json"):
        assert json.loads(path.read_text())["properties"]["groundbreak:simulated"] == PIXELS


def test_haze_and_shade_are_read_off_the_look() -> None:
    grid = GeoBox.from_bbox((500000, 4400000, 500600, 4400600), crs="EPSG:32652", resolution=10, tight=True)
    usual = {band: np.full((60, 60), 0.05 + 0.04 * number) for number, band in enumerate(ROOFS["concrete"])}
    grids = dict.fromkeys(usual, grid)
    plain = estimate_illumination(usual, usual, grids)
    assert (plain.haze, plain.gain) == (0.0, 1.0)
    assert plain.shade.max() == plain.hidden.max() == 0
    dark = {band: np.where(np.arange(60) < 30, 0.4, 1.0) * plane for band, plane in usual.items()}
    assert estimate_illumination(dark, usual, grids).shade[:, 5].min() > 0.9
    hazy = {band: plane + (0.05 if plane[0, 0] < 0.06 else 0.0) for band, plane in usual.items()}
    assert estimate_illumination(hazy, usual, grids).haze == pytest.approx(0.05)


def test_looks_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the looks"):
        drawn(tmp_path, {"elsewhere-20200101": (0.0, 0.0)})


def test_the_shifts_of_the_archive_are_measured() -> None:
    summer = (datetime(2019, 6, 1, tzinfo=UTC), datetime(2019, 9, 1, tzinfo=UTC))
    crs, found = measure_looks(DEMO / "archive", lambda time: summer[0] <= time < summer[1], no_progress)
    assert crs == CRS
    one, other = found["southern-carpathians-20190706"], found["southern-carpathians-20190810"]
    # two robust fits that agree, made by other means, put these two looks (-0.6, +0.2) pixels apart
    assert other.shift[0] - one.shift[0] == pytest.approx(-0.6, abs=0.2)
    assert other.shift[1] - one.shift[1] == pytest.approx(0.2, abs=0.2)


def test_the_simulated_site_is_what_its_script_makes(tmp_path: Path) -> None:
    shutil.copytree(DEMO.parent, tmp_path / "aois")
    script = tmp_path / "aois" / "demo" / "make_simulated.py"
    subprocess.run([sys.executable, str(script)], check=True, capture_output=True)
    folder = tmp_path / "aois" / "demo" / "simulated"
    made, kept = ({path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}
                  for top in (folder, DEMO / "simulated"))  # fmt: skip
    assert made.keys() == kept.keys()
    assert [name for name in made if made[name] != kept[name]] == []


def test_the_simulated_site_has_history_before_its_first_building() -> None:
    truth = json.loads((DEMO / "simulated" / "truth.geojson").read_text())["features"]
    first = min(feature["properties"]["begins"] for feature in truth)
    looks = read_static(str(DEMO / "simulated")).products
    clear = json.loads((DEMO / "measured.json").read_text())["looks"]
    earlier = [look for look in looks if f"{look.time:%Y-%m-%d}" < first]
    assert sum(clear[f"southern-carpathians-{look.time:%Y%m%d}"]["clear"] > 0.5 for look in earlier) >= 12
    assert {"20x40 m", "30x60 m", "60x100 m", "L 60x60 m"} <= {feature["properties"]["size"] for feature in truth}
