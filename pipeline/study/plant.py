"""The published history of the February 11 plant on simulated pixels at its own place.

From the published descriptions: where Buildings A and B stand, when B was begun and finished, that both roofs were
renewed in 2023, that a hall of 60 to 70 % of the size of the existing one was an open frame in October 2024, and that
housing was built. Made up, because no text gives it: every size in metres, angles, colours beyond "three, then red",
the place of the 2024 hall and of the housing, days of the month, the rest of the works, and that the hall was roofed
in 2025. The ground is a real one from elsewhere.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import point
from shapely.geometry import Polygon

from pipeline.model.site import Site
from pipeline.study.events import CHANGE, DISTRACTOR, PRESENT, Event, Phase, draw_distractors
from pipeline.study.ground import Ground, even_grid, moved_to
from pipeline.study.materials import ASPHALT, CLEARED, FOUNDATION, FRAME, GRAVEL, MIXED_TILE, RED_TILE, ROOFS, Spectrum
from pipeline.study.scenarios import ScenarioOptions
from pipeline.study.shapes import make_block
from pipeline.study.simulate import Plan
from pipeline.study.truth import to_lonlat_geometry
from pipeline.study.weather import Chances

ID = "february-11-plant"
START, YEARS, REVISIT_DAYS = datetime(2019, 1, 3, tzinfo=UTC), 7, 5.0
ORBIT, TILE = 3, "52TCK"
"""The only relative orbit that covers the place, and the only tile."""
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
BUILDING_A, BUILDING_B = (127.656521, 39.921628), (127.657091, 39.920212)
HALL_M, NEW_HALL_M = (60.0, 100.0), (50.0, 78.0)
"""Assumed areas; the second is 65 % of the first."""
ANGLE = 20.0
# of a month's passes: cloudless, up to some cloud, snow on the ground; a coast with a dry winter and a monsoon
_MONTHS = (
    (0.35, 0.55, 0.60), (0.32, 0.50, 0.50), (0.30, 0.50, 0.20), (0.28, 0.45, 0.0), (0.25, 0.40, 0.0), (0.12, 0.28, 0.0),
    (0.05, 0.17, 0.0), (0.08, 0.22, 0.0), (0.26, 0.42, 0.0), (0.38, 0.55, 0.0), (0.32, 0.50, 0.05), (0.35, 0.55, 0.40),
)  # fmt: skip


def plant_story(real: Ground, site: Site, options: ScenarioOptions) -> tuple[Ground, Plan]:
    """Seven years of passes every five days over the plant; those that are overcast are not filed."""
    grid = even_grid(site.grid)
    ground = moved_to(real, grid)
    start, days = options.start or START, options.days or REVISIT_DAYS
    passes = options.passes or round(YEARS * 365.25 / REVISIT_DAYS)
    works = present_structures(grid, renewed=not options.undisturbed)
    events = works if options.undisturbed else (*works, *published_events(grid))
    if options.distractors and not options.undisturbed:
        rng = np.random.default_rng([options.seed, 0])
        end = start + timedelta(days=passes * days)
        others = draw_distractors(ground, events, start + (end - start) / 7, end, rng)
        events = (*events, *(event for event in others if event.role == DISTRACTOR))
    plan = Plan(
        place=f"{site.id}-simulated",
        name=f"SIMULATED pixels: {site.name}",
        start=start,
        passes=passes,
        days=days,
        seed=options.seed,
        events=events,
        orbits=(ORBIT,),
        tile=TILE,
        climate=coast_weather,
        overcast=False,
        aoi=to_lonlat_geometry(site.aoi, "EPSG:4326"),
    )
    return ground, plan


def coast_weather(_: float, month: int) -> Chances:
    """Weather of a month at the plant: 25 to 35 passes a year show some ground, few of them in the monsoon."""
    clear, broken, snow = _MONTHS[month - 1]
    return Chances(clear=clear, broken=broken, snow=snow)


def present_structures(grid: GeoBox, renewed: bool) -> tuple[Event, ...]:
    """Structures from the first look on: the yard, its roads, old halls, and Building A under its old roof."""
    yard = _standing_event("yard", _block_at(grid, BUILDING_B, (0, -30), (430, 560)), GRAVEL, 0.85)
    roads = [
        _standing_event(f"road-{number}", _block_at(grid, BUILDING_B, place, size), ASPHALT)
        for number, (place, size) in enumerate([((-60, -30), (9, 560)), ((70, -30), (9, 560)), ((0, -330), (600, 9))])
    ]
    places = [((-140, 120), (30, 90)), ((-140, -10), (30, 110)), ((-150, -160), (45, 70)), ((130, 170), (28, 80)),
              ((0, -190), (40, 60)), ((140, -200), (24, 60))]  # fmt: skip
    roofs = [RED_TILE, ROOFS["concrete"], ROOFS["dark bitumen"], RED_TILE, ROOFS["concrete"], RED_TILE]
    halls = [
        _standing_event(f"hall-{number}", _block_at(grid, BUILDING_B, place, size), roof, height_m=9)
        for number, ((place, size), roof) in enumerate(zip(places, roofs, strict=True))
    ]
    outline = _block_at(grid, BUILDING_A, (0, 0), (45, 90))
    until = _utc_day(2023, 5, 8) if renewed else None
    old = Phase(start=ALWAYS, end=until, material="concrete", spectrum=ROOFS["concrete"], height_m=12)
    building_a = Event(
        id="building-a", role=PRESENT, kind="hall", size="45x90 m", material="concrete", outline=outline, phases=(old,)
    )
    return (yard, *roads, *halls, building_a)


def published_events(grid: GeoBox) -> tuple[Event, ...]:
    """Events, in the order of their start."""
    hall = _block_at(grid, BUILDING_B, (0, 0), HALL_M)
    outline_a = _block_at(grid, BUILDING_A, (0, 0), (45, 90))
    building_b = _built_event(
        "building-b", "60x100 m", hall, "mixed tile, then red",
        [(_utc_day(2020, 6, 10), "cleared", CLEARED, 0), (_utc_day(2020, 8, 5), "foundation", FOUNDATION, 0),
         (_utc_day(2020, 10, 10), "frame", FRAME, 8), (_utc_day(2021, 4, 1), "tile in three colours", MIXED_TILE, 15),
         (_utc_day(2023, 6, 10), "red tile", RED_TILE, 15)],
    )  # fmt: skip
    roof_a = _roof_event(
        "building-a-roof", "45x90 m", outline_a, _utc_day(2023, 5, 8), "blue steel", ROOFS["blue steel"], 1.0
    )
    # its pixels are those of building-b: here only for the truth
    roof_b = _roof_event("building-b-roof", "60x100 m", hall, _utc_day(2023, 6, 10), "red tile", RED_TILE, 0.0)
    new_hall = _built_event(
        "hall-2024", "50x78 m", _block_at(grid, BUILDING_B, (140, -60), NEW_HALL_M), "bare metal",
        [(_utc_day(2024, 6, 3), "cleared", CLEARED, 0), (_utc_day(2024, 7, 29), "foundation", FOUNDATION, 0),
         (_utc_day(2024, 9, 16), "frame", FRAME, 8), (_utc_day(2025, 4, 7), "roof", ROOFS["bare metal"], 15)],
    )  # fmt: skip
    return (building_b, roof_a, roof_b, *_housing_events(grid), new_hall)


def _housing_events(grid: GeoBox) -> list[Event]:
    """Two rows of three blocks, one after the other from spring to autumn 2024."""
    blocks = []
    for number in range(6):
        begun = _utc_day(2024, 3, 25) + timedelta(days=12 * number)
        outline = _block_at(grid, BUILDING_B, (-520 + 45 * (number % 3), -420 - 90 * (number // 3)), (14, 56))
        phases: list[tuple[datetime, str, Spectrum, float]] = [
            (begun, "cleared", CLEARED, 0),
            (begun + timedelta(days=40), "foundation", FOUNDATION, 0),
            (begun + timedelta(days=110), "roof", ROOFS["concrete"], 10),
        ]
        blocks.append(_built_event(f"housing-{number + 1}", "14x56 m", outline, "concrete", phases))
    return blocks


def _roof_event(
    id: str, size: str, outline: Polygon, begun: datetime, material: str, spectrum: Spectrum, strength: float
) -> Event:
    """A roof renewed."""
    height = 12.0 if strength > 0 else 0.0
    phase = Phase(
        start=begun, end=None, material=material, spectrum=spectrum, strength=strength, height_m=height
    )  # fmt: skip
    return Event(
        id=id, role=CHANGE, kind="resurfaced", size=size, material=material, outline=outline, phases=(phase,)
    )  # fmt: skip


def _built_event(
    id: str, size: str, outline: Polygon, material: str, phases: Sequence[tuple[datetime, str, Spectrum, float]]
) -> Event:
    ends = [*(begun for begun, *_ in phases[1:]), None]
    steps = tuple(
        Phase(start=begun, end=end, material=name, spectrum=spectrum, height_m=height)
        for (begun, name, spectrum, height), end in zip(phases, ends, strict=True)
    )
    return Event(id=id, role=CHANGE, kind="new structure", size=size, material=material, outline=outline, phases=steps)


def _standing_event(
    id: str, outline: Polygon, spectrum: Spectrum, strength: float = 1.0, height_m: float = 0.0
) -> Event:
    phase = Phase(
        start=ALWAYS, end=None, material=id, spectrum=spectrum, strength=strength, height_m=height_m
    )  # fmt: skip
    return Event(id=id, role=PRESENT, kind="standing", size="", material=id, outline=outline, phases=(phase,))


def _block_at(
    grid: GeoBox, lonlat: tuple[float, float], off_m: tuple[float, float], size_m: tuple[float, float]
) -> Polygon:
    """A block of (width, length) whose centre lies (east, north) metres off a point, in the grid's CRS."""
    place = point(*lonlat, "EPSG:4326").to_crs(str(grid.crs)).geom
    return make_block(*size_m, (place.x + off_m[0], place.y + off_m[1]), ANGLE)


def _utc_day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)
