"""A file of environment variables, as systemd and containers take it, where no shell reads it."""

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.model.errors import UsageError

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def read_environment(path: Path, known: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file that are not set already. Raises UsageError, without their values.

    A value is taken to the end of its line as it is: `&`, `$` and blanks mean nothing. Quotes around it are removed.
    """
    mend = "write one NAME=value a line"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read: {error.strerror if isinstance(error, OSError) else 'not UTF-8'}"
        raise UsageError(what, str(path), mend) from error
    found = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith(("#", ";")):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise UsageError("not a variable", f"{path}, line {number}", mend)
        name, value = match.groups()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        if name not in known:
            found[name] = value[1:-1] if quoted else value
    return found
