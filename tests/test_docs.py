"""What the documents promise is there: every setting, every command, and no list that has gone stale."""

import re
from pathlib import Path

from pipeline.cli.main import app
from pipeline.model.settings import Settings, names

ROOT = Path(__file__).resolve().parents[1]


def commands() -> set[str]:
    single = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    return single | {str(group.name) for group in app.registered_groups}


def test_every_setting_stands_in_the_docs_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    tables = Settings().model_dump()
    for name in names():
        section, key = name.split(".")
        assert f"| `{name}` | `{tables[section][key]}` |" in text, name


def test_every_command_stands_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for name in commands():
        assert f"groundbreak {name}" in text, name


def test_every_command_has_help_with_an_example() -> None:
    for command in app.registered_commands:
        doc = command.callback.__doc__ or "" if command.callback else ""
        assert "\n    groundbreak " in doc, command.name or command.callback


def test_every_link_between_documents_leads_somewhere() -> None:
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_make_help_lists_the_targets_that_exist() -> None:
    text = (ROOT / "Makefile").read_text()
    listed = set(re.findall(r"^([a-z]+):.*##", text, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE).group(1).split())  # type: ignore[union-attr]
    assert listed == phony
