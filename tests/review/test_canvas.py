import numpy as np
import pytest
from PIL import Image

from pipeline.review.canvas import Canvas, TextStyle, load_font

WHITE = (255, 255, 255)


def saved(canvas, path):
    canvas.save(path, "a comment")
    with Image.open(path) as picture:
        assert picture.info["Comment"] == "a comment"
        return np.asarray(picture).astype(int)


def test_what_is_drawn_stands_where_it_was_put(tmp_path):
    canvas = Canvas(100, 60)
    canvas.fill([10, 20, 20, 10], [5, 5, 15, 15], "#ff0000")
    canvas.dots([50.0], [30.0], 6.0, "#0000ff")
    canvas.line([70, 90], [50, 50], "#00ff00", 1.2)
    canvas.stems([40.0], 55.0, [45.0], "#00ff00", 1.2)
    shown = saved(canvas, tmp_path / "a.png")
    assert shown.shape == (60, 100, 3)
    assert tuple(shown[10, 15]) == (255, 0, 0) and tuple(shown[10, 25]) == WHITE
    assert tuple(shown[30, 50]) == (0, 0, 255) and tuple(shown[30, 58]) == WHITE
    assert shown[49:51, 80, 0].min() < 130 and tuple(shown[45, 80]) == WHITE
    assert shown[50, 39:41, 0].min() < 130 and tuple(shown[40, 40]) == WHITE


def test_a_gap_in_a_line_stays_a_gap(tmp_path):
    canvas = Canvas(100, 20)
    canvas.line([5, 30, np.nan, 60, 95], [10, 10, np.nan, 10, 10], "#000000", 2)
    shown = saved(canvas, tmp_path / "a.png")
    assert shown[10, 20].max() < 130 and shown[10, 80].max() < 130 and tuple(shown[10, 45]) == WHITE


def test_a_picture_keeps_its_pixels_sharp_and_upright(tmp_path):
    canvas = Canvas(40, 40)
    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)
    canvas.picture(10, 10, 30, 30, pixels)
    shown = saved(canvas, tmp_path / "a.png")
    assert tuple(shown[9, 9]) == WHITE and tuple(shown[30, 30]) == WHITE
    corners = shown[[10, 19, 10, 19, 20, 29, 20, 29], [10, 19, 20, 29, 10, 19, 20, 29]]
    assert (corners[::2] == corners[1::2]).all()
    assert (corners[::2] == pixels.reshape(4, 3)).all()


@pytest.mark.parametrize(("across", "left", "right"), [("l", 50, 100), ("m", 25, 75), ("r", 0, 50)])
def test_words_lie_as_they_are_asked_to(tmp_path, across, left, right):
    canvas = Canvas(100, 30)
    canvas.write(50, 20, "abc", TextStyle(size=8, colour="#000000", across=across))
    dark = np.flatnonzero((saved(canvas, tmp_path / "a.png") < 128).any(axis=(0, 2)))
    assert left <= dark.min() and dark.max() <= right
    assert abs((dark.max() - dark.min()) - load_font(8).getlength("abc")) < 4


def test_upright_words_read_from_below(tmp_path):
    canvas = Canvas(60, 100)
    canvas.write(50, 50, "I.....", TextStyle(size=10, colour="#000000", upright=True))
    rows, cols = np.nonzero((saved(canvas, tmp_path / "a.png") < 128).any(axis=2))
    assert rows.max() - rows.min() > cols.max() - cols.min() and cols.max() < 50
    assert np.ptp(cols[rows > 60]) > np.ptp(cols[rows < 45])
