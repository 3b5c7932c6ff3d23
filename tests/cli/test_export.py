"""`groundbreak export` of looks and of GeoParquet, read back by other libraries."""

import json
import sys
from datetime import timedelta
from pathlib import Path

import geopandas
import netCDF4
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import xarray as xr

import groundbreak
from tests import world
from tests.cli.conftest import Command


@pytest.mark.parametrize(("form", "ending"), [("netcdf", "nc"), ("zarr", "zarr")])
def test_looks_are_read_back_as_they_are_opened(
    command: Command, sites: Path, tmp_path: Path, form: str, ending: str
) -> None:
    done = command("export", "place", "--format", form, "--sites", sites)
    path = tmp_path / "out" / "place" / f"place.{ending}"
    assert done.code == 0 and done.out.strip() == str(path.relative_to(tmp_path))
    opened = xr.open_dataset(path, engine="netcdf4" if form == "netcdf" else "zarr", decode_coords="all")
    with opened as found:
        expected = groundbreak.open_stack("place", sites=sites)
        xr.testing.assert_equal(found.drop_vars("spatial_ref"), expected.drop_vars("spatial_ref"))
        assert found.odc.geobox == expected.odc.geobox
        assert found.attrs["Conventions"] == "CF-1.11"
    # an export replaces its own earlier one
    assert command("export", "place", "--format", form, "--sites", sites, "--end", "2020-05-01").code == 0
    with xr.open_dataset(path) as found:
        assert found.sizes["time"] == 4


def test_a_netcdf_file_follows_the_conventions(command: Command, sites: Path, tmp_path: Path) -> None:
    command("export", "place", "--format", "netcdf", "--sites", sites, "--to", "looks.nc")
    with netCDF4.Dataset(tmp_path / "looks.nc") as file:
        pixels = file["reflectance"]
        assert pixels.grid_mapping == "spatial_ref" and pixels.units == "1" and np.isnan(pixels._FillValue)
        assert file["spatial_ref"].grid_mapping_name == "transverse_mercator" and file["spatial_ref"].crs_wkt
        assert file["x"].standard_name == "projection_x_coordinate" and file["x"].units == "metre"
        assert not {"_FillValue"} & {*file["x"].ncattrs(), *file["y"].ncattrs(), *file["time"].ncattrs()}
        flags = file["quality_flags"]
        assert len(flags.flag_masks) == len(flags.flag_meanings.split()) == 7
        assert file["time"].units.startswith("milliseconds since 1970-01-01")


def test_times_to_the_millisecond_are_written_without_a_warning(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "FIRST", world.FIRST + timedelta(milliseconds=781))
    made = world.catalogue(tmp_path / "catalogue", dates=6, built_from=None)
    places = world.write_sites(tmp_path / "places.geojson", [world.feature(str(made))])
    done = command("export", "place", "--format", "netcdf", "--sites", places, "--to", "looks.nc")
    assert done.code == 0 and "Warning" not in done.err
    with xr.open_dataset(tmp_path / "looks.nc") as found:
        assert found.time.values[0] == np.datetime64("2020-04-01T09:30:00.781")


def test_something_else_is_not_replaced_by_a_store(command: Command, sites: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").touch()
    done = command("export", "place", "--format", "zarr", "--sites", sites, "--to", "thesis")
    assert done.code == 2 and "something else stands there" in done.errors[0]
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["text"]


def test_geoparquet_is_valid_and_typed_with_and_without_changes(
    command: Command, sites: Path, tmp_path: Path
) -> None:  # fmt: skip
    quiet = world.catalogue(tmp_path / "quiet", built_from=None)
    world.write_sites(tmp_path / "quiet.geojson", [world.feature(str(quiet), id="quiet")])
    schemas = []
    for site, file, rows in (("place", sites, 1), ("quiet", tmp_path / "quiet.geojson", 0)):
        assert command("detect", site, "--sites", file).code == 0
        assert command("export", site, "--format", "geoparquet").code == 0
        path = tmp_path / "out" / site / f"{site}.parquet"
        schema = pa.parquet.read_schema(path)
        meta = json.loads(schema.metadata[b"geo"])
        column = meta["columns"][meta["primary_column"]]
        assert meta["version"] == "1.1.0" and column["encoding"] == "WKB"
        assert set(column["geometry_types"]) <= {"Polygon", "MultiPolygon"}
        assert column["crs"]["id"] == {"authority": "OGC", "code": "CRS84"}
        assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"] and "bbox" in schema.names
        frame = geopandas.read_parquet(path)
        assert len(frame) == rows
        schemas.append(schema.remove_metadata())
    first, second = ({field.name: field.type for field in schema} for schema in schemas)
    assert first == second and first["first_seen"] == pa.date32() and first["looks_seen"] == pa.int32()
    frame = geopandas.read_parquet(tmp_path / "out" / "place" / "place.parquet")
    assert frame.geometry.iloc[0].representative_point().within(world.aoi())
    assert str(frame.first_seen.iloc[0]) == "2020-05-31"


def test_a_form_that_there_is_not_is_told_before_the_results_are_looked_for(command: Command) -> None:
    done = command("export", "nowhere", "--format", "foo")
    assert done.code == 2 and "no such form: foo" in done.errors[0] and "netcdf" in done.errors[0]


@pytest.mark.parametrize(("form", "module"), [("netcdf", "netCDF4"), ("zarr", "zarr")])
def test_a_missing_library_is_one_line_with_its_extra(
    command: Command, sites: Path, monkeypatch: pytest.MonkeyPatch, form: str, module: str
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)
    done = command("export", "place", "--format", form, "--sites", sites)
    assert done.code == 2 and module in done.errors[0] and "groundbreak[xarray]" in done.errors[0]
    monkeypatch.setitem(sys.modules, "xarray", None)
    assert "groundbreak[xarray]" in command("export", "place", "--format", "netcdf", "--sites", sites).errors[0]
