"""Hook of mkdocs: fills in the help of the commands, takes in CONTRIBUTING.md, and drops links out of the site.

After the build it compares the pages of the packages with the code: each public function and class has an entry.
"""

import ast
import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

from pipeline.cli.main import COMMANDS, _run_command, load_command

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGES = sorted(path.parent for path in (ROOT / "pipeline").glob("*/__init__.py"))
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def help_of(*words: str) -> str:
    """What `groundbreak WORDS --help` prints, 100 columns wide."""
    os.environ["COLUMNS"] = "100"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        _run_command([*words, "--help"])
    return out.getvalue().strip()


def commands() -> str:
    """The help of every command and sub-command as Markdown."""
    sections = []
    for name, line in COMMANDS.items():
        sections.append(f"## {name}\n\n{line[0].upper()}{line[1:]}.\n")
        names = [(name,), *((name, each) for each in getattr(load_command(name), "commands", {}))]
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


def public_names(package: Path) -> Iterator[str]:
    """Full names of the public functions and classes of a package."""
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield f"{module}.{node.name}"


def on_post_build(config: Any, **_: Any) -> None:
    """Called by mkdocs at its end; raises if a page of a package lacks an entry."""
    for package in PACKAGES:
        page = (Path(config["site_dir"]) / "packages" / f"{package.name}.html").read_text(encoding="utf-8")
        missing = [name for name in public_names(package) if f'id="{name}"' not in page]
        if missing:
            raise PluginError(f"packages/{package.name}.html has no entry for {', '.join(missing)}")
