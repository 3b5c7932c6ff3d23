"""Looks to alerts: composes the floor."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from shapely.geometry import MultiPolygon, Polygon

from pipeline.decide import history, persistence
from pipeline.decide.kinds import kind
from pipeline.decide.persistence import Trace
from pipeline.decide.score import score
from pipeline.decide.vectorise import contour, cover, regions
from pipeline.model.alert import Alert, Decision, Evidence, Kind, Observation, Status
from pipeline.model.errors import DecisionError
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings, digest
from pipeline.model.site import Site, aoi_mask

FIRST_LOOKS = 5
"""Looks that only make the history; fewer where a site has fewer, never less than `decide.min_history`."""
THRESHOLD_NATS = 4.0
PROVISIONAL_NATS = 1.0
FINISHED_DAYS = 365
PIXEL_M2 = 100.0
CORE_SHARE = 0.75
"""Of an object's strong change: pixels that moved so far are taken as wholly covered by it."""


def decide_site(site: Site, looks: Sequence[Look], settings: Settings) -> Decision:
    """The alerts of a site: a pure function of the set of its looks, whatever their order.

    Raises DecisionError where there are fewer looks than `decide.min_history` and one to judge.
    """
    ordered = sorted({look.scene.id: look for look in looks}.values(), key=lambda look: (look.time, look.scene.id))
    need = settings.decide.min_history
    if len(ordered) <= need:
        raise DecisionError(
            f"{len(ordered)} usable looks, {need + 1} needed",
            site.id,
            "give a longer period, or lower decide.min_history",
        )
    fold = _fold(ordered, max(need, min(FIRST_LOOKS, len(ordered) // 2)))
    inside = aoi_mask(site)
    labels = regions(
        fold.trace.peak,
        THRESHOLD_NATS,
        0.5 * THRESHOLD_NATS,
        settings.decide.min_area_m2 / PIXEL_M2,
        fold.trace.first >= 0,
    )
    alerts, observations = [], []
    for label in range(1, int(labels.max()) + 1):
        region = _region(fold, labels == label, site)
        if region is None or region.area_m2 < settings.decide.min_area_m2 or not (region.where & inside).any():
            continue
        alert = _alert(site, ordered, fold, region)
        alerts.append(alert)
        observations.extend(_observe(alert, ordered, fold, region.where))
    cautions = _cautions(fold)
    before, after = _pair(ordered, alerts)
    return Decision(
        site=site.id,
        alerts=tuple(sorted(alerts, key=lambda alert: (-alert.confidence, alert.id))),
        observations=tuple(observations),
        evidence=Evidence(
            grid=site.grid, log_odds=np.where(fold.judged, fold.trace.log_odds, np.nan), since=fold.trace.onset
        ),
        threshold=THRESHOLD_NATS,
        before_scene=before,
        after_scene=after,
        cautions=cautions,
        settings_digest=digest(settings),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Fold:
    trace: Trace
    scores: tuple[NDArray[np.float32] | None, ...]
    mean: NDArray[np.float32]
    judged: NDArray[np.bool_]
    learning: int


def _fold(looks: Sequence[Look], learning: int) -> _Fold:
    shape = tuple(looks[0].grid.shape)
    stack = np.stack([_values(look) for look in looks[:learning]])
    past = history.start(stack)
    trace = persistence.begin(len(looks[0].bands), shape)  # type: ignore[arg-type]
    scores: list[NDArray[np.float32] | None] = [None] * learning
    judged = np.zeros(shape, bool)
    for index in range(learning, len(looks)):
        values = _values(looks[index])
        found = history.residual(past, values, trace.log_odds <= 0)
        if found is None:
            scores.append(None)
            continue
        sigma = score(found.white)
        scores.append(sigma)
        judged |= np.isfinite(sigma)
        trace = persistence.step(trace, index, sigma, found.reflectance, THRESHOLD_NATS)
        trust = np.where(trace.log_odds > 0, 0, np.clip(2 - np.nan_to_num(sigma) / 2, 0, 1)).astype(np.float32)
        past = history.learn(past, found, trust)
        past = _adopt(past, values)
    return _Fold(trace, tuple(scores), past.mean, judged, learning)


def _adopt(past: history.History, values: NDArray[np.float32]) -> history.History:
    """Ground that was under cloud in all first looks gets its history from the first look that sees it."""
    new = ~np.isfinite(past.mean).all(axis=0) & np.isfinite(values).all(axis=0)
    if not new.any():
        return past
    mean = np.where(new, values, past.mean).astype(np.float32)
    return history.History(mean=mean, weight=np.where(new, 1, past.weight).astype(np.float32), restless=past.restless)


def _values(look: Look) -> NDArray[np.float32]:
    return np.where(look.usable, look.reflectance, np.nan).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """One object. where: (row, col), half covered or more. core: its surest pixels. area_m2: from fractional cover."""

    where: NDArray[np.bool_]
    core: NDArray[np.bool_]
    outline: Polygon | MultiPolygon
    area_m2: float
    area_error_m2: float


def _region(fold: _Fold, where: NDArray[np.bool_], site: Site) -> _Region | None:
    """Outline and area from how far each pixel has moved; None where no pixel is covered by half."""
    strength = np.sqrt((fold.trace.shown**2).sum(axis=0))
    passed = where & (fold.trace.peak >= THRESHOLD_NATS)
    # evidence saturates, also where only a corner of a pixel changed; the size of the change does not
    core = passed & (strength >= CORE_SHARE * float(np.quantile(strength[passed], 0.9)))
    share = cover(fold.trace.shown, where, core)
    outline = contour(share, site.grid)
    if outline is None:
        return None
    edge = (share > 0.1) & (share < 0.9)
    # an edge pixel's share is known to about a fifth; that, and one in ten of the direction's length
    error = PIXEL_M2 * float(np.sqrt(edge.sum() * 0.2**2 + (0.1 * share.sum()) ** 2))
    return _Region(where=share >= 0.5, core=core, outline=outline, area_m2=float(outline.area), area_error_m2=error)


def _alert(site: Site, looks: Sequence[Look], fold: _Fold, region: _Region) -> Alert:
    trace, where, core = fold.trace, region.where, region.core
    healed = bool((trace.ended[core] >= 0).mean() > 0.5)
    first, before, last = _bracket(fold, core, healed)
    confirmed = _typical(trace.confirmed, core)
    past = np.nanmean(fold.mean[:, core], axis=1)
    now = past + np.median(trace.shown[:, core], axis=1)
    seen, clear = _counts(fold, where, first, last if healed else len(looks) - 1)
    days = (looks[last].time - looks[first].time).days
    status = Status.PROVISIONAL if confirmed < 0 else Status.CONFIRMED
    if healed:
        status = Status.FINISHED if seen >= 3 and days >= 30 else Status.WITHDRAWN
    elif confirmed >= 0 and (looks[-1].time - looks[first].time).days > FINISHED_DAYS:
        status = Status.FINISHED
    point = Geometry(region.outline.representative_point(), str(site.grid.crs)).to_crs("EPSG:4326").geom
    return Alert(
        id=_mint(site, looks[first], core),
        outline=region.outline,
        status=status,
        kind=kind(looks[0].bands, past, now, healed),
        confidence=float(1 / (1 + np.exp(-0.5 * (float(np.median(trace.peak[core])) - THRESHOLD_NATS)))),
        area_m2=region.area_m2,
        area_error_m2=region.area_error_m2,
        last_clear_before=looks[before].time.date() if before >= 0 else None,
        first_seen=looks[first].time.date(),
        confirmed_at=looks[max(confirmed, first)].time.date() if confirmed >= 0 else None,
        last_seen=looks[last].time.date(),
        looks_seen=seen,
        looks_clear=clear,
        before_scene=looks[max(before, 0)].scene.id,
        after_scene=looks[last].scene.id,
        lon=round(float(point.x), 6),
        lat=round(float(point.y), 6),
    )


def _bracket(fold: _Fold, core: NDArray[np.bool_], healed: bool) -> tuple[int, int, int]:
    """First look with it, last clear look without it, last look with it, judged on the object as a whole.

    Pixels differ by a look or two in when they pass; the object is first there at the earliest look from which on
    its middle scores as seen, back from where most of its pixels began.
    """
    series = _series(fold, core)
    first = _typical(fold.trace.first, core)
    before = -1
    for index in range(first - 1, -1, -1):
        score_then = series[index]
        if score_then is None:
            continue
        if score_then <= persistence.SEEN_SIGMAS:
            before = index
            break
        first = index
    if before < 0:
        clear = [index for index in range(first) if fold.scores[index] is None]
        before = clear[-1] if clear else -1
    end = int(np.median(fold.trace.ended[core])) if healed else len(series)
    seen = [index for index in range(first, max(end, first + 1)) if (series[index] or 0) > persistence.SEEN_SIGMAS]
    return first, before, seen[-1] if seen else first


def _series(fold: _Fold, where: NDArray[np.bool_]) -> list[float | None]:
    """Median score of an object in every look, None where less than half of it was clear."""
    found: list[float | None] = []
    for sigma in fold.scores:
        values = None if sigma is None else sigma[where]
        clear = values is not None and np.isfinite(values).mean() >= 0.5
        found.append(float(np.nanmedian(values)) if clear and values is not None else None)
    return found


def _typical(index: NDArray[np.int16], where: NDArray[np.bool_]) -> int:
    """The look that most pixels of a region name, the earliest of equals; -1 where none names any."""
    named = index[where]
    named = named[named >= 0]
    if named.size == 0:
        return -1
    values, counts = np.unique(named, return_counts=True)
    return int(values[np.argmax(counts)])


def _counts(fold: _Fold, where: NDArray[np.bool_], first: int, last: int) -> tuple[int, int]:
    clear = [score for score in _series(fold, where)[first : last + 1] if score is not None]
    return sum(score > persistence.SEEN_SIGMAS for score in clear), len(clear)


def _observe(alert: Alert, looks: Sequence[Look], fold: _Fold, where: NDArray[np.bool_]) -> list[Observation]:
    rows = []
    for look, sigma in zip(looks, fold.scores, strict=True):
        values = None if sigma is None else sigma[where]
        clear = float(look.usable[where].mean())
        known = values is not None and bool(np.isfinite(values).any())
        mean = float(np.nanmedian(values)) if known and values is not None else None
        rows.append(
            Observation(
                change_id=alert.id,
                scene=look.scene.id,
                time=look.time,
                clear_share=clear,
                score=mean,
                seen=mean is not None and mean > persistence.SEEN_SIGMAS and look.time.date() >= alert.first_seen,
            )
        )
    return rows


def _mint(site: Site, look: Look, where: NDArray[np.bool_]) -> str:
    """An id that a replay mints again: site, first look and first pixel."""
    row, col = np.argwhere(where)[0]
    text = f"{site.id}|{look.scene.id}|{row}|{col}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _pair(looks: Sequence[Look], alerts: Sequence[Alert]) -> tuple[str, str]:
    """The latest clear look, and of those before the first shown alert the one nearest to its season."""
    share = {look.scene.id: round(float(look.usable.mean()), 2) for look in looks}
    clearest = max(share.values())
    good = [look for look in looks if share[look.scene.id] >= 0.9 * clearest]
    after = good[-1]
    shown = [alert.first_seen for alert in alerts if alert.status is not Status.WITHDRAWN and alert.kind in SHOWN]
    limit = min(shown, default=after.time.date())
    earlier = [look for look in good if look.time.date() < limit] or [good[0]]
    day = after.time.timetuple().tm_yday

    def apart(look: Look) -> tuple[int, float]:
        days = abs(look.time.timetuple().tm_yday - day)
        return min(days, 365 - days) // 20, -look.time.timestamp()

    return min(earlier, key=apart).scene.id, after.scene.id


SHOWN = (Kind.NEW_STRUCTURE, Kind.CLEARED_GROUND, Kind.RESURFACED, Kind.DEMOLISHED)


def _cautions(fold: _Fold) -> tuple[str, ...]:
    words = []
    if fold.learning < FIRST_LOOKS:
        words.append(f"only {fold.learning} looks of history: alerts are weak until more looks confirm them")
    return tuple(words)
