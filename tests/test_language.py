"""Prose uses the terms of docs/glossary.md: documents, docstrings, comments, messages and notebooks."""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RETIRED = {
    "surprises?": "detection score",
    "likeness": "correlation or spectral consistency",
    "restless(?:ness)?": "residual-variance factor",
    "verdure": "scene greenness",
    "browned|sprouting": "senescence, green-up",
    "healed|heals": "reverted, ended",
    "renewals?": "re-roofing",
    "seams?": "border of two cells",
    "skirts?": "adjacency margin",
    "sights?": "detections",
    "founders?|founded|foundings?": "reference images, build the reference",
    r"wander\w*|strays?|strayed": "shift scatter, outlying shift",
    "wedges?": "partial swath",
    "twins?": "duplicate products",
    "fences?": "asset allow-list",
    "greeted": "initialised",
    "told|untold|tells?|telling": "notified, reported, distinguished",
    "mend(?:s|ed|ing)?": "fix, hint",
    "faults?": "error",
    "she|hers?": "the analyst",
    "anew": "again",
    "whoever|nobody": "name who",
    "so many": "name the number",
    "be it": "or",
    "(?<!there )(?:is|are) (?-i:none)": "does not exist, is not",
    "what stands": "name it",
    r"beyond (?:its|their|the) (?:limit|number|budget|share)|beyond \d": "more than",
    "witness(?:es)?": "test, source of evidence",
    "put by": "kept",
    "(?:pure|lower|upper|other|every|each) floors?|floors? below": "layer",
}
"""Words that the glossary replaced, as regular expressions -> what to write. A word with a plain technical meaning of
its own (memory, mark, plot, release, claim, whole, settle) is not listed: a reader has to judge it."""
ALLOWED = (
    "superseded by a twin",  # a reason in `scenes`, stored in review files
    r"(?:FROM|INTO|EXISTS|UPDATE) told\b",  # a table of the ledger
    r"(?:SELECT|SET) greeted\b|greeted INTEGER",  # a column of the ledger
    "make faults|tests/faults",  # a target and a folder
)
"""Quoted contracts and other meanings, taken out before the words are sought. At most ten."""
WORDS = re.compile("|".join(rf"\b(?:{word})\b" for word in RETIRED), re.IGNORECASE)
RETIRED_NAMES = re.compile(r"(?<![a-z])(?:mends?|faults?)(?![a-z])", re.IGNORECASE)
"""Retired words as a part of an identifier: an error has a `fix`; `fault` is for fault injection in tests alone."""
CODE = re.compile(
    r"(?<!\{)\{[^{}]*\}|`[^`\n]*`|https?://\S+|\]\([^)]*\)|\b[\w./-]+\.(?:py|md|toml|json|tif)\b|\b\w+_\w+\b|--\w[\w-]*"
)


def prose_of_python(text: str) -> Iterator[tuple[int, str]]:
    """Comments and every string that holds a blank, line by line; strings without one are names and keys."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        middle = tokenize.tok_name[token.type] == "FSTRING_MIDDLE"
        if token.type == tokenize.COMMENT or middle or (token.type == tokenize.STRING and " " in token.string.strip()):
            yield from enumerate(token.string.splitlines(), token.start[0])


def prose_of_markdown(text: str) -> Iterator[tuple[int, str]]:
    """Lines outside of fenced and indented code."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        if not fenced and not re.match(r"    (?! *[-*\d])", line):
            yield number, line


def prose(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from prose_of_python(text)
    elif path.suffix == ".ipynb":
        for number, cell in enumerate(json.loads(text)["cells"], 1):
            source = "".join(cell["source"])
            lines = prose_of_markdown(source) if cell["cell_type"] == "markdown" else prose_of_python(source)
            yield from ((number, line) for _, line in lines)
    elif path.suffix == ".html":
        without = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>|\{[{%#].*?[%#}]\}", " ", text, flags=re.DOTALL)
        yield from enumerate(without.splitlines(), 1)
    else:
        yield from prose_of_markdown(text)


def retired(line: str) -> list[str]:
    """The retired words of a line of prose."""
    for allowed in ALLOWED:
        line = re.sub(allowed, " ", line)
    return [match[0] for match in WORDS.finditer(CODE.sub(" ", line))]


def files() -> list[Path]:
    found = [path for folder in ("pipeline", "groundbreak") for path in (ROOT / folder).rglob("*.py")]
    found += (ROOT / "pipeline").rglob("*.html")
    found += (ROOT / "docs").rglob("*.py")
    found += (ROOT / "docs").rglob("*.md")
    found += (ROOT / "notebooks").glob("*.ipynb")
    return sorted([*found, *ROOT.glob("*.md")])


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_retired_word_is_used(path: Path) -> None:
    name = path.relative_to(ROOT)
    bad = [f"{name}:{number}: {words}: {line.strip()}" for number, line in prose(path) if (words := retired(line))]
    assert not bad, "\n".join(bad)


def names(text: str) -> Iterator[tuple[int, str]]:
    """The identifiers of Python source, those inside f-strings and call keywords too, with their lines."""
    for node in ast.walk(ast.parse(text)):
        for field in ("id", "arg", "attr", "name", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                yield getattr(node, "lineno", 0), value


@pytest.mark.parametrize(
    "path", [path for path in files() if path.suffix == ".py"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_name_has_a_retired_word(path: Path) -> None:
    bad = [
        f"{path.name}:{number}: {name}" for number, name in names(path.read_text("utf-8")) if RETIRED_NAMES.search(name)
    ]
    assert not bad, "\n".join(bad)


def test_the_allowed_phrases_are_few() -> None:
    assert len(ALLOWED) <= 10


def test_a_retired_word_is_found_in_a_name() -> None:
    text = 'try:\n    error.fix, default = MEND, f"{a_fault}"\nexcept E as faults:\n    recommend(mend=1)\n'
    assert sorted(name for _, name in names(text) if RETIRED_NAMES.search(name)) == [
        "MEND",
        "a_fault",
        "faults",
        "mend",
    ]


def test_a_retired_word_is_found_in_prose_and_not_in_code() -> None:
    assert retired("what the ledger has not down as told") == ["told"]
    assert retired("Nobody looks at the JSON anew") == ["Nobody", "anew"]
    assert not retired("call `told(x)` or error_mend, see docs/decisions/0060-told-is-what-the-ledger-says.md")
    text = 'told = 1\n# she mends it\nkey = "told"\nprint(f"{told} is none")\n'
    assert [words for _, line in prose_of_python(text) if (words := retired(line))] == [["she", "mends"], ["is none"]]
    assert [line for _, line in prose_of_markdown("a\n```\nb\n```\n    c\n    - d\n")] == ["a", "```", "    - d"]
