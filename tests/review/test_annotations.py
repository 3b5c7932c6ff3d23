import pytest

from pipeline.review.annotations import LENGTHS_M, MAX_NAME, MAX_SHARE, make_caption, scale_bar, write_caption
from pipeline.review.canvas import Canvas
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
    assert make_caption(name, "made-place", "", "").site == shown


def test_a_picture_says_where_it_comes_from_and_what_of_it_is_simulated():
    canvas = Canvas(400, 100)
    write_caption(canvas, make_caption("Place", "place", "Credit to X", "buildings"), "a1")
    said = " ".join(words.text for words in canvas.texts)
    assert "Place" in said and "Credit to X. Simulated: buildings." in said and "a1" in said
    plain = Canvas(400, 100)
    write_caption(plain, make_caption("Place", "place", "Credit to X", ""), "a1")
    assert not any("imulated" in words.text for words in plain.texts)


def test_a_name_that_looks_like_a_formula_is_printed_as_it_is(tmp_path):
    hostile = make_caption(r"$\frac$ <b>", "x", r"$\q$", r"a_$^")
    assert draw(tmp_path / "a.png", ALERT, made.looks([ALERT.outline]), hostile).std() > 10


@pytest.mark.parametrize("width_m", [60, 370, 1810, 12_000])
def test_the_scale_bar_is_as_long_as_it_says(width_m):
    share, label = scale_bar(width_m)
    number, unit = label.split()
    length = int(number) * (1000 if unit == "km" else 1)
    assert share * width_m == pytest.approx(length) and length in LENGTHS_M
    assert share <= MAX_SHARE + 1e-9
