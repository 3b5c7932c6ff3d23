"""Makes the two demonstration sites whose pixels are simulated: the February 11 plant's story, and a quiet works.

    python aois/demo/make_plant.py [plant|quiet]

The ground of both is the clearest summer look of the embedded archive, laid out at another place. Buildings, roofs,
weather, seasons and misregistration are drawn by `pipeline.study.simulate`; every file says so. The plant is the story
that was published of it (pipeline/study/plant.py), with fields worked and lorries parked around it. The quiet works are
the control: the yard of the same works for five years under other weather, and nothing is built. Same archive and
seed: same bytes.
"""

import argparse
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from odc.geo.geom import Geometry, point
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from pipeline.model.grid import site_grid
from pipeline.model.progress import no_progress
from pipeline.model.site import Site
from pipeline.study import plant
from pipeline.study.ground import read_ground
from pipeline.study.scenarios import ScenarioOptions
from pipeline.study.simulate import simulate_catalogue
from pipeline.study.weather import Chances, temperate_weather

Climate = Callable[[float, int], Chances]
HERE = Path(__file__).parent
CRS = "EPSG:32652"
GROUND_M = 120.0
"""Ground around an AOI that the looks show too: registration and normalisation need some. More would only be larger."""
WEST, SOUTH, EAST, NORTH = -590, -590, 250, 290
"""The AOI of the plant, in metres from Building B: every event of the story lies within it."""
QUIET_M = (190.0, 250.0)
"""Half the sides of the quiet works, east and north of Building B's place: the yard with its halls and roads."""


def main() -> None:
    """Write the catalogues that were asked for, both by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="*", choices=[*SITES, []], help="default: both")
    for name in parser.parse_args().which or SITES:
        to = HERE / name
        if to.exists():
            shutil.rmtree(to)
        SITES[name](to)
        size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
        print(f"{len(list(to.glob('*/*.json')))} items, {size / 1e6:.1f} MB in {to}")  # noqa: T201


def write_plant(to: Path) -> None:
    """Seven years of the published story, halls, roofs and housing."""
    middle = point(*plant.BUILDING_B, "EPSG:4326").to_crs(CRS).geom
    aoi = box(middle.x + WEST, middle.y + SOUTH, middle.x + EAST, middle.y + NORTH)
    wishes = ScenarioOptions(seed=11, start=None, passes=213, days=12.0, undisturbed=False, distractors=True)
    write(to, plant.ID, "February 11 plant, as published", aoi, wishes)


def write_quiet(to: Path) -> None:
    """Five years of clouds and seasons, in which nothing is built."""
    middle = point(*plant.BUILDING_B, "EPSG:4326").to_crs(CRS).geom
    aoi = box(middle.x - QUIET_M[0], middle.y - QUIET_M[1], middle.x + QUIET_M[0], middle.y + QUIET_M[1])
    start = datetime(2019, 1, 5, tzinfo=UTC)
    wishes = ScenarioOptions(seed=5, start=start, passes=92, days=20.0, undisturbed=True, distractors=False)
    write(to, "quiet-works", "the same works, had nothing been built", aoi, wishes, temperate_weather)


def write(
    to: Path, id: str, name: str, aoi: BaseGeometry, wishes: ScenarioOptions, climate: Climate = plant.coast_weather
) -> None:
    """Simulate a site's looks over its AOI (in CRS) and the ground around it."""
    outline = Geometry(aoi, CRS).to_crs("EPSG:4326").geom
    site = Site(id=id, name=name, aoi=outline, grid=site_grid(outline, GROUND_M, CRS))
    ground, plan = plant.plant_story(read_ground(HERE / "archive"), site, wishes)
    plan = replace(plan, climate=climate)
    simulate_catalogue(replace(ground, source="the embedded archive"), plan, to, no_progress)
    (to / "sites.geojson").unlink()  # aois/demo.geojson has the sites


SITES = {"plant": write_plant, "quiet": write_quiet}

if __name__ == "__main__":
    main()
