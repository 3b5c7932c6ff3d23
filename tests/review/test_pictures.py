"""One tone curve for all pictures, and the strips that swipes and films are made from."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.review.stretch import Stretch, ground_stretch, parse_stretch
from pipeline.review.strips import MAX_FRAMES, read_strip, write_strip
from tests.review import made

ALERT = made.alert(1, row=25, col=25)


def test_a_change_does_not_alter_the_pictures_of_the_ground_around_it():
    bare, roofed = made.looks(), made.looks([made.outline(5, 5, 30, 30)])
    outlines = [made.outline(5, 5, 30, 30)]
    assert ground_stretch([bare[0], roofed[-1]], outlines) == ground_stretch([bare[0], bare[-1]], outlines)


def test_ground_that_was_not_measured_or_never_clear_leaves_the_curve_at_its_default():
    looks = made.looks()
    covered = [replace(look, why=np.ones_like(look.why)) for look in looks[:2]]
    assert ground_stretch(covered, []) == Stretch()
    assert parse_stretch(str(Stretch(0.02, 0.3))) == Stretch(0.02, 0.3)
    assert [parse_stretch(text) for text in (None, "", "a b", "0.3 0.1")] == [Stretch()] * 4


def test_highlights_are_compressed_and_not_clipped():
    shown = Stretch(0.0, 0.25).rendered(np.array([0.0, 0.05, 0.25, 0.35, 0.5, np.nan]))
    assert shown[0] == 0 and shown[5] == 216
    assert list(shown[:5]) == sorted(set(shown[:5])), "brighter ground is brighter, also above white"
    # without the gamma forest at 0.05 would be a fifth of white
    assert shown[1] > 70


def strip_of(path, alert, looks):
    write_strip(path, alert, looks, made.observations([alert], looks), Stretch())
    return read_strip(path)


def test_a_strip_holds_every_clear_look_with_its_day(tmp_path):
    looks = made.looks([ALERT.outline])
    strip = strip_of(tmp_path / "a.jpg", ALERT, looks)
    assert [frame.scene for frame in strip.frames] == [look.scene.id for look in looks]
    assert (strip.frames[strip.before].scene, strip.frames[strip.after].scene) == ("scene-04", "scene-14")
    assert [frame.seen for frame in strip.frames].index(True) == 5
    pixels = strip.pixels().astype(int)
    rows, cols = pixels.shape[1:3]
    middle = pixels[:, rows // 2, cols // 2].mean(axis=1)
    assert middle[strip.after] > middle[strip.before] + 40, "the roof is there after and not before"
    assert strip.corners.count("M") == 4 and strip.pixel_m == 10.0


def test_a_long_series_is_thinned_out_and_keeps_its_pair_and_bracket(tmp_path):
    looks = made.looks([ALERT.outline], count=120)
    alert = replace(ALERT, before_scene="scene-03", after_scene=looks[101].scene.id)
    strip = strip_of(tmp_path / "a.jpg", alert, looks)
    assert len(strip.frames) <= MAX_FRAMES
    assert strip.frames[strip.before].scene == "scene-03"
    assert strip.frames[strip.after].scene == looks[101].scene.id
    assert {"2023-03-06", "2023-03-21"} <= {frame.day for frame in strip.frames}
    assert (tmp_path / "a.jpg").stat().st_size < 150_000


@pytest.mark.parametrize("content", [b"", b"noise" * 99, None])
def test_what_is_no_strip_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    assert read_strip(tmp_path / "a.jpg") is None
    Image.new("RGB", (8, 8)).save(tmp_path / "b.jpg")
    assert read_strip(tmp_path / "b.jpg") is None
