import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from shapely.geometry import box

from pipeline.catalogue import opening, pixels, ranges
from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.silent_hosts import ALONE_SECONDS, SILENT_AFTER, SilentHosts
from pipeline.model.bands import Band
from pipeline.model.errors import PixelError
from pipeline.model.grid import site_grid
from pipeline.model.imagery import Scene
from pipeline.study.catalogue_writer import write_cog
from tests.catalogue.tiles import BANDS, CRS, GRID, TILE10, TILE20, ramp, scene
from tests.peer.range_server import Ranges, serve


def test_a_chip_holds_the_native_pixels_around_the_grid(tile: Path) -> None:
    (chip,) = read_chips(scene(tile), GRID, BANDS)
    for band, source, grid in ((Band.B04, ramp(TILE10, 1), TILE10), (Band.B11, ramp(TILE20, 2), TILE20)):
        raster = chip.dn[band]
        assert raster.grid.resolution == grid.resolution and raster.data.dtype == np.uint16
        col, row = ~grid.affine * (raster.grid.affine.c, raster.grid.affine.f)
        assert (row, col) == (int(row), int(col))
        rows, cols = raster.data.shape
        np.testing.assert_array_equal(raster.data, source[int(row) : int(row) + rows, int(col) : int(col) + cols])
        left, bottom, right, top = raster.grid.extent.boundingbox.bbox
        assert left <= 301000 - 120 and top >= 4391900 + 120 and right >= 301900 + 120 and bottom <= 4391000 - 120
    assert chip.scl is not None and chip.scl.data.dtype == np.uint8 and (chip.scl.data == 4).all()


def test_beyond_the_tile_there_is_dn_0_and_no_shift(tile: Path) -> None:
    edge = GeoBox.from_bbox((302500, 4392500, 303400, 4393400), CRS, resolution=10)
    (chip,) = read_chips(scene(tile), edge, BANDS)
    raster = chip.dn[Band.B04]
    inside = int(303000 - raster.grid.affine.c) // 10
    outside = int(raster.grid.affine.f - 4393000) // 10
    assert (raster.data[:outside] == 0).all() and (raster.data[:, inside:] == 0).all()
    assert (raster.data[outside:, :inside] > 0).all()
    np.testing.assert_array_equal(raster.data[outside], ramp(TILE10, 1)[0, 300 - inside :].tolist() + [0] * (
        raster.data.shape[1] - inside))  # fmt: skip


def test_a_grid_in_another_zone_gets_pixels_all_around(tile: Path) -> None:
    aoi = box(*GRID.extent.to_crs("EPSG:4326").geom.buffer(-0.002).bounds)
    grid = site_grid(aoi, 50)
    turned = GeoBox.from_bbox(grid.extent.to_crs("EPSG:32651").boundingbox.bbox, "EPSG:32651", resolution=10)
    (chip,) = read_chips(scene(tile), turned, BANDS)
    assert chip.dn[Band.B04].grid.extent.contains(turned.extent.to_crs(CRS))
    assert (chip.dn[Band.B04].data > 0).all()


def test_a_granule_that_does_not_reach_the_site_gives_no_chip(tile: Path) -> None:
    away = GeoBox.from_bbox((400000, 4391000, 400900, 4391900), CRS, resolution=10)
    with pytest.raises(PixelError, match="none of its files reaches the site"):
        read_chips(scene(tile), away, BANDS)
    here = scene(tile)
    both = replace(here, granules=(*here.granules, replace(here.granules[0], id="second")))
    assert [chip.granule.id for chip in read_chips(both, GRID, BANDS)] == ["granule", "second"]


def test_a_band_that_is_not_there_is_named(tile: Path) -> None:
    with pytest.raises(PixelError, match=r"no asset for B12 .*S2B_X, granule"):
        read_chips(scene(tile), GRID, (Band.B04, Band.B12))


def rewrite(tile: Path, to: Path, **changes: object) -> str:
    with rasterio.open(tile / "red.tif") as source:
        profile = {**source.profile, "driver": "GTiff", **changes}
        data = source.read()
    count = int(profile["count"])
    with rasterio.open(to, "w", **profile) as target:
        target.write(np.repeat(data, count, axis=0).astype(profile["dtype"]))
    return str(to)


def with_red(tile: Path, href: str, crs: str | None = CRS) -> Scene:
    made = scene(tile, crs)
    granule = made.granules[0]
    return replace(made, granules=(replace(granule, assets={**granule.assets, Band.B04: href}),))


def test_a_file_without_crs_takes_that_of_its_item(tile: Path, tmp_path: Path) -> None:
    href = rewrite(tile, tmp_path / "bare.tif", crs=None)
    (chip,) = read_chips(with_red(tile, href), GRID, BANDS)
    (wanted,) = read_chips(scene(tile), GRID, BANDS)
    assert chip.dn[Band.B04].grid == wanted.dn[Band.B04].grid
    with pytest.raises(PixelError, match="in which CRS"):
        read_chips(with_red(tile, href, None), GRID, BANDS)


def test_an_item_whose_crs_is_none_is_refused_and_named(tile: Path) -> None:
    with pytest.raises(PixelError, match=r"its item states CRS EPSG:99999, which is not a CRS.*S2B_X"):
        read_chips(scene(tile, "EPSG:99999"), GRID, BANDS)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crs": "EPSG:32651"}, "lies in EPSG:32651, its item says EPSG:32652"),
        ({"count": 3}, "3 bands of uint16"),
        ({"dtype": "float32"}, "1 bands of float32"),
        ({"transform": rasterio.Affine.identity()}, "north-up"),
        ({"transform": rasterio.Affine(10, 1, 300000, 1, -10, 4393000)}, "north-up"),
        ({"transform": rasterio.Affine(0.01, 0, 301000, 0, -0.01, 4391900)}, "pixels over the site"),
    ],
)
def test_a_file_of_another_make_is_refused(tile: Path, tmp_path: Path, changes: dict[str, object], words: str) -> None:
    href = rewrite(tile, tmp_path / "odd.tif", **changes)
    with pytest.raises(PixelError, match=words):
        read_chips(with_red(tile, href), GRID, BANDS)


@pytest.mark.parametrize("content", [b"", b"not a raster", b"II*\x00" + bytes(40)])
def test_a_file_that_is_no_raster_names_scene_band_and_file(tile: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk.tif").write_bytes(content)
    with pytest.raises(PixelError, match=r"cannot read B04: .*\(S2B_X, .*junk.tif\)"):
        read_chips(with_red(tile, str(tmp_path / "junk.tif")), GRID, BANDS)


def test_a_raster_of_other_values_is_no_scene_classification(tile: Path, tmp_path: Path) -> None:
    for name in ("red", "swir"):
        shutil.copy(tile / f"{name}.tif", tmp_path)
    shutil.copy(tile / "swir.tif", tmp_path / "scl.tif")
    with pytest.raises(PixelError, match=r"SCL: a class \d+ in a scene classification"):
        read_chips(scene(tmp_path), GRID, BANDS)


def test_a_truncated_file_is_an_error_and_no_hole(tile: Path, tmp_path: Path) -> None:
    whole = (tile / "red.tif").read_bytes()
    (tmp_path / "short.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PixelError, match="cannot read B04"):
        read_chips(with_red(tile, str(tmp_path / "short.tif")), GRID, BANDS)


def test_a_file_of_nodata_is_a_chip_of_nodata(tile: Path, tmp_path: Path) -> None:
    write_cog(tmp_path / "empty.tif", np.zeros(TILE10.shape, np.uint16), TILE10)
    (chip,) = read_chips(with_red(tile, str(tmp_path / "empty.tif")), GRID, BANDS)
    assert (chip.dn[Band.B04].data == 0).all()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses and timeouts, so that faults are over soon."""
    monkeypatch.setattr(pixels, "PAUSE_S", 0.01)
    monkeypatch.setattr(ranges, "PAUSE_S", 0.01)
    monkeypatch.setattr(ranges, "TRIES", 2)
    monkeypatch.setattr(ranges, "TIMEOUT_S", (1, 1))


@pytest.fixture
def server(tile: Path, quick: None) -> Iterator[Ranges]:
    with serve(tile) as running:
        yield running


def test_pixels_over_http_are_those_on_disk_with_two_requests_a_file(tile: Path, server: Ranges) -> None:
    (chip,) = read_chips(scene(f"{server.url}/ok"), GRID, BANDS)
    (wanted,) = read_chips(scene(tile), GRID, BANDS)
    for band in BANDS:
        np.testing.assert_array_equal(chip.dn[band].data, wanted.dn[band].data)
    assert max(server.requests(f"/ok/{name}.tif") for name in ("red", "swir", "scl")) <= 2


@pytest.mark.parametrize(
    "fault", ["503x1", "503x4", "403x1", "404x1", "429x2", "cutx1", "cutx3", "htmlx1", "hangx1", "norange"]
)
def test_a_fault_that_passes_is_survived(tile: Path, server: Ranges, fault: str) -> None:
    (chip,) = read_chips(with_red(tile, f"{server.url}/{fault}/red.tif"), GRID, BANDS)
    (wanted,) = read_chips(scene(tile), GRID, BANDS)
    np.testing.assert_array_equal(chip.dn[Band.B04].data, wanted.dn[Band.B04].data)


@pytest.mark.parametrize("fault", ["503", "403", "404", "cut", "html", "zero", "redirect"])
def test_a_fault_that_stays_is_reported_after_one_budget_of_retries(
    tile: Path, server: Ranges, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    href = f"{server.url}/{fault}/red.tif?sig=s3cret&sv=1"
    with pytest.raises(PixelError, match="B04") as caught:
        read_chips(with_red(tile, href), GRID, BANDS)
    assert "s3cret" not in str(caught.value) + caplog.text and "S2B_X" in str(caught.value)
    if fault.isdigit():
        assert f"HTTP {fault}" in str(caught.value)


def test_a_silent_server_is_given_up(tile: Path, server: Ranges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "RETRIES_PER_SCENE", 1)
    monkeypatch.setattr(ranges, "TIMEOUT_S", (1, 0.2))
    began = time.monotonic()
    with pytest.raises(PixelError, match="B04"):
        read_chips(with_red(tile, f"{server.url}/hang/red.tif"), GRID, BANDS)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["429", "503", "closed"])
def test_a_server_that_gives_nothing_is_left_alone_after_some_scenes_and_tried_again_later(
    tile: Path, server: Ranges, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    now, hosts = [0.0], SilentHosts(lambda: now[0])
    monkeypatch.setattr(pixels, "SILENT", hosts)
    monkeypatch.setattr(pixels, "RETRIES_PER_SCENE", 1)
    href = "http://127.0.0.1:1/red.tif" if kind == "closed" else f"{server.url}/{kind}/red.tif"

    def read_times(count: int) -> list[str]:
        lines = []
        for _ in range(count):
            with pytest.raises(PixelError) as caught:
                read_chips(with_red(tile, href), GRID, BANDS)
            lines.append(caught.value.what)
        return lines

    assert not [line for line in read_times(SILENT_AFTER) if "does not answer" in line]
    asked = server.requests(f"/{kind}/red.tif")
    assert all("does not answer" in line for line in read_times(20))
    assert server.requests(f"/{kind}/red.tif") == asked
    assert read_chips(scene(tile), GRID, BANDS), "another server, or none, is read meanwhile"
    now[0] += ALONE_SECONDS + 1
    assert [("does not answer" in line) for line in read_times(2)] == [False, True]


@pytest.mark.parametrize("fault", ["404", "cut", "500"])
def test_files_that_are_broken_one_by_one_do_not_count_as_a_silent_server(
    tile: Path, server: Ranges, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(pixels, "SILENT", SilentHosts())
    monkeypatch.setattr(pixels, "RETRIES_PER_SCENE", 0)
    for _ in range(SILENT_AFTER + 1):
        with pytest.raises(PixelError, match="cannot read B04"):
            read_chips(with_red(tile, f"{server.url}/{fault}/red.tif"), GRID, BANDS)


def test_all_scenes_are_read_by_the_same_few_threads(tile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new thread opens a PROJ database of its own, which takes twice the time of the read."""
    readers, read = set[threading.Thread](), pixels._read_raster

    def watched(*args: Any) -> Any:
        readers.add(threading.current_thread())
        return read(*args)

    monkeypatch.setattr(pixels, "_read_raster", watched)
    for number in range(2 * pixels.THREADS):
        read_chips(scene(tile, id=f"scene-{number}"), GRID, BANDS)
    assert 0 < len(readers) <= pixels.THREADS


def test_after_a_fault_nothing_of_the_scene_is_read_on(tile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, read = list[str](), pixels._read_raster

    def slow(asked: Any, target: str) -> Any:
        if asked.name == "B04":
            raise PixelError("broken", "here", "fix it")
        time.sleep(0.1)
        ended.append(asked.name)
        return read(asked, target)

    monkeypatch.setattr(pixels, "_read_raster", slow)
    with pytest.raises(PixelError, match="broken"):
        read_chips(scene(tile), GRID, BANDS)
    told = list(ended)
    time.sleep(0.25)
    assert ended == told


def test_a_store_that_needs_keys_says_which(tile: Path) -> None:
    href = "s3://eodata/Sentinel-2/x/B04.jp2"
    with pytest.raises(
        PixelError, match=r"B04: needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY \(S2B_X, s3://eodata"
    ):
        read_chips(with_red(tile, href), GRID, BANDS)


def test_a_signed_address_is_made_at_reading_and_again_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    planetary_computer = pytest.importorskip("planetary_computer")
    made: list[str] = []
    monkeypatch.setattr(planetary_computer, "sign_url", lambda href: made.append(href) or f"{href}?sig={len(made)}")
    planetary_computer.sas.TOKEN_CACHE["old"] = "expired"
    href = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/B04.tif"
    assert opening.address_of(href, 0) == f"{href}?sig=1"
    assert planetary_computer.sas.TOKEN_CACHE == {"old": "expired"}
    assert opening.address_of(href, 1) == f"{href}?sig=2"
    assert planetary_computer.sas.TOKEN_CACHE == {}
