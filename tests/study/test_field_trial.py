"""The field trial: which alert is taken for an event, what a served hall gives, a provider that does not answer."""

import json
import socket
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from odc.geo.geom import Geometry
from shapely.geometry import box, mapping

from benchmarks import field_trial
from benchmarks.field_events import EVENTS, PLANT, Event
from benchmarks.run import names
from pipeline.catalogue import fetch
from pipeline.catalogue.sites import read_sites
from pipeline.evaluation.reviewed import Claim, Reviewed
from pipeline.model.alert import Alert, Kind, Status
from pipeline.model.errors import UsageError
from tests import world
from tests.faults.served import items_of
from tests.peer import range_server, stac_api
from tests.review import made

HALL = Event(
    site="made-place", what="a hall", earliest=date(2023, 3, 1), latest=date(2023, 4, 1), kinds=(Kind.NEW_STRUCTURE,),
    until=date(2024, 1, 1), area_m2=(1_000.0, 8_000.0),
)  # fmt: skip


def found(*alerts: Alert, event: Event = HALL) -> tuple[Alert | None, str]:
    return field_trial.found(event, made.site(), made.decision(alerts))


def test_an_alert_whose_bracket_meets_the_published_days_is_a_hit() -> None:
    hit = made.alert(1)
    assert found(hit) == (hit, "hit")
    provisional = made.alert(2, row=30, status=Status.PROVISIONAL, confirmed_at=None, confidence=0.99)
    assert found(provisional, hit) == (hit, "hit")


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"last_clear_before": date(2023, 4, 2), "first_seen": date(2023, 6, 1)}, "late"),
        ({"last_clear_before": date(2024, 4, 2), "first_seen": date(2024, 6, 1)}, "missed"),
        ({"last_clear_before": date(2022, 4, 2), "first_seen": date(2023, 2, 27)}, "missed"),
        ({"kind": Kind.RESURFACED}, "missed"),
        ({"area_m2": 9_000.0}, "missed"),
        ({"status": Status.WITHDRAWN}, "missed"),
    ],
)
def test_late_early_of_another_kind_size_or_gone(changes: dict[str, object], verdict: str) -> None:
    assert found(made.alert(1, **changes))[1] == verdict


def test_a_published_place_has_to_lie_on_the_outline() -> None:
    one = made.alert(1)
    middle = Geometry(one.outline.centroid, made.CRS).to_crs("EPSG:4326").geom
    there = replace(HALL, place=(middle.x, middle.y))
    assert found(one, event=there) == (one, "hit")
    assert found(one, event=replace(there, place=(middle.x + 0.005, middle.y))) == (None, "missed")


def test_every_event_lies_at_a_site_that_is_watched_and_within_its_days() -> None:
    sites = {site.id: site for site in read_sites((field_trial.WATCH,)).sites}
    for event in EVENTS:
        assert event.site in sites and event.earliest < event.latest < event.until
        assert event.place is None or sites[event.site].aoi.buffer(0.002).intersects(
            Geometry(box(*event.place, *event.place), "EPSG:4326").geom.centroid
        )
    assert set(field_trial.REGIONS) <= set(sites)


def test_the_trial_is_no_part_of_the_bench_which_runs_without_a_network() -> None:
    assert "field_trial" not in names() and "field_events" not in names() and "series" in names()


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """An AOI file with the plant at the made-up place."""
    return world.write_sites(tmp_path / "places.geojson", [world.feature(id=PLANT, name="The plant")])


@pytest.fixture
def one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    middle = world.aoi().centroid
    event = Event(
        site=PLANT, what="a hall", earliest=date(2020, 5, 1), latest=date(2020, 6, 15), kinds=(Kind.NEW_STRUCTURE,),
        until=date(2020, 12, 31), place=(middle.x, middle.y),
    )  # fmt: skip
    monkeypatch.setattr(field_trial, "EVENTS", (event,))


@pytest.mark.usefixtures("one_event")
def test_a_served_hall_is_a_line_of_the_table(places: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = world.catalogue(tmp_path / "archive", dates=12).parent
    with range_server.serve(folder) as files:
        items = [item | {"collection": "sentinel-2-l2a"} for item in items_of(folder, files.url)]
        with stac_api.serve(items) as api:
            code = field_trial.trial(["--catalog", api.url, "--sites", str(places), "--out", str(tmp_path / "out")])
    said = capfd.readouterr()
    assert code == 0, said.err
    row = next(line for line in said.out.splitlines() if line.startswith(f"| {PLANT}"))
    assert row.split(" | ")[2:] == [
        "2020-05-01 and 2020-06-15", "2020-05-21 and 2020-05-31", "confirmed", "new structure", "12", "hit |"
    ]  # fmt: skip
    assert (tmp_path / "out" / "field_trial.md").read_text().strip() == said.out.strip()


@pytest.mark.usefixtures("one_event")
def test_a_provider_that_does_not_answer_is_a_line_and_an_exit_code(
    places: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "PAUSE_S", 0.01)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    assert field_trial.trial(["--catalog", nobody, "--sites", str(places), "--out", str(tmp_path / "out")]) == 3
    said = capfd.readouterr()
    assert len([line for line in said.err.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in said.err and "not asked" in said.out


def test_a_site_without_an_event_or_without_its_truth_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert field_trial.trial(["--site", "pakchon"]) == 2
    assert field_trial.trial(["--site", "smart-kr-r001"]) == 2
    assert field_trial.trial(["--smart", "nowhere"]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 3


def model(folder: Path, number: int, status: str, outline: object, days: tuple[str | None, str | None]) -> None:
    """A site model of the published form, of our own making."""
    facts = {"type": "site", "region_id": "KR_R001", "site_id": f"KR_R001_{number:04d}", "status": status,
             "start_date": days[0], "end_date": days[1]}  # fmt: skip
    seen = {"type": "observation", "observation_date": days[0], "current_phase": None}
    features = [{"type": "Feature", "properties": each, "geometry": mapping(outline)} for each in (facts, seen)]
    page = {"type": "FeatureCollection", "features": features}
    (folder / f"KR_R001_{number:04d}.geojson").write_text(json.dumps(page))


def claim(number: int, outline: object) -> Claim:
    return Claim(
        id=f"c{number}", outline=outline, status="confirmed", kind="new structure", confidence=0.9, area_m2=1e4,
        first_seen=date(2019, 5, 1), confirmed_at=date(2019, 6, 1), verdict=None,
    )  # fmt: skip


def test_a_smart_region_is_scored_by_its_rule(tmp_path: Path) -> None:
    squares = [box(500_000 + 300 * step, 4_300_000, 500_120 + 300 * step, 4_300_120) for step in range(6)]
    lonlat = [Geometry(square, "EPSG:32652").to_crs("EPSG:4326").geom for square in squares]
    for number, status in enumerate(("positive_annotated", "positive_partial", "ignore", "negative")):
        model(tmp_path, number, status, lonlat[number], ("2019-04-01", "2020-04-01"))
    model(tmp_path, 4, "positive_annotated", lonlat[4], ("2014-04-01", "2015-04-01"))
    reviewed = Reviewed(
        name="r", crs="EPSG:32652", claims=tuple(claim(number, squares[number]) for number in (0, 2, 3)),
        aoi=box(499_000, 4_299_000, 503_000, 4_302_000), days=(date(2017, 1, 5), date(2021, 8, 20)),
    )  # fmt: skip
    measures = field_trial.score_region(reviewed, field_trial.read_models(tmp_path, "KR_R001"))
    assert measures.smart == (1, 1, 1)
    with pytest.raises(UsageError, match="no site model of KR_R002"):
        field_trial.read_models(tmp_path, "KR_R002")
