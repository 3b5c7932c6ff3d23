"""`groundbreak sites`: check AOI files, add a site, list them."""

import json
from pathlib import Path
from typing import Any

import typer
from odc.geo.geom import Geometry
from shapely.geometry import Point, mapping

from pipeline.catalogue.sites import SitesRead, read_sites
from pipeline.cli.console import narrow_table, out, print_error, print_line, print_note, print_summary, write_json
from pipeline.cli.site_selection import read_settings
from pipeline.model.errors import Exit, SiteError, UsageError
from pipeline.model.grid import utm_epsg
from pipeline.model.site import Site, slug
from pipeline.review.folder import replace_file
from pipeline.run.lock import file_lock
from pipeline.run.selection import AOIS, read_aois

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Check, add and list sites.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
OWN_FILE = "own.geojson"
"""File of the default folder that gets the sites that are added."""


@app.callback()
def _bare(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def check(files: list[Path] = typer.Argument(None, help="AOI files or folders; default: aois/")) -> int:
    r"""Check AOI files and list their errors.

    \b
    groundbreak sites check my-places.kml
    """
    read = _read_sites(files)
    for site in read.sites:
        rows, cols = site.grid.shape
        print_line(f"ok  {site.id}: {_area_km2(site):.2f} km2, grid {cols} x {rows} px, {site.grid.crs}")
    print_line(f"{len(read.sites)} good, {len(read.errors)} not")
    return Exit.INPUT if read.errors else Exit.DONE


@app.command("list")
def list_sites(
    files: list[Path] = typer.Argument(None, help="AOI files or folders; default: aois/"),
    as_json: bool = typer.Option(False, "--json", help="print the sites as JSON instead of a table"),
) -> int:
    r"""List sites with id, name, size and location.

    \b
    groundbreak sites list
    """
    read = _read_sites(files)
    rows = [_json_fields(site) for site in read.sites]
    if as_json:
        write_json({"sites": rows, "errors": [str(error) for error in read.errors]})
    else:
        table = narrow_table("Sites", "id", "km2", "lat, lon", "name", numbers=("km2",))
        for column in table.columns:
            # a row is a line: what does not fit is the end of the name, and --json has it whole
            column.no_wrap, column.overflow = True, "ellipsis"
        table.expand, table.columns[-1].ratio = True, 1
        for row in rows:
            where = f"{row['lat']:.4f}, {row['lon']:.4f}"
            table.add_row(row["id"], f"{row['area_km2']:.2f}", where, row["name"])
        out.print(table)
    return Exit.INPUT if read.errors and not read.sites else Exit.DONE


@app.command()
def add(
    file: Path = typer.Argument(None, help="AOI file with the features to add"),
    lon: float = typer.Option(None, min=-180, max=180, help="longitude of the centre, degrees"),
    lat: float = typer.Option(None, min=-80, max=84, help="latitude of the centre, degrees"),
    radius_m: float = typer.Option(500.0, min=20, help="half the side of the square, metres"),
    name: str = typer.Option(None, help="name of the place"),
    identity: str = typer.Option(None, "--id", help="id: a to z, digits, hyphens; default: derived from the name"),
    catalog: str = typer.Option(None, help="catalogue of the site: STAC file or folder, API root, folder of .SAFE"),
    to: Path = typer.Option(None, help=f"GeoJSON file to add to; default: aois/{OWN_FILE}"),
) -> int:
    r"""Add sites from a file, or a square around a point. Any error cancels the whole addition.

    \b
    groundbreak sites add places.kml
    groundbreak sites add --lon 127.6568 --lat 39.9209 --radius-m 1000 --name "February 11 plant"
    """
    target = to or AOIS / OWN_FILE
    if file is not None:
        read = read_sites([file], read_settings())
        if read.errors:
            raise read.errors[0]
        new = [_site_feature(site) for site in read.sites]
    elif lon is not None and lat is not None and name:
        new = [_square_feature(lon, lat, radius_m, name, identity)]
    else:
        raise UsageError("no place given", "sites add", "give a file, or --lon, --lat and --name")
    if catalog is not None:
        for each in new:
            # a path in an AOI file is relative to that file, here it is relative to the working folder
            each["properties"]["catalog"] = catalog if "://" in catalog else str(Path(catalog).resolve())
    _write_features(target, new, is_default=to is None)
    own = target.resolve().parent == AOIS.resolve()
    for each in new:
        added = each["properties"]["id"]
        print_summary(f"added {added} to {target}: groundbreak detect {added}{'' if own else f' --sites {target}'}")
    return Exit.DONE


def _json_fields(site: Site) -> dict[str, Any]:
    """What is listed of a site."""
    point = site.aoi.centroid
    return {
        "id": site.id,
        "name": site.name,
        "area_km2": round(_area_km2(site), 4),
        "lon": round(point.x, 6),
        "lat": round(point.y, 6),
        "crs": str(site.grid.crs),
        "catalog": site.catalog,
        "collection": site.collection,
        "start": site.start,
        "end": site.end,
        "settings": dict(site.settings),
        "properties": dict(site.properties),
    }


def _write_features(target: Path, new: list[dict[str, Any]], *, is_default: bool) -> None:
    """The file with these features added, or as it was.

    Raises SiteError if one of them, or the content of the file, is not a valid site, UsageError if there is no such
    folder, ReviewError where it cannot be written.
    """
    if is_default:
        _make_folder(target.parent)
    if not target.parent.is_dir():
        raise UsageError(
            "no such folder", str(target.parent), "make it, or choose a file in an existing folder with --to"
        )
    with file_lock(target.parent):
        whole = _existing_collection(target)
        with replace_file(target) as beside:
            beside.write_text(json.dumps({**whole, "features": [*whole["features"], *new]}, indent=1) + "\n")
            for error in read_sites([beside], read_settings()).errors:
                raise SiteError(error.what, error.where.replace(str(beside), str(target)), error.fix)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"no folder can be made: {error.strerror}", str(folder), "choose another file with --to"
        ) from error


def _existing_collection(target: Path) -> dict[str, Any]:
    """The FeatureCollection of a file, or an empty one if the file is missing. Raises SiteError for other content."""
    what = f"{target.name} is not a GeoJSON FeatureCollection"
    refused = SiteError(what, str(target), "fix the file, or choose another one with --to")
    try:
        whole = json.loads(target.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {"type": "FeatureCollection", "features": []}
    except (OSError, ValueError, RecursionError) as error:
        raise refused from error
    if isinstance(whole, dict) and whole.get("type") == "Feature":
        return {"type": "FeatureCollection", "features": [whole]}
    if not (isinstance(whole, dict) and isinstance(whole.get("features"), list)):
        raise refused
    return whole


def _read_sites(files: list[Path] | None) -> SitesRead:
    read = read_aois((), files or (), read_settings())
    for error in read.errors:
        print_error(error)
    for remark in read.notes:
        print_note(remark)
    return read


def _site_feature(site: Site) -> dict[str, Any]:
    """A site as an AOI file has it; its `false_alarms` are among its settings by now."""
    properties: dict[str, Any] = {
        "catalog": site.catalog,
        "collection": site.collection,
        "start": site.start and site.start.isoformat(),
        "end": site.end and site.end.isoformat(),
        "settings": dict(site.settings),
    }
    own = {
        "id": site.id,
        "name": site.name,
        **{key: value for key, value in properties.items() if value},
        **site.properties,
    }
    return {"type": "Feature", "properties": own, "geometry": mapping(site.aoi)}


def _square_feature(lon: float, lat: float, radius_m: float, name: str, identity: str | None) -> dict[str, Any]:
    """A square in metres around a point, written in lon/lat. Raises UsageError where no id can be made of the name."""
    if not (identity or slug(name)):
        raise UsageError("no id can be made of it", f"--name {name}", "give one of a to z and digits with --id")
    crs = f"EPSG:{utm_epsg(lon, lat)}"
    centre = Geometry(Point(lon, lat), "EPSG:4326").to_crs(crs).geom
    square = Geometry(centre.buffer(radius_m, cap_style="square"), crs).to_crs("EPSG:4326").geom
    ring = [[round(x, 6), round(y, 6)] for x, y in square.exterior.coords]
    properties = {"id": identity or slug(name), "name": name}
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def _area_km2(site: Site) -> float:
    return float(Geometry(site.aoi, "EPSG:4326").to_crs(str(site.grid.crs)).geom.area) / 1e6
