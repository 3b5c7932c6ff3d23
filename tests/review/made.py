"""Looks and decisions of our own making: 60 x 60 pixels of textured ground on which roofs appear."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from shapely.geometry import box

from pipeline.model.alert import Alert, Decision, Evidence, GroundPhase, Kind, Observation, State, Status
from pipeline.model.bands import Band
from pipeline.model.imagery import Alignment, DeclaredOffset, Granule, Level, Look, Scene, SceneRecord
from pipeline.model.site import Site

CRS = "EPSG:32652"
LEFT, TOP, SIZE = 500_000, 4_330_000, 60
GRID = GeoBox((SIZE, SIZE), Affine(10.0, 0.0, LEFT, 0.0, -10.0, TOP), CRS)
BANDS = (Band.B02, Band.B03, Band.B04, Band.B08, Band.B11)
START = datetime(2023, 1, 5, 2, 10, tzinfo=UTC)
ROOF = (0.24, 0.25, 0.26, 0.28, 0.30)


PHASES = (
    GroundPhase(
        state=State.VEGETATED, begins_after=None, begins=date(2023, 1, 5), ends=date(2023, 3, 6),
        ends_before=date(2023, 3, 21), probability=0.98,
    ),
    GroundPhase(
        state=State.BUILT, begins_after=date(2023, 3, 6), begins=date(2023, 3, 21), ends=date(2023, 8, 3),
        ends_before=None, probability=0.91,
    ),
)  # fmt: skip


def outline(row: int, col: int, rows: int = 6, cols: int = 8) -> Any:
    """A rectangle of whole pixels."""
    return box(LEFT + 10 * col, TOP - 10 * (row + rows), LEFT + 10 * (col + cols), TOP - 10 * row)


def site(name: str = "Made Place", **properties: object) -> Site:
    aoi = Geometry(box(LEFT + 50, TOP - 550, LEFT + 550, TOP - 50), CRS).to_crs("EPSG:4326").geom
    return Site(id="made-place", name=name, aoi=aoi, grid=GRID, properties=properties)


def alert(number: int = 1, *, row: int = 10, col: int = 10, **changes: Any) -> Alert:
    shape = changes.pop("outline", outline(row, col))
    facts: dict[str, Any] = {
        "id": f"a{number:015d}", "outline": shape, "status": Status.CONFIRMED, "kind": Kind.NEW_STRUCTURE,
        "confidence": 0.9, "area_m2": shape.area, "area_error_m2": 120.0, "last_clear_before": date(2023, 3, 6),
        "first_seen": date(2023, 3, 21), "confirmed_at": date(2023, 4, 20), "last_seen": date(2023, 8, 3),
        "looks_seen": 9, "looks_clear": 10, "before_scene": "scene-04", "after_scene": "scene-14", "lon": 129.0,
        "lat": 39.1, "phases": PHASES,
    }  # fmt: skip
    return Alert(**{**facts, **changes})


def looks(roofs: Sequence[Any] = (), count: int = 15) -> tuple[Look, ...]:
    """One look every 15 days; from the sixth on the roofs are there; the eighth is half under cloud."""
    rng = np.random.default_rng(7)
    base = rng.normal(0.09, 0.012, (len(BANDS), SIZE, SIZE)).astype(np.float32)
    base[3] += 0.15
    made = []
    for index in range(count):
        pixels = base + rng.normal(0, 0.003, base.shape).astype(np.float32)
        why = np.zeros((SIZE, SIZE), np.uint8)
        if index >= 5:
            for shape in roofs:
                rows, cols = _slices(shape)
                pixels[:, rows, cols] = np.array(ROOF, np.float32)[:, None, None]
        if index == 7:
            why[:, :30] = 2
        pixels[:, :3, :3] = np.nan
        why[:3, :3] = 1
        made.append(_look(index, pixels.astype(np.float32), why))
    return tuple(made)


def decision(alerts: Sequence[Alert], made: Sequence[Look] | None = None, **changes: Any) -> Decision:
    made = looks() if made is None else made
    odds = np.full((SIZE, SIZE), -1.0, np.float32)
    for each in alerts:
        rows, cols = _slices(each.outline)
        odds[rows, cols] = 9.0
    odds[:3, :3] = np.nan
    facts: dict[str, Any] = {
        "site": "made-place", "alerts": tuple(alerts), "observations": tuple(observations(alerts, made)),
        "evidence": Evidence(grid=GRID, score=odds, since=np.zeros((SIZE, SIZE), np.int16)), "threshold": 4.0,
        "before_scene": made[3].scene.id, "after_scene": made[-1].scene.id, "cautions": ("only 5 looks of history",),
        "settings_digest": "0123456789abcdef",
    }  # fmt: skip
    return Decision(**{**facts, **changes})


def observations(alerts: Sequence[Alert], made: Sequence[Look]) -> list[Observation]:
    return [
        Observation(
            change_id=each.id, scene=look.scene.id, time=look.time, clear_share=0.2 if index == 7 else 1.0,
            score=None if index == 7 else (8.0 if index >= 5 else 0.4), seen=index >= 5 and index != 7,
        )
        for each in alerts
        for index, look in enumerate(made)
    ]  # fmt: skip


def records(made: Sequence[Look]) -> tuple[SceneRecord, ...]:
    used = [
        SceneRecord(
            scene=look.scene.id, time=look.time, used=True, shift=(0.12, -0.3), reliability=0.9, clear_share=0.98,
            boa_offset_dn=1000, offset_note="baseline 05.09", footprint=look.scene.granules[0].footprint,
        )
        for look in made
    ]  # fmt: skip
    refused = SceneRecord(
        scene="scene-cloudy", time=START + timedelta(days=3), used=False, reason="too little clear ground", value=0.03,
        limit=0.1, note="<i>cloud</i>",
    )  # fmt: skip
    return (*used, refused)


def moved(one: Alert, metres: float, **changes: Any) -> Alert:
    """The alert some metres to the east."""
    left, bottom, right, top = one.outline.bounds
    return replace(one, outline=box(left + metres, bottom, right + metres, top), **changes)


def _slices(shape: Any) -> tuple[slice, slice]:
    left, bottom, right, top = shape.bounds
    rows = slice(max(int((TOP - top) / 10), 0), max(int((TOP - bottom) / 10), 0))
    return rows, slice(max(int((left - LEFT) / 10), 0), max(int((right - LEFT) / 10), 0))


def _look(index: int, pixels: Any, why: Any) -> Look:
    granule = Granule(
        id=f"granule-{index:02d}", tile="52SDJ", baseline="05.09", generated=None,
        declared_offset=DeclaredOffset(dn=1000, reason="baseline"), assets={}, scl=None, crs=CRS, footprint=site().aoi,
    )  # fmt: skip
    scene = Scene(
        id=f"scene-{index:02d}", time=START + timedelta(days=15 * index), level=Level.L2A, platform="sentinel-2a",
        relative_orbit=61, collection="sentinel-2-l2a", granules=(granule,),
    )  # fmt: skip
    return Look(
        scene=scene, grid=GRID, bands=BANDS, reflectance=pixels, why=why, boa_offset_dn=1000,
        alignment=Alignment(shift=(0.12, -0.3), accepted=True, reliability=0.9),
        noise=np.full(len(BANDS), 0.003, np.float32),
    )  # fmt: skip
