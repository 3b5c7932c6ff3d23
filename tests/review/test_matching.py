from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model.alert import Status
from pipeline.review.gpkg import read_rows
from pipeline.review.matching import Row, match_alerts
from tests.review import made
from tests.review.conftest import put


def row(alert, fid=1, **changes):
    facts = {
        "fid": fid, "change_id": alert.id, "status": "confirmed", "verdict": None, "confidence": alert.confidence,
        "area_m2": alert.area_m2, "outline": alert.outline,
    }  # fmt: skip
    return Row(**{**facts, **changes})


def ids(matched):
    return sorted(alert.id for alert in matched.decision.alerts)


def test_an_alert_that_overlaps_an_old_one_keeps_the_old_id_and_so_do_its_looks():
    old, new = made.alert(1), made.moved(made.alert(2), 20)
    matched = match_alerts([row(old)], made.decision([new]))
    assert ids(matched) == [old.id]
    assert {seen.change_id for seen in matched.decision.observations} == {old.id}


def test_a_building_that_grew_eightfold_is_still_one_alert():
    old = made.alert(1, outline=made.outline(10, 10, 3, 3))
    grown = made.alert(2, outline=made.outline(8, 8, 9, 8))
    assert ids(match_alerts([row(old)], made.decision([grown]))) == [old.id]


def test_two_alerts_on_one_row_go_to_the_better_overlap_and_the_other_is_new():
    old = made.alert(1)
    near, far = made.moved(made.alert(3), 10), made.moved(made.alert(2), 50)
    matched = match_alerts([row(old)], made.decision([far, near]))
    assert ids(matched) == sorted([old.id, far.id])


def test_a_new_alert_never_takes_the_id_of_one_that_lies_elsewhere():
    old, twin = made.alert(1), made.alert(2)
    elsewhere = made.alert(1, row=40, col=40)
    matched = match_alerts([row(old)], made.decision([twin, elsewhere]))
    assert ids(matched) == [old.id, f"{old.id}-2"]


def test_an_outline_of_the_analyst_is_found_instead_of_a_new_alert():
    found = made.alert(2)
    matched = match_alerts([row(made.alert(1), change_id=None, status=None)], made.decision([found]))
    assert not matched.decision.alerts and not matched.decision.observations
    assert matched.drawn == {1: 1}


def test_a_rejected_alert_suppresses_its_own_recurrence_and_its_pieces():
    rejected = row(made.alert(1), verdict="no change")
    again, piece = made.alert(2), made.alert(3, outline=made.outline(12, 12, 2, 2))
    matched = match_alerts([rejected], made.decision([again, piece]))
    assert ids(matched) == [rejected.change_id]
    assert matched.suppressed == {1: 1} and not matched.returned


def test_something_clearly_stronger_on_rejected_ground_is_a_new_alert_and_is_said():
    rejected = row(made.alert(1, confidence=0.5), verdict="other change")
    strong = made.alert(2, confidence=0.95)
    matched = match_alerts([rejected], made.decision([strong]))
    assert ids(matched) == [strong.id] == list(matched.returned)
    later = match_alerts([rejected, row(strong, fid=2)], made.decision([replace(strong, id="a" * 16)]))
    assert ids(later) == [strong.id] and not later.returned


def test_uncertain_and_construction_do_not_suppress():
    for verdict in ("uncertain", "construction", None):
        judged = row(made.alert(1, confidence=0.5), verdict=verdict)
        piece = made.alert(3, outline=made.outline(20, 20, 3, 3))
        assert ids(match_alerts([judged], made.decision([made.alert(2, confidence=0.95), piece]))) == [
            judged.change_id,
            piece.id,
        ]


@settings(max_examples=60, deadline=None)
@given(places=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6), seed=st.randoms())
def test_the_order_of_rows_and_alerts_does_not_matter_and_ids_are_unique(places, seed):
    alerts = [made.alert(n, row=row_, col=col) for n, (row_, col) in enumerate(places)]
    rows = [row(made.moved(a, 30, id=f"b{n:015d}"), fid=n + 1) for n, a in enumerate(alerts[::2])]
    looks = made.looks(count=8)
    first = match_alerts(rows, made.decision(alerts, looks))
    seed.shuffle(alerts)
    seed.shuffle(rows)
    second = match_alerts(rows, made.decision(alerts, looks))
    outlines = {a.id: a.outline.wkt for a in first.decision.alerts}
    assert outlines == {a.id: a.outline.wkt for a in second.decision.alerts}
    assert len(outlines) == len(first.decision.alerts)


def test_the_area_of_a_rejected_row_is_compared_even_where_it_is_unknown():
    rejected = row(made.alert(1, confidence=0.9), verdict="no change", area_m2=None)
    assert not match_alerts([rejected], made.decision([made.alert(2)])).returned


def test_a_roof_renewed_on_a_building_takes_neither_its_id_nor_a_new_one_each_night():
    building = made.alert(2)
    roof = made.alert(1, first_seen=date(2025, 6, 1), last_clear_before=date(2025, 5, 20))
    rows = [row(building, first_seen=building.first_seen)]
    tonight = made.decision([replace(building, id="minted-anew"), roof])
    assert ids(match_alerts(rows, tonight)) == sorted([building.id, roof.id])
    rows.append(row(roof, fid=2, first_seen=roof.first_seen))
    tonight = made.decision([replace(building, id="b"), replace(roof, id="a")])
    named = {alert.first_seen: alert.id for alert in match_alerts(rows, tonight).decision.alerts}
    assert named == {building.first_seen: building.id, roof.first_seen: roof.id}


def test_what_is_built_where_an_earlier_change_was_over_is_another_alert_even_on_a_rejected_outline():
    field = made.alert(1)
    building = made.alert(2, last_clear_before=date(2024, 4, 1), first_seen=date(2024, 4, 16))
    for verdict in (None, "no change"):
        ended = row(field, status="finished", verdict=verdict, last_seen=date(2023, 9, 1))
        matched = match_alerts([ended], made.decision([building]))
        assert ids(matched) == [building.id]
        assert matched.over == {field.id} and not matched.suppressed


def test_what_stands_is_one_alert_however_its_first_day_is_corrected():
    standing = row(made.alert(1), status="finished", last_seen=date(2024, 6, 1))
    matched = match_alerts([standing], made.decision([made.alert(2, last_clear_before=date(2024, 4, 1))]))
    assert ids(matched) == [made.alert(1).id] and not matched.over


def test_a_change_that_is_over_stays_finished_when_another_begins_on_its_ground(tmp_path):
    field = made.alert(1, status=Status.FINISHED)
    later = made.alert(2, last_clear_before=field.last_seen, first_seen=field.last_seen + timedelta(15))
    put(tmp_path, [field])
    put(tmp_path, [later])
    found = {row.change_id: row.status for row in read_rows(tmp_path / "review.gpkg")}
    assert found == {field.id: "finished", later.id: "confirmed"}
