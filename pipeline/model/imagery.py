"""Scenes, chips and looks: what was acquired, what was read of it, what was made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntFlag, StrEnum

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from pipeline.model.bands import Band
from pipeline.model.errors import ShapeError

OFFSET_DN = 1000
"""BOA offset: what ESA adds to every DN but 0 from processing baseline 04.00 on."""
FIRST_WITH_OFFSET = "04.00"
"""First processing baseline with OFFSET_DN in its DN; older scenes that were reprocessed have it too."""
FIRST_OFFSET_DAY = datetime(2022, 1, 25, tzinfo=UTC)
"""First day of processing baseline 04.00: no product that was made earlier contains OFFSET_DN."""
NOISE_FLOOR = 0.002
"""Least spread of the residuals of a look, reflectance: what quantisation and resampling leave."""


class Level(StrEnum):
    """Processing level: reflectance at the top (L1C) or at the bottom (L2A) of the atmosphere."""

    L1C = "L1C"
    L2A = "L2A"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredOffset:
    """What the metadata say about the additive DN constant of processing baselines >= 04.00.

    dn: 0 = none is in the pixels, 1000 = DN hold reflectance * 10000 + 1000, None = the metadata do not decide.
    reason: the rule that gave it, for the record.
    certain: False where metadata of this kind have been wrong, so that the pixels must confirm them.
    """

    dn: int | None
    reason: str
    certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Granule:
    """One product of one tile: what a catalogue calls an item.

    assets: href of every reflectance band found. scl: href of the scene classification, None for L1C.
    crs:    CRS by the item ("EPSG:32652"), for files that carry none; None if the item says nothing.
    href:   address of the item, None where it has none on a server.
    """

    id: str
    tile: str | None
    baseline: str | None
    generated: datetime | None
    declared_offset: DeclaredOffset
    assets: Mapping[Band, str]
    scl: str | None
    crs: str | None
    footprint: BaseGeometry
    href: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One acquisition over one site: a datatake, however many products and tiles it was filed as.

    id:       unique within a site, the same whatever the order or the catalogue that served it.
    granules: first one wins where several measured the same ground.
    sun:      (zenith, azimuth) in degrees, None where the metadata are silent.
    """

    id: str
    time: datetime
    level: Level
    platform: str | None
    relative_orbit: int | None
    collection: str
    granules: tuple[Granule, ...]
    sun: tuple[float, float] | None = None
    cloud_percent: float | None = None

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ShapeError("scene time without a zone", self.id, "give datetimes in UTC")
        if not self.granules:
            raise ShapeError("scene without a granule", self.id, "build scenes from at least one product")


class Reason(StrEnum):
    """Why a scene was refused."""

    MISSING_ASSET = "missing asset"
    UNREADABLE = "unreadable"
    OUTSIDE = "does not cover the site"
    NODATA = "too little data"
    CLOUD = "too little clear ground"
    OFFSET = "offset undecided"
    REGISTRATION = "registration refused"
    RADIOMETRY = "unlike the site's history"
    MIXED = "other level or collection than the site's history"
    TWIN = "superseded by a twin"
    HISTORY = "too little history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A scene that was not used, with the number that decided and the limit it broke.

    note: one short clause for the reader, e.g. "flag says removed, dark floor says not".
    """

    scene: str
    time: datetime
    reason: Reason
    value: float | None = None
    limit: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Raster:
    """A 2-D array that knows where it lies. data: (row, col), of the grid's shape; made read-only."""

    grid: GeoBox
    data: NDArray[np.generic]

    def __post_init__(self) -> None:
        if self.data.shape != tuple(self.grid.shape):
            raise ShapeError(f"array {self.data.shape} on grid {tuple(self.grid.shape)}", "Raster", "make them fit")
        self.data.setflags(write=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chip:
    """The native pixels of one granule over a site: uint16 DN per band, each on its own grid; 0 = nodata.

    scl: uint8 classes of Sen2Cor on their own grid, None where there are none (L1C).
    """

    scene: Scene
    granule: Granule
    dn: Mapping[Band, Raster]
    scl: Raster | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """A translation and whether to believe it.

    shift:       (row, col) in pixels; target sampled at x + shift matches reference at x.
    accepted:    False = use no shift and do not use the look.
    reliability: 0..1. sigma_px: 1-sigma uncertainty of the shift. reason: why not accepted, else "".
    """

    shift: tuple[float, float]
    accepted: bool
    reliability: float
    sigma_px: float = float("nan")
    reason: str = ""


class Why(IntFlag):
    """What stood in the way of a pixel; none set = usable."""

    NODATA = 1
    CLOUD = 2
    SHADOW = 4
    SNOW = 8
    WATER = 16
    SATURATED = 32
    BUFFER = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """A corrected acquisition on the site grid.

    reflectance: (band, row, col) float32, 1 = 100 %, NaN exactly where `why` has NODATA.
    why:         (row, col) uint8 of `Why` flags, 0 = usable.
    noise:       (band,) float32, 1-sigma scatter against the history on ground that stayed, reflectance.
    gain, offset:(band,) of the normalisation applied: reflectance = gain * measured + offset, and a smooth haze taken
                 off where there was one.
    boa_offset_dn: the DN constant that was taken off.
    """

    scene: Scene
    grid: GeoBox
    bands: tuple[Band, ...]
    reflectance: NDArray[np.float32]
    why: NDArray[np.uint8]
    alignment: Alignment
    noise: NDArray[np.float32]
    boa_offset_dn: int
    gain: tuple[float, ...] = field(default=())
    offset: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        shape = tuple(self.grid.shape)
        if self.reflectance.shape != (len(self.bands), *shape) or self.why.shape != shape:
            raise ShapeError(
                f"reflectance {self.reflectance.shape}, why {self.why.shape} on grid {shape}",
                self.scene.id,
                "all three share rows and columns",
            )
        for array in (self.reflectance, self.why, self.noise):
            array.setflags(write=False)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(row, col) bool. True = measured, and nothing in the way."""
        return np.asarray(self.why == 0)

    @property
    def time(self) -> datetime:
        """Acquisition time, UTC."""
        return self.scene.time


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRecord:
    """What became of one scene: one row of `scenes`, in the review file and on the screen.

    reason, value, limit, note: as in Rejection, empty for a used scene. shift: (row, col) px.
    clear_share: usable part of the AOI, 0..1. boa_offset_dn: the DN constant decided, with `offset_note` its reason.
    """

    scene: str
    time: datetime
    used: bool
    reason: str = ""
    value: float | None = None
    limit: float | None = None
    note: str = ""
    shift: tuple[float, float] | None = None
    reliability: float | None = None
    clear_share: float | None = None
    boa_offset_dn: int | None = None
    offset_note: str = ""
    footprint: BaseGeometry | None = None
