"""Two looks to alerts: no history, so noise and threshold come from the pair's own unchanged majority."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from scipy import ndimage
from shapely.geometry import MultiPolygon, Polygon

from pipeline.correct.robust import centre_spread
from pipeline.decide.kinds import kind
from pipeline.decide.vectorise import outlines, regions
from pipeline.model.alert import Alert, Decision, Evidence, Observation, Status
from pipeline.model.imagery import Look, Why
from pipeline.model.settings import Settings, digest

THRESHOLD = 7.0
LOW = 5.0
SMOOTH_PX = 1.0
PIXEL_M2 = 100.0


def decide_pair(
    site_id: str, before: Look, after: Look, settings: Settings, inside: NDArray[np.bool_] | None
) -> Decision:
    """What was built between two looks on one grid. inside: (row, col) bool, where alerts may lie; None = anywhere."""
    measured = ((before.why | after.why) & np.uint8(Why.NODATA)) == 0
    score = _score(before.reflectance, after.reflectance, measured)
    smallest = settings.decide.min_area_m2 / PIXEL_M2
    labels = regions(score, THRESHOLD, LOW, smallest, measured)
    alerts, observations = [], []
    for label, outline in outlines(labels, before.grid).items():
        where = labels == label
        if inside is None or bool((where & inside).any()):
            alert, seen = _alert(site_id, before, after, where, outline, float(score[where].max()))
            alerts.append(alert)
            observations.append(seen)
    return Decision(
        site=site_id,
        alerts=tuple(sorted(alerts, key=lambda alert: (-alert.confidence, alert.id))),
        observations=tuple(observations),
        evidence=Evidence(
            grid=before.grid,
            log_odds=np.where(measured, score, np.nan).astype(np.float32),
            since=np.where(labels > 0, 1, -1).astype(np.int16),
        ),
        threshold=THRESHOLD,
        before_scene=before.scene.id,
        after_scene=after.scene.id,
        cautions=("a pair has no history: what changed once and what changed to stay look alike",),
        settings_digest=digest(settings),
    )


def _score(before: NDArray[Any], after: NDArray[Any], measured: NDArray[np.bool_]) -> NDArray[np.float32]:
    planes = []
    for one, two in zip(before, after, strict=True):
        change = np.where(measured, two - one, np.nan)
        centre, spread = centre_spread(change)
        planes.append(np.nan_to_num((change - centre) / max(float(spread), 1e-4)))
    length = np.sqrt(np.mean(np.square([ndimage.gaussian_filter(plane, SMOOTH_PX) for plane in planes]), axis=0))
    centre, spread = centre_spread(np.where(measured, length, np.nan))
    return np.asarray((length - centre) / max(float(spread), 1e-4), np.float32)


def _alert(
    site_id: str, before: Look, after: Look, where: NDArray[np.bool_], outline: Polygon | MultiPolygon, peak: float
) -> tuple[Alert, Observation]:
    point = Geometry(outline.representative_point(), str(before.grid.crs)).to_crs("EPSG:4326").geom
    row, col = np.argwhere(where)[0]
    text = f"{site_id}|{after.scene.id}|{row}|{col}"
    alert = Alert(
        id=hashlib.sha256(text.encode()).hexdigest()[:16],
        outline=outline,
        status=Status.PROVISIONAL,
        kind=kind(before.bands, *(np.nanmean(look.reflectance[:, where], axis=1) for look in (before, after)), False),
        confidence=float(1 / (1 + np.exp(-0.25 * (peak - THRESHOLD)))),
        area_m2=float(where.sum()) * PIXEL_M2,
        area_error_m2=float(0.35 * PIXEL_M2 * np.sqrt(max(outline.length / 10, 1))),
        last_clear_before=before.time.date(),
        first_seen=after.time.date(),
        confirmed_at=None,
        last_seen=after.time.date(),
        looks_seen=1,
        looks_clear=1,
        before_scene=before.scene.id,
        after_scene=after.scene.id,
        lon=round(float(point.x), 6),
        lat=round(float(point.y), 6),
    )
    seen = Observation(
        change_id=alert.id,
        scene=after.scene.id,
        time=after.time,
        clear_share=float(after.usable[where].mean()),
        score=peak,
        seen=True,
    )
    return alert, seen
