"""`groundbreak export`: results and looks in forms that other programs read."""

from pathlib import Path

import typer

from pipeline.cli.console import print_error, print_summary, show_progress
from pipeline.cli.report import site_folder
from pipeline.cli.site_selection import choose_sites
from pipeline.model.errors import Exit, ReviewError
from pipeline.review.export import KINDS, STACKS, check_form, export_stack
from pipeline.review.export import export_site as write_export
from pipeline.review.folder import Folder
from pipeline.run.lock import output_lock
from pipeline.run.process_site import SiteJob
from pipeline.run.selection import site_job
from pipeline.run.stack import open_stack


def export(
    site: str = typer.Argument(..., help="id of the site"),
    form: str = typer.Option("geojson", "--format", help=f"one of {', '.join((*KINDS, *STACKS))}"),
    to: Path = typer.Option(None, help="file or folder to write; default: in the results of the site"),
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
    sites: list[Path] = typer.Option(None, help="netcdf, zarr: AOI files; default: aois/"),
    catalog: str = typer.Option(None, help="netcdf, zarr: STAC file or folder, API root, or folder of .SAFE products"),
    start: str = typer.Option(None, help="netcdf, zarr: first day"),
    end: str = typer.Option(None, help="netcdf, zarr: last day"),
) -> int:
    r"""Write a site's changes as GeoJSON, GeoParquet, KML with pictures, STAC items, CSV, figures, films or a zip.

    netcdf and zarr contain the looks: registered, masked and normalised reflectance on one grid, from the cache
    of detect where that has them.

    \b
    groundbreak export february-11-plant --format kml
    groundbreak export february-11-plant --format film
    groundbreak export february-11-plant --format zip --to plant.zip
    groundbreak export february-11-plant --format netcdf --start 2023-01-01
    """
    check_form(form)
    if form in KINDS:
        path = write_export(site_folder(folder, site), form, to)
    else:
        asked = choose_sites([site], sites or ())
        wanted = site_job(asked.sites[0], asked.settings, catalog=catalog, start=start, end=end, out=folder)
        path = _write_looks(wanted, form, to, folder)
    print_summary(str(path))
    return Exit.DONE


def _write_looks(wanted: SiteJob, form: str, to: Path | None, out: Path) -> Path:
    """Write the looks of a site; scenes and assets that were lost on the way are named."""
    place = Folder(out / wanted.site.id)
    with output_lock(out), show_progress() as step:
        dataset = open_stack(wanted, step)
        try:
            place.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReviewError(f"cannot be written: {error.strerror}", str(place.path), "fix the permissions") from error
        path = export_stack(place, wanted.site.id, form, dataset, to)
    for line in filter(None, str(dataset.attrs["warnings"]).splitlines()):
        print_error(line)
    return path
