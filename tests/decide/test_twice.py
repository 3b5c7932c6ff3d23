"""What two regions told as one object is told once, and nothing else is left out."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from shapely.geometry import box

from pipeline.decide.shapes import Shape
from pipeline.decide.twice import once


@dataclass(frozen=True)
class Days:
    first: int


def square(row: int, col: int, side: int, first: int, window: int = 0) -> Any:
    """An object of so many pixels a side, its window beginning at so many rows and columns."""
    where = np.zeros((60, 60), bool)
    where[row - window : row - window + side, col - window : col - window + side] = True
    outline = box(10 * col, -10 * (row + side), 10 * (col + side), -10 * row)
    part = slice(window, window + 60)
    shape = Shape(
        where=where, core=where, outline=outline, area_m2=outline.area, area_error_m2=0.0, window=(part, part)
    )  # fmt: skip
    return shape, Days(first)


def test_the_smaller_of_two_that_are_one_is_left_out_wherever_their_windows_begin() -> None:
    large, small = square(20, 20, 8, first=5), square(21, 21, 6, first=5, window=3)
    beside = square(40, 40, 8, first=5)
    assert once([small, beside, large]) == (beside, large)


def test_what_began_at_another_look_or_only_touches_is_another() -> None:
    one, later, beside = square(20, 20, 8, first=5), square(20, 20, 8, first=9), square(26, 20, 8, first=5)
    assert once([one, later, beside]) == (one, later, beside)


def test_two_that_begin_on_one_pixel_would_have_one_id() -> None:
    large, (shape, days) = square(20, 20, 8, first=5), square(20, 20, 8, first=5)
    corner = replace(shape, outline=box(190, -200, 200, -190), area_m2=100.0)
    assert once([large, (corner, days)]) == (large,)
