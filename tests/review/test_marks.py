import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.review.marks import LENGTHS_M, MAX_NAME, MAX_SHARE, caption, mark_scale, write_caption
from tests.review import made
from tests.review.test_timeline import ALERT, draw


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Made Place", "Made Place"),
        ("Ryŏngsŏng", "Ryŏngsŏng"),
        ("룡성", "made-place"),
        ("two\nlines", "made-place"),
        ("x" * 200, "x" * (MAX_NAME - 1) + "…"),
    ],
)
def test_a_name_is_printed_where_the_font_has_its_letters_and_the_id_elsewhere(name, shown):
    assert caption(name, "made-place", "", "").site == shown


def test_a_picture_says_where_it_comes_from_and_what_of_it_is_simulated():
    figure = Figure()
    write_caption(figure, caption("Place", "place", "Credit to X", "buildings"), "a1")
    said = " ".join(text.get_text() for text in figure.texts)
    assert "Place" in said and "Credit to X. Simulated: buildings." in said and "a1" in said
    plain = Figure()
    write_caption(plain, caption("Place", "place", "Credit to X", ""), "a1")
    assert not any("imulated" in text.get_text() for text in plain.texts)


def test_a_name_that_looks_like_a_formula_is_printed_as_it_is(tmp_path):
    hostile = caption(r"$\frac$ <b>", "x", r"$\q$", r"a_$^")
    assert draw(tmp_path / "a.png", ALERT, made.looks([ALERT.outline]), hostile).std() > 10


@pytest.mark.parametrize("width_m", [60, 370, 1810, 12_000])
def test_the_scale_bar_is_as_long_as_it_says(width_m):
    axis = Figure().add_axes((0, 0, 1, 1))
    mark_scale(axis, width_m, 0.0)
    left, right = np.asarray(axis.lines[0].get_xdata())
    number, unit = axis.texts[0].get_text().split()
    length = int(number) * (1000 if unit == "km" else 1)
    assert (right - left) * width_m == pytest.approx(length) and length in LENGTHS_M
    assert right - left <= MAX_SHARE + 1e-9
