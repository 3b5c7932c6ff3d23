"""The error family: each error prints as one line.

    GroundbreakError(what, where, fix)    exit 1
    ├── UsageError        exit 2          an argument: the caller fixes it
    ├── SettingsError     exit 2          groundbreak.toml or a site's own settings
    ├── SiteError         exit 2          an AOI file or feature
    ├── CatalogueError    exit 3          a catalogue, item or product that cannot be read
    ├── PixelError        exit 3          an asset that cannot be read
    ├── ReviewError       exit 3          a review file that is locked, foreign or damaged
    ├── DecisionError     exit 3          a site that cannot be judged with the looks it has
    └── ShapeError        exit 1          arrays that do not fit: our own mistake

A refused scene is no error but a value: `pipeline.model.imagery.Rejection`.
"""

from enum import IntEnum

from pipeline.model.text import printable


class Exit(IntEnum):
    """Exit codes of the command."""

    DONE = 0
    ERROR = 1
    INPUT = 2
    SOME_FAILED = 3
    NOTHING_NEW = 4
    INTERRUPTED = 130


class GroundbreakError(Exception):
    """An error with what happened, where, and how to fix it; `str()` is the line that the user reads."""

    exit_code = Exit.ERROR

    def __init__(self, what: str, where: str, fix: str) -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = (printable(" ".join(str(part).split())) for part in (what, where, fix))

    def __str__(self) -> str:
        return f"{self.what} ({self.where}): {self.fix}"


class UsageError(GroundbreakError):
    """An argument that cannot be followed."""

    exit_code = Exit.INPUT


class SettingsError(GroundbreakError):
    """A setting that is unknown, of the wrong type or out of its range."""

    exit_code = Exit.INPUT


class SiteError(GroundbreakError):
    """An AOI file or feature that does not describe a place that can be watched."""

    exit_code = Exit.INPUT


class CatalogueError(GroundbreakError):
    """A catalogue, item or product that cannot be read or believed."""

    exit_code = Exit.SOME_FAILED


class PixelError(GroundbreakError):
    """An asset whose pixels cannot be read; only that scene is lost, and it is asked for again."""

    exit_code = Exit.SOME_FAILED


class ReviewError(GroundbreakError):
    """A review file that is locked, damaged or not ours."""

    exit_code = Exit.SOME_FAILED


class DecisionError(GroundbreakError):
    """A site that cannot be judged with the looks at hand."""

    exit_code = Exit.SOME_FAILED


class ShapeError(GroundbreakError, ValueError):
    """Arrays or grids that do not fit each other: a mistake in the calling code."""
