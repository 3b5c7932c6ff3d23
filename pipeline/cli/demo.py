"""`groundbreak demo`: the embedded demonstration, in any folder and without a network."""

import os
from pathlib import Path

import typer

from pipeline.cli.asking import ask, question
from pipeline.cli.console import summarise
from pipeline.cli.detect import exit_code, run_sites, show
from pipeline.run.selection import packaged_aois

FURTHER = """
A real place: groundbreak detect february-11-plant --start 2023-01-01 (needs a connection), or one of your own:
groundbreak sites add --lon 127.6568 --lat 39.9209 --radius-m 1000 --name "My plant\""""


def demo(
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
    workers: int = typer.Option(None, min=1, help="sites processed in parallel; default: one per core"),
) -> int:
    r"""Run the embedded demonstration: real pixels, no network.

    Two sites in the Southern Carpathians: one as it was recorded from 2015 to 2021, with a road and clearings, and the
    same looks with eight buildings drawn into them by a program.

    \b
    groundbreak demo
    groundbreak demo --out tour
    """
    asked = ask((), [packaged_aois() / "demo.geojson"])
    questions = [question(site, asked.settings, catalog=None, start=None, end=None, out=folder) for site in asked.sites]
    outcomes = run_sites(questions, folder, workers or os.cpu_count() or 1)
    if any(outcome.published for outcome in outcomes):
        show(outcomes, folder)
        summarise(FURTHER)
    return exit_code(outcomes, asked.faults)
