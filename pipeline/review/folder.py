"""The names of everything in out/<site>/, and how a file gets there: written beside, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.model.errors import ReviewError


@dataclass(frozen=True, slots=True)
class Folder:
    """One site's results."""

    path: Path

    @property
    def gpkg(self) -> Path:
        """Polygons, observations, scenes and verdicts: changed in place, never replaced."""
        return self.path / "review.gpkg"

    @property
    def project(self) -> Path:
        """The QGIS project."""
        return self.path / "review.qgz"

    @property
    def before(self) -> Path:
        """COG of the look before."""
        return self.path / "before.tif"

    @property
    def after(self) -> Path:
        """COG of the look after."""
        return self.path / "after.tif"

    @property
    def score(self) -> Path:
        """COG of the evidence per pixel."""
        return self.path / "score.tif"

    @property
    def report(self) -> Path:
        """The page to read and to send."""
        return self.path / "report.html"

    def timeline(self, change_id: str) -> Path:
        """The picture of one alert."""
        return self.path / "timeline" / f"{change_id}.png"


def make(path: Path) -> Folder:
    """The folder, made if need be; ReviewError where nothing can be written."""
    folder = Folder(path)
    try:
        (path / "timeline").mkdir(parents=True, exist_ok=True)
        probe = path / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as fault:
        raise ReviewError(
            f"cannot be written: {fault.strerror}", str(path), "mend the rights, or give another folder with --out"
        ) from fault
    return folder


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed over it when all went well, removed when not."""
    beside = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    except OSError as fault:
        mend = "free some disk space or mend the rights, then run again"
        raise ReviewError(f"cannot be written: {fault.strerror or fault}", str(path), mend) from fault
    finally:
        beside.unlink(missing_ok=True)
