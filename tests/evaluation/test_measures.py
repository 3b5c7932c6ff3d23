"""Scoring: made-up claims against made-up truths."""

from datetime import date

import pytest
from shapely.geometry import box

from pipeline.evaluation.measures import evaluate_review, pool_measures, wilson_interval
from pipeline.evaluation.reviewed import Claim, Reviewed, Scope, Truth
from pipeline.evaluation.verdicts import precision_of_verdicts

DAYS = tuple(date(2020, month, 1) for month in range(1, 13))
AOI = box(0, 0, 2000, 2000)


def claim(outline, **changes) -> Claim:
    facts = {
        "id": f"{outline.bounds}", "outline": outline, "status": "confirmed", "kind": "new structure",
        "confidence": 0.9, "area_m2": outline.area, "first_seen": date(2020, 4, 1),
        "confirmed_at": date(2020, 6, 1), "verdict": None, "clear": DAYS,
    }  # fmt: skip
    return Claim(**{**facts, **changes})


def truth(outline, **changes) -> Truth:
    facts = {
        "id": "hall", "role": "change", "kind": "new structure", "size": "100x100 m", "outline": outline,
        "begins": date(2020, 4, 1),
    }  # fmt: skip
    return Truth(**{**facts, **changes})


def reviewed(*claims: Claim) -> Reviewed:
    return Reviewed(name="site", crs="EPSG:32634", claims=claims, aoi=AOI, days=DAYS)


def test_a_claim_on_the_spot_is_found_with_its_overlap_and_its_delay() -> None:
    found = evaluate_review(reviewed(claim(box(500, 500, 600, 580))), [truth(box(500, 500, 600, 600))]).sought[0]
    assert found.confirmed and found.claims == 1
    assert found.iou == pytest.approx(0.8)
    assert (found.delay_days, found.delay_looks) == (61, 3)


def test_what_no_claim_touches_is_missed_and_what_touches_nothing_is_wrong_by_area_and_time() -> None:
    measures = evaluate_review(reviewed(claim(box(100, 100, 200, 200))), [truth(box(500, 500, 600, 600))])
    assert not measures.sought[0].found
    assert [wrong.hits for wrong in measures.wrong] == ["nothing"]
    assert measures.false_rate == pytest.approx(100 / (4 * 335 / 365.25), rel=1e-6)
    assert measures.judged == ((0.9, False),)


def test_a_claim_on_a_distractor_is_wrong_and_says_so_and_a_provisional_one_is_not_counted() -> None:
    field = truth(box(900, 900, 1200, 1200), role="distractor", kind="ploughing")
    measures = evaluate_review(
        reviewed(claim(box(950, 950, 1100, 1100)), claim(box(10, 10, 60, 60), confirmed_at=None)), [field]
    )
    assert [wrong.hits for wrong in measures.wrong] == ["ploughing"]
    assert measures.sought == ()


def test_an_older_claim_on_the_spot_is_no_find() -> None:
    old = claim(box(500, 500, 600, 600), first_seen=date(2019, 4, 1))
    assert not evaluate_review(reviewed(old), [truth(box(500, 500, 600, 600))]).sought[0].found


def test_what_begins_too_late_or_reaches_out_of_the_aoi_is_not_asked_for() -> None:
    late, outside = truth(box(500, 500, 600, 600), begins=date(2020, 11, 20)), truth(box(1950, 0, 2050, 100))
    assert evaluate_review(reviewed(), [late, outside]).sought == ()


def test_the_smart_rule_counts_large_sites_once_and_small_ones_never() -> None:
    large, small = truth(box(500, 500, 600, 600)), truth(box(800, 800, 850, 850))
    claims = [claim(box(500, 500, 600, 560)), claim(box(800, 800, 850, 850)), claim(box(1200, 1200, 1400, 1400))]
    assert evaluate_review(reviewed(*claims), [large, small]).smart == (1, 1, 0)


def test_the_smart_rule_matches_one_to_one_and_for_the_most() -> None:
    left, right = truth(box(500, 500, 600, 600), id="left"), truth(box(600, 500, 700, 600), id="right")
    # across both sites, and nearer to the left one than the claim that fits that one alone
    across, alone = claim(box(520, 500, 680, 600)), claim(box(500, 500, 545, 600))
    assert evaluate_review(reviewed(across, alone), [left, right]).smart == (2, 0, 0)
    assert evaluate_review(reviewed(across), [left, right]).smart == (1, 0, 1)
    assert evaluate_review(reviewed(across), [left, right]).smart_f1 == pytest.approx(2 / 3)


def test_what_each_kind_was_called_is_counted_and_the_first_sight_dated() -> None:
    truths = [truth(box(x, 500, x + 100, 600), id=str(x), kind=kind)
              for x, kind in ((200, "new structure"), (500, "new structure"), (800, "demolished"))]  # fmt: skip
    claims = [claim(box(200, 500, 300, 600), kind="cleared ground", first_seen=date(2020, 4, 11)),
              claim(box(800, 500, 900, 600), kind="demolished")]  # fmt: skip
    measures = evaluate_review(reviewed(*claims), truths)
    assert measures.kinds == {"new structure": {"cleared ground": 1, "missed": 1}, "demolished": {"demolished": 1}}
    assert [each.seen_days for each in measures.sought] == [10, None, 0]


def test_pooled_evaluations_add_up() -> None:
    one = evaluate_review(reviewed(claim(box(100, 100, 200, 200))), [truth(box(500, 500, 600, 600))])
    both = pool_measures([one, one])
    assert (len(both.sought), len(both.wrong)) == (2, 2)
    assert both.false_rate == pytest.approx(one.false_rate)


def test_intervals_are_those_of_wilson() -> None:
    assert wilson_interval(8, 10) == pytest.approx((0.490, 0.943), abs=1e-3)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_verdicts_that_contradict_the_confidence_are_a_drift_and_few_are_none() -> None:
    def given(verdict: str, count: int) -> list[Claim]:
        return [claim(box(index, 0, index + 1, 1), verdict=verdict, confidence=0.9) for index in range(count)]

    agreed, drifted = (
        precision_of_verdicts(given("construction", 9) + given("no change", 1)),
        precision_of_verdicts(given("no change", 12)),
    )
    assert not agreed.drifts and agreed.given == 9 and agreed.expected == pytest.approx(9)
    assert drifted.drifts and drifted.drift < 0
    assert not precision_of_verdicts(given("no change", 5)).drifts
    assert precision_of_verdicts(given("uncertain", 4)).verdicts == 0


def test_a_look_that_did_not_see_the_ground_is_no_delay() -> None:
    seen = tuple(day for day in DAYS if day.month not in (4, 5))
    found = evaluate_review(
        reviewed(claim(box(500, 500, 600, 600), clear=seen)), [truth(box(500, 500, 600, 600))]
    ).sought[0]
    assert (found.delay_days, found.delay_looks, found.detections) == (61, 1, 7)


def test_a_roof_renewed_later_is_no_second_claim_of_the_building_under_it() -> None:
    spot = box(500, 500, 600, 600)
    hall, roof = truth(spot), truth(spot, id="roof", kind="resurfaced", begins=date(2020, 9, 1))
    old = claim(spot, id="old")
    new = claim(spot, id="new", kind="resurfaced", first_seen=date(2020, 9, 1), confirmed_at=date(2020, 10, 1))
    first, second = evaluate_review(reviewed(new, old), [hall, roof]).sought
    assert (first.claims, first.called, first.delay_days) == (1, "new structure", 61)
    assert (second.claims, second.called, second.delay_days) == (1, "resurfaced", 30)


def test_only_what_the_truth_covers_is_counted() -> None:
    hall = truth(box(500, 500, 600, 600))
    found = claim(box(500, 500, 600, 600), kind="cleared ground")
    clearing = claim(box(100, 100, 200, 200), kind="cleared ground")
    phantom = claim(box(1500, 1500, 1600, 1600))
    scope = Scope(kinds=("new structure",))
    measures = evaluate_review(reviewed(found, clearing, phantom), [hall], scope)
    assert measures.sought[0].confirmed and [wrong.id for wrong in measures.wrong] == [phantom.id]
    assert measures.outside == 1 and len(measures.judged) == 2 and pool_measures([measures, measures]).outside == 2
    west, summer = Scope(area=box(0, 0, 1000, 2000)), Scope(start=date(2020, 3, 1), end=date(2020, 9, 1))
    assert [wrong.id for wrong in evaluate_review(reviewed(clearing, phantom), [], west).wrong] == [clearing.id]
    assert evaluate_review(reviewed(), [], west).km2_years == pytest.approx(reviewed().km2_years / 2)
    assert evaluate_review(reviewed(), [], summer).km2_years == pytest.approx(4 * 184 / 365.25)
    late = claim(box(100, 100, 200, 200), first_seen=date(2020, 10, 1))
    assert evaluate_review(reviewed(late), [], summer).outside == 1
