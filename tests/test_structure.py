"""The house as rules: floors, no circles, size, purity, docstrings. There is no list of exceptions."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.sources import FILES, PACKAGE, ROOT, nodes_of, tree_of

FLOOR = {
    "model": 1, "numerics": 1, "correct": 2, "ground": 2, "decide": 3, "pair": 3, "formats": 4,
    "catalogue": 5, "review": 5, "notify": 6, "run": 7, "study": 7, "evaluation": 8, "cli": 9,
}  # fmt: skip
PURE = ("model", "numerics", "correct", "ground", "decide", "pair")
MAX_LINES, MAX_FUNCTION_LINES = 400, 60
EFFECTS = {
    "os", "io", "socket", "logging", "time", "random", "subprocess", "shutil", "tempfile", "sqlite3", "pathlib", "glob",
    "urllib", "http", "requests", "threading", "multiprocessing", "concurrent", "asyncio", "ctypes", "pickle",
}  # fmt: skip


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def imports(path: Path) -> Iterator[str]:
    """Every import in a file, those inside functions and under TYPE_CHECKING too."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in MODULES else base


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] == "pipeline" and name != name_of(path)}


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_file_imports_only_from_floors_below_or_its_own_room(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    if room == "__init__.py":
        return
    for name in ours(path):
        other = name.split(".")[1]
        assert other == room or FLOOR[other] < FLOOR[room], f"{ids(path)} (floor {FLOOR[room]}) imports {name}"


def test_no_import_goes_in_a_circle() -> None:
    graph = {name: ours(path) for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join((*trail, name))}"
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_file_is_no_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_function_fits_a_screen(path: Path) -> None:
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef):
            doc = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
            assert node.end_lineno - node.lineno + 1 - doc <= MAX_FUNCTION_LINES, f"{ids(path)}: {node.name}"


@pytest.mark.parametrize("path", [p for p in FILES if p.relative_to(PACKAGE).parts[0] in PURE], ids=ids)
def test_the_lower_floors_have_no_effects(path: Path) -> None:
    bad = {name for name in imports(path) if name.split(".")[0] in EFFECTS}
    assert not bad, f"{ids(path)} imports {bad}"
    for node in nodes_of(path):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("open", "print", "input", "exec", "eval"), f"{ids(path)}:{node.lineno} calls {called}"
            assert not called.endswith((".now", ".utcnow", ".today")), f"{ids(path)}:{node.lineno} reads the clock"
        assert not isinstance(node, ast.Global), f"{ids(path)}:{node.lineno} changes global state"
        assert not isinstance(node, ast.Assert), f"{ids(path)}:{node.lineno} asserts on input"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_every_public_name_has_a_docstring(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree), f"{ids(path)}: the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{ids(path)}: {node.name}"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_error_is_swallowed(path: Path) -> None:
    for node in nodes_of(path):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{ids(path)}:{node.lineno} bare except"
            silent = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
            broad = ast.unparse(node.type) in ("Exception", "BaseException")
            assert not (silent and broad), f"{ids(path)}:{node.lineno} swallows every error"


def test_broad_excepts_stand_at_the_boundaries_only() -> None:
    places = set()
    for path in FILES:
        for node in nodes_of(path):
            if isinstance(node, ast.ExceptHandler) and node.type and ast.unparse(node.type) == "Exception":
                places.add(path.relative_to(PACKAGE).parts[0])
    assert places <= {"run", "cli"}


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for group in project["optional-dependencies"].values() for each in group]
    declared = {re.split(r"[^A-Za-z0-9_.-]", each)[0].lower() for each in (*project["dependencies"], *extras)}
    providers = packages_distributions()
    for path in FILES:
        for name in {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"pipeline"}:
            owners = {each.lower().replace("_", "-") for each in providers.get(name, [name.replace("_", "-")])}
            assert owners & declared, f"{ids(path)} imports {name}, of {owners}, which pyproject.toml does not name"
