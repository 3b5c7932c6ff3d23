"""Neighbouring cells that saw the same changes: each is told once, a roof renewed beside the hall under it."""

from dataclasses import replace
from datetime import date

from odc.geo.geobox import GeoBox

from pipeline.run.cell_merging import CellAlert, merge_alerts
from tests.review import made

LATER = {"first_seen": date(2025, 6, 1), "last_clear_before": date(2025, 5, 20)}


def seen(core: GeoBox, *alerts):
    return [CellAlert(alert=alert, core=core, seen=made.GRID) for alert in alerts]


def test_two_cells_that_saw_a_hall_and_its_later_roof_tell_both_once() -> None:
    hall = made.alert(2, row=20, col=26)
    west = seen(made.GRID[:, :30], hall, replace(hall, id="roof-west", **LATER))
    shifted = made.moved(hall, 5)
    east = seen(made.GRID[:, 30:], replace(shifted, id="hall-east"), replace(shifted, id="roof-east", **LATER))
    told = merge_alerts([*west, *east])
    assert sorted(alert.first_seen for alert in told) == [hall.first_seen, LATER["first_seen"]]


def test_a_change_that_two_cells_date_years_apart_is_still_one() -> None:
    hall = made.alert(2, row=20, col=26)
    assert (
        len(merge_alerts([*seen(made.GRID[:, :30], hall), *seen(made.GRID[:, 30:], replace(hall, id="e", **LATER))]))
        == 1
    )
