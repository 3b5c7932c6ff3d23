"""Recorded state of a site's files, from which the next night finds missing, older and altered ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from xxhash import xxh3_128

from pipeline.review.existing_results import machine_digest
from pipeline.review.folder import GPKG, PICTURES, PROJECT, REPORT, Folder

PRESENT = (REPORT, PROJECT)
"""Files that only have to be there: the report is also written by `groundbreak report`, the project by QGIS."""
WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Output:
    """One file. digest: of its content, empty for a file that only has to be there."""

    size: int
    mtime_ns: int
    digest: str


def measure_outputs(folder: Folder) -> dict[str, Output]:
    """Every output there is, by its name inside the folder. Raises ReviewError where the review file cannot be read."""
    found = {}
    for path in _output_files(folder):
        name, stat = str(path.relative_to(folder.path)), path.stat()
        found[name] = Output(stat.st_size, stat.st_mtime_ns, "" if name in PRESENT else _file_digest(path))
    for name in PRESENT:
        if (folder.path / name).is_file():
            found[name] = Output(0, 0, "")
    if folder.gpkg.exists():
        found[GPKG] = Output(0, 0, machine_digest(folder.gpkg))
    return found


def find_differing(folder: Folder, known: Mapping[str, Output]) -> tuple[str, ...]:
    """Names of outputs that are missing or not as they were written; all but the content of a sound file is cheap.

    Raises ReviewError where the review file cannot be read.
    """
    wrong = [name for name, output in known.items() if name != GPKG and _is_changed(folder.path / name, name, output)]
    review = known.get(GPKG)
    if review is None or not folder.gpkg.is_file() or machine_digest(folder.gpkg, WAIT_SECONDS) != review.digest:
        wrong.append(GPKG)
    return tuple(sorted(wrong))


def discard_outputs(folder: Folder, names: tuple[str, ...]) -> None:
    """Remove outputs that are to be written again; never the review file or the project."""
    for name in names:
        if name not in (GPKG, *PRESENT):
            (folder.path / name).unlink(missing_ok=True)


def _output_files(folder: Folder) -> Iterator[Path]:
    for raster in (folder.before, folder.after, folder.score):
        yield from (path for path in (raster, raster.with_suffix(".qml")) if path.is_file())
    for pictures in PICTURES:
        yield from sorted((folder.path / pictures).glob("*.png"))


def _is_changed(path: Path, name: str, output: Output) -> bool:
    try:
        if not path.is_file():
            return True
        stat = path.stat()
        if name in PRESENT:
            return False
        if (stat.st_size, stat.st_mtime_ns) == (output.size, output.mtime_ns):
            return False
        return stat.st_size != output.size or _file_digest(path) != output.digest
    except OSError:
        return True


def _file_digest(path: Path) -> str:
    return xxh3_128(path.read_bytes()).hexdigest()
