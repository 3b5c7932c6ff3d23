"""`groundbreak pair`: construction between two acquisitions, from any two folders or files."""

from collections import Counter
from pathlib import Path

import typer

from pipeline.cli.console import print_note, print_summary, show_progress
from pipeline.cli.site_selection import read_settings
from pipeline.model.errors import Exit
from pipeline.review.folder import Folder
from pipeline.run.pair import compare_pair as compare


def pair(
    before: Path = typer.Argument(..., help="folder of bands, .SAFE product or multi-band file"),
    after: Path = typer.Argument(..., help="the later acquisition"),
    aoi: Path = typer.Option(None, help="polygons to search (GeoJSON, GPKG, KML); default: all common ground"),
    folder: Path = typer.Option(Path("out/pair"), "--out", help="folder of the results"),
) -> int:
    r"""Outline construction between two acquisitions.

    \b
    groundbreak pair 2021-06-03/ 2024-06-12/ --aoi plant.geojson --out out/plant-pair
    groundbreak pair S2A_MSIL2A_20210603T….SAFE S2B_MSIL2A_20240612T….SAFE
    """
    with show_progress() as step:
        outcome = compare(before, after, aoi, folder, read_settings(), step)
    for remark in outcome.notes:
        print_note(remark)
    kinds = Counter(alert.kind.value for alert in outcome.decision.alerts)
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
    row, col = outcome.records[-1].shift or (0.0, 0.0)
    print_summary(f"{outcome.site.id}: {found} ({outcome.seconds:.1f} s)")
    print_summary(f"AFTER lay {row:+.2f} rows and {col:+.2f} columns of 10 m off BEFORE: corrected")
    print_summary("\nTo open:")
    print_summary(f"  {Folder(folder).project}   in QGIS")
    print_summary(f"  {Folder(folder).report}  in a browser")
    return Exit.DONE
