"""Looks to alerts: composes the floor."""

import hashlib
from collections.abc import Sequence

import numpy as np
from odc.geo.geom import Geometry

from pipeline.decide import persistence
from pipeline.decide.calibration import calibrate, confidence
from pipeline.decide.fold import THRESHOLD_NATS, Fold, State, advance, begin, fold_of
from pipeline.decide.objects import Track, objects
from pipeline.decide.renewals import renewals
from pipeline.decide.shapes import Shape
from pipeline.decide.twice import once, origin
from pipeline.model.alert import Alert, Decision, Evidence, Kind, Observation, Status
from pipeline.model.errors import DecisionError
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings, digest
from pipeline.model.site import Site, aoi_mask

FIRST_LOOKS = 5
"""Looks that only make the history; fewer where a site has fewer, never less than `decide.min_history`."""
HOPE = 0.6
"""Of the surprise that confirms: what stands off less is not worth an analyst's look."""
FINISHED_DAYS = 365
ALL_CALIBRATE = 20
"""Looks that are all used to calibrate the limit; beyond, it is calibrated anew when there is a quarter more."""


def decide_site(site: Site, looks: Sequence[Look], settings: Settings) -> Decision:
    """The alerts of a site: a pure function of the set of its looks, whatever their order.

    Raises DecisionError where there are fewer looks than `decide.min_history` and one to judge.
    """
    ordered = in_order(looks)
    learning = learned_from(site, len(ordered), settings)
    known = ordered[: calibrated_on(len(ordered), learning)]
    then = advance(begin(ordered, learning), known)
    limit = limit_of(then, known, settings)
    return decide(site, advance(then, ordered), ordered, limit, settings)


def in_order(looks: Sequence[Look]) -> tuple[Look, ...]:
    """Each look once, in the order in which they are folded."""
    return tuple(sorted({look.scene.id: look for look in looks}.values(), key=lambda look: (look.time, look.scene.id)))


def learned_from(site: Site, count: int, settings: Settings) -> int:
    """How many of so many looks only make the history.

    Raises DecisionError where there are fewer than `decide.min_history` and one to judge.
    """
    need = settings.decide.min_history
    if count <= need:
        raise DecisionError(
            f"{count} usable looks, {need + 1} needed",
            site.id,
            "give a longer period, or lower decide.min_history",
        )
    return max(need, min(FIRST_LOOKS, count // 2))


def calibrated_on(count: int, learning: int) -> int:
    """How many of so many looks the limit is calibrated on: all while they are few, then a number that grows by steps.

    So a night calibrates anew only when the history has grown by a quarter.
    """
    rung = max(ALL_CALIBRATE, 2 * learning)
    while rung + rung // 4 <= count:
        rung += rung // 4
    return min(count, rung)


def limit_of(state: State, looks: Sequence[Look], settings: Settings) -> float:
    """The surprise that confirms, by the looks that a state was made of: the first `calibrated_on` of a site's."""
    found = fold_of(state, looks)
    return calibrate(found, objects(found, settings.decide.min_area_m2), settings)


def decide(site: Site, state: State, looks: Sequence[Look], limit: float, settings: Settings) -> Decision:
    """The decision that a state says, made of all `looks` in their order; limit: the surprise that confirms."""
    found, inside = fold_of(state, looks), aoi_mask(site)
    alerts, observations = [], []
    for shape, track in once(objects(found, settings.decide.min_area_m2, limit)):
        told = track.confirmed(limit) >= 0 or track.standing >= HOPE * limit
        if not (told and (shape.where & inside[shape.window]).any()):
            continue
        alert = _alert(site, found, shape, track, limit)
        alerts.append(alert)
        observations.extend(_observe(alert, found, shape, _scores(found, shape)))
        for renewal in renewals(found, shape, track, HOPE * limit) if _is_standing(alert) else ():
            later = _alert(site, found, shape, renewal.track, limit)
            if later.kind is Kind.RESURFACED:
                alerts.append(later)
                observations.extend(_observe(later, found, shape, renewal.scores))
    before, after = _pair(found, alerts)
    return Decision(
        site=site.id,
        alerts=tuple(sorted(alerts, key=lambda alert: (-alert.confidence, alert.id))),
        observations=tuple(observations),
        evidence=Evidence(grid=site.grid, log_odds=np.where(found.judged, found.evidence, np.nan), since=found.since),
        threshold=THRESHOLD_NATS,
        before_scene=before,
        after_scene=after,
        cautions=_cautions(found),
        settings_digest=digest(settings),
    )


def _is_standing(alert: Alert) -> bool:
    """A structure that was ever confirmed, and stands."""
    built = alert.kind in (Kind.NEW_STRUCTURE, Kind.RESURFACED)
    return built and alert.confirmed_at is not None and alert.status is not Status.WITHDRAWN


def _scores(found: Fold, shape: Shape) -> tuple[float | None, ...]:
    """Median sigma of an object in every look, None where nothing of it was clear or judged."""
    values = [None if sigma is None else sigma[shape.window][shape.where] for sigma in found.scores]
    return tuple(None if each is None or not np.isfinite(each).any() else float(np.nanmedian(each)) for each in values)


def _alert(site: Site, found: Fold, shape: Shape, track: Track, limit: float) -> Alert:
    looks, confirmed = found.looks, track.confirmed(limit)
    days = (looks[-1].time - looks[track.first].time).days
    if track.healed:
        status = Status.FINISHED if confirmed >= 0 else Status.WITHDRAWN
    elif confirmed < 0:
        status = Status.PROVISIONAL
    else:
        status = Status.FINISHED if days > FINISHED_DAYS else Status.CONFIRMED
    what = track.kind(looks[0].bands)
    point = Geometry(shape.outline.representative_point(), str(site.grid.crs)).to_crs("EPSG:4326").geom
    return Alert(
        id=_mint(site, looks[track.first], shape),
        outline=shape.outline,
        status=status,
        kind=what,
        confidence=confidence(track, what, limit),
        area_m2=shape.area_m2,
        area_error_m2=shape.area_error_m2,
        last_clear_before=looks[track.before].time.date() if track.before >= 0 else None,
        first_seen=looks[track.first].time.date(),
        confirmed_at=looks[confirmed].time.date() if confirmed >= 0 else None,
        last_seen=looks[track.last].time.date(),
        looks_seen=track.seen,
        looks_clear=track.clear,
        before_scene=looks[max(track.before, 0)].scene.id,
        after_scene=looks[track.last].scene.id,
        lon=round(float(point.x), 6),
        lat=round(float(point.y), 6),
    )


def _observe(alert: Alert, found: Fold, shape: Shape, scores: Sequence[float | None]) -> list[Observation]:
    rows = []
    for look, score in zip(found.looks, scores, strict=True):
        rows.append(
            Observation(
                change_id=alert.id,
                scene=look.scene.id,
                time=look.time,
                clear_share=float((look.why[shape.window][shape.where] == 0).mean()),
                score=score,
                seen=score is not None and score > persistence.SEEN_SIGMAS and look.time.date() >= alert.first_seen,
            )
        )
    return rows


def _mint(site: Site, look: Look, shape: Shape) -> str:
    """An id that a replay mints again: site, first look and first pixel."""
    row, col = origin(shape)
    text = f"{site.id}|{look.scene.id}|{row}|{col}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _pair(found: Fold, alerts: Sequence[Alert]) -> tuple[str, str]:
    """The latest clear look, and of those before the first shown alert the one nearest to its season."""
    share = [round(each, 2) for each in found.clear_share]
    good = [look for look, each in zip(found.looks, share, strict=True) if each >= 0.9 * max(share)]
    after = good[-1]
    shown = [alert.first_seen for alert in alerts if alert.status is not Status.WITHDRAWN]
    limit = min(shown, default=after.time.date())
    earlier = [look for look in good if look.time.date() < limit] or [good[0]]
    day = after.time.timetuple().tm_yday

    def apart(look: Look) -> tuple[int, float]:
        days = abs(look.time.timetuple().tm_yday - day)
        return min(days, 365 - days) // 20, -look.time.timestamp()

    return min(earlier, key=apart).scene.id, after.scene.id


def _cautions(found: Fold) -> tuple[str, ...]:
    words = []
    if found.learning < FIRST_LOOKS:
        words.append(f"only {found.learning} looks of history: alerts are weak until more looks confirm them")
    return tuple(words)
