"""What a first run waits for a distant archive: requests, bytes and seconds of one scene by the latency of its server.

python -m benchmarks.latency      a server on this machine; needs nothing but the embedded archive

The files have the size and the blocks of a Sentinel-2 tile. Each request is answered after the latency; the bandwidth
is that of the loopback, so the transfer is stated apart.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from shapely.geometry import box

from benchmarks.scale import tiled
from pipeline.catalogue.pixels import read_chips
from pipeline.model.bands import ANALYSIS
from pipeline.model.imagery import DeclaredOffset, Granule, Level, Scene

CRS, LEFT, TOP = "EPSG:32634", 500_000.0, 5_000_000.0
TILE_PX, BLOCK_PX = 10_980, 1024
SITE_PX = 500
"""A site of 25 km², in the middle of the tile."""
LATENCIES_S = (0.0, 0.05, 0.2)
SCENES, LOOKS = 12, 100
"""Scenes read at each latency, of which the quickest counts, as other work on the machine only adds; looks of the first
run that is estimated."""
MBIT = 100.0
"""Bandwidth of the estimate, megabit a second."""


def main() -> str:
    """A markdown section."""
    with tempfile.TemporaryDirectory() as scratch:
        _write_files(Path(scratch))
        rows = [_row(latency, Path(scratch)) for latency in LATENCIES_S]
    return "\n".join([
        "## A first run from a distance",
        "",
        f"`benchmarks/latency.py`: {(SITE_PX / 100) ** 2:.0f} km² of a tile of {TILE_PX:,} px, {len(ANALYSIS)} bands,",
        f"blocks of {BLOCK_PX} px, from a server on this machine that answers each request after the latency. Clock",
        f"time of the quickest of {SCENES} scenes; the transfer is computed for {MBIT:.0f} Mbit/s.",
        "",
        f"| latency, ms | requests a scene | MB a scene | s a scene | {LOOKS} looks, min: read | transferred |",
        "|---|---|---|---|---|---|",
        *rows,
    ])  # fmt: skip


def _row(latency: float, folder: Path) -> str:
    grid = GeoBox((SITE_PX, SITE_PX), from_origin(LEFT + 5 * TILE_PX, TOP - 5 * TILE_PX, 10, 10), CRS)
    with _serve(folder, latency) as (url, sent):
        read_chips(_scene(url), grid, ANALYSIS)
        sent.clear()
        each = min(_seconds(lambda: read_chips(_scene(url), grid, ANALYSIS)) for _ in range(SCENES))
        requests, megabytes = len(sent) / SCENES, sum(sent) / SCENES / 1e6
    waited, transferred = (LOOKS * part / 60 for part in (each, 8 * megabytes / MBIT))
    return (
        f"| {1000 * latency:.0f} | {requests:.0f} | {megabytes:.1f} | {each:.2f} | {waited:.1f} | {transferred:.1f} |"
    )


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def _write_files(folder: Path) -> None:
    for name, size in (("10", TILE_PX), ("20", TILE_PX // 2)):
        profile = {
            "driver": "COG",
            "dtype": "uint16",
            "count": 1,
            "height": size,
            "width": size,
            "crs": CRS,
            "nodata": 0,
        }
        transform = from_origin(LEFT, TOP, 10 * TILE_PX / size, 10 * TILE_PX / size)
        noise = np.random.default_rng(1).normal(0, 25, (size, size)).astype(np.float32)
        values = np.clip(tiled("nir" if name == "10" else "swir16", size) + noise, 1, 65535).astype(np.uint16)
        with rasterio.open(folder / f"{name}.tif", "w", **profile, transform=transform, compress="deflate", level=1,
                           predictor=2, blocksize=BLOCK_PX, overviews="none") as target:  # fmt: skip
            target.write(values, 1)
    for band in ANALYSIS:
        (folder / f"{band.value}.tif").hardlink_to(folder / f"{_metres(band)}.tif")


def _metres(band: str) -> int:
    return 10 if band in ("B02", "B03", "B04", "B08") else 20


def _scene(url: str) -> Scene:
    granule = Granule(
        id="granule", tile="34TFS", baseline=None, generated=None, crs=CRS, scl=None, footprint=box(0, 0, 1, 1),
        declared_offset=DeclaredOffset(dn=0, reason="made up"),
        assets={band: f"{url}/{band.value}.tif" for band in ANALYSIS},
    )  # fmt: skip
    return Scene(
        id="scene", time=datetime(2024, 3, 5, tzinfo=UTC), level=Level.L2A, platform=None, relative_orbit=None,
        collection="", granules=(granule,),
    )  # fmt: skip


@contextmanager
def _serve(folder: Path, latency: float) -> Iterator[tuple[str, list[int]]]:
    """Address of a server of byte ranges, and the bytes of each of its answers."""
    sent: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            time.sleep(latency)
            path = folder / self.path.lstrip("/")
            size = path.stat().st_size
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            stop = min(int(last or size - 1), size - 1) + 1
            with path.open("rb") as file:
                file.seek(int(first))
                body = file.read(stop - int(first))
            sent.append(len(body))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{size}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
        server.shutdown()


if __name__ == "__main__":
    print(main())
