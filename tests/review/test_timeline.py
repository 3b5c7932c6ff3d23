from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import MultiPolygon

from pipeline.review.annotations import make_caption
from pipeline.review.chips import PAIR_PX, corner_marks, outline_boxes, window_around, write_pair
from pipeline.review.curves import compute_curves
from pipeline.review.stretch import Stretch
from pipeline.review.timeline import CHIPS, _choose_looks, write_timeline
from tests.review import made

ALERT = made.alert(1)
CAPTION = make_caption("Made Place", "made-place", "Contains modified Copernicus Sentinel data", "")


def draw(path, alert, looks, words=CAPTION):
    write_timeline(path, alert, looks, made.observations([alert], looks), words, Stretch())
    return read(path)


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_timeline_is_printable(tmp_path):
    looks = made.looks([ALERT.outline], count=60)
    picture = draw(tmp_path / "a.png", ALERT, looks)
    assert picture.shape[1] >= 1300
    yellow = (abs(picture - [255, 217, 47]).sum(axis=2) < 60).sum()
    red = (abs(picture - [194, 38, 28]).sum(axis=2) < 60).sum()
    assert yellow > 300 and red > 300


def test_a_strip_shows_the_phases_of_the_ground_from_their_first_to_their_last_look(tmp_path):
    looks = made.looks([ALERT.outline], count=60)
    picture = draw(tmp_path / "a.png", ALERT, looks)
    without = draw(tmp_path / "b.png", replace(ALERT, phases=()), looks)
    changed = (picture != without).any(axis=2)
    green, violet = (
        changed & (abs(picture - np.array(colour)).sum(axis=2) < 30) for colour in ([165, 204, 152], [178, 165, 217])
    )
    assert green.sum() > 200 and violet.sum() > 200
    assert np.flatnonzero(green.any(axis=0)).max() < np.flatnonzero(violet.any(axis=0)).min()


def test_the_same_facts_give_the_same_bytes(tmp_path):
    looks = made.looks([ALERT.outline])
    draw(tmp_path / "a.png", ALERT, looks)
    draw(tmp_path / "b.png", ALERT, looks)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("count", [8, 15, 40])
def test_the_chips_tell_the_story_in_order(count):
    looks = made.looks([ALERT.outline], count=count)
    alert = replace(ALERT, before_scene="scene-02", after_scene=looks[-1].scene.id)
    chosen = _choose_looks(looks, alert)
    days = [look.time.date() for look in chosen]
    assert days == sorted(days) and len(set(days)) == len(days) == min(CHIPS, count)
    assert {"scene-02", looks[-1].scene.id} <= {look.scene.id for look in chosen}
    assert date(2023, 3, 21) in days
    assert any(day < alert.first_seen for day in days)


@pytest.mark.parametrize(
    "alert",
    [
        replace(ALERT, last_clear_before=None, confirmed_at=None),
        made.alert(1, outline=made.outline(0, 0, 60, 60)),
        made.alert(1, outline=made.outline(58, 58, 2, 2)),
        made.alert(1, outline=MultiPolygon([made.outline(5, 5, 2, 2), made.outline(50, 50, 3, 3)])),
        made.alert(1, outline=made.outline(20, 20, 1, 1).buffer(-4.9)),
    ],
    ids=["without a bracket", "the whole grid", "at the corner", "two parts", "smaller than a pixel"],
)
def test_every_outline_can_be_drawn(alert, tmp_path):
    looks = made.looks(count=9)
    picture = draw(tmp_path / "a.png", alert, looks)
    assert picture.std() > 10
    write_pair(tmp_path / "pair.png", alert.outline, looks[0], looks[-1], Stretch(), "credit")
    assert min(read(tmp_path / "pair.png").shape[:2]) > 60


def test_an_alert_without_one_clear_look_still_gets_its_curve(tmp_path):
    looks = made.looks(count=8)
    cloudy = [replace(seen, clear_share=0.1) for seen in made.observations([ALERT], looks)]
    write_timeline(tmp_path / "a.png", ALERT, looks, cloudy, CAPTION, Stretch())
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_brightness_rises_and_greenness_falls_out_of_the_band_of_its_history():
    looks = made.looks([ALERT.outline], count=30)
    late = replace(ALERT, first_seen=looks[5].time.date())
    brightness, greenness = compute_curves(late, looks)
    assert (brightness.name, greenness.name) == ("brightness", "NDVI")
    _, low, high = brightness.band
    assert (brightness.values[:5] < 0.12).all() and (brightness.values[8:] > high.max()).all()
    assert (greenness.values[8:] < greenness.band[1].min()).all()
    assert (low <= high).all()


def test_a_history_of_two_looks_gets_no_band():
    looks = made.looks([ALERT.outline])
    early = replace(ALERT, first_seen=looks[2].time.date())
    assert all(curve.band is None for curve in compute_curves(early, looks))


def test_a_mark_does_not_cover_the_object_it_points_at(tmp_path):
    small = made.outline(20, 20, 2, 2)
    part = window_around(small, made.GRID)
    (box,) = outline_boxes(small, part)
    assert (box[2] - box[0], box[3] - box[1]) == (6.0, 6.0)
    looks = made.looks([small])
    write_pair(tmp_path / "pair.png", small, looks[0], looks[-1], Stretch(), "credit")
    picture = read(tmp_path / "pair.png")
    times = round(PAIR_PX / max(part.grid.shape))
    left, top, right, bottom = (round(edge * times) for edge in (box[0] + 2, box[1] + 2, box[2] - 2, box[3] - 2))
    inside = picture[top:bottom, left:right].reshape(-1, 3)
    assert len(np.unique(inside, axis=0)) <= 4, "the four pixels of the object are free of lines"
    assert (abs(picture - [255, 217, 47]).sum(axis=2) < 30).sum() > 40
    assert all(len(line) == 3 for line in corner_marks(*box))
