"""The figure of the architecture and the reference pages of the site follow the code."""

import re
import shutil
import subprocess
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = spec_from_file_location("make_architecture", ROOT / "docs" / "make_architecture.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figure_is_drawn_from_the_imports_of_today(drawing: ModuleType) -> None:
    assert drawing.FIGURE.read_text(encoding="utf-8") == drawing.draw(), "run python docs/make_architecture.py"


def test_the_four_stages_are_reached_from_the_command_along_arrows(drawing: ModuleType) -> None:
    arrows = set(drawing.arrows())
    reached = {"cli/detect.py"}
    for _ in drawing.FILES:
        reached |= {other for name, other in arrows if name in reached}
    assert {name for name, (_, _, stage) in drawing.FILES.items() if stage} <= reached
    assert reached == set(drawing.FILES)


def test_an_arrow_leads_down_or_stays_in_its_package(drawing: ModuleType) -> None:
    for name, other in drawing.arrows():
        assert drawing.FILES[other][1] > drawing.FILES[name][1], f"{name} -> {other}"


def test_the_layers_of_the_figure_are_those_that_import_linter_checks(drawing: ModuleType) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    assert [name.removesuffix(" (pure)") for name, _, _ in drawing.LAYERS] == layers


def test_every_package_has_a_reference_page() -> None:
    packages = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    for name in packages:
        assert f"::: pipeline.{name}\n" in (ROOT / "docs" / "packages" / f"{name}.md").read_text(), name


def test_the_site_lists_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"([\w/]+\.md)", text))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not re.match(r"decisions/\d", page)} == listed


def test_the_workflow_and_the_hooks_call_what_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    calls = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert {call.removeprefix("make ") for call in calls if call.startswith("make ")} <= targets
    assert ".ci/run" in calls and (ROOT / ".ci" / "run").exists()
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    recipe = (ROOT / "Makefile").read_text()
    for hook in hooks:
        tool = Path(hook["entry"].split()[0]).name
        assert tool == "python" or tool in recipe, hook["id"]


def test_make_does_not_empty_an_environment_that_it_only_links_to(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "kept").touch()
    (tmp_path / ".venv").symlink_to("shared")
    # the interpreter that would empty it does nothing, so that only the message can end the recipe before it
    done = subprocess.run(["make", "PYTHON=true", ".venv/.ready"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and ".venv is a link" in done.stdout and (tmp_path / "shared" / "kept").exists()


def test_every_record_is_in_the_index_and_opens_with_its_decision() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    records = sorted(folder.glob("[0-9]*.md"))
    assert sorted(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index)) == [path.name for path in records]
    for path in records:
        head = path.read_text(encoding="utf-8").split("\n\n")
        assert re.fullmatch(rf"# {path.name[:4]}: .+", head[0]), path.name
        assert head[1].startswith("**Decision.** "), path.name


def test_a_named_record_exists() -> None:
    records = {path.name[:4] for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}
    sources = [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "CHANGELOG.md"]
    for path in sources:
        for number in re.findall(r"(?:docs/decisions/|decision )(\d{4})", path.read_text(encoding="utf-8")):
            assert number in records, f"{path.relative_to(ROOT)} names record {number}"


def test_the_files_that_are_marked_exist() -> None:
    from tests import conftest

    for name in (*conftest.UNIT, *(name for places in conftest.MARKS.values() for name in places)):
        assert (ROOT / "tests" / name).exists(), name


@pytest.mark.parametrize(
    ("expression", "excluded"),
    [
        ("not faults and not slow", {"faults", "slow"}), ("not (slow or qgis)", {"slow", "qgis"}), ("", set()),
        ("slow", set()), ("peer or faults", set()), ("not slow or peer", set()), ("not (slow and peer)", set()),
        ("not (not slow)", set()), ("slow and not peer", set()),
    ],
)  # fmt: skip
def test_only_marks_that_exclude_a_test_whatever_else_it_has_keep_its_file_from_import(
    expression: str, excluded: set[str]
) -> None:
    from tests import conftest

    assert conftest.excluded_marks(expression) == excluded


def test_a_file_is_imported_unless_its_marks_are_excluded() -> None:
    from tests import conftest

    folder, config = (
        ROOT / "tests",
        SimpleNamespace(option=SimpleNamespace(markexpr="not slow and not (qgis or faults)")),
    )
    ignored = {path for path in folder.rglob("*.py") if conftest.pytest_ignore_collect(path, config)}
    expected = {*folder.glob("qgis/test_*.py"), *folder.glob("faults/test_*.py"), *map(folder.joinpath, conftest.SLOW)}
    assert ignored == expected and conftest.marks_of(folder / "run" / "test_deploy.py") == set()
    assert conftest.marks_of(folder / "cli" / "test_dask.py") == {"integration", "peer", "slow"}
