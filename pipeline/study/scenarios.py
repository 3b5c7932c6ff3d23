"""Setup of a simulation: ground, place, period and events from the options of the user."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from odc.geo.geobox import GeoBox

from pipeline.model.site import Site
from pipeline.study.events import Event, draw_construction, draw_distractors
from pipeline.study.ground import Ground, even_grid, moved_to
from pipeline.study.simulate import Plan
from pipeline.study.truth import to_lonlat_geometry

SIDE_PX = 200
"""Side of a simulated place in pixels: room for two of every shape, and a catalogue within a minute."""
BEGUN, LAST = 0.5, 0.85
"""Parts of the period between which construction starts: history before, looks for confirmation after."""
FIRST_DISTRACTOR = 0.25
START, PASSES, DAYS = datetime(2020, 1, 5, tzinfo=UTC), 60, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioOptions:
    """Options of the user; None = the default of the scenario. start: first pass. days: between passes.

    undisturbed: no events.
    """

    seed: int
    start: datetime | None
    passes: int | None
    days: float | None
    undisturbed: bool
    distractors: bool


def build_scenario(real: Ground, site: Site | None, options: ScenarioOptions) -> tuple[Ground, Plan]:
    """Random construction on real ground, at the place of a site or at that of the ground."""
    grid = _scenario_grid(real) if site is None else even_grid(site.grid)
    ground = moved_to(real, grid)
    start, passes, days = options.start or START, options.passes or PASSES, options.days or DAYS
    plan = Plan(
        place="simulated" if site is None else f"{site.id}-simulated",
        name=f"SIMULATED pixels: {'a made-up place' if site is None else site.name}",
        start=start,
        passes=passes,
        days=days,
        seed=options.seed,
        events=() if options.undisturbed else _scenario_events(ground, start, timedelta(days=passes * days), options),
        aoi=None if site is None or grid.shape != even_shape(site) else to_lonlat_geometry(site.aoi, "EPSG:4326"),
    )
    return ground, plan


def even_shape(site: Site) -> tuple[int, int]:
    """Rows and columns of the grid of a site, rounded down to even numbers."""
    rows, cols = site.grid.shape
    return rows // 2 * 2, cols // 2 * 2


def _scenario_events(ground: Ground, start: datetime, whole: timedelta, options: ScenarioOptions) -> tuple[Event, ...]:
    rng = np.random.default_rng([options.seed, 0])
    built = draw_construction(ground, start + BEGUN * whole, start + LAST * whole, rng)
    if not options.distractors:
        return built
    return (*built, *draw_distractors(ground, built, start + FIRST_DISTRACTOR * whole, start + whole, rng))


def _scenario_grid(real: Ground) -> GeoBox:
    """The grid of the ground, or a larger one with the same corner if it is too small for a site."""
    rows, cols = (max(size, SIDE_PX) for size in real.grid.shape)
    return GeoBox((rows, cols), real.grid.affine, real.grid.crs)
