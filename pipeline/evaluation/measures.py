"""Evaluation of alerts against truth: recall, delays, outlines, misses and false alerts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.evaluation.reviewed import CHANGE, Claim, Reviewed, Scope, Truth
from pipeline.model.alert import Kind

COVERED, OVERLAP = 0.25, 0.2
"""A claim is a detection of a true change if it covers this share of it, or overlaps it with this IoU."""
SAME_PLACE = 0.5
"""Share of one outline above which two changes are of one place."""
EARLY_DAYS = 60
"""Days before a change at which the start of a claim no longer counts as a detection of it."""
NEAR_M = 30.0
GRACE_DAYS = 60
"""Distance at which a false claim is near a change, metres; days at the end of the series that are not scored."""
SMART_IOU, SMART_SMALL_M2 = 0.2, 9000.0
"""Match rule of the public scorer of IARPA SMART (JHU/APL): IoU, and the size below which a site does not count."""
MISSED = "missed"
SAME_SPOT = (Kind.RESURFACED.value, Kind.DEMOLISHED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueChange:
    """A true change and its claims. Delays from its first day to confirmation.

    claim: id of the alert that fits best. begins: the day on which it could first be seen.
    seen_days: from its first day to the first look in which it was seen. delay_looks, `detections`: looks in which its
    ground was clear, until it was confirmed and in all; None, 0 without a matching claim.
    """

    id: str
    kind: str
    size: str
    area_m2: float
    found: bool
    confirmed: bool
    begins: date | None = None
    claim: str = ""
    claims: int = 0
    called: str = ""
    status: str = ""
    iou: float = 0.0
    claimed_m2: float = 0.0
    first_seen: date | None = None
    seen_days: int | None = None
    delay_days: int | None = None
    delay_looks: int | None = None
    detections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlert:
    """A confirmed claim that hits no change. hits: the distractor it lies on, "near a change" or "nothing"."""

    id: str
    kind: str
    confidence: float
    hits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """All counts of one evaluation, or of several pooled. judged: (confidence, right) of every claim in the scope.

    outside: claims that hit no change and lie outside what the truth covers, neither right nor wrong.
    """

    sought: tuple[TrueChange, ...]
    wrong: tuple[FalseAlert, ...]
    judged: tuple[tuple[float, bool], ...]
    km2_years: float
    smart: tuple[int, int, int]
    outside: int = 0

    @property
    def false_rate(self) -> float:
        """False confirmed polygons per 100 km2 and year."""
        return 100 * len(self.wrong) / self.km2_years if self.km2_years else float("nan")

    @property
    def kinds(self) -> dict[str, dict[str, int]]:
        """Confusion of change types: true type, reported type, count; "missed" without a claim."""
        table: dict[str, dict[str, int]] = {}
        for each in self.sought:
            row = table.setdefault(each.kind, {})
            called = each.called if each.found else MISSED
            row[called] = row.get(called, 0) + 1
        return table

    @property
    def smart_f1(self) -> float:
        """F1 by the rule of the SMART scorer; NaN without true changes and claims."""
        found, wrong, missed = self.smart
        return 2 * found / (2 * found + wrong + missed) if any(self.smart) else float("nan")


def evaluate_review(reviewed: Reviewed, truths: Sequence[Truth], scope: Scope | None = None) -> Measures:
    """Score a review file. True changes that leave the AOI, or begin too late to be confirmed, are not scored.

    scope: what the truth covers, None = everything; a claim outside it on no change is not counted. A claim on a true
    change is correct with any change type, unless it began long before it. smart: (found, wrong, missed) new structures
    by the rule of the SMART scorer.
    """
    scope = scope or Scope()
    changes = [truth for truth in truths if truth.role == CHANGE]
    last = reviewed.days[-1] if reviewed.days else date.min
    asked = [
        truth for truth in changes
        if truth.outline.within(reviewed.aoi.buffer(1)) and truth.begins <= last - timedelta(days=GRACE_DAYS)
    ]  # fmt: skip
    right = {claim.id for claim in reviewed.claims if any(_is_on_change(claim, truth) for truth in changes)}
    claims = tuple(claim for claim in reviewed.claims if claim.id in right or scope.covers(claim))
    wrong = [
        FalseAlert(id=claim.id, kind=claim.kind, confidence=claim.confidence, hits=_hit_by(claim, truths))
        for claim in claims
        if claim.confirmed_at is not None and claim.id not in right
    ]
    return Measures(
        sought=tuple(_score_change(truth, reviewed, changes) for truth in asked),
        wrong=tuple(wrong),
        judged=tuple((claim.confidence, claim.id in right) for claim in claims),
        km2_years=reviewed.covered_km2_years(scope),
        smart=_smart_counts(claims, asked),
        outside=len(reviewed.claims) - len(claims),
    )


def pool_measures(parts: Sequence[Measures]) -> Measures:
    """Several evaluations as one."""
    return Measures(
        sought=tuple(each for part in parts for each in part.sought),
        wrong=tuple(each for part in parts for each in part.wrong),
        judged=tuple(each for part in parts for each in part.judged),
        km2_years=sum(part.km2_years for part in parts),
        smart=(sum(part.smart[0] for part in parts), sum(part.smart[1] for part in parts),
               sum(part.smart[2] for part in parts)),
        outside=sum(part.outside for part in parts),
    )  # fmt: skip


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); (0, 1) of nothing."""
    if total == 0:
        return 0.0, 1.0
    share, z = hits / total, 1.96
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    return float(max(middle - half, 0)), float(min(middle + half, 1))


def reliability_bins(
    judged: Sequence[tuple[float, bool]], edges: Sequence[float]
) -> list[tuple[float, float, int, int]]:
    """(mean confidence, share right, right, all) of every bin between edges that holds a claim."""
    rows = []
    for low, high in pairwise(edges):
        inside = [(sure, right) for sure, right in judged if low <= sure < high]
        if inside:
            hits = sum(right for _, right in inside)
            mean = float(np.mean([sure for sure, _ in inside]))
            rows.append((mean, hits / len(inside), hits, len(inside)))
    return rows


def _intersection_over_union(claim: Claim, truth: Truth) -> float:
    common = claim.outline.intersection(truth.outline).area
    return float(common / claim.outline.union(truth.outline).area)


def _is_hit(claim: Claim, truth: Truth) -> bool:
    if (truth.begins - claim.first_seen).days > EARLY_DAYS or not claim.outline.intersects(truth.outline):
        return False
    return (
        claim.outline.intersection(truth.outline).area >= COVERED * truth.outline.area
        or _intersection_over_union(claim, truth) >= OVERLAP
    )


def _is_on_change(claim: Claim, truth: Truth) -> bool:
    """Right: it hits the change, or lies on it for the most part (a piece of a road is no false claim)."""
    if not claim.outline.intersects(truth.outline):
        return False
    return _is_hit(claim, truth) or claim.outline.intersection(truth.outline).area >= 0.5 * claim.outline.area


def _is_meant(claim: Claim, truth: Truth, truths: Sequence[Truth]) -> bool:
    """False where the claim hits another change of the same place that began nearer to it: a roof renewed later."""
    off = abs((claim.first_seen - truth.begins).days)
    return not any(
        abs((claim.first_seen - other.begins).days) < off
        and other.outline.intersection(truth.outline).area >= SAME_PLACE * truth.outline.area
        and _is_hit(claim, other)
        for other in truths
    )


def _score_change(truth: Truth, reviewed: Reviewed, truths: Sequence[Truth]) -> TrueChange:
    hits = [claim for claim in reviewed.claims if _is_hit(claim, truth) and _is_meant(claim, truth, truths)]
    common = {"id": truth.id, "kind": truth.kind, "size": truth.size, "area_m2": float(truth.outline.area),
              "begins": truth.begins}  # fmt: skip
    if not hits:
        return TrueChange(found=False, confirmed=False, **common)  # type: ignore[arg-type]
    best = max(hits, key=lambda claim: (claim.confirmed_at is not None, _intersection_over_union(claim, truth)))
    days = looks = None
    if best.confirmed_at is not None:
        days = (best.confirmed_at - truth.begins).days
        looks = sum(truth.begins <= day <= best.confirmed_at for day in best.clear)
    return TrueChange(
        found=True,
        confirmed=best.confirmed_at is not None,
        claim=best.id,
        claims=len(hits),
        called=best.kind,
        status=best.status,
        iou=_intersection_over_union(best, truth),
        claimed_m2=best.area_m2,
        first_seen=best.first_seen,
        delay_days=days,
        delay_looks=looks,
        seen_days=(best.first_seen - truth.begins).days,
        detections=sum(day >= truth.begins for day in best.clear),
        **common,  # type: ignore[arg-type]
    )


def _hit_by(claim: Claim, truths: Sequence[Truth]) -> str:
    for truth in truths:
        if truth.role != CHANGE and claim.outline.distance(truth.outline) <= NEAR_M / 2:
            return truth.kind
    near = any(truth.role == CHANGE and claim.outline.distance(truth.outline) <= NEAR_M for truth in truths)
    return "near a change" if near else "nothing"


def _smart_counts(counted: Sequence[Claim], truths: Sequence[Truth]) -> tuple[int, int, int]:
    """(found, wrong, missed): a site's polygon stays the same here, so that half its polygons are one overlap.

    Sites and claims are matched one to one, so that the sum of their IoU is the largest (Kuhn 1955).
    """
    built = [truth for truth in truths if truth.kind == Kind.NEW_STRUCTURE.value]
    large = [truth for truth in built if truth.outline.area >= SMART_SMALL_M2]
    claims = [claim for claim in counted if claim.confirmed_at is not None and claim.kind not in SAME_SPOT]
    overlap = np.array([[_intersection_over_union(claim, truth) for claim in claims] for truth in large]).reshape(
        len(large), len(claims)
    )
    overlap[overlap < SMART_IOU] = 0
    pairs = zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
    taken = {claims[column].id for row, column in pairs if overlap[row, column] > 0}
    small = [truth for truth in built if truth.outline.area < SMART_SMALL_M2]
    wrong = [
        claim for claim in claims
        if claim.id not in taken and claim.outline.area >= SMART_SMALL_M2
        and not any(_intersection_over_union(claim, truth) >= SMART_IOU for truth in small)
    ]  # fmt: skip
    return len(taken), len(wrong), len(large) - len(taken)
