"""Paths in out/<site>/, and atomic replacement: files are written beside, then renamed."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

from pipeline.model.errors import ReviewError, UsageError

GPKG, PROJECT, REPORT = "review.gpkg", "review.qgz", "report.html"
BEFORE, AFTER, SCORE = "before.tif", "after.tif", "score.tif"
_STAGE, _BESIDE = ".staging-", ".writing-"
"""Prefix of temporary names, which end in random letters: a process id is 1 in every container."""
PICTURES = ("timeline", "pair", "looks")
_FIX = "free some disk space or fix the permissions, then run again"


@dataclass(frozen=True, slots=True)
class Folder:
    """One site's results."""

    path: Path

    @property
    def gpkg(self) -> Path:
        """Polygons, observations, scenes and verdicts: changed in place, never replaced."""
        return self.path / GPKG

    @property
    def project(self) -> Path:
        """The QGIS project."""
        return self.path / PROJECT

    @property
    def before(self) -> Path:
        """COG of the look before."""
        return self.path / BEFORE

    @property
    def after(self) -> Path:
        """COG of the look after."""
        return self.path / AFTER

    @property
    def score(self) -> Path:
        """COG of the evidence per pixel."""
        return self.path / SCORE

    @property
    def report(self) -> Path:
        """The page to read and to send."""
        return self.path / REPORT

    @property
    def detection(self) -> Path:
        """Probability of detection of the site, as measured by `groundbreak sensitivity`."""
        return self.path / "sensitivity.json"

    @property
    def detection_picture(self) -> Path:
        """The same as a picture."""
        return self.path / "sensitivity.png"

    def timeline(self, change_id: str) -> Path:
        """The picture of one alert: every clear look that matters, and its curves."""
        return self.path / "timeline" / f"{file_name_of(change_id)}.png"

    def pair(self, change_id: str) -> Path:
        """The small picture of one alert: before beside after."""
        return self.path / "pair" / f"{file_name_of(change_id)}.png"

    @property
    def looks(self) -> Path:
        """Strips of changes and rasters of looks."""
        return self.path / "looks"

    def look(self, day: str, scene: str) -> Path:
        """The COG of one look: review/through_time.py."""
        return self.looks / f"{day}-{file_name_of(scene)}.tif"

    def strip(self, change_id: str) -> Path:
        """The clear looks of one alert, one below the other: review/strips.py."""
        return self.path / "looks" / f"{file_name_of(change_id)}.jpg"


def file_name_of(change_id: str) -> str:
    """An id as a file name; the machine's own ids pass unchanged."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", change_id)[:80] or "_"


def make_folder(path: Path) -> Folder:
    """Create the folder if it does not exist. Raises ReviewError if it is not writable."""
    try:
        for name in PICTURES:
            (path / name).mkdir(parents=True, exist_ok=True)
        Path(mkdtemp(prefix=_STAGE, dir=path)).rmdir()
    except OSError as error:
        fix = "fix the permissions, or give another folder with --out"
        raise ReviewError(f"cannot be written: {error.strerror or error}", str(path), fix) from error
    return Folder(path)


def clear_leftovers(path: Path) -> None:
    """Remove temporary files of killed runs. The caller must be the only writer of the folder."""
    with suppress(OSError):
        for leftover in (*path.glob(f"{_STAGE}*"), *path.glob(f"{_BESIDE}*")):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def unused_name(path: Path) -> Path:
    """Unique temporary name beside a path."""
    return path.with_name(f"{_BESIDE}{token_hex(6)}-{path.name}")


class Stage:
    """Files written beside a site's results and renamed together."""

    def __init__(self, target: Folder, root: Path) -> None:
        self.files = Folder(root)
        self._target = target

    def release(self) -> None:
        """Rename every staged file to its place, except files with unchanged content."""
        try:
            for staged in sorted(self.files.path.rglob("*")):
                if staged.is_dir():
                    continue
                place = self._target.path / staged.relative_to(self.files.path)
                if place.is_file() and _is_same(staged, place):
                    continue
                staged.replace(place)
        except OSError as error:
            raise ReviewError(f"cannot be written: {error.strerror or error}", str(self._target.path), _FIX) from error


@contextmanager
def stage_files(folder: Folder) -> Iterator[Stage]:
    """Create a stage inside the folder, on its file system; files that were not released are removed."""
    root = folder.path / f"{_STAGE}{token_hex(6)}"
    try:
        for name in PICTURES:
            (root / name).mkdir(parents=True)
        yield Stage(folder, root)
    except OSError as error:
        raise ReviewError(f"cannot be written: {error.strerror or error}", str(folder.path), _FIX) from error
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def replace_file(path: Path, made_here: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """Path beside `path` to write to; it replaces `path` after success and is removed after an error.

    made_here: whether this program wrote the file at `path`; None where no other program could have.
    Raises ReviewError where a folder or somebody else's file stands at `path`, or it cannot be written.
    """
    if path.is_dir():
        raise ReviewError("a folder stands there", str(path), "name a file")
    refuse_foreign(path, made_here)
    beside = unused_name(path)
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        raise ReviewError(f"cannot be written: {error.strerror or error}", str(path), _FIX) from error
    finally:
        beside.unlink(missing_ok=True)


def refuse_foreign(path: Path, made_here: Callable[[Path], bool] | None) -> None:
    """Raise UsageError where something stands at `path` that this command did not write."""
    if made_here is not None and os.path.lexists(path) and not (path.is_file() and made_here(path)):
        raise UsageError("a file that this command did not write", str(path), "name another file, or move it away")


def begins_with(*marks: bytes) -> Callable[[Path], bool]:
    """A test for files whose first bytes contain all marks, or that are empty."""

    def is_ours(path: Path) -> bool:
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
        except OSError:
            return False
        return not head or all(mark in head for mark in marks)

    return is_ours


_HEAD_BYTES = 65_536


def _is_same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
