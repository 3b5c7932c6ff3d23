"""Chips kept on disk, so that a night reads each scene's window once.

A kept chip is named by what it was read from (products, hrefs, grid, bands) and ends in a checksum of its own
bytes: one that was cut or altered is noticed, dropped and read again. Everything here can be made again.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from pipeline.model.bands import Band
from pipeline.model.imagery import Chip, Raster, Scene
from pipeline.run.checked_files import CheckedFiles

SCL = "SCL"


@dataclass(slots=True)
class ChipCache:
    """Chips under `root`; `damaged` names the files that were found altered and dropped."""

    root: Path
    damaged: list[str] = field(default_factory=list)

    def chips(
        self, scene: Scene, grid: GeoBox, bands: tuple[Band, ...], read: Callable[[], tuple[Chip, ...]]
    ) -> tuple[Chip, ...]:
        """The scene's chips: kept ones if they are whole, else read and kept. Raises what `read` raises, OSError
        where they cannot be kept.
        """
        files, name = CheckedFiles(self.root, self.damaged), _file_name(source_digest(scene, grid, bands))
        kept = files.read(name)
        if kept is not None:
            return _chips_from_bytes(kept, scene)
        chips = read()
        files.write(name, [_chips_to_bytes(chips)])
        return chips

    def touch(self, scene: Scene, grid: GeoBox, bands: tuple[Band, ...]) -> None:
        """Mark a cached chip as used when its results are cached and it is not read."""
        with suppress(FileNotFoundError, PermissionError):
            os.utime(self.root / _file_name(source_digest(scene, grid, bands)))


def source_digest(scene: Scene, grid: GeoBox, bands: tuple[Band, ...]) -> str:
    """Digest of the sources of a scene's chips: products, files, grid and bands."""
    facts: list[Any] = [scene.id, str(grid.crs), tuple(grid.affine), tuple(grid.shape), bands]
    for granule in scene.granules:
        hrefs = sorted(href for href in (*granule.assets.values(), granule.scl or ""))
        facts += [granule.id, granule.baseline, str(granule.generated), [(href, _file_stamp(href)) for href in hrefs]]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:40]


def _file_name(digest: str) -> str:
    return f"{digest[:2]}/{digest}.chip"


def _file_stamp(href: str) -> tuple[int, int] | None:
    """Size and time of a local file: the same name with other pixels is another chip."""
    if "://" in href:
        return None
    try:
        facts = Path(href).stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def _chips_to_bytes(chips: tuple[Chip, ...]) -> bytes:
    arrays: dict[str, Any] = {}
    index = []
    for number, chip in enumerate(chips):
        rasters: dict[str, Raster] = {str(band): raster for band, raster in chip.dn.items()}
        if chip.scl is not None:
            rasters[SCL] = chip.scl
        grids = {}
        for name, raster in rasters.items():
            arrays[f"{number}/{name}"] = raster.data
            grids[str(name)] = [str(raster.grid.crs), *tuple(raster.grid.affine)[:6]]
        index.append({"granule": chip.granule.id, "grids": grids})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, index=np.array(json.dumps(index)), **arrays)
    return buffer.getvalue()


def _chips_from_bytes(body: memoryview, scene: Scene) -> tuple[Chip, ...]:
    granules = {granule.id: granule for granule in scene.granules}
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        chips = []
        for number, entry in enumerate(json.loads(str(arrays["index"]))):
            rasters = {}
            for name, (crs, *affine) in entry["grids"].items():
                data = arrays[f"{number}/{name}"]
                rasters[name] = Raster(grid=GeoBox(data.shape, Affine(*affine), crs), data=data)
            scl = rasters.pop(SCL, None)
            dn = {Band(name): raster for name, raster in rasters.items()}
            chips.append(Chip(scene=scene, granule=granules[entry["granule"]], dn=dn, scl=scl))
    return tuple(chips)
