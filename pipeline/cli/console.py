"""How the command speaks: tables and progress on the terminal, errors as one line on stderr."""

import io
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pipeline.cli.general import general
from pipeline.model.text import printable


class _Plain(Console):
    """A console for text of others: no markup, no emoji names, no control characters, whatever is printed.

    Every str that rich prints, in a line or in the cell of a table, passes `render_str`. The stream may be closed, or
    its disk full: results do not depend on what is printed.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as it is shown."""
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False})

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, or lose the line."""
        with suppress(OSError, ValueError):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Lose the line, where rich would exit with 1: the reader of a pipe has gone."""


out = _Plain(highlight=False, soft_wrap=False, markup=False, emoji=False)
_err = _Plain(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
TOLD_EVERY_S, SPEED_OF_S = 300.0, 300.0
"""How often a log hears of a long stage, and over how long a bar measures its speed: a cell of a wide site takes ten.
"""


def narrow_table(title: str, *headings: str, numbers: Sequence[str] = ()) -> Table:
    """An empty table whose rows fit 80 columns: no lines between the columns, `numbers` set to the right.

    The first column is a name to be copied, so it is not folded.
    """
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    table.columns[0].no_wrap, table.columns[0].overflow = True, "ellipsis"
    return table


def open_streams() -> None:
    """Let the standard streams exist: where one is closed, the next file opened would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def close_streams() -> None:
    """Write out what is printed; where that cannot be, let it go, so that Python does not fail at its end."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)


def print_line(text: str) -> None:
    """A line of the answer, left whole however narrow the terminal is: paths and commands are there to be copied."""
    out.print(text, markup=False, soft_wrap=True)


def print_summary(*parts: str | Table) -> None:
    """Lines and tables at the end of a piece of work; none of them with --quiet."""
    if general.quiet:
        return
    for part in parts:
        if isinstance(part, str):
            print_line(part)
        else:
            out.print(part)


def print_detail(text: str) -> None:
    """A line on stderr that only --verbose shows."""
    if general.verbose:
        _err.print(" ".join(text.split()), markup=False)


def as_text(value: Any) -> str:
    """JSON in ASCII, so that it survives any encoding; NaN becomes null."""
    return json.dumps(_json_value(value), indent=1, default=str, allow_nan=False)


def write_json(value: Any) -> None:
    """One JSON document as the whole answer on stdout."""
    print(as_text(value))  # noqa: T201


def _json_value(value: Any) -> Any:
    """A value in the types of JSON: dates as ISO text, NaN and infinities as None."""
    if hasattr(value, "tolist"):  # numbers and arrays of NumPy
        return _json_value(value.tolist())
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _json_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json_value(each) for each in value]
    return value


class Step(Protocol):
    """Progress of a long operation: `step(site, done, total, what)`."""

    def __call__(self, site: str, done: int, total: int, what: str) -> None:
        """Note that `done` of `total` pieces of `what` are ready."""


def write_what_the_terminal_can() -> None:
    """Let both streams show the code of a letter that their encoding lacks: such a name ends no command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_terminal() -> bool:
    """True where a person watches."""
    return _err.is_terminal


def print_error(error: Exception | str) -> None:
    """One line, `error: WHAT (WHERE): FIX`; with --debug the traceback above it."""
    if general.debug and isinstance(error, Exception):
        sys.stderr.write(printable("".join(traceback.format_exception(error))))
    elif general.debug and sys.exc_info()[1] is not None:
        sys.stderr.write(printable(traceback.format_exc()))
    line = " ".join(str(error).split())
    _err.print(f"error: {line}", markup=False, style="red" if _err.is_terminal else None)


def print_note(text: str) -> None:
    """Print a note, which is not an error, on stderr."""
    _err.print(f"note: {' '.join(text.split())}", markup=False, style="yellow" if _err.is_terminal else None)


class Pace:
    """Speed of a stage for readers of a log, printed once in TOLD_EVERY_S."""

    def __init__(self, now: float, done: int) -> None:
        self._began, self._told, self._first = now, now, done

    def left(self, now: float, done: int, total: int) -> str:
        """How long the rest will take, in words; empty while it is not yet time to say so."""
        if now - self._told < TOLD_EVERY_S or not self._first < done < total:
            return ""
        self._told = now
        minutes = (now - self._began) / (done - self._first) * (total - done) / 60
        return f"about {minutes:.0f} min left" if minutes < 100 else f"about {minutes / 60:.0f} h left"


@contextmanager
def show_progress() -> Iterator[Step]:
    """A bar a site while the work lasts; where there is no terminal one line a stage, and one in five minutes."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=_err,
        disable=general.quiet or not _err.is_terminal,
        transient=True,
        speed_estimate_period=SPEED_OF_S,
    )
    tasks: dict[str, int] = {}
    pace: dict[tuple[str, str], Pace] = {}

    def step(site: str, done: int, total: int, what: str) -> None:
        if general.quiet:
            return
        if not _err.is_terminal:
            if (site, what) not in pace:
                pace[site, what] = Pace(time.monotonic(), done)
                _err.print(f"{site}: {what} ({total})", markup=False)
            elif left := pace[site, what].left(time.monotonic(), done, total):
                _err.print(f"{site}: {what} ({done} of {total}, {left})", markup=False)
            return
        if site not in tasks:
            tasks[site] = bar.add_task(site, total=total, what=what)
        bar.update(tasks[site], completed=done, total=total, what=what)  # type: ignore[arg-type]

    with bar:
        yield step
