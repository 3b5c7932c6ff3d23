"""What the tool says: scores, evidence, alerts, and the decision that holds them."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry import MultiPolygon, Polygon

from pipeline.model.errors import ShapeError


class Status(StrEnum):
    """Where an alert stands in its life."""

    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    FINISHED = "finished"
    WITHDRAWN = "withdrawn"


class Kind(StrEnum):
    """What happened, judged by what was there before and what is there now."""

    NEW_STRUCTURE = "new structure"
    CLEARED_GROUND = "cleared ground"
    RESURFACED = "resurfaced"
    DEMOLISHED = "demolished"


class State(StrEnum):
    """What the ground is. Vegetated includes fields that are bare at times; other is like none of the classes."""

    VEGETATED = "vegetated"
    BARE = "bare"
    BUILT = "built"
    WATER = "water"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """How surely each pixel changed.

    score: (row, col) float32, how anomalous the largest lasting step of the pixel is; NaN where never usable.
    since: (row, col) int16 index of the first look of that step, -1 where none.
    """

    grid: GeoBox
    score: NDArray[np.float32]
    since: NDArray[np.int16]

    def __post_init__(self) -> None:
        shape = tuple(self.grid.shape)
        if self.score.shape != shape or self.since.shape != shape:
            raise ShapeError(
                f"score {self.score.shape}, since {self.since.shape} on grid {shape}", "Evidence", "make them fit"
            )
        self.score.setflags(write=False)
        self.since.setflags(write=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundPhase:
    """Time in which the ground of an alert was of one state.

    begins_after, begins: last clear look of the phase before, None for the first, and first clear look of this one.
    ends, ends_before: last clear look of it, and first of the next phase, None while it lasts. probability: of the
    state, 0..1.
    """

    state: State
    begins_after: date | None
    begins: date
    ends: date
    ends_before: date | None
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One change, with the bracket it began in and how sure we are of it.

    outline: in the grid's CRS, metres. confidence: 0..1, rises with the evidence.
    last_clear_before, first_seen: last clear look without it, first look with it.
    ended: last look with it, where a confirmed change has reverted; None while it stays.
    looks_seen, looks_clear: of the looks since first_seen, how many saw it, how many could have.
    label: short name within the site, given when the alert is first published.
    phases: what its ground was and became, in time order; empty where it was not segmented.
    """

    id: str
    outline: Polygon | MultiPolygon
    status: Status
    kind: Kind
    confidence: float
    area_m2: float
    area_error_m2: float
    last_clear_before: date | None
    first_seen: date
    confirmed_at: date | None
    last_seen: date
    looks_seen: int
    looks_clear: int
    before_scene: str
    after_scene: str
    lon: float
    lat: float
    ended: date | None = None
    label: str = ""
    phases: tuple[GroundPhase, ...] = ()


CLEAR_SHARE = 0.5
"""Least clear share of the ground of an alert, or of a site, from which a look counts as clear there."""
LEAST_LOOKS = 3
"""Clear looks that a phase needs, and the ground before a step and after it (Zhu & Woodcock 2014)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One alert in one look. clear_share: 0..1 of the outline; score: progress from the state before (0) to the
    state after (1), None where it was not clear.
    """

    change_id: str
    scene: str
    time: datetime
    clear_share: float
    score: float | None
    seen: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """All that one run decided for a site.

    threshold: confidence from which an alert is confirmed.
    cautions: sentences the reader must know, e.g. "only 4 looks of history".
    before_scene, after_scene: the pair of looks that shows the site best, for before.tif and after.tif.
    """

    site: str
    alerts: tuple[Alert, ...]
    observations: tuple[Observation, ...]
    evidence: Evidence
    threshold: float
    before_scene: str
    after_scene: str
    cautions: tuple[str, ...] = ()
    settings_digest: str = ""
