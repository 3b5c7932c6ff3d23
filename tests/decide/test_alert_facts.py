"""Facts of alerts by hand: images that show a change, ids, cuts between outlines, cautions, purity, confirmation."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon, box

from pipeline.decide.alerts import (
    CELL_M,
    FEW_LOOKS,
    _choose_before_after,
    _cut_shape,
    _first_pixel,
    _hash_text,
    _list_cautions,
    _make_id,
    _overlap_share,
    first_times,
    founding_looks,
    in_order,
)
from pipeline.decide.detections import BLUR_PX, LEAST_PURITY, _core_purity, _cut_look, _own_spectra, _phase_boundaries
from pipeline.decide.object_series import Episode
from pipeline.decide.shapes import Shape
from pipeline.decide.steps import Times
from pipeline.model.alert import Status
from pipeline.model.bands import Band
from pipeline.model.errors import DecisionError
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings, override_settings
from tests.decide.scenes import LEFT, SIDE, TOP, clouded, site_between, unchanged
from tests.review import made

ALL_CLOUD = (slice(0, SIDE), slice(0, SIDE))


def on(day: str, cloudy: float = 0.0) -> Look:
    look = unchanged(0)
    scene = replace(look.scene, id=day, time=datetime.fromisoformat(day).replace(tzinfo=UTC))
    return clouded(replace(look, scene=scene), (slice(0, round(cloudy * SIDE)), slice(0, SIDE)))


def test_the_image_before_is_of_the_season_of_the_latest_and_before_the_first_change() -> None:
    looks = [on(day) for day in ("2019-07-05", "2019-12-20", "2020-03-05", "2020-07-20", "2020-11-30", "2021-07-11")]
    alert = made.alert(first_seen=looks[4].time.date())
    assert _choose_before_after(looks, [alert]) == ("2020-07-20", "2021-07-11"), "the later of two looks of one season"
    early = made.alert(first_seen=looks[3].time.date())
    assert _choose_before_after(looks, [early]) == ("2019-07-05", "2021-07-11")
    assert _choose_before_after(looks, [early, replace(alert, status=Status.WITHDRAWN)]) == ("2019-07-05", "2021-07-11")
    assert _choose_before_after(looks, [replace(early, status=Status.WITHDRAWN)]) == ("2020-07-20", "2021-07-11")
    assert _choose_before_after(looks, []) == ("2020-07-20", "2021-07-11")


def test_seasons_meet_at_the_turn_of_the_year() -> None:
    looks = [on(day) for day in ("2019-12-28", "2020-04-10", "2020-09-20", "2021-01-06")]
    assert _choose_before_after(looks, [])[0] == "2019-12-28"


def test_images_are_clear_and_the_first_serves_where_no_clear_one_is_earlier() -> None:
    looks = [on("2020-06-01", 0.4), on("2020-06-11"), on("2020-06-21"), on("2020-07-01", 0.05), on("2020-07-11", 0.5)]
    alert = made.alert(first_seen=looks[1].time.date())
    assert _choose_before_after(looks, [alert]) == ("2020-06-11", "2020-07-01")
    assert _choose_before_after(looks, []) == ("2020-06-21", "2020-07-01")


def test_few_looks_are_cautioned_and_enough_are_not() -> None:
    looks = [on(f"2020-06-{day:02d}") for day in range(1, 12)]
    assert "3 clear looks before" in _list_cautions(looks[:5])[0] and "only 5 looks" in _list_cautions(looks[:5])[0]
    assert (
        "alerts are weak" in _list_cautions(looks[:6])[0]
        and "only 7 looks" in _list_cautions(looks[: FEW_LOOKS - 1])[0]
    )
    assert _list_cautions(looks[:FEW_LOOKS]) == ()


@pytest.mark.parametrize(
    ("count", "expected"), [(4, 4), (19, 19), (20, 20), (27, 20), (28, 25), (34, 25), (35, 31), (79, 58), (80, 72)]
)
def test_first_looks_grow_in_steps_of_a_quarter_and_leave_out_the_latest_tenth(count: int, expected: int) -> None:
    assert founding_looks(site_between(), count, Settings()) == expected


def test_fewer_looks_than_the_setting_asks_for_are_refused() -> None:
    settings = override_settings(Settings(), {"decide.min_history": 5}, "test")
    assert founding_looks(site_between(), 6, settings) == 6
    with pytest.raises(DecisionError, match="5 usable looks, 6 needed"):
        founding_looks(site_between(), 5, settings)


def test_looks_are_sorted_by_time_and_each_is_there_once() -> None:
    looks = [on("2020-06-21"), on("2020-06-01"), on("2020-06-21"), on("2020-06-11")]
    assert [each.scene.id for each in in_order(looks)] == ["2020-06-01", "2020-06-11", "2020-06-21"]
    times = first_times(Times(days=np.arange(5), weights=np.arange(5.0)), 2)
    assert (times.days.tolist(), times.weights.tolist()) == ([0, 1], [0.0, 1.0])


def shape(outline: Polygon | MultiPolygon, core: tuple[int, int] = (2, 3)) -> Shape:
    where = np.zeros((6, 8), bool)
    where[core[0] :, core[1] :] = True
    window = (slice(10, 16), slice(20, 28))
    return Shape(where=where, core=where, outline=outline, area_m2=outline.area / 2, area_error_m2=50.0, window=window)


def test_an_id_is_that_of_site_first_look_and_place_to_within_a_cell() -> None:
    left, top = LEFT // CELL_M * CELL_M, TOP // CELL_M * CELL_M
    one = shape(box(left + 10, top + 10, left + 50, top + 50))
    near, far = (shape(box(left + by + 10, top + 10, left + by + 50, top + 50)) for by in (40, 100))
    mint = [_make_id(site_between(), unchanged(3), each) for each in (one, near, far)]
    assert mint[0] == mint[1] != mint[2]
    assert mint[0] not in (_make_id(site_between(), unchanged(4), one), _hash_text(mint[0]))
    up = shape(box(left + 10, top + 110, left + 50, top + 150))
    assert _make_id(site_between(), unchanged(3), up) != mint[0]
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in mint)
    assert _first_pixel(one) == (12, 23)


def test_the_share_of_two_outlines_is_that_of_the_smaller() -> None:
    large, small = box(0, 0, 100, 100), box(90, 0, 130, 100)
    assert _overlap_share(large, small) == _overlap_share(small, large) == pytest.approx(0.25)
    assert _overlap_share(large, Polygon()) == 0


def test_a_shape_loses_the_ground_it_shares_with_others_and_its_area_in_proportion() -> None:
    one, area = shape(box(0, 0, 100, 100)), 100.0
    assert _cut_shape(one, [shape(box(91, 0, 191, 100))], area) is one, "a tenth may be shared"
    cut = _cut_shape(one, [shape(box(60, 0, 160, 100)), shape(box(500, 0, 600, 100))], area)
    assert cut is not None and cut.outline.equals(box(0, 0, 60, 100))
    assert (cut.area_m2, cut.area_error_m2) == (pytest.approx(3000), pytest.approx(30))
    parts = _cut_shape(one, [shape(box(40, -10, 60, 110))], area)
    assert parts is not None and isinstance(parts.outline, MultiPolygon) and parts.outline.area == pytest.approx(8000)
    sliver = _cut_shape(one, [shape(box(0.5, -10, 60, 110))], area)
    assert sliver is not None and sliver.outline.equals(box(60, 0, 100, 100)), "parts below a pixel are dropped"
    assert _cut_shape(one, [shape(box(0, 0, 90, 100))], 1001.0) is None
    assert _cut_shape(one, [shape(box(0, 0, 100, 100))], area) is None


def episode(first: int, last: int, ended: bool, looks: int = 12, seen: tuple[int, ...] = ()) -> Episode:
    flags = np.zeros(looks, bool)
    flags[list(seen) or slice(first, last + 1)] = True
    return Episode(first=first, onset=first, before=first - 1, last=last, ended=ended, seen=flags, looks_seen=1,
                   looks_clear=1)  # fmt: skip


def test_the_light_of_the_old_ground_is_taken_off_while_the_object_was_seen() -> None:
    past, roof, purity = np.array([0.1, 0.2]), np.array([0.3, 0.05]), np.array([0.8, 0.6])
    spectra = np.tile(past, (6, 1))
    spectra[2:5] = past + purity * (roof - past)
    own = _own_spectra(spectra, past, purity, episode(2, 4, True))
    np.testing.assert_allclose(own[2:5], np.tile(roof, (3, 1)))
    np.testing.assert_array_equal(own[[0, 1, 5]], spectra[[0, 1, 5]])
    weak = _own_spectra(spectra, past, np.array([0.1, 0.1]), episode(2, 4, True))
    np.testing.assert_allclose(weak[2], np.maximum(past + (spectra[2] - past) / LEAST_PURITY, 0.001))
    spectra[3] = [-0.5, 0.2]
    assert _own_spectra(spectra, past, purity, episode(2, 4, True))[3, 0] == 0.001


def test_a_small_object_is_less_pure_and_a_coarse_band_sees_less_of_it() -> None:
    def purity(side: int) -> np.ndarray:
        where = np.zeros((40, 40), bool)
        where[20 : 20 + side, 20 : 20 + side] = True
        core = np.zeros_like(where)
        core[20 + side // 2, 20 + side // 2] = True
        made_shape = replace(shape(box(0, 0, 10, 10)), where=where, core=core)
        return _core_purity((Band.B04, Band.B11), made_shape)

    single = np.exp(-0.5 * (np.arange(-3, 4) / BLUR_PX) ** 2)
    assert purity(1)[0] == pytest.approx((single.max() / single.sum()) ** 2, rel=0.01)
    assert purity(1)[1] < purity(1)[0] < purity(3)[0] < purity(15)[0] == pytest.approx(1, abs=1e-3)


def test_an_object_begins_a_phase_and_ends_one_where_it_has_ended() -> None:
    assert _phase_boundaries(episode(3, 8, False)) == (3,) and _phase_boundaries(episode(3, 8, True)) == (3, 9)


def test_a_part_of_a_look_has_the_grid_of_its_pixels() -> None:
    look, window = clouded(unchanged(0), (slice(5, 6), slice(9, 10))), (slice(4, 10), slice(8, 20))
    part = _cut_look(look, window)
    np.testing.assert_array_equal(part.reflectance, look.reflectance[:, 4:10, 8:20])
    assert np.argwhere(part.why > 0).tolist() == [[1, 1]] and tuple(part.grid.shape) == (6, 12)
    assert part.grid.affine * (0, 0) == (LEFT + 80, TOP - 40)
