"""Two looks to alerts: no history, so noise and threshold come from the pair's own unchanged majority."""

import hashlib

import numpy as np
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from scipy import ndimage
from shapely.geometry import MultiPolygon, Polygon

from pipeline.ground.change_types import change_type
from pipeline.ground.classes import STATES, log_posterior
from pipeline.model.alert import Alert, Decision, Evidence, Observation, Status
from pipeline.model.grid import PIXEL_M2
from pipeline.model.imagery import Look, Why
from pipeline.model.settings import Settings, settings_digest
from pipeline.numerics.vectorise import label_regions, outlines
from pipeline.pair.score import score_pair

THRESHOLD = 3.5
"""Pooled sigmas that an outline must reach; unchanged ground stays below 1. F1 is nearly constant from 2.8 to 3.7."""
LOW = 3.0
"""Pooled sigmas down to which an outline is followed."""

Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns of the pixels of one region, in reading order."""


def decide_pair(
    site_id: str, before: Look, after: Look, settings: Settings, inside: NDArray[np.bool_] | None
) -> Decision:
    """What was built between two looks on one grid. inside: (row, col) bool, where alerts may lie; None = anywhere."""
    measured = ((before.why | after.why) & np.uint8(Why.NODATA)) == 0
    sigmas = score_pair(before.bands, before.reflectance, after.reflectance, measured)
    smallest = settings.decide.min_area_m2 / PIXEL_M2
    labels = label_regions(sigmas, THRESHOLD, LOW, smallest, measured)
    alerts: list[Alert] = []
    observations: list[Observation] = []
    boxes = ndimage.find_objects(labels)
    for label, outline in outlines(labels, before.grid).items():
        box = boxes[label - 1]
        where = np.argwhere(labels[box] == label) + [side.start for side in box]
        pixels = (where[:, 0], where[:, 1])
        if inside is None or bool(inside[pixels].any()):
            alert, seen = _make_alert(site_id, before, after, pixels, outline, float(sigmas[pixels].max()))
            alerts.append(alert)
            observations.extend(seen)
    return Decision(
        site=site_id,
        alerts=tuple(sorted(alerts, key=lambda alert: (-alert.confidence, alert.id))),
        observations=tuple(observations),
        evidence=Evidence(
            grid=before.grid,
            score=np.where(measured, sigmas - THRESHOLD, np.nan).astype(np.float32),
            since=np.where(labels > 0, 1, -1).astype(np.int16),
        ),
        threshold=0.0,
        before_scene=before.scene.id,
        after_scene=after.scene.id,
        cautions=("a pair has no history: what changed once and what changed to stay look alike",),
        settings_digest=settings_digest(settings),
    )


def _make_alert(
    site_id: str, before: Look, after: Look, pixels: Pixels, outline: Polygon | MultiPolygon, peak: float
) -> tuple[Alert, tuple[Observation, ...]]:
    spectra = np.stack([np.nanmean(look.reflectance[:, *pixels], axis=1) for look in (before, after)])
    past, now = (STATES[index] for index in log_posterior(before.bands, spectra).argmax(axis=1))
    point = Geometry(outline.representative_point(), str(before.grid.crs)).to_crs("EPSG:4326").geom
    text = f"{site_id}|{after.scene.id}|{pixels[0][0]}|{pixels[1][0]}"
    alert = Alert(
        id=hashlib.sha256(text.encode()).hexdigest()[:16],
        outline=outline,
        status=Status.PROVISIONAL,
        kind=change_type(past, now, old_edges=1.0),
        confidence=float(1 / (1 + np.exp(-0.25 * (peak - THRESHOLD)))),
        area_m2=len(pixels[0]) * PIXEL_M2,
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
    seen = tuple(
        Observation(
            change_id=alert.id,
            scene=look.scene.id,
            time=look.time,
            clear_share=float((look.why[pixels] == 0).mean()),
            score=peak if look is after else 0.0,
            seen=look is after,
        )
        for look in (before, after)
    )
    return alert, seen
