"""Files of a folder or archive, without hidden files of editors, file managers and operating systems."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_SYSTEM = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"})


def is_hidden(name: str) -> bool:
    """Whether a path relative to what is listed is hidden, a backup or a lock of an editor, or a system's own."""
    return any(
        part.startswith((".", "~", "#")) or part.endswith("~") or part.lower() in _SYSTEM
        for part in PurePosixPath(name).parts
    )


def files_of(folder: Path) -> list[Path]:
    """The files of a folder by name. Raises OSError where it cannot be listed."""
    return sorted(path for path in folder.iterdir() if not is_hidden(path.name))


def files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder in any depth, by name, folder by folder; links to folders are not followed."""
    folders = []
    for path in files_of(folder):
        if path.is_dir():
            if not path.is_symlink():
                folders.append(path)
        elif path.is_file():
            yield path
    for each in folders:
        yield from files_below(each)
