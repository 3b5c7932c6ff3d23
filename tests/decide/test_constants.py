"""The table of constants in docs/decision.md: every number of the packages that decide, with its value in the code."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `(\w+\.\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
SORTS = ("physical", "measured", "chosen on the development cases", "prior", "computing", "the default of")


def numbers(node: ast.expr) -> list[float]:
    """The numbers of a literal, in order; empty for anything else."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return [value]
        case ast.UnaryOp(op=ast.USub()):
            return [-each for each in numbers(node.operand)]
        case ast.BinOp():
            return [float(eval(ast.unparse(node), {"__builtins__": {}}))] if not _names(node) else []
        case ast.Tuple() | ast.List():
            return [each for part in node.elts for each in numbers(part)]
        case ast.Dict():
            return [each for part in node.values for each in numbers(part)]
    return []


def _names(node: ast.expr) -> bool:
    return any(isinstance(each, ast.Name | ast.Call) for each in ast.walk(node))


def defined(text: str) -> dict[str, list[float]]:
    """Name -> numbers of the constants of a module."""
    found: dict[str, list[float]] = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        (target,) = node.targets if isinstance(node, ast.Assign) else (node.target,)
        whole = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
        pairs = zip(target.elts, node.value.elts, strict=True) if whole else [(target, node.value)]
        found |= {name.id: values for name, value in pairs if (values := numbers(value))}
    return found


def test_the_table_of_constants_is_that_of_the_code() -> None:
    code = {
        f"{path.stem}.{name}": values
        for package in ("decide", "ground", "pair")
        for path in sorted((ROOT / "pipeline" / package).glob("*.py"))
        for name, values in defined(path.read_text(encoding="utf-8")).items()
    }
    text = (ROOT / "docs" / "decision.md").read_text(encoding="utf-8")
    rows = ROW.findall(text)
    table = {name: [float(each) for each in values.split(",")] for name, values, _, _ in rows}
    assert len(rows) == len(table), "a constant has two rows"
    assert {name: values for name, values in code.items() if table.get(name) != values} == {}, "rows to add or change"
    assert set(table) - set(code) == set(), "rows without a constant"
    assert f"define, {len(code)} names;" in text
    assert [name for name, _, _, origin in rows if not origin.startswith(SORTS)] == []


def test_every_sort_of_literal_is_read_and_nothing_else() -> None:
    text = "A, B = -1.5, (2, 3)\nC: float = 4e-3\nD = {x: 5, y: 6}\nE = 2 * 3.0\nF = call(7)\nG = 'text'\nH = True\n"
    assert defined(text) == {"A": [-1.5], "B": [2, 3], "C": [0.004], "D": [5, 6], "E": [6.0]}
