"""The examples of the documents run as they are written, one after the other, without a network."""

import doctest
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import groundbreak
from groundbreak import api
from tests.cli.conftest import Command, catalogue, command, sites  # noqa: F401  (fixtures)

ROOT = Path(__file__).resolve().parents[1]


def examples(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.DOTALL)


def run(blocks: list[str], name: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{name}, example {number}", "exec"), scope)
    return scope


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the AOI files of the checkout, in which examples may write."""
    (tmp_path / "aois").symlink_to(ROOT / "aois")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_for_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope = run(examples("python.md"), "python.md")
    assert scope["ndvi"].sizes["time"] == scope["looks"].sizes["time"] > 5
    assert 0.3 < float(scope["ndvi"].where(scope["looks"].inside).median()) < 0.95
    assert list(scope["rejected"].columns[:1]) == ["rejection_reason"]
    assert scope["brightness"].notnull().all() and scope["lazy"].reflectance.chunks is not None
    assert len(scope["found"]) and scope["strict"].decide.false_alarms_per_100km2_year == 1.0
    assert scope["pair"].accepted and max(map(abs, scope["pair"].shift)) < 0.2
    assert "32652" in capsys.readouterr().out


def test_the_examples_for_other_tools(
    command: Command,  # noqa: F811
    folder: Path,
    sites: Path,  # noqa: F811
) -> None:
    pytest.importorskip("odc.stac")
    assert command("detect", "place", "--sites", sites).code == 0
    for form, more in (("geoparquet", ()), ("stac", ("--to", "place-stac")), ("netcdf", ("--sites", sites))):
        assert command("export", "place", "--format", form, *more).code == 0
    scope = run([block.replace("SITE", "place") for block in examples("other_tools.md")], "other_tools.md")
    assert list(scope["changes"].kind) == ["new structure"] and scope["looks"].sizes["time"] == 10
    assert scope["pair"].sizes["time"] == 2
    shutil.rmtree(folder / "place-stac")


def test_the_examples_in_docstrings(folder: Path) -> None:
    pytest.importorskip("xarray")
    done = doctest.testmod(api, optionflags=doctest.ELLIPSIS)
    assert done.failed == 0 and done.attempted >= 15
    functions = [name for name in groundbreak.__all__ if getattr(groundbreak, name).__class__.__name__ == "function"]
    assert functions and all(">>> " in getattr(groundbreak, name).__doc__ for name in functions)
