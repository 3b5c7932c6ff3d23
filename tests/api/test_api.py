"""The public package: what it exports, what it returns, and that it and the command give the same."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
import xarray as xr
from scipy import ndimage

import groundbreak
from pipeline.model.imagery import Why
from tests import world
from tests.cli.conftest import Command, catalogue, command, sites  # noqa: F401  (fixtures)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def spoilt(tmp_path: Path, catalogue: Path) -> Path:  # noqa: F811
    """The catalogue with one item that lacks a band."""
    copy = tmp_path / "catalogue"
    shutil.copytree(catalogue.parent, copy)
    item = next(copy.glob("place-20200411/*.json"))
    document = json.loads(item.read_text())
    del document["assets"]["red"]
    item.write_text(json.dumps(document))
    return world.write_sites(tmp_path / "spoilt.geojson", [world.feature(str(copy / "catalog.json"))])


def test_every_name_is_there_and_documented() -> None:
    for name in groundbreak.__all__:
        assert name == "__version__" or getattr(groundbreak, name).__doc__, name
    assert set(groundbreak.__all__) == set(dir(groundbreak))
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = groundbreak.nope


def test_the_import_loads_no_numeric_library() -> None:
    code = "import sys, groundbreak; groundbreak.__version__; sys.exit(bool({'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_module_is_the_command() -> None:
    words = [sys.executable, "-m", "groundbreak", "--version"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"groundbreak {groundbreak.__version__}\n"


def test_a_stack_holds_the_looks_and_names_the_scenes_that_it_lacks(spoilt: Path, tmp_path: Path) -> None:
    stack = groundbreak.open_stack("place", sites=spoilt, out=tmp_path / "out")
    assert stack.sizes["time"] == 9 and list(stack.rejected.values) == ["place-20200411"]
    table = stack[["rejection_reason", "rejection_note"]].to_dataframe()
    assert list(table.rejection_reason) == ["missing asset"] and "B04" in table.rejection_note.iloc[0]
    assert stack.reflectance.dims == ("time", "band", "y", "x") and stack.reflectance.dtype == np.float32
    red = stack.reflectance.swap_dims(band="common_name").sel(common_name="red")
    assert 0.03 < float(red.where(stack.usable).mean()) < 0.12
    nodata = (stack.quality_flags & int(Why.NODATA)) > 0
    assert bool((stack.reflectance.isnull().all("band") == nodata).all())
    assert bool((stack.usable == (stack.quality_flags == 0)).all())
    assert list(stack.offset.values) == [0] * 9 and stack.offset_reason.values[0]
    assert float(abs(stack["shift"]).max()) < 0.1
    assert bool((stack.clear_share > 0.99).all())
    assert stack.attrs["Conventions"] == "CF-1.11" and stack.attrs["catalogue"].endswith("catalog.json")
    assert "Copernicus" in stack.attrs["attribution"] and len(stack.attrs["settings_digest"]) == 16


def test_the_grid_is_found_by_odc_geo(sites: Path, tmp_path: Path) -> None:  # noqa: F811
    stack = groundbreak.open_stack("place", sites=sites, out=tmp_path / "out")
    box = stack.odc.geobox
    assert box.crs.epsg == 32634 and box.resolution.x == 10 and tuple(box.shape) == stack.reflectance.shape[2:]
    # an image is where it is said to be: the building is bright in the last look and not in the first
    rows, cols = world.BUILDING
    x, y = world.LEFT + 5 * (cols.start + cols.stop), world.TOP - 5 * (rows.start + rows.stop)
    blue = stack.reflectance.sel(band="B02").sel(x=x, y=y, method="nearest")
    assert float(blue[-1]) > 0.2 > 0.1 > float(blue[0])
    assert bool(stack.inside.sel(x=x, y=y, method="nearest"))


def test_a_second_stack_comes_from_the_cache_of_the_command(
    command: Command, sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    assert command("detect", "place", "--sites", sites, "--out", tmp_path / "out").code == 0

    def made(*_: object) -> None:
        raise AssertionError("a look was made again")

    monkeypatch.setattr("pipeline.run.looks.make_look", made)
    known = set((tmp_path / "out" / ".groundbreak" / "memory" / "place").iterdir())
    stack = groundbreak.open_stack("place", sites=sites, out=tmp_path / "out")
    assert stack.sizes["time"] == 10
    # and what the command remembers for its next night is not removed
    assert known <= set((tmp_path / "out" / ".groundbreak" / "memory" / "place").iterdir())


def test_a_dask_stack_reads_a_look_when_it_is_needed(sites: Path, tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "out"
    whole = groundbreak.open_stack("place", sites=sites, out=out)
    lazy = groundbreak.open_stack("place", sites=sites, out=out, chunks={"time": 1})
    assert lazy.reflectance.chunks is not None and len(lazy.reflectance.chunks[0]) == 10
    xr.testing.assert_identical(lazy.compute(), whole)
    shutil.rmtree(out / ".groundbreak")
    with pytest.raises(groundbreak.GroundbreakError, match=r"no longer in the cache .*open the stack again"):
        lazy.reflectance.compute()


def test_detect_returns_the_table_that_it_publishes(sites: Path, tmp_path: Path) -> None:  # noqa: F811
    found = groundbreak.detect("place", sites=str(sites), out=str(tmp_path / "out"))
    assert isinstance(found, geopandas.GeoDataFrame) and found.crs.to_epsg() == 32634
    assert list(found.kind) == ["new structure"] and found.index.name == "change_id"
    assert found.first_seen.iloc[0].strftime("%Y-%m-%d") == "2020-05-31"
    again = groundbreak.changes(tmp_path / "out" / "place")
    assert again.equals(found) and again.attrs["software"] == f"groundbreak {groundbreak.__version__}"
    assert (tmp_path / "out" / "place" / "review.qgz").is_file()


def test_errors_are_those_of_the_command(sites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.chdir(tmp_path)
    with pytest.raises(groundbreak.GroundbreakError, match="did you mean place"):
        groundbreak.open_stack("plaice", sites=sites)
    with pytest.raises(groundbreak.GroundbreakError, match="no results"):
        groundbreak.changes("out/place")
    with pytest.raises(groundbreak.GroundbreakError, match="no scene found between"):
        groundbreak.open_stack("place", sites=sites, start="2021-01-01")
    with pytest.raises(groundbreak.GroundbreakError, match="sites add"):
        groundbreak.sites()


def test_sites_are_a_table_in_lon_lat(sites: Path) -> None:  # noqa: F811
    table = groundbreak.sites(sites)
    assert list(table.index) == ["place"] and table.crs.to_epsg() == 4326
    assert table.area_km2.iloc[0] == pytest.approx(0.1296, rel=0.01)


def test_settings_are_the_files_with_single_keys_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "groundbreak.toml").write_text("[decide]\nmin_history = 5\n")
    found = groundbreak.settings(correct__cloud_buffer_m=20.0)
    assert found.decide.min_history == 5 and found.correct.cloud_buffer_m == 20
    with pytest.raises(groundbreak.GroundbreakError, match=r"did you mean decide\.min_history"):
        groundbreak.settings(decide__min_histry=5)
    with pytest.raises(groundbreak.GroundbreakError, match="cannot be read"):
        groundbreak.settings("none.toml")


def test_a_known_shift_is_found_and_nodata_is_left_out() -> None:
    rng = np.random.default_rng(4)
    ground = ndimage.gaussian_filter(rng.normal(size=(160, 160)), 1.2)
    target = ndimage.shift(ground, (0.4, -0.7), order=5, mode="nearest")[10:-10, 10:-10]
    reference = ground[10:-10, 10:-10].copy()
    reference[:30, :30] = np.nan
    found = groundbreak.register(reference, target)
    assert found.accepted and found.shift == pytest.approx((0.4, -0.7), abs=0.03)
    with pytest.raises(groundbreak.GroundbreakError, match="one shape"):
        groundbreak.register(reference, target[1:])


def test_certificates_of_the_environment_serve_every_library(
    tmp_path: Path,
    catalogue: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import certifi

    monkeypatch.chdir(tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        # set first, so that it is restored after the test
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    file = world.write_sites(tmp_path / "s.geojson", [world.feature(str(catalogue))])
    site = groundbreak.sites(file).index[0]
    groundbreak.open_stack(site, sites=file)
    assert os.environ["REQUESTS_CA_BUNDLE"] == os.environ["CURL_CA_BUNDLE"] == certifi.where()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(groundbreak.GroundbreakError, match="certificates cannot be read"):
        groundbreak.open_stack(site, sites=file)


def test_phases_of_every_change_are_read_and_an_older_file_has_none(sites: Path, tmp_path: Path) -> None:  # noqa: F811
    frame = groundbreak.detect("place", sites=sites, out=tmp_path / "out")
    results = tmp_path / "out" / "place"
    found = groundbreak.phases(results / "review.gpkg")
    assert set(found.change_id) == set(frame[frame.status != "withdrawn"].index)
    assert set(found.state) <= {"vegetated", "bare", "built", "water", "other"}
    for change_id, own in found.groupby("change_id"):
        assert list(own["from"]) == sorted(own["from"]) and (own["from"] <= own["to"]).all()
        row = frame.loc[change_id]
        assert str(row.first_seen)[:10] in {str(day)[:10] for day in own["from"]}
    assert found.attrs["software"] == f"groundbreak {groundbreak.__version__}"
    with contextlib.closing(sqlite3.connect(results / "review.gpkg")) as db, db:
        db.execute("DROP TABLE phases")
        db.execute("DELETE FROM gpkg_contents WHERE table_name = 'phases'")
    older = groundbreak.phases(results)
    assert older.empty and list(older.columns) == list(found.columns)
    with pytest.raises(groundbreak.GroundbreakError, match="no results"):
        groundbreak.phases(tmp_path)


FIRST = datetime(2020, 5, 1)


@pytest.mark.parametrize(
    "start",
    ["2020-05-01", FIRST.date(), FIRST, FIRST.replace(tzinfo=UTC), pandas.Timestamp(FIRST), np.datetime64(FIRST, "ns")],
    ids=lambda start: type(start).__name__,
)
def test_a_day_may_be_of_any_type_that_a_day_has(sites: Path, tmp_path: Path, start: Any) -> None:  # noqa: F811
    out = tmp_path / "out"
    stack = groundbreak.open_stack("place", sites=[sites], out=str(out), start=start, scenes=None, chunks={"time": -1})
    assert stack.sizes["time"] == 7 and stack.time.values[0] == np.datetime64("2020-05-01T09:30")
    with pytest.raises(groundbreak.GroundbreakError, match="before it begins"):
        groundbreak.open_stack("place", sites=sites, out=out, start=start, end=type(start)("2020-04-01") if
                               isinstance(start, str) else date(2020, 4, 1))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("site", None), ("site", ["place"]), ("site", 3),
        ("sites", 5), ("sites", {"a": 1}), ("sites", pandas.DataFrame({"a": [1]})), ("sites", [None]),
        ("catalog", 5), ("start", 20200501), ("end", 3.5), ("scenes", 7), ("out", None),
        ("settings", {"decide.min_history": 5}), ("settings", "groundbreak.toml"),
        ("chunks", 1), ("chunks", "auto"), ("chunks", {"tim": 1}), ("chunks", {"time": 0}), ("chunks", {"time": "x"}),
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_type_is_one_line_that_names_the_argument(
    sites: Path, tmp_path: Path, name: str, value: object  # noqa: F811
) -> None:  # fmt: skip
    given: dict[str, Any] = {"site": "place", "sites": sites, "out": tmp_path / "out"} | {name: value}
    with pytest.raises(groundbreak.GroundbreakError) as caught:
        groundbreak.open_stack(**given)
    assert caught.value.where == name and caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    for function in (groundbreak.changes, groundbreak.phases, groundbreak.settings):
        with pytest.raises(groundbreak.GroundbreakError, match="not a path, but a value of type int"):
            function(3)


def test_not_a_time_is_no_day(sites: Path, tmp_path: Path) -> None:  # noqa: F811
    for value in (pandas.NaT, np.datetime64("NaT"), "yesterday"):
        with pytest.raises(groundbreak.GroundbreakError, match="not a date"):
            groundbreak.open_stack("place", sites=sites, out=tmp_path, end=value)


def test_what_is_masked_is_no_ground_and_what_is_no_number_is_refused() -> None:
    rng = np.random.default_rng(4)
    ground = ndimage.gaussian_filter(rng.normal(size=(120, 120)), 1.2)
    reference, target = ground[:-2, :-2].copy(), ground[1:-1, 2:].copy()
    hidden = np.zeros(reference.shape, bool)
    hidden[:, 20:] = True
    as_nan = groundbreak.register(np.where(hidden, np.nan, reference), target)
    assert groundbreak.register(np.ma.masked_array(reference, hidden), target) == as_nan
    assert as_nan != groundbreak.register(reference, target)
    for wrong in ("text", ground + 1j, [["a", "b"]]):
        with pytest.raises(groundbreak.GroundbreakError, match=r"real numbers \(target\)"):
            groundbreak.register(ground, wrong)


def test_a_table_without_rows_has_the_types_of_one_with_rows(sites: Path, tmp_path: Path) -> None:  # noqa: F811
    still = world.catalogue(tmp_path / "still", built_from=None)
    world.write_sites(tmp_path / "still.geojson", [world.feature(str(still), id="still")])
    full = groundbreak.detect("place", sites=sites, out=tmp_path / "out")
    empty = groundbreak.detect("still", sites=tmp_path / "still.geojson", out=tmp_path / "out")
    assert len(full) == 1 and len(empty) == 0 and empty.crs == full.crs
    types = {name: (full[name].dtype, empty[name].dtype) for name in full if full[name].dtype != empty[name].dtype}
    assert types == {} and full.index.dtype == empty.index.dtype
    one, none = (groundbreak.phases(tmp_path / "out" / site) for site in ("place", "still"))
    assert len(none) == 0 and list(one.dtypes) == list(none.dtypes)
