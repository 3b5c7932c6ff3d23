"""The functions of the public package; import them from `groundbreak`. The examples run in a checkout."""

from collections.abc import Iterable, Mapping
from datetime import date
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import pandas
import pyogrio
from numpy.typing import ArrayLike, NDArray
from pandas.api.types import infer_dtype

from pipeline.catalogue.environment import check_certificates, check_proj, share_network_settings
from pipeline.correct.alignment import Options, estimate_shift
from pipeline.model.errors import UsageError
from pipeline.model.imagery import Alignment
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings, override_settings
from pipeline.model.site import Site
from pipeline.review.folder import Folder
from pipeline.review.gpkg import PHASE_COLUMNS, read_provenance
from pipeline.run.detect import detect_sites
from pipeline.run.lock import output_lock
from pipeline.run.process_site import SiteJob
from pipeline.run.selection import read_aois, read_settings, select_sites, site_job
from pipeline.run.stack import open_stack as stack_of

if TYPE_CHECKING:
    import xarray

PHASES = "phases"
"""The table of phases in a review file; older files lack it."""
Pathish = str | PathLike[str]
Files = Pathish | Iterable[Pathish] | None
Day = str | date | np.datetime64 | None
"""A datetime and a pandas Timestamp are dates too."""
DIMENSIONS = ("time", "band", "y", "x")


def settings(file: Pathish | None = None, **changes: object) -> Settings:
    """The settings of a file, with single keys replaced.

    file:    a TOML file; None = `groundbreak.toml` of the working folder, or the defaults where there is none.
    changes: keys with two underscores for the dot, such as `decide__min_history=5`.
    Raises GroundbreakError for an unknown key or a value out of range.

    >>> import groundbreak
    >>> groundbreak.settings(decide__false_alarms_per_100km2_year=1.0).decide.false_alarms_per_100km2_year
    1.0
    """
    base = read_settings(None if file is None else _path(file, "file"))
    return override_settings(base, {name.replace("__", "."): value for name, value in changes.items()}, "settings()")


def sites(files: Files = None) -> geopandas.GeoDataFrame:
    """The sites of AOI files, one row each, indexed by id, in lon/lat.

    files: GeoJSON, GeoPackage or KML files or folders; None = `./aois`.
    Raises GroundbreakError where a file or a feature of it cannot be used.

    >>> import groundbreak
    >>> groundbreak.sites("aois/demo.geojson").area_km2.round(2)["february-11-plant-simulated"]
    np.float64(0.74)
    """
    read = read_aois((), _aoi_files(files), settings())
    for error in read.errors:
        raise error
    rows = [
        {"id": site.id, "name": site.name, "area_km2": _area_km2(site), "catalog": site.catalog,
         "collection": site.collection, "start": site.start, "end": site.end}
        for site in read.sites
    ]  # fmt: skip
    shapes = [site.aoi for site in read.sites]
    columns = ["id", "name", "area_km2", "catalog", "collection", "start", "end"]
    return geopandas.GeoDataFrame(rows, columns=columns, geometry=shapes, crs="EPSG:4326").set_index("id")


def open_stack(
    site: str,
    *,
    sites: Files = None,
    catalog: Pathish | None = None,
    start: Day = None,
    end: Day = None,
    scenes: Files = (),
    out: Pathish = "out",
    settings: Settings | None = None,
    chunks: Mapping[str, int] | None = None,
) -> "xarray.Dataset":
    """The looks of a site: registered, offset-checked, masked and normalised, on one grid.

    site:     id of a site of the AOI files.
    sites:    AOI files; None = `./aois`, then those of the package.
    catalog:  STAC file or folder, API root, or folder of .SAFE products; None = the site's own, then the default.
    start, end: first and last day: text as `2024-03-27`, a date or numpy.datetime64. A day as `end` is included; a
        datetime or pandas.Timestamp is a moment, in UTC where it names no zone.
    scenes:   a further scene or several: STAC items or .SAFE products.
    out:      folder whose cache is used and filled, the same as that of the command.
    settings: see `settings()`; None = `groundbreak.toml`. Settings of the site have priority.
    chunks:   chunk sizes by dimension (time, band, y, x), such as `{"time": 1}`; -1 = one chunk. Reflectance is then a
        Dask array, read from the cache.
    Returns reflectance (time, band, y, x), NaN = nodata; usable and quality_flags (time, y, x); shift, offset, noise,
        gain and more by look; rejected scenes with reason, value and limit along the dimension `rejected`.
    Raises GroundbreakError where the site or the catalogue cannot be read, or no scene can be used.

    >>> import groundbreak
    >>> looks = groundbreak.open_stack("february-11-plant-simulated", sites="aois/demo.geojson", end="2020-06-30")
    >>> looks.reflectance.dims, looks.odc.geobox.crs.epsg
    (('time', 'band', 'y', 'x'), 32652)
    """
    folder = _path(out, "out")
    _check_chunks(chunks)
    job = _site_job(site, sites, catalog, start, end, scenes, folder, settings)
    with output_lock(folder):
        return stack_of(job, no_progress, chunks)


def detect(
    site: str,
    *,
    sites: Files = None,
    catalog: Pathish | None = None,
    start: Day = None,
    end: Day = None,
    scenes: Files = (),
    out: Pathish = "out",
    settings: Settings | None = None,
) -> geopandas.GeoDataFrame:
    """Detect construction at a site and publish its files, as `groundbreak detect` does; returns the table `changes`.

    Parameters as in `open_stack`. The files are in `<out>/<site>/`; verdicts in an existing review file are kept.
    Raises GroundbreakError where the site cannot be processed.

    >>> import groundbreak
    >>> found = groundbreak.detect("february-11-plant-simulated", sites="aois/demo.geojson", end="2020-06-30")
    >>> found.index.name, found.crs.to_epsg()
    ('change_id', 32652)
    """
    folder = _path(out, "out")
    job = _site_job(site, sites, catalog, start, end, scenes, folder, settings)
    with output_lock(folder):
        for outcome in detect_sites([job], folder, 1, no_progress):
            if outcome.error is not None:
                raise outcome.error
    return changes(folder / site)


def changes(folder: Pathish) -> geopandas.GeoDataFrame:
    """The table `changes` of a site's results, indexed by change_id; the columns are explained in docs/review.md.

    folder: results of one site, `out/my-site`, or its `review.gpkg`.
    Attributes of the frame (`.attrs`) say which software, settings and looks it comes from.
    Raises GroundbreakError where there are no results.

    >>> import groundbreak
    >>> _ = groundbreak.detect("february-11-plant-simulated", sites="aois/demo.geojson", end="2020-06-30")
    >>> groundbreak.changes("out/february-11-plant-simulated").attrs["software"]
    'groundbreak ...'
    """
    file = _review_file(folder)
    facts = read_provenance(file)
    frame: geopandas.GeoDataFrame = pyogrio.read_dataframe(file, layer="changes")
    frame = _with_text_types(frame).set_index("change_id")
    frame.attrs |= facts
    return frame


def phases(folder: Pathish) -> pandas.DataFrame:
    """The table `phases` of a site's results: what the ground of each change was and became, in time order.

    folder: results of one site, `out/my-site`, or its `review.gpkg`.
    Columns: change_id; state (vegetated, bare, built, water, other); from and to, the first and last clear look of the
        phase; from_after and to_before, the clear looks of the phases beside it; probability of the state, 0..1.
    Raises GroundbreakError where there are no results.

    >>> import groundbreak
    >>> _ = groundbreak.detect("february-11-plant-simulated", sites="aois/demo.geojson", end="2020-06-30")
    >>> list(groundbreak.phases("out/february-11-plant-simulated").columns)
    ['change_id', 'state', 'from_after', 'from', 'to', 'to_before', 'probability']
    """
    file = _review_file(folder)
    facts = read_provenance(file)
    if PHASES in pyogrio.list_layers(file)[:, 0]:
        frame = pandas.DataFrame(pyogrio.read_dataframe(file, layer=PHASES, read_geometry=False))
        frame = _with_text_types(frame).sort_values(["change_id", "from"], ignore_index=True)
    else:
        frame = pandas.DataFrame(columns=list(PHASE_COLUMNS))
    frame.attrs |= facts
    return frame


def _with_text_types(frame: Any) -> Any:
    """Columns of text have one type, whether or not a row has a value: tables of several sites are then put together
    without a change of type.
    """
    text = pandas.Series(["text"]).dtype
    objects = [name for name in frame.columns if frame[name].dtype == np.object_]
    # a column of bytes, which an analyst may have added, is no text
    return frame.astype({name: text for name in objects if infer_dtype(frame[name]) in ("string", "empty")})


def _review_file(folder: Pathish) -> Path:
    path = _path(folder, "folder")
    file = path if path.suffix == ".gpkg" else Folder(path).gpkg
    if not file.is_file():
        raise UsageError("no results", str(path), "run groundbreak.detect or `groundbreak detect` for this site first")
    return file


def register(
    reference: ArrayLike, target: ArrayLike, usable: ArrayLike | None = None, options: Options | None = None
) -> Alignment:
    """The translation between two images of the same ground, and whether to trust it.

    reference, target: (row, col), one shape, any unit; NaN or masked = nodata.
    usable: (row, col) bool, True = both images measured the ground there; None = where both are finite.
    Returns Alignment: `shift` (row, col) in pixels such that target sampled at x + shift matches reference at x,
        `accepted`, `reliability` 0..1, `sigma_px`, and `reason` where it is not accepted.
    Raises GroundbreakError if the shapes differ.

    >>> import groundbreak, numpy as np
    >>> from scipy.ndimage import gaussian_filter
    >>> ground = gaussian_filter(np.random.default_rng(4).normal(size=(162, 162)), 1.2)
    >>> found = groundbreak.register(ground[:-2, :-2], ground[1:-1, 2:])
    >>> found.accepted, [round(part, 1) for part in found.shift]
    (True, [-1.0, -2.0])
    """
    first, second = _plane(reference, "reference"), _plane(target, "target")
    clear = np.isfinite(first) if usable is None else np.asarray(usable, bool)
    if usable is None and first.shape == second.shape:
        clear = clear & np.isfinite(second)
    return estimate_shift(first, second, clear, options or Options())


def _plane(values: ArrayLike, name: str) -> NDArray[Any]:
    """A real floating-point array; what is masked is NaN."""
    try:
        array: Any = np.ma.asanyarray(values)
        if np.iscomplexobj(array):
            raise TypeError
        if not np.issubdtype(array.dtype, np.floating):
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError("not an array of real numbers", name, "give a (row, col) array of numbers") from error
    return np.asarray(np.ma.filled(array, np.nan))


def _site_job(
    site: str,
    files: Files,
    catalog: Pathish | None,
    start: Day,
    end: Day,
    scenes: Files,
    out: Path,
    chosen: Settings | None,
) -> SiteJob:
    """The work on one site. Raises UsageError naming the argument whose type is wrong."""
    if not isinstance(site, str):
        raise _wrong_type("the id of a site", site, "site", "give one id out of the index of groundbreak.sites()")
    if chosen is not None and not isinstance(chosen, Settings):
        raise _wrong_type(
            "settings", chosen, "settings", "make them with groundbreak.settings(decide__min_history=5), say"
        )
    check_proj()
    check_certificates()
    share_network_settings()
    known = chosen or settings()
    paths = _aoi_files(files)
    (found,) = select_sites([site], paths, read_aois([site], paths, known))
    return site_job(
        found,
        known,
        catalog=None if catalog is None else str(_address(catalog, "catalog")),
        start=_day(start, "start"),
        end=_day(end, "end"),
        scenes=[str(each) for each in _several(scenes, "scenes")],
        out=out,
    )


def _wrong_type(wanted: str, value: object, name: str, fix: str) -> UsageError:
    return UsageError(f"not {wanted}, but a value of type {type(value).__name__}", name, fix)


def _address(value: Pathish, name: str) -> Pathish:
    """A path or a URL; the latter is no path, which would lose a slash."""
    if not isinstance(value, str | PathLike):
        raise _wrong_type("a path", value, name, "give a text or a pathlib.Path")
    return value


def _path(value: Pathish, name: str) -> Path:
    return Path(_address(value, name))


def _several(values: Files, name: str) -> tuple[Pathish, ...]:
    """One path or several, as a tuple."""
    if values is None:
        return ()
    if isinstance(values, str | PathLike):
        return (values,)
    if isinstance(values, Mapping | pandas.DataFrame) or not isinstance(values, Iterable):
        raise _wrong_type("a path or a list of paths", values, name, "name a file or folder, or a list of them")
    return tuple(_address(each, name) for each in values)


def _aoi_files(files: Files) -> tuple[Path, ...]:
    found = tuple(map(Path, _several(files, "sites")))
    if files is not None and not found:
        raise UsageError("no AOI file given", "sites", "name a file or folder, or None for ./aois")
    return found


def _day(value: Day, name: str) -> str | None:
    """The day or moment as text, which the settings of a site and the command line have too."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, np.datetime64):
        return str(value)
    raise _wrong_type(
        "a date", value, name, "write it as '2024-03-27', or give a date, a datetime or a pandas.Timestamp"
    )


def _check_chunks(chunks: object) -> None:
    if chunks is None:
        return
    if not isinstance(chunks, Mapping):
        raise _wrong_type("chunk sizes", chunks, "chunks", 'give sizes by dimension, such as {"time": 1}')
    for name, size in chunks.items():
        if name not in DIMENSIONS or not isinstance(size, int) or (size < 1 and size != -1):
            fix = f"give whole numbers from 1 on, or -1, for {', '.join(DIMENSIONS)}"
            raise UsageError(f"{name!r}: {size!r} is no chunk size", "chunks", fix)


def _area_km2(site: Site) -> float:
    return float(geopandas.GeoSeries([site.aoi], crs="EPSG:4326").to_crs(str(site.grid.crs)).area.iloc[0]) / 1e6
