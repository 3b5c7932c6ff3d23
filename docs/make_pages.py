"""Hook of mkdocs: fills in the help of the commands, takes in CONTRIBUTING.md, and drops links out of the site."""

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

from pipeline.cli.main import COMMANDS, _run, load

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def help_of(*words: str) -> str:
    """What `groundbreak WORDS --help` prints, 100 columns wide."""
    os.environ["COLUMNS"] = "100"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        _run([*words, "--help"])
    return out.getvalue().strip()


def commands() -> str:
    """The help of every command and sub-command as Markdown."""
    sections = []
    for name, line in COMMANDS.items():
        sections.append(f"## {name}\n\n{line[0].upper()}{line[1:]}.\n")
        names = [(name,), *((name, each) for each in getattr(load(name), "commands", {}))]
        sections += [f"```text\n{help_of(*each)}\n```\n" for each in names]
    return "\n".join(sections)


def _inside(match: re.Match[str], folder: Path) -> str:
    """A link as it is where it leads to a page or picture of the site, else its text alone."""
    target = (folder / match[2]).resolve()
    stays = target.is_relative_to(DOCS) and target.is_file() and target.suffix in (".md", ".png", ".svg")
    return match[0] if stays else match[1]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs with the text of each page."""
    folder = (DOCS / page.file.src_uri).parent
    if "<!-- commands -->" in markdown:
        markdown = markdown.replace("<!-- commands -->", commands())
    if "<!-- CONTRIBUTING.md -->" in markdown:
        text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
        markdown = markdown.replace("<!-- CONTRIBUTING.md -->", text.replace("](docs/", "]("))
    return LINK.sub(lambda match: _inside(match, folder), markdown)
