"""`groundbreak simulate`: a catalogue of simulated looks with the truth beside it, to try everything else on."""

from pathlib import Path

import typer

from pipeline.cli.console import print_summary, show_progress
from pipeline.cli.site_selection import choose_sites
from pipeline.model.errors import Exit, UsageError
from pipeline.run.selection import packaged_aois, parse_day
from pipeline.study import plant
from pipeline.study.events import CHANGE, DISTRACTOR
from pipeline.study.ground import read_ground
from pipeline.study.scenarios import ScenarioOptions, build_scenario
from pipeline.study.simulate import simulate_catalogue as write_looks


def simulate(
    folder: Path = typer.Argument(..., metavar="OUT", help="folder of the catalogue, new or empty"),
    seed: int = typer.Option(1, min=0, help="same seed, same bytes"),
    ground: Path = typer.Option(
        None, help="real pixels: STAC folder, product, folder of bands; default: embedded ones"
    ),
    looks: int = typer.Option(None, min=1, max=5000, help="passes; default: 60, seven years at the plant"),
    start: str = typer.Option(None, help="first day; default: 2020-01-05"),
    days: float = typer.Option(None, min=1, max=366, help="days between passes; default: 10"),
    undisturbed: bool = typer.Option(False, "--undisturbed", help="no change at all: every alert is a false one"),
    distractors: bool = typer.Option(True, help="ploughed fields, renewed roofs, parked lorries, fires, shores"),
    site: str = typer.Option(None, help="draw the ground at the place of this site"),
    sites: list[Path] = typer.Option(None, help="AOI files with --site; default: aois/"),
) -> int:
    r"""Write a STAC catalogue of simulated looks with construction in them, its truth and its AOI file.

    The ground is real Sentinel-2; the year, the weather, misregistration, buildings and what only looks like them are
    drawn by a program; every file says so. At february-11-plant the published history of 2019-2025 is drawn.

    \b
    groundbreak simulate sim --seed 7
    groundbreak simulate quiet --undisturbed --looks 90 --days 20
    groundbreak simulate plant --site february-11-plant
    """
    first = parse_day(start, "--start")
    if first is not None and not 1900 <= first.year <= 2100:
        raise UsageError(f"no Sentinel-2 in the year {first.year}", "--start", "write a day of this age, 2020-01-05")
    _make_folder(folder)
    options = ScenarioOptions(
        seed=seed,
        start=first,
        passes=looks,
        days=days,
        undisturbed=undisturbed,
        distractors=distractors,
    )
    place = None if site is None else choose_sites([site], sites or ()).sites[0]
    with show_progress() as step:
        step("ground", 0, 1, "being read")
        real = read_ground(ground or packaged_aois() / "demo" / "archive")
        laid, plan = (
            plant.plant_story(real, place, options)
            if place and place.id == plant.ID
            else build_scenario(real, place, options)
        )
        file = write_looks(laid, plan, folder, step)
    count = {role: sum(event.role == role for event in plan.events) for role in (CHANGE, DISTRACTOR)}
    print_summary(f"{folder}: simulated looks, {count[CHANGE]} changes to find, {count[DISTRACTOR]} to let be")
    print_summary("\nNext:")
    print_summary(f"  groundbreak detect --sites {file}")
    print_summary(f"  groundbreak evaluate out/{plan.place}/review.gpkg {folder}/truth.geojson")
    return Exit.DONE


def _make_folder(folder: Path) -> None:
    """An empty folder; raises UsageError where there is none and none can be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError("not empty", str(folder), "name a new folder")
    except OSError as error:
        raise UsageError(f"no folder can be made: {error.strerror}", str(folder), "name another place") from error
