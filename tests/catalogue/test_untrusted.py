"""Files and servers that lie: what the threat model in SECURITY.md promises about catalogues and products."""

import os
import struct
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipeline.catalogue import pixels, ranges
from pipeline.catalogue.folders import find_pair_input
from pipeline.catalogue.hrefs import AllowList, resolve_href
from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.rasters import open_raster
from pipeline.model.bands import Band
from pipeline.model.errors import PixelError, UsageError
from pipeline.study.catalogue_writer import write_cog
from tests.catalogue.test_pixels import with_red
from tests.catalogue.tiles import BANDS, CRS, GRID, TILE10, ramp, scene
from tests.peer.range_server import serve

VRT = """<VRTDataset rasterXSize="300" rasterYSize="300"><SRS>EPSG:32652</SRS>
<GeoTransform>300000, 10, 0, 4393000, 0, -10</GeoTransform><VRTRasterBand dataType="UInt16" band="1"
 subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="0">{target}</SourceFilename>
<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>1</LineOffset></VRTRasterBand></VRTDataset>"""
DISGUISES = {
    "vrt": VRT.format(target="/etc/passwd"),
    "vrt of an address": VRT.format(target="/vsicurl/{url}/secret"),
    "wms": '<GDAL_WMS><Service name="TMS"><ServerUrl>{url}/${{z}}</ServerUrl></Service></GDAL_WMS>',
    "envi": "ENVI\nsamples = 300\nlines = 300\nbands = 1\ndata type = 12\n",
    "grid": "ncols 300\nnrows 300\nxllcorner 300000\nyllcorner 4390000\ncellsize 10\n1 2 3\n",
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "PAUSE_S", 0.01)
    monkeypatch.setattr(pixels, "RETRIES_PER_SCENE", 2)
    monkeypatch.setattr(ranges, "PAUSE_S", 0.01)
    monkeypatch.setattr(ranges, "TRIES", 2)
    monkeypatch.setattr(ranges, "TIMEOUT_S", (1, 1))


def send_range(handler: BaseHTTPRequestHandler, data: bytes, size: int) -> None:
    """Answer a range request from `data`, in a file that is said to have `size` bytes."""
    start, _, end = handler.headers["Range"].removeprefix("bytes=").partition("-")
    part = data[int(start) : int(end) + 1]
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes {start}-{int(start) + len(part) - 1}/{size}")
    handler.send_header("Content-Length", str(len(part)))
    handler.end_headers()
    handler.wfile.write(part)


@contextmanager
def answering(reply: object) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server whose every request is answered by `reply(handler)`: its address, and (method, path) of each."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a body after its headers would wait 40 ms for an acknowledgement

        def log_message(self, *_: object) -> None:
            pass

        def handle_any(self) -> None:
            asked.append((self.command, self.path))
            reply(self)  # type: ignore[operator]

        def do_GET(self) -> None:
            self.handle_any()

        def do_HEAD(self) -> None:
            self.handle_any()

        def do_POST(self) -> None:
            self.handle_any()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def refuse(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("suffix", [".tif", ".jp2"])
@pytest.mark.parametrize("way", ["file", "zip", "served"])
def test_a_raster_that_is_another_format_inside_is_not_opened(
    tile: Path, tmp_path: Path, disguise: str, suffix: str, way: str
) -> None:
    with answering(refuse) as (url, asked), serve(tmp_path) as files:
        path = tmp_path / f"red{suffix}"
        path.write_text(DISGUISES[disguise].format(url=url))
        with zipfile.ZipFile(tmp_path / "product.zip", "w") as archive:
            archive.write(path, path.name)
        href = {"file": str(path), "zip": f"zip://{tmp_path / 'product.zip'}!/{path.name}",
                "served": f"{files.url}/ok/{path.name}"}[way]  # fmt: skip
        with pytest.raises(PixelError, match="neither GeoTIFF nor JPEG 2000"):
            read_chips(with_red(tile, href), GRID, BANDS)
    assert asked == []


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_side_of_a_pair_that_is_another_format_inside_is_not_opened(tmp_path: Path, disguise: str) -> None:
    with answering(refuse) as (url, asked):
        for band in ("B02", "B03", "B04"):
            (tmp_path / f"{band}.tif").write_text(DISGUISES[disguise].format(url=url))
        with pytest.raises(UsageError, match="not a raster that can be read"):
            find_pair_input(tmp_path, "BEFORE")
        with pytest.raises(UsageError, match="not a raster that can be read"):
            find_pair_input(tmp_path / "B02.tif", "BEFORE")
    assert asked == []


def test_files_beside_a_raster_are_not_opened(tile: Path, tmp_path: Path) -> None:
    """GDAL takes masks and overviews from files of the same name, in any format."""
    with answering(refuse) as (url, asked):
        for band in ("B02", "B03", "B04"):
            write_cog(tmp_path / f"{band}.tif", ramp(TILE10, 1), TILE10)
            for beside in (".msk", ".ovr"):
                (tmp_path / f"{band}.tif{beside}").write_text(DISGUISES["vrt of an address"].format(url=url))
            (tmp_path / f"{band}.tif.aux.xml").write_text(
                '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">'
                f"/vsicurl/{url}/overview.tif</MDI></Metadata></PAMDataset>"
            )
        side = find_pair_input(tmp_path, "BEFORE")
        from pipeline.catalogue.folders import read_pair_input

        read_pair_input(side, side.scene, GRID, (Band.B02, Band.B03, Band.B04))
        read_chips(with_red(tile, str(tmp_path / "B04.tif")), GRID, BANDS)
    assert asked == []


def test_a_pipe_is_no_raster(tile: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "red.tif")
    with pytest.raises(PixelError, match="no file"):
        read_chips(with_red(tile, str(tmp_path / "red.tif")), GRID, BANDS)


def test_a_circle_of_links_is_no_raster(tile: Path, tmp_path: Path) -> None:
    for name, target in (("red.tif", "again.tif"), ("again.tif", "red.tif"), ("day", "day")):
        (tmp_path / name).symlink_to(target)
    allowed = AllowList(base=str(tmp_path / "item.json"), folder=tmp_path, hosts=())
    for href in ("red.tif", "day/red.tif"):
        with pytest.raises(PixelError, match=r"cannot read B04: .*symbolic links"):
            read_chips(with_red(tile, resolve_href(href, allowed, "item")), GRID, BANDS)


def sparse_tiff(path: Path, side: int, bands: int = 1) -> Path:
    """A TIFF of one tile without a byte of data."""
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (259, 3, 1, 8), (262, 3, 1, 1),
               (277, 3, 1, bands), (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 0), (325, 4, 1, 0),
               (33550, 12, 3, 170), (33922, 12, 6, 194)]  # fmt: skip
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    place = struct.pack("<9d", 10, 10, 0, 0, 0, 0, 300000, 4393000, 0)
    path.write_bytes((b"II*\x00" + struct.pack("<I", 8) + body + struct.pack("<I", 0)).ljust(170, b"\0") + place)
    return path


@pytest.mark.parametrize(("side", "bands"), [(20000, 1), (8000, 1), (4096, 3)])
def test_a_block_that_would_fill_the_memory_is_not_decoded(tile: Path, tmp_path: Path, side: int, bands: int) -> None:
    path = sparse_tiff(tmp_path / "red.tif", side, bands)
    assert path.stat().st_size < 400
    with pytest.raises(PixelError, match=r"blocks of \d+ x \d+ pixels"):
        read_chips(with_red(tile, str(path)), GRID, BANDS)


def test_a_whole_chip_in_one_block_is_still_read(tmp_path: Path) -> None:
    with rasterio.open(tmp_path / "red.tif", "w", driver="GTiff", width=4096, height=4096, count=1, dtype="uint16",
                       tiled=True, blockxsize=4096, blockysize=4096, compress="DEFLATE", SPARSE_OK=True,
                       transform=TILE10.affine, crs=CRS):  # fmt: skip
        pass
    with open_raster(str(tmp_path / "red.tif")) as source:
        assert source.block_shapes == [(4096, 4096)]


@pytest.mark.parametrize("first", ["header", "pixels"])
@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest", "{inner}/red.tif", "ftp://127.0.0.1/x", "//[::1]/x"]
)
def test_no_redirect_of_an_asset_is_followed_to_another_host(
    tile: Path, tmp_path: Path, target: str, first: str
) -> None:
    """Whether it comes with the first answer or only once the header was read."""
    data = (tile / "red.tif").read_bytes()
    with answering(refuse) as (inner, reached):
        elsewhere = target.format(inner=inner.replace("127.0.0.1", "localhost"))

        def reply(handler: BaseHTTPRequestHandler) -> None:
            start, _, end = handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            if first == "pixels" and start == "0":
                part = data[: int(end) + 1]
                handler.send_response(206)
                handler.send_header("Content-Range", f"bytes 0-{len(part) - 1}/{len(data)}")
                handler.send_header("Content-Length", str(len(part)))
                handler.end_headers()
                handler.wfile.write(part)
                return
            handler.send_response(302)
            handler.send_header("Location", elsewhere)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        with answering(reply) as (url, _), pytest.raises(PixelError, match="redirected to"):
            read_chips(with_red(tile, f"{url}/red.tif"), GRID, BANDS)
    assert reached == []


def test_a_server_that_refuses_head_is_read_by_get(tile: Path) -> None:
    data = (tile / "red.tif").read_bytes()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "HEAD":
            handler.send_error(403)
            return
        send_range(handler, data, len(data))

    with answering(reply) as (url, _):
        (chip,) = read_chips(with_red(tile, f"{url}/red.tif"), GRID, BANDS)
    (wanted,) = read_chips(scene(tile), GRID, BANDS)
    np.testing.assert_array_equal(chip.dn[Band.B04].data, wanted.dn[Band.B04].data)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(tile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "DEADLINE_S", 0.4)
    monkeypatch.setattr(pixels, "RETRIES_PER_SCENE", 0)

    pause = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", "bytes 0-16383/200000")
        handler.send_header("Content-Length", "16384")
        handler.end_headers()
        for _ in range(120):
            handler.wfile.write(b"I")
            handler.wfile.flush()
            pause.wait(0.1)  # not time.sleep, which the next test replaces while this thread may still run

    with answering(drip) as (url, _):
        began = time.monotonic()
        with pytest.raises(PixelError, match="no answer in time"):
            read_chips(with_red(tile, f"{url}/red.tif"), GRID, BANDS)
        assert time.monotonic() - began < 6


def test_a_file_that_is_replaced_while_it_is_read_is_no_mixture(tile: Path) -> None:
    data = (tile / "red.tif").read_bytes()
    sizes = chain((len(data),), repeat(999_999))

    def reply(handler: BaseHTTPRequestHandler) -> None:
        send_range(handler, data, next(sizes))

    with (
        answering(reply) as (url, _),
        pytest.raises(ranges.RangeError, match="replaced"),
        open_raster(f"{url}/red.tif") as source,
    ):
        source.read(1)


def test_tags_of_another_scale_are_refused(tile: Path, tmp_path: Path) -> None:
    with rasterio.open(tile / "red.tif") as source:
        profile, data = {**source.profile, "driver": "GTiff"}, source.read()
    with rasterio.open(tmp_path / "red.tif", "w", **profile) as target:
        target.write(data)
        target.scales = (0.001,)
    with pytest.raises(PixelError, match=r"tags state a scale of 0\.001"):
        read_chips(with_red(tile, str(tmp_path / "red.tif"), CRS), GRID, BANDS)


def test_a_store_that_asks_for_a_pause_gets_it(tile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, slept, busy = (tile / "red.tif").read_bytes(), list[float](), chain((True,), repeat(False))
    monkeypatch.setattr(ranges.time, "sleep", slept.append)

    def reply(handler: BaseHTTPRequestHandler) -> None:
        if next(busy):
            handler.send_response(429)
            handler.send_header("Retry-After", "7")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        send_range(handler, data, len(data))

    with answering(reply) as (url, _), open_raster(f"{url}/red.tif") as source:
        np.testing.assert_array_equal(source.read(1), ramp(TILE10, 1))
    assert slept == [7.0]
