"""Each fact has one home: constants and small rules that several layers need are defined once, in `pipeline/model`.

LEFT names the files that still have a copy. It may only shrink.
"""

import ast
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.model.bands import Band
from pipeline.model.indices import ndvi, near_infrared
from tests.sources import FILES, PACKAGE, nodes_of


def assigns(*names: str) -> Callable[[ast.AST], bool]:
    """A module-level name is given a value."""

    def found(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Assign)
            and bool(
                {
                    each.id
                    for target in node.targets
                    for each in ast.walk(target)
                    if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
                }
                & set(names)
            )
            and not isinstance(node.value, ast.Name)
        )

    return found


def number(value: float) -> Callable[[ast.AST], bool]:
    return lambda node: isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value == value


def text(*values: str) -> Callable[[ast.AST], bool]:
    """A string, whole or as a part of an f-string."""
    return lambda node: isinstance(node, ast.Constant) and node.value in values


def bands_in_turn(node: ast.AST) -> bool:
    """`(Band.B08, Band.B8A)` as alternatives, or one as the default of the other."""
    pair = isinstance(node, ast.Tuple) and len(node.elts) == 2
    lookup = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get"
    if not (pair or lookup):
        return False
    return ast.unparse(node) in ("(Band.B08, Band.B8A)", "at.get(Band.B08, at.get(Band.B8A, float('nan')))")


def index_of_bands(node: ast.AST) -> bool:
    """(a - b) / (a + b), with or without a least sum."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.left, ast.BinOp)):
        return False
    if not isinstance(node.left.op, ast.Sub):
        return False
    a, b = ast.unparse(node.left.left), ast.unparse(node.left.right)
    return f"{a} + {b}" in ast.unparse(node.right)


FACTS: dict[str, tuple[Callable[[ast.AST], bool], str, set[str]]] = {
    "normalised difference": (
        index_of_bands,
        "model/indices.py",
        set(),
    ),
    "near infrared": (
        bands_in_turn,
        "model/indices.py",
        set(),
    ),
    "MAD to sigma": (
        number(1.4826),
        "numerics/robust.py",
        set(),
    ),
    "BOA offset": (assigns("OFFSET_DN"), "model/imagery.py", set()),
    "first baseline with the offset": (
        lambda node: isinstance(node, ast.Constant) and node.value == "04.00",
        "model/imagery.py",
        set(),
    ),
    "day of that baseline": (
        lambda node: (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and ast.unparse(node).startswith("datetime(2022, 1, 25")
        ),
        "model/imagery.py",
        set(),
    ),
    "area of a pixel": (assigns("PIXEL_M2"), "model/grid.py", set()),
    "margin of a read": (assigns("MARGIN_M"), "catalogue/pixels.py", {"model/grid.py"}),  # there: margin of a grid
    "progress": (assigns("Progress"), "model/progress.py", set()),
    "names of the files of a site": (
        text("review.gpkg", "review.qgz", "report.html", "before.tif", "after.tif", "score.tif"),
        "review/folder.py",
        set(),
    ),
    "names in a folder of results": (
        text(".groundbreak", "ledger.sqlite", "index.html", "feed.xml", "groundbreak.prom", "chips", "backups"),
        "review/layout.py",
        set(),
    ),
    "noise floor": (
        assigns("NOISE", "NOISE_FLOOR"),
        "model/imagery.py",
        set(),
    ),
    "clear share of a look": (assigns("CLEAR_SHARE"), "model/alert.py", set()),
}
"""Fact -> what its definition looks like, its home, and the files that still have a copy."""


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_has_one_home(fact: str) -> None:
    defines, home, left = FACTS[fact]
    places = {path.relative_to(PACKAGE).as_posix() for path in FILES if any(map(defines, nodes_of(path)))}
    assert places - {home} <= left, f"{fact}: import it from pipeline/{home}"


@pytest.mark.parametrize("fact", FACTS)
def test_its_home_defines_it(fact: str) -> None:
    defines, home, _ = FACTS[fact]
    assert any(map(defines, nodes_of(PACKAGE / home)))


def test_near_infrared_is_b08_else_b8a() -> None:
    assert near_infrared([Band.B8A, Band.B04, Band.B08]) == Band.B08
    assert near_infrared([Band.B8A, Band.B04]) == Band.B8A
    assert near_infrared([Band.B04]) is None


def test_ndvi_of_leaf_is_high_and_of_black_ground_is_bounded() -> None:
    near, red = np.array([0.4, 0.001, np.nan], np.float32), np.array([0.04, 0.0, 0.1], np.float32)
    index = ndvi(near, red)
    assert index.dtype == np.float32 and index[0] == pytest.approx(0.818, abs=1e-3)
    assert index[1] == pytest.approx(0.05) and np.isnan(index[2])
