"""What the documents promise is there: every setting, every command, and no list that has gone stale."""

import re
from pathlib import Path

import pytest

from pipeline.cli.main import COMMANDS, load_command
from pipeline.model.settings import Settings, setting_names

ROOT = Path(__file__).resolve().parents[1]


def test_every_setting_stands_in_the_docs_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    tables = Settings().model_dump()
    for name in setting_names():
        section, key = name.split(".")
        assert f"| `{name}` | `{tables[section][key]}` |" in text, name


def test_every_command_stands_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        assert f"groundbreak {name}" in text, name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = load_command(name)
    for each in getattr(command, "commands", {name: command}).values():
        assert "\n\x08\ngroundbreak " in each.help, each.name


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = re.findall(r"`((?:\w+/)?test_\w+\.py)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 20
    for name in named:
        assert list((ROOT / "tests").rglob(name)), name


def test_every_link_between_documents_leads_somewhere() -> None:
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_make_help_lists_the_targets_that_exist() -> None:
    text = (ROOT / "Makefile").read_text()
    listed = set(re.findall(r"^([a-z-]+):.*##", text, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE).group(1).split())  # type: ignore[union-attr]
    assert listed == phony


def test_every_file_that_a_document_names_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    for page in (page for page in pages if page.name != "CHANGELOG.md"):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(
            r"\b(?:tests|benchmarks|pipeline|deploy|aois)/[\w/]+\.(?:py|toml|json|yml|geojson)\b", text
        ):
            assert (ROOT / name).exists() or name.startswith("benchmarks/NAME"), f"{page.name}: {name}"
        for name in re.findall(r"\btest_\w+\.py\b", text):
            assert any((ROOT / "tests").rglob(name)), f"{page.name}: {name}"
