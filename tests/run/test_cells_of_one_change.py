"""Alerts of overlapping cells: one for each change, from the cell that holds most of it, with its whole outline."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from shapely.geometry import box

from pipeline.model.alert import Alert
from pipeline.run.cell_merging import LATER_DAYS, CellAlert, alerts_touching, merge_alerts
from tests.review import made

WEST, EAST, WHOLE = made.GRID[:, :30], made.GRID[:, 30:], made.GRID


def seen(core, alert: Alert, ground=WHOLE) -> CellAlert:
    return CellAlert(alert=alert, core=core, seen=ground)


def hall(name: str, col: int, cols: int = 8, **changes) -> Alert:
    return made.alert(outline=made.outline(20, col, 6, cols), id=name, **changes)


def test_the_cell_that_holds_most_of_a_change_speaks_for_it() -> None:
    for first, second in ((26, 24), (24, 26), (25, 25)):
        one, two = hall("one", first, confidence=0.6), hall("two", second, confidence=0.8)
        (alert,) = merge_alerts([seen(WEST, one), seen(EAST, two)])
        share = {"one": max(0, 30 - first) / 8, "two": max(0, second + 8 - 30) / 8}
        assert alert.id == max(sorted(share), key=lambda name: share[name])


def test_of_two_cells_with_the_same_share_the_first_id_speaks_whatever_the_order() -> None:
    found = [seen(WEST, hall("b", 26)), seen(EAST, hall("a", 26))]
    assert merge_alerts(found) == merge_alerts(found[::-1])
    assert merge_alerts(found)[0].id == "a"


def test_an_outline_that_a_halo_cut_off_is_completed_by_the_other_cells() -> None:
    cut = made.GRID[:, :31]
    west, east = hall("west", 23), hall("east", 28)
    (alert,) = merge_alerts([seen(WEST, west, cut), seen(EAST, east)])
    assert alert.id == "west"
    assert alert.outline.equals(west.outline.union(east.outline))
    assert (alert.area_m2, alert.area_error_m2) == (west.area_m2 * 13 / 8, west.area_error_m2 * 13 / 8)


def test_an_outline_that_lies_well_inside_its_cell_is_left_alone() -> None:
    west, east = hall("west", 23), hall("east", 28)
    (alert,) = merge_alerts([seen(WEST, west, made.GRID[:, :33]), seen(EAST, east)])
    assert alert == west
    near = merge_alerts([seen(WEST, west, made.GRID[:, :32]), seen(EAST, east)])[0]
    assert near.outline.area > west.outline.area, "a pixel before the end of its cell it may go on"


@pytest.mark.parametrize(("shared", "alerts"), [(2, 2), (3, 1)])
def test_two_outlines_are_one_change_from_three_tenths_of_the_smaller_on(shared: int, alerts: int) -> None:
    small, large = hall("small", 30 - 10 + shared, 10), hall("large", 30, 16)
    assert len(merge_alerts([seen(WEST, small), seen(EAST, large)])) == alerts


def test_outlines_that_only_touch_and_those_of_one_cell_stay_apart() -> None:
    assert len(merge_alerts([seen(WEST, hall("a", 22)), seen(EAST, hall("b", 30))])) == 2
    assert len(merge_alerts([seen(WEST, hall("a", 22)), seen(WEST, hall("b", 23))])) == 2


def test_a_change_that_three_cells_saw_in_part_is_one() -> None:
    cells = [made.GRID[:, 20 * part : 20 * part + 20] for part in range(3)]
    parts = [hall("c", 14, 12), hall("a", 18, 24), hall("b", 36, 10)]
    (alert,) = merge_alerts([seen(cell, part) for cell, part in zip(cells, parts, strict=True)])
    assert alert.id == "a"


def test_the_surest_change_comes_first_and_equals_by_id() -> None:
    three = [hall("a", 2, confidence=0.5), hall("c", 14, confidence=0.9), hall("b", 40, confidence=0.9)]
    assert [each.id for each in merge_alerts([seen(WEST, each) for each in three])] == ["b", "c", "a"]


@pytest.mark.parametrize(("days", "alerts"), [(LATER_DAYS, 1), (LATER_DAYS + 1, 2)])
def test_two_later_roofs_of_one_hall_are_apart_by_more_than_a_season(days: int, alerts: int) -> None:
    first = date(2025, 6, 1)
    west = [hall("w", 26), hall("w-roof", 26, first_seen=first)]
    east = [hall("e", 27), hall("e-roof", 27, first_seen=first + timedelta(days=days))]
    found = [seen(WEST, each) for each in west] + [seen(EAST, each) for each in east]
    assert len(merge_alerts(found)) == 1 + alerts


def test_a_cell_reports_what_reaches_into_its_core() -> None:
    inside, border, halo = hall("in", 10), hall("border", 26), hall("halo", 30)
    assert [each.id for each in alerts_touching([inside, border, halo], WEST)] == ["in", "border"]
    west = replace(inside, outline=box(*inside.outline.bounds))
    assert alerts_touching([west], EAST) == ()
