"""What `simulate` writes: the same bytes from the same seed, exact outlines, the shift that it says, the right days."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from pipeline.catalogue.sites import read_sites
from pipeline.catalogue.static import read_static
from pipeline.cli.main import _run_command
from pipeline.correct.alignment import estimate_shift
from pipeline.model.bands import ANALYSIS, Band
from pipeline.model.grid import MARGIN_M, site_grid
from pipeline.model.progress import no_progress
from pipeline.study import plant
from pipeline.study.events import CHANGE, Event, Phase, draw_construction, draw_distractors
from pipeline.study.ground import Ground, made_of, moved_to, native_grid, seasonal_reflectance
from pipeline.study.materials import ROOFS
from pipeline.study.scenarios import ScenarioOptions
from pipeline.study.shapes import SHAPES, cast_shadow, make_footprint, pixel_coverage
from pipeline.study.simulate import PIXELS, Pass, Plan, render_pass, simulate_catalogue
from pipeline.study.weather import Sky
from tests import world

START = datetime(2021, 5, 1, tzinfo=UTC)
NOON = (35.0, 160.0)


def made_up() -> Ground:
    share = world.ground()
    base = {}
    for band in ANALYSIS:
        plane = (share * world.GRASS[band.role] + (1 - share) * world.SOIL[band.role]).astype(np.float32)
        if band.native_m > 10:
            plane = plane.reshape(world.SIDE // 2, 2, world.SIDE // 2, 2).mean((1, 3))
        base[band] = plane
    return made_of(base, world.GRID10, "made up for a test")


@pytest.fixture(scope="module")
def ground() -> Ground:
    return made_up()


def clear_sky(shape: tuple[int, int]) -> Sky:
    none = np.zeros(shape, np.float32)
    return Sky(cloud=none, shade=none, haze=none, wet=none, snow=none, gain=dict.fromkeys(ANALYSIS, 1.0))


def clear_pass(ground: Ground, shift: tuple[float, float], days: float = 0) -> Pass:
    shape = (int(ground.grid.shape[0]), int(ground.grid.shape[1]))
    return Pass(time=START + timedelta(days=days), orbit=3, sun=NOON, shift=shift, sky=clear_sky(shape))


def hall(ground: Ground, begun: datetime = START) -> Event:
    rows, cols = ground.grid.shape
    outline = make_footprint("60x100 m", ground.grid.affine * (cols / 2, rows / 2), 0)
    phase = Phase(start=begun, end=None, material="white", spectrum=ROOFS["white membrane"])
    return Event(
        id="hall",
        role=CHANGE,
        kind="new structure",
        size="60x100 m",
        material="white",
        outline=outline,
        phases=(phase,),
    )


def plan(events: Sequence[Event], seed: int = 5) -> Plan:
    return Plan(place="sim", name="Sim", start=START, passes=5, days=10, seed=seed, events=tuple(events))


def digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            whole.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return whole.hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(ground: Ground, tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("again", 5), ("other", 6)):
        (tmp_path / name).mkdir()
        simulate_catalogue(ground, plan([hall(ground)], seed), tmp_path / name, no_progress)
    assert digest(tmp_path / "one") == digest(tmp_path / "again") != digest(tmp_path / "other")


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("step", [1, 2])
def test_the_coverage_of_a_shape_adds_up_to_its_area(size: str, step: int) -> None:
    grid = native_grid(world.GRID10, Band.B11 if step == 2 else Band.B04)
    outline = make_footprint(size, (world.LEFT + 517.3, world.TOP - 482.9), 27.0)
    found = pixel_coverage(outline, grid)
    assert found is not None
    window, share = found
    assert share.sum() * (10 * step) ** 2 == pytest.approx(outline.area, rel=0.02)
    assert share.min() >= 0 and share.max() <= 1.0001
    rows, cols = np.indices(grid.shape)
    x, y = grid.affine * (
        (cols[window] * share).sum() / share.sum() + 0.5,
        (rows[window] * share).sum() / share.sum() + 0.5,
    )
    assert (x, y) == pytest.approx((outline.centroid.x, outline.centroid.y), abs=1.0)


def test_a_shape_off_the_grid_covers_nothing() -> None:
    assert pixel_coverage(box(0, 0, 50, 50), world.GRID10) is None


def test_shadow_falls_away_from_the_sun() -> None:
    block = box(0, 0, 40, 40)
    shade = cast_shadow(block, 10, (45.0, 180.0))
    assert shade.centroid.y > 40 and abs(shade.centroid.x - 20) < 0.01
    assert shade.area == pytest.approx(400, rel=0.02)


def test_the_shift_written_is_the_shift_that_registration_finds(ground: Ground) -> None:
    # target(x + shift) matches reference(x): the rule of Alignment
    before = render_pass(ground, (), clear_pass(ground, (0.0, 0.0)), 5, southern=False)[Band.B04]
    for shift in ((0.6, -0.4), (-0.3, 0.7)):
        after = render_pass(ground, (), clear_pass(ground, shift), 5, southern=False)[Band.B04]
        found = estimate_shift(before, after, np.ones(before.shape, bool))
        assert found.accepted
        assert found.shift == pytest.approx(shift, abs=0.05)


def test_a_building_moves_with_its_ground(ground: Ground) -> None:
    def centre(shift: tuple[float, float]) -> tuple[float, float]:
        made = clear_pass(ground, shift)
        without = render_pass(ground, (), made, 5, southern=False)[Band.B02]
        rise = (
            np.clip(render_pass(ground, (hall(ground),), made, 5, southern=False)[Band.B02] - without, 0.02, None)
            - 0.02
        )
        rows, cols = np.indices(rise.shape)
        return float((rows * rise).sum() / rise.sum()), float((cols * rise).sum() / rise.sum())

    still, moved = centre((0.0, 0.0)), centre((0.8, -0.5))
    assert (moved[0] - still[0], moved[1] - still[1]) == pytest.approx((0.8, -0.5), abs=0.05)


def test_truth_dates_an_event_by_the_looks_on_either_side(ground: Ground, tmp_path: Path) -> None:
    events = [hall(ground, START + timedelta(days=12)), hall(ground, START + timedelta(days=400))]
    simulate_catalogue(ground, plan(events), tmp_path, no_progress)
    truth = json.loads((tmp_path / "truth.geojson").read_text())
    (only,) = truth["features"]
    assert (only["properties"]["last_clear_without"], only["properties"]["begins"]) == ("2021-05-11", "2021-05-21")
    assert only["properties"]["area_m2"] == 6000
    assert truth["groundbreak"]["simulated"] is True


def test_leaves_fall_and_what_stands_in_shade_does_not_turn_into_water() -> None:
    share = world.ground()
    base = {}
    for band in (Band.B03, Band.B04, Band.B08):
        plane = share * world.GRASS[band.role] + (1 - share) * world.SOIL[band.role]
        plane[:, : world.SIDE // 2] *= 0.4
        base[band] = plane.astype(np.float32)
    shaded = made_of(base, world.GRID10, "half in shade")
    months = {
        month: seasonal_reflectance(
            shaded, datetime(2021, month, 10, tzinfo=UTC), np.random.default_rng(1), southern=False
        )
        for month in (1, 7)
    }
    fallen = months[1][Band.B08] / months[7][Band.B08]
    assert fallen.min() < 0.75 and fallen.max() <= 1.0001
    assert (months[1][Band.B08] > months[1][Band.B03]).all()
    austral = seasonal_reflectance(shaded, datetime(2021, 7, 10, tzinfo=UTC), np.random.default_rng(1), southern=True)
    assert austral[Band.B08].mean() < months[7][Band.B08].mean()


def test_the_offset_of_later_baselines_is_written_and_said(ground: Ground, tmp_path: Path) -> None:
    late = replace(plan([]), start=datetime(2022, 1, 20, tzinfo=UTC), passes=2)
    simulate_catalogue(ground, late, tmp_path, no_progress)
    claims = [
        product.granule.declared_offset.dn
        for product in sorted(read_static(str(tmp_path)).products, key=lambda p: p.time)
    ]
    assert (claims[0], claims[-1]) == (0, 1000)
    lowest = []
    for path in sorted(tmp_path.glob("*/red.tif")):
        with rasterio.open(path) as source:
            lowest.append(int(source.read(1).min()))
    assert lowest[0] < 1000 < lowest[-1]


def test_every_file_says_that_it_is_simulated(ground: Ground, tmp_path: Path) -> None:
    simulate_catalogue(ground, plan([hall(ground)]), tmp_path, no_progress)
    documents = [path for path in tmp_path.rglob("*") if path.suffix in (".json", ".geojson")]
    assert len(documents) >= 8
    assert all("simulated" in path.read_text() for path in documents)
    assert PIXELS in json.loads((tmp_path / "catalog.json").read_text())["description"]


def test_construction_keeps_apart_and_off_the_edges(ground: Ground) -> None:
    wide = moved_to(ground, native_grid(world.GRID10, Band.B04).pad(60))
    events = draw_construction(wide, START, START + timedelta(days=300), np.random.default_rng(2))
    assert len(events) >= 12
    inner = wide.grid.extent.geom.buffer(-300)
    for number, event in enumerate(events):
        assert inner.covers(event.outline)
        assert all(event.outline.distance(other.outline) > 20 for other in events[:number])


def test_old_halls_get_new_roofs_on_any_ground(ground: Ground) -> None:
    wide = moved_to(ground, native_grid(world.GRID10, Band.B04).pad(60))
    built = draw_construction(wide, START, START + timedelta(days=300), np.random.default_rng(2))
    others = draw_distractors(wide, built, START, START + timedelta(days=300), np.random.default_rng(3))
    roofs = {event.id: event for event in others if event.id.startswith("hall-roof")}
    assert len(roofs) >= 3
    for id, roof in roofs.items():
        (old,) = (event for event in others if event.id == id.replace("hall-roof", "old-hall"))
        assert (roof.kind, roof.role, old.role) == ("resurfaced", CHANGE, "present")
        assert old.outline == roof.outline and old.ends == roof.begins and old.material != roof.material
        assert min(roof.outline.distance(other.outline) for other in built) > 20


def test_the_plant_is_told_as_published(tmp_path: Path) -> None:
    sites = {site.id: site for site in read_sites([Path(__file__).resolve().parents[2] / "aois"]).sites}
    site = sites[plant.ID]
    wishes = ScenarioOptions(seed=1, start=None, passes=None, days=None, undisturbed=False, distractors=False)
    ground, told = plant.plant_story(made_up(), site, wishes)
    events = {event.id: event for event in told.events}
    assert events["building-b"].begins.year == 2020
    assert [events[name].kind for name in ("building-a-roof", "building-b-roof")] == ["resurfaced"] * 2
    assert {events[name].begins.year for name in ("building-a-roof", "building-b-roof")} == {2023}
    ratio = events["hall-2024"].outline.area / events["building-b"].outline.area
    assert 0.6 <= ratio <= 0.7
    materials = {phase.material: phase.start for phase in events["hall-2024"].phases}
    assert materials["frame"] < datetime(2024, 10, 1, tzinfo=UTC) and materials["roof"].year == 2025
    aoi = geopandas.GeoSeries([site.aoi], crs="EPSG:4326").to_crs(str(ground.grid.crs)).iloc[0]
    assert all(aoi.covers(event.outline) for event in told.events if event.role == CHANGE)
    assert ground.grid.crs.epsg == 32652 and told.orbits == (3,)
    few = plan_of_year(told)
    simulate_catalogue(ground, few, tmp_path, no_progress)
    items = read_static(str(tmp_path)).products
    assert {(item.relative_orbit, item.granule.tile) for item in items} == {(3, "52TCK")}
    truth = json.loads((tmp_path / "truth.geojson").read_text())["features"]
    assert not any(feature["properties"]["role"] == "present" for feature in truth)


def plan_of_year(told: Plan) -> Plan:
    """A few passes of it."""
    return Plan(
        place=told.place, name=told.name, start=datetime(2023, 6, 20, tzinfo=UTC), passes=3, days=5, seed=1,
        events=told.events, orbits=told.orbits, tile=told.tile, aoi=told.aoi,
    )  # fmt: skip


def test_the_plants_passes_show_ground_on_25_to_35_days_a_year() -> None:
    shown = sum(plant.coast_weather(39.9, month).broken for month in range(1, 13)) / 12 * 365.25 / plant.REVISIT_DAYS
    assert 25 <= shown <= 35


def test_the_site_written_lies_on_the_pixels_with_its_margin(tmp_path: Path) -> None:
    wide = moved_to(made_up(), native_grid(world.GRID10, Band.B04).pad(10))
    simulate_catalogue(wide, plan([]), tmp_path, no_progress)
    (site,) = read_sites([tmp_path / "sites.geojson"]).sites
    assert wide.grid.extent.geom.buffer(1).covers(site_grid(site.aoi, MARGIN_M).extent.geom)


def test_simulate_then_detect_finds_the_hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world.catalogue(tmp_path / "ground", built_from=None)
    wishes = ["--looks", "28", "--days", "10", "--start", "2020-04-01", "--seed", "3", "--no-distractors"]
    assert _run_command(["simulate", "sim", "--ground", "ground", *wishes]) == 0
    assert _run_command(["simulate", "sim"]) == 2
    assert _run_command(["detect", "--sites", "sim/sites.geojson", "--workers", "1"]) == 0
    changes = geopandas.read_file("out/simulated/review.gpkg", layer="changes")
    truth = geopandas.read_file("sim/truth.geojson").to_crs(changes.crs)
    kept = changes[changes.status != "withdrawn"]
    first = truth[truth["size"] == "80x150 m"].sort_values("begins").iloc[0]
    shared = kept.geometry.intersection(first.geometry).area / kept.geometry.union(first.geometry).area
    assert shared.max() > 0.5
    assert kept.first_seen[shared.idxmax()] >= first.begins
    with rasterio.open("out/simulated/after.tif") as after:
        assert after.crs == changes.crs


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (["full"], "not empty"),
        (["file"], "no folder can be made"),
        (["new", "--ground", "nowhere"], "no such file or folder"),
        (["new", "--ground", "full"], "no .tif or .jp2 file"),
        (["new", "--start", "2020-13-01"], "not a date"),
        (["new", "--start", "1400-01-01"], "no Sentinel-2 in the year 1400"),
        (["new", "--looks", "0"], "--looks"),
        (["new", "--site", "nowhere"], "no site 'nowhere'"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_line(
    wishes: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("kept")
    (tmp_path / "file").write_text("kept")
    assert _run_command(["simulate", *wishes]) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and words in lines[0]
    assert (tmp_path / "full" / "note.txt").read_text() == (tmp_path / "file").read_text() == "kept"
