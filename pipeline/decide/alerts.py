"""Looks to alerts: baseline, residuals, natural steps, screening, objects, and what is reported of them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from shapely import STRtree
from shapely.geometry import MultiPolygon, Polygon

from pipeline.decide.detections import Detection, make_detections
from pipeline.decide.objects import Stack, StepObject, grow_objects
from pipeline.decide.posterior import FATE_DAYS, JUDGED, SitePrior, level_of, reverted_share, to_probability
from pipeline.decide.residuals import SCALES, Residual, build_baseline, residual_of
from pipeline.decide.screening import advance_screening, begin_screening, leaf_to_soil, natural_steps, times_of
from pipeline.decide.shapes import Shape
from pipeline.decide.steps import YEAR_DAYS, Times
from pipeline.model.alert import LEAST_LOOKS, Alert, Decision, Evidence, GroundPhase, Observation, Status
from pipeline.model.errors import DecisionError
from pipeline.model.grid import PIXEL_M2, aoi_mask
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings, settings_digest
from pipeline.model.site import Site

FEW_LOOKS = 8
"""Clear looks before the first alert below which the reader is cautioned."""
PROVISIONAL = 0.1
"""Objects that are less probable, and not confirmed, are not reported."""
ALL_KNOWN = 20
"""First looks that are all used for baseline and natural steps; later their number grows in steps of a quarter."""
LEARNED_SHARE = 0.9
"""Largest share of more looks that are used: the latest may show a site of which most was built."""
CELL_M = 100.0
"""Metres within which the middle of an outline may move from night to night without another id."""
OVERLAP = 0.1
"""Of the smaller of two outlines: what two alerts share beyond it belongs to the surer one."""


def decide_site(site: Site, looks: Sequence[Look], settings: Settings) -> Decision:
    """The alerts of a site: a pure function of the set of its looks, whatever their order.

    Raises DecisionError where there are fewer looks than `decide.min_history` and one to judge.
    """
    ordered = in_order(looks)
    return decide(site, ordered, stack_of(site, ordered, settings), settings)


def in_order(looks: Iterable[Look]) -> tuple[Look, ...]:
    """Each look once, in time order."""
    return tuple(sorted({look.scene.id: look for look in looks}.values(), key=lambda look: (look.time, look.scene.id)))


def founding_looks(site: Site, count: int, settings: Settings) -> int:
    """How many of the looks make the baseline and the natural steps: all while they are few, then at most LEARNED_SHARE
    of them, a number that grows by steps of a quarter, so that a night computes them again only then.

    Raises DecisionError where there are fewer than `decide.min_history` and one to judge.
    """
    need = settings.decide.min_history
    if count <= need:
        what, fix = f"{count} usable looks, {need + 1} needed", "give a longer period, or lower decide.min_history"
        raise DecisionError(what, site.id, fix)
    rung = ALL_KNOWN
    while rung + rung // 4 <= LEARNED_SHARE * count:
        rung += rung // 4
    return min(count, rung)


def times_between(looks: Sequence[Look], residuals: Sequence[Residual], known: int) -> Times:
    """Days and weights of the looks; the first looks (`founding_looks`) set the usual noise."""
    return times_of(residuals, [look.time.toordinal() for look in looks], known)


def first_times(times: Times, count: int) -> Times:
    """Of the first looks."""
    return Times(days=times.days[:count], weights=times.weights[:count])


def decide(site: Site, looks: Sequence[Look], stack: Stack, settings: Settings) -> Decision:
    """The decision on looks in time order. stack: what was made of them."""
    alerts, observations = list[Alert](), list[Observation]()
    for each in found_in(site, looks, stack, settings):
        alert = _make_alert(site, looks, each)
        while any(alert.id == other.id for other in alerts):
            alert = replace(alert, id=_hash_text(alert.id))
        alerts.append(alert)
        observations.extend(_make_observations(alert, looks, each))
    before, after = _choose_before_after(looks, alerts)
    return Decision(
        site=site.id,
        alerts=tuple(sorted(alerts, key=lambda alert: (-alert.confidence, alert.id))),
        observations=tuple(observations),
        evidence=_make_evidence(site, looks, stack),
        threshold=to_probability(level_of(settings.decide.false_alarms_per_100km2_year)),
        before_scene=before,
        after_scene=after,
        cautions=_list_cautions(looks),
        settings_digest=settings_digest(settings),
    )


def found_in(site: Site, looks: Sequence[Look], stack: Stack, settings: Settings) -> list[Detection]:
    """What the looks of a site show that is reported, surest first."""
    least, inside, found = settings.decide.min_area_m2, aoi_mask(site), list[Detection]()
    known = grow_objects(stack, JUDGED)
    prior = site_prior(known, settings)
    for made in known:
        for each in make_detections(looks, stack, made, prior, least):
            reported = each.confirmed >= 0 or to_probability(each.odds) >= PROVISIONAL
            if reported and (each.shape.where & inside[each.shape.window]).any():
                found.append(each)
    return _take_apart(found, least)


def site_prior(found: Sequence[StepObject], settings: Settings) -> SitePrior:
    """The level that confirms, and the share of the objects of a site that reverted, look by look.

    Objects of the least area of an alert count, from the look at which their fate is known: the third clear look in a
    row without them, or the first one FATE_DAYS after their beginning.
    """
    decided, back, looks = list[int](), list[int](), 0
    for each in found:
        if int(each.where.sum()) * PIXEL_M2 < settings.decide.min_area_m2:
            continue
        days, episode, looks = each.found.days, each.episode, each.found.days.size
        known = int(np.searchsorted(days, days[episode.first] + FATE_DAYS))
        if episode.ended:
            clear = np.flatnonzero(np.isfinite(each.progress))
            back.append(int(clear[clear > episode.last][LEAST_LOOKS - 1]))
            known = min(known, back[-1])
        decided.append(known)
    return SitePrior(
        level=level_of(settings.decide.false_alarms_per_100km2_year), reverted=reverted_share(decided, back, looks)
    )


def stack_of(site: Site, looks: Sequence[Look], settings: Settings) -> Stack:
    """Baseline, residuals, natural steps and screening of looks in time order; raises DecisionError for too few."""
    known = founding_looks(site, len(looks), settings)
    baseline = build_baseline(looks[:known])
    residuals = [residual_of(look, baseline) for look in looks]
    times = times_between(looks, residuals, known)
    axis = leaf_to_soil(baseline, looks[0].bands)
    natural = natural_steps(baseline, residuals[:known], first_times(times, known), axis)
    screening = advance_screening(begin_screening(baseline), baseline, natural, residuals, times)
    return Stack(baseline=baseline, natural=natural, residuals=residuals, times=times, screening=screening)


def _take_apart(found: Sequence[Detection], min_area_m2: float) -> list[Detection]:
    """The detections, highest score first, without outlines that share more than OVERLAP with another object.

    The shared ground goes to the higher score. Parts smaller than a pixel are dropped. Re-roofing keeps the outline of
    its structure.
    """
    kept, cut = list[Detection](), dict[int, Shape | None]()
    for each in sorted(found, key=lambda one: (-one.score, _first_pixel(one.shape), one.episode.first)):
        if id(each.shape) not in cut:
            cut[id(each.shape)] = _cut_shape(each.shape, [other.shape for other in kept], min_area_m2)
        shape = cut[id(each.shape)]
        if shape is not None:
            kept.append(replace(each, shape=shape))
    return kept


def _cut_shape(shape: Shape, others: Sequence[Shape], min_area_m2: float) -> Shape | None:
    """A shape without the ground that it shares with others beyond OVERLAP; None where too little is left."""
    outline: Polygon | MultiPolygon = shape.outline
    tree = STRtree([other.outline for other in others])
    for index in tree.query(outline, predicate="intersects").tolist():
        if _overlap_share(outline, others[index].outline) > OVERLAP:
            outline = outline.difference(others[index].outline)
    if outline is shape.outline:
        return shape
    parts = [part for part in getattr(outline, "geoms", [outline]) if part.area >= PIXEL_M2]
    outline = parts[0] if len(parts) == 1 else MultiPolygon(parts)
    share = outline.area / shape.outline.area
    if outline.area < min_area_m2:
        return None
    return replace(shape, outline=outline, area_m2=shape.area_m2 * share, area_error_m2=shape.area_error_m2 * share)


def _overlap_share(one: Polygon | MultiPolygon, two: Polygon | MultiPolygon) -> float:
    smaller = min(one.area, two.area)
    return float(one.intersection(two).area / smaller) if smaller else 0.0


def _make_alert(site: Site, looks: Sequence[Look], found: Detection) -> Alert:
    episode, shape = found.episode, found.shape
    days = (looks[-1].time - looks[episode.first].time).days
    if episode.ended:
        status = Status.FINISHED if found.confirmed >= 0 else Status.WITHDRAWN
    elif found.confirmed < 0:
        status = Status.PROVISIONAL
    else:
        status = Status.FINISHED if days > YEAR_DAYS else Status.CONFIRMED
    point = Geometry(shape.outline.representative_point(), str(site.grid.crs)).to_crs("EPSG:4326").geom
    return Alert(
        id=_make_id(site, looks[episode.first], shape),
        outline=shape.outline,
        status=status,
        kind=found.kind,
        confidence=to_probability(found.odds),
        area_m2=shape.area_m2,
        area_error_m2=shape.area_error_m2,
        last_clear_before=looks[episode.before].time.date() if episode.before >= 0 else None,
        first_seen=looks[episode.first].time.date(),
        confirmed_at=looks[found.confirmed].time.date() if found.confirmed >= 0 else None,
        last_seen=looks[episode.last].time.date(),
        looks_seen=episode.looks_seen,
        looks_clear=episode.looks_clear,
        before_scene=looks[max(episode.before, 0)].scene.id,
        after_scene=looks[episode.last].scene.id,
        lon=round(float(point.x), 6),
        lat=round(float(point.y), 6),
        ended=looks[episode.last].time.date() if episode.ended and found.confirmed >= 0 else None,
        phases=_ground_phases(looks, found),
    )


def _ground_phases(looks: Sequence[Look], found: Detection) -> tuple[GroundPhase, ...]:
    """Phases by the days of their looks."""
    days = [(looks[each.first].time.date(), looks[each.last].time.date()) for each in found.phases]
    return tuple(
        GroundPhase(
            state=phase.state, begins_after=days[index - 1][1] if index else None, begins=days[index][0],
            ends=days[index][1], ends_before=days[index + 1][0] if index + 1 < len(days) else None,
            probability=phase.probability,
        ) for index, phase in enumerate(found.phases)
    )  # fmt: skip


def _make_observations(alert: Alert, looks: Sequence[Look], found: Detection) -> list[Observation]:
    shape, episode, rows = found.shape, found.episode, []
    for index, look in enumerate(looks):
        progress = found.progress[index]
        rows.append(
            Observation(
                change_id=alert.id,
                scene=look.scene.id,
                time=look.time,
                clear_share=float((look.why[shape.window][shape.where] == 0).mean()),
                score=float(progress) if np.isfinite(progress) else None,
                seen=bool(episode.seen[index]) and index >= episode.first,
            )
        )
    return rows


def _make_id(site: Site, look: Look, shape: Shape) -> str:
    """An id that a replay mints again: site, first look, and the middle of the outline to within CELL_M."""
    middle = shape.outline.centroid
    return _hash_text(f"{site.id}|{look.scene.id}|{middle.x // CELL_M:.0f}|{middle.y // CELL_M:.0f}")


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _first_pixel(shape: Shape) -> tuple[int, int]:
    """Row and column of an object's first pixel, on the whole grid."""
    row, col = np.argwhere(shape.core)[0] + [each.start for each in shape.window]
    return int(row), int(col)


def _make_evidence(site: Site, looks: Sequence[Look], stack: Stack) -> Evidence:
    """Scores of the pixels at both scales, the larger of the two; NaN where no look was clear."""
    shape, stride = stack.baseline.cover.shape, SCALES[1][1]

    def fine(plane: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.repeat(np.repeat(plane, stride, axis=0), stride, axis=1)[: shape[0], : shape[1]]

    coarse = np.asarray(fine(stack.screening.score[1]), np.float32)
    higher = coarse > stack.screening.score[0]
    clear = np.zeros(shape, bool)
    for look in looks:
        clear |= look.why == 0
    return Evidence(
        grid=site.grid,
        score=np.where(clear, np.maximum(coarse, stack.screening.score[0]), np.nan).astype(np.float32),
        since=np.where(higher, fine(stack.screening.start[1]), stack.screening.start[0]).astype(np.int16),
    )


def _choose_before_after(looks: Sequence[Look], alerts: Sequence[Alert]) -> tuple[str, str]:
    """The latest clear look, and of those before the first shown alert the one nearest to its season."""
    share = [round(float((look.why == 0).mean()), 2) for look in looks]
    good = [look for look, each in zip(looks, share, strict=True) if each >= 0.9 * max(share)]
    after = good[-1]
    shown = [alert.first_seen for alert in alerts if alert.status is not Status.WITHDRAWN]
    limit = min(shown, default=after.time.date())
    earlier = [look for look in good if look.time.date() < limit] or [good[0]]
    day = after.time.timetuple().tm_yday

    def apart(look: Look) -> tuple[int, float]:
        days = abs(look.time.timetuple().tm_yday - day)
        return min(days, 365 - days) // 20, -look.time.timestamp()

    return min(earlier, key=apart).scene.id, after.scene.id


def _list_cautions(looks: Sequence[Look]) -> tuple[str, ...]:
    if len(looks) < 2 * LEAST_LOOKS:
        return (f"only {len(looks)} looks: a change needs {LEAST_LOOKS} clear looks before it and {LEAST_LOOKS} after",)
    if len(looks) < FEW_LOOKS:
        return (f"only {len(looks)} looks of history: alerts are weak until more looks confirm them",)
    return ()
