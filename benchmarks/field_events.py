"""Dated works at real sites, as published: what the field trial asks for.

Sources, each read for its dates: the page of December 2024 on the February 11 plant
(armscontrolwonk.com/archive/1220121) and the press of 25 November 2024; RFA of 19 September 2024 on Kangson; CSIS and
ISIS of June 2025 on Yongbyon; CNN of July 2025 on Alabuga. No coordinate of the hall of 2024, of the annexes or of the
dormitories was published: they are looked for anywhere in their AOI, by size.
"""

from dataclasses import dataclass
from datetime import date

from pipeline.model.alert import Kind

BUILT = (Kind.NEW_STRUCTURE,)
BEGUN = (Kind.NEW_STRUCTURE, Kind.CLEARED_GROUND)
RAZED = (Kind.NEW_STRUCTURE, Kind.CLEARED_GROUND, Kind.DEMOLISHED, Kind.RESURFACED)
RENEWED = (Kind.RESURFACED,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One dated event. site: id in aois/watch.geojson. earliest, latest: days between which it began.

    kinds: what it may be called. place: lon, lat of a point on it, None = anywhere in the AOI. area_m2: least and
    largest outline taken for it. until: last day looked at.
    """

    site: str
    what: str
    earliest: date
    latest: date
    kinds: tuple[Kind, ...]
    until: date
    place: tuple[float, float] | None = None
    area_m2: tuple[float, float] = (400.0, 20_000.0)


PLANT, KANGSON, YONGBYON, ALABUGA = "february-11-plant", "kangson", "yongbyon-new-hall", "alabuga"
BUILDING_A, BUILDING_B, HALL = (127.656521, 39.921628), (127.657091, 39.920212), (125.758882, 39.785074)
EVENTS = (
    Event(
        site=PLANT, what="Building B begun, mid-2020", earliest=date(2020, 5, 1), latest=date(2020, 9, 30),
        kinds=BUILT, until=date(2025, 12, 31), place=BUILDING_B,
    ),
    Event(
        site=PLANT, what="roof of Building A renewed, 2023", earliest=date(2023, 1, 1), latest=date(2023, 12, 31),
        kinds=RENEWED, until=date(2025, 12, 31), place=BUILDING_A,
    ),
    Event(
        site=PLANT, what="roof of Building B renewed, 2023", earliest=date(2023, 1, 1), latest=date(2023, 12, 31),
        kinds=RENEWED, until=date(2025, 12, 31), place=BUILDING_B,
    ),
    Event(
        site=PLANT, what="hall of 2024, seen early in October", earliest=date(2024, 1, 1), latest=date(2024, 10, 10),
        kinds=BEGUN, until=date(2025, 12, 31), area_m2=(2_000.0, 8_000.0),
    ),
    Event(
        site=KANGSON, what="annex of about 1,595 m2", earliest=date(2024, 2, 1), latest=date(2024, 4, 10),
        kinds=BUILT, until=date(2025, 4, 10), area_m2=(800.0, 3_200.0),
    ),
    Event(
        site=KANGSON, what="side building", earliest=date(2024, 4, 20), latest=date(2024, 5, 31), kinds=BUILT,
        until=date(2025, 4, 10), area_m2=(200.0, 3_200.0),
    ),
    Event(
        site=YONGBYON, what="new hall, work from mid-December 2024", earliest=date(2024, 12, 1),
        latest=date(2025, 1, 15), kinds=RAZED, until=date(2025, 12, 31), place=HALL,
    ),
    Event(
        site=YONGBYON, what="side building and vehicle store", earliest=date(2025, 6, 1), latest=date(2025, 10, 22),
        kinds=BUILT, until=date(2025, 12, 31), area_m2=(200.0, 3_000.0),
    ),
    Event(
        site=ALABUGA, what="dormitories after snowmelt", earliest=date(2025, 2, 1), latest=date(2025, 7, 12),
        kinds=BEGUN, until=date(2025, 12, 31),
    ),
)  # fmt: skip
