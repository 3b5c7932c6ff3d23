"""The looks of a site as one xarray dataset, and the files written from it: NetCDF and Zarr.

Attributes follow the CF conventions 1.11 (cfconventions.org). The grid is attached as odc-geo does it, so that
`dataset.odc.geobox`, rioxarray and GDAL find it. xarray comes with the extra `groundbreak[xarray]`.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.model.credit import ATTRIBUTION, LEGAL_NOTICE
from pipeline.model.errors import ReviewError, UsageError
from pipeline.model.grid import aoi_mask
from pipeline.model.imagery import Look, SceneRecord, Why
from pipeline.model.settings import Settings, settings_digest
from pipeline.model.site import Site
from pipeline.review.folder import replace_file

if TYPE_CHECKING:
    import xarray

INSTALL = "install groundbreak[xarray]"
PIXEL = ("time", "y", "x")


def import_xarray() -> Any:
    """Xarray with odc-geo's accessor. Raises UsageError where the extra is missing."""
    try:
        import odc.geo.xr
        import xarray
    except ImportError as error:
        raise UsageError(f"{error.name or 'xarray'} is not installed", "stack of looks", INSTALL) from error
    assert odc.geo.xr is not None
    return xarray


def looks_dataset(
    site: Site,
    looks: Sequence[Look],
    records: Sequence[SceneRecord],
    settings: Settings,
    provenance: Mapping[str, str],
    reflectance: Any = None,
) -> "xarray.Dataset":
    """A dataset of looks on the site grid.

    reflectance: (time, band, y, x) float32, such as a Dask array; None = that of the looks.
    provenance:  further attributes: where the scenes come from.
    """
    variables = _pixel_variables(site, looks, reflectance) | _by_look(looks, records) | _rejection_table(records)
    dataset: xarray.Dataset = import_xarray().Dataset(
        variables, _make_coordinates(site, looks, records), _cf_attributes(site, settings, provenance)
    )
    for name in ("reflectance", "usable", "quality_flags", "inside"):
        dataset[name].encoding["grid_mapping"] = "spatial_ref"
    dataset["reflectance"].encoding |= {"_FillValue": np.float32("nan"), "zlib": True, "complevel": 4, "shuffle": True}
    for name in ("x", "y", "wavelength"):
        dataset[name].encoding["_FillValue"] = None  # CF 2.5.1: coordinates have no missing values
    for name in ("time", "rejected_time"):
        dataset[name].attrs["units_metadata"] = "leap_seconds: none"
        # milliseconds: providers date a granule to them, and whole numbers keep them exact
        dataset[name].encoding |= {"units": "milliseconds since 1970-01-01", "calendar": "proleptic_gregorian",
                                   "dtype": "int64"}  # fmt: skip
    return dataset


def _pixel_variables(site: Site, looks: Sequence[Look], reflectance: Any) -> dict[str, Any]:
    flags = [flag for flag in Why if flag]
    why = np.stack([look.why for look in looks])
    if reflectance is None:
        reflectance = np.stack([look.reflectance for look in looks])
    return {
        "reflectance": (("time", "band", "y", "x"), reflectance, {
            "long_name": "surface reflectance, registered and normalised to the history of the site",
            "standard_name": "surface_bidirectional_reflectance", "units": "1", "ancillary_variables": "quality_flags",
        }),
        "usable": (PIXEL, why == 0, {"long_name": "measured, and no quality flag set"}),
        "quality_flags": (PIXEL, why, {
            "long_name": "why a pixel is not usable; 0 = usable", "standard_name": "quality_flag",
            "flag_masks": np.array([int(flag) for flag in flags], np.uint8),
            "flag_meanings": " ".join(str(flag.name).lower() for flag in flags),
        }),
        "inside": (("y", "x"), aoi_mask(site), {"long_name": "centre of the pixel inside the area of interest"}),
    }  # fmt: skip


def _by_look(looks: Sequence[Look], records: Sequence[SceneRecord]) -> dict[str, Any]:
    """Variables with one value per look, or per look and band."""
    clear = {record.scene: record.clear_share for record in records if record.used}
    notes = {record.scene: record.offset_note for record in records if record.used}
    sun = [look.scene.sun or (np.nan, np.nan) for look in looks]
    orbits = [-1 if look.scene.relative_orbit is None else look.scene.relative_orbit for look in looks]

    def each(values: Sequence[Any], kind: Any, **attributes: Any) -> tuple[Any, ...]:
        return ("time", np.array(values, kind), attributes)

    def bands(values: Sequence[Any], **attributes: Any) -> tuple[Any, ...]:
        return (("time", "band"), np.array(values, np.float32), attributes)

    ones = {"units": "1"}
    return {
        "shift": (("time", "axis"), np.array([look.alignment.shift for look in looks]), {
            "long_name": "misregistration that was removed, in pixels: the look is sampled at x + shift", **ones}),
        "shift_uncertainty": each([look.alignment.sigma_px for look in looks], float, **ones,
                                  long_name="1-sigma uncertainty of the shift, in pixels"),
        "reliability": each([look.alignment.reliability for look in looks], float, **ones,
                            long_name="reliability of the registration, 0 to 1"),
        "offset": each([look.boa_offset_dn for look in looks], np.int32, **ones,
                       long_name="additive constant (BOA_ADD_OFFSET) that was removed from the digital numbers"),
        "offset_reason": each([notes.get(look.scene.id, "") for look in looks], str,
                              long_name="rule that decided the offset"),
        "clear_share": each([clear.get(look.scene.id, np.nan) for look in looks], float, **ones,
                            long_name="usable share of the area of interest"),
        "noise": bands([look.noise for look in looks], **ones,
                       long_name="1-sigma scatter against the history on unchanged ground, reflectance"),
        "gain": bands([look.gain or (1.0,) * len(look.bands) for look in looks], **ones,
                      long_name="factor of the normalisation: reflectance = gain * measured + normalisation_offset"),
        "normalisation_offset": bands([look.offset or (0.0,) * len(look.bands) for look in looks], **ones,
                                      long_name="offset of the normalisation, reflectance"),
        "sun_zenith": each([zenith for zenith, _ in sun], float, units="degree",
                           standard_name="solar_zenith_angle", long_name="sun zenith; NaN where not stated"),
        "sun_azimuth": each([azimuth for _, azimuth in sun], float, units="degree",
                            standard_name="solar_azimuth_angle", long_name="sun azimuth; NaN where not stated"),
        "relative_orbit": each(orbits, np.int32, long_name="relative orbit; -1 where not stated"),
    }  # fmt: skip


def _rejection_table(records: Sequence[SceneRecord]) -> dict[str, Any]:
    """The table of refused scenes, along its own dimension."""
    refused = [record for record in records if not record.used]

    def column(name: str, kind: Any, long_name: str) -> tuple[Any, ...]:
        empty = np.nan if kind is float else ""
        values = [getattr(record, name) for record in refused]
        return ("rejected", np.array([empty if value is None else value for value in values], kind),
                {"long_name": long_name})  # fmt: skip

    return {
        "rejection_reason": column("reason", str, "why the scene was not used"),
        "rejection_value": column("value", float, "the number that decided"),
        "rejection_limit": column("limit", float, "the limit that the number broke"),
        "rejection_note": column("note", str, "further explanation"),
    }


def _make_coordinates(site: Site, looks: Sequence[Look], records: Sequence[SceneRecord]) -> dict[str, Any]:
    from odc.geo.xr import xr_coords

    refused = [record for record in records if not record.used]
    bands = looks[0].bands
    space: dict[Any, Any] = dict(xr_coords(site.grid))
    for name in ("y", "x"):
        space[name].attrs |= {"standard_name": f"projection_{name}_coordinate", "axis": name.upper()}
    return {
        **space,
        "time": ("time", _time_values([look.time for look in looks]), {
            "standard_name": "time", "long_name": "acquisition, UTC", "axis": "T"}),
        "band": ("band", np.array(bands, str), {"long_name": "band of the MultiSpectral Instrument"}),
        "axis": ("axis", np.array(["row", "col"], str), {"long_name": "direction of a shift"}),
        "common_name": ("band", np.array([band.role for band in bands], str), {"long_name": "STAC common name"}),
        "wavelength": ("band", np.array([band.centre_nm for band in bands], float), {
            "standard_name": "radiation_wavelength", "units": "nm"}),
        "scene": ("time", np.array([look.scene.id for look in looks], str), {"long_name": "scene identifier"}),
        "platform": ("time", np.array([look.scene.platform or "" for look in looks], str), {
            "standard_name": "platform_name"}),
        "rejected": ("rejected", np.array([record.scene for record in refused], str), {
            "long_name": "identifier of a scene that was not used"}),
        "rejected_time": ("rejected", _time_values([record.time for record in refused]), {"standard_name": "time"}),
    }  # fmt: skip


def _time_values(times: Sequence[datetime]) -> Any:
    return np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], "datetime64[ns]")


def _cf_attributes(site: Site, settings: Settings, provenance: Mapping[str, str]) -> dict[str, str]:
    attribution = str(site.properties.get("attribution") or ATTRIBUTION)
    simulated = str(site.properties.get("simulated") or "")
    facts = {
        "Conventions": "CF-1.11",
        "title": f"Sentinel-2 looks at {site.name}",
        "source": "Sentinel-2 MultiSpectral Instrument",
        "references": "docs/python.md of groundbreak",
        "history": f"co-registered, masked and normalised by groundbreak {version('groundbreak')}",
        "attribution": attribution,
        "license": LEGAL_NOTICE,
        "site": site.id,
        "software": f"groundbreak {version('groundbreak')}",
        "settings_digest": settings_digest(settings),
        "settings": json.dumps(settings.model_dump(include={"search", "correct"}), sort_keys=True),
        **provenance,
    }
    return facts | ({"simulated": simulated, "comment": f"Simulated: {simulated}"} if simulated else {})


def _require_module(module: str) -> None:
    try:
        import_module(module)
    except ImportError as error:
        raise UsageError(f"{module} cannot be imported: {error}", "export", INSTALL) from error


def write_netcdf(dataset: "xarray.Dataset", path: Path) -> None:
    """One NetCDF-4 file. Raises UsageError where the library is missing, ReviewError where it cannot be written."""
    _require_module("netCDF4")
    with replace_file(path) as beside:
        dataset.to_netcdf(beside, engine="netcdf4", format="NETCDF4")


def write_zarr(dataset: "xarray.Dataset", path: Path) -> None:
    """A Zarr store; an earlier one at `path` is replaced by a complete one. Raises like `write_netcdf`."""
    _require_module("zarr")
    if path.exists() and not (path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup"))):
        raise UsageError("something else stands there", str(path), "give --to a new path or an earlier Zarr store")
    beside = path.with_name(f".{path.name}-new")
    plain = dataset.copy()
    for variable in plain.variables.values():
        # compression settings of NetCDF mean nothing to Zarr
        variable.encoding = {key: value for key, value in variable.encoding.items()
                             if key not in ("zlib", "complevel", "shuffle")}  # fmt: skip
    try:
        shutil.rmtree(beside, ignore_errors=True)
        # version 2 is read by GDAL and every zarr library; its metadata are consolidated for one request
        plain.to_zarr(beside, mode="w", zarr_format=2, consolidated=True)
        if path.exists():
            shutil.rmtree(path)
        beside.rename(path)
    except OSError as error:
        raise ReviewError(f"cannot be written: {error.strerror or error}", str(path), "fix the permissions") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
