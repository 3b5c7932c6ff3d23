"""`groundbreak export`: results in a form that others read."""

from pathlib import Path

import typer

from pipeline.cli.console import say
from pipeline.cli.report import site_folder
from pipeline.model.errors import Exit
from pipeline.review.export import KINDS
from pipeline.review.export import export as write_export


def export(
    site: str = typer.Argument(..., help="id of a site that has results"),
    form: str = typer.Option("geojson", "--format", help=f"one of {', '.join(KINDS)}"),
    to: Path = typer.Option(None, help="file or folder to write; default: beside the site's results"),
    folder: Path = typer.Option(Path("out"), "--out", help="where the results are"),
) -> int:
    r"""Write a site's changes as GeoJSON, KML with pictures, STAC items, CSV, figures or films, or all as one zip.

    \b
    groundbreak export february-11-plant --format kml
    groundbreak export february-11-plant --format film
    groundbreak export february-11-plant --format zip --to plant.zip
    """
    path = write_export(site_folder(folder, site), form, to)
    say(str(path))
    return Exit.DONE
