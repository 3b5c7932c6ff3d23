"""Intermediate results of a site from earlier runs, so that a night costs as much as its new scenes.

A value is named by the digest of everything it depends on: pixels, settings, the code of this program, its libraries.
A cached value therefore equals the computed one, bit for bit. A late or reprocessed scene or another setting gives
another name. Values that a run did not use are removed at its end.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.run.checked_files import Buffer, CheckedFiles

PACKAGE = Path(__file__).parents[1]
FACTS = "facts.json"
ALIGN = 64
ROOM_BYTES = 2_000_000_000
"""Disk space that the cache leaves free for the results, bytes: cached values can be computed again."""
LIBRARIES = ("affine", "numpy", "odc-geo", "pydantic", "rasterio", "scikit-image", "scipy", "shapely")
"""Distributions that the pure layers import: another version may round differently."""
CODE = (
    "model/*.py", "numerics/*.py", "correct/*.py", "decide/*.py", "decide/*.json", "ground/*.py", "ground/*.json",
    "catalogue/pixels.py", "catalogue/rasters.py", "run/looks.py", "run/incremental.py", "run/serialisation.py",
)  # fmt: skip
"""Files whose content a cached value depends on: the computation, its learned numbers, the reader of the pixels, the
order of the stages."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """A serialised value: facts are plain JSON; arrays are read-only where they come from a file."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(slots=True)
class ResultCache:
    """The cache of one site; root None: nothing is kept. To be closed after a run without an error."""

    root: Path | None
    known: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    error: str = ""

    @classmethod
    def of(cls, root: Path | None, expected_bytes: int) -> "ResultCache":
        """The cache of a site; one that keeps nothing if the disk lacks space for it."""
        if root is None:
            return cls(None)
        there = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
        held = sum(path.stat().st_size for path in root.glob("*"))
        enough = shutil.disk_usage(there).free + held > ROOM_BYTES + expected_bytes
        return cls(root if enough else None)

    def __post_init__(self) -> None:
        body = None if self.root is None else CheckedFiles(self.root).read(FACTS)
        if body is not None:
            self.known = json.loads(bytes(body))

    def cached_fact(self, key: str, make: Callable[[], Any]) -> Any:
        """A plain JSON value, cached or computed now."""
        if key not in self.asked:
            self.asked[key] = self.known[key] if key in self.known else make()
        return self.asked[key]

    def has_fact(self, key: str) -> bool:
        """Whether a fact is known already."""
        return key in self.known or key in self.asked

    def cached_arrays(self, key: str, make: Callable[[], Packed]) -> Packed:
        """A value with arrays, cached or computed now."""
        found = self.find_arrays(key)
        if found is None:
            found = make()
            self.store_arrays(key, found)
        return found

    def find_arrays(self, key: str) -> Packed | None:
        """A cached value with arrays; None if there is none, or if it is damaged."""
        if self.root is None or self.error:
            return None
        found = read_packed(self.root, key)
        if found is not None:
            self.used.add(key)
        return found

    def store_arrays(self, key: str, value: Packed) -> None:
        """Store a value. On a full disk the cache is given up, with the reason in `error`."""
        if self.root is None or self.error:
            return
        try:
            CheckedFiles(self.root).write(key, _serialise(value))
            self.used.add(key)
        except OSError as error:
            self._give_up(error)

    def save(self) -> None:
        """Write the facts beside those of earlier runs, and remove nothing: for work that stops half-way."""
        if self.root is None or self.error:
            return
        try:
            CheckedFiles(self.root).write(FACTS, [json.dumps({**self.known, **self.asked}).encode()])
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write the facts, and remove values that this run did not use."""
        if self.root is None or self.error:
            return
        try:
            CheckedFiles(self.root).write(FACTS, [json.dumps(self.asked).encode()])
            for path in self.root.iterdir():
                if path.name not in self.used and path.name != FACTS:
                    path.unlink()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Delete the cache, which frees its disk space for the results."""
        self.error = error.strerror or str(error)
        if self.root is not None:
            for path in self.root.glob("*"):
                with suppress(OSError):
                    path.unlink()


def read_packed(root: Path, key: str) -> Packed | None:
    """A value with arrays from the folder of a site; None if there is none, or if it is damaged."""
    body = CheckedFiles(root).read(key)
    return None if body is None else _deserialise(body)


def cache_key(*facts: Any) -> str:
    """Digest of the inputs of a cached value: JSON values, or values identified by their text."""
    return hashlib.sha256(json.dumps([code_digest(), *facts], default=str).encode()).hexdigest()[:40]


@cache
def code_digest() -> str:
    """Digest of the code that computes and of the versions of the libraries that it imports.

    The same in every process of an installation, whatever else that has imported.
    """
    digest = hashlib.sha256()
    for pattern in CODE:
        for path in sorted(PACKAGE.glob(pattern)):
            digest.update(path.read_bytes())
    digest.update(json.dumps([version(name) for name in LIBRARIES]).encode())
    return digest.hexdigest()


def _serialise(value: Packed) -> list[Buffer]:
    """Length of the header, header, arrays one after the other, each on a round address."""
    arrays = {name: np.ascontiguousarray(array) for name, array in value.arrays.items()}
    kinds = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    header = json.dumps({"facts": value.facts, "arrays": kinds}).encode()
    header += b" " * (-(len(header) + 8) % ALIGN)
    parts: list[Buffer] = [len(header).to_bytes(8, "little"), header]
    for array in arrays.values():
        parts += [array.reshape(-1).view(np.uint8).data, b"\0" * (-array.nbytes % ALIGN)]
    return parts


def _deserialise(body: memoryview) -> Packed:
    start = 8 + int.from_bytes(body[:8], "little")
    header = json.loads(bytes(body[8:start]))
    arrays = {}
    for name, (kind, shape) in header["arrays"].items():
        count = int(np.prod(shape))
        array = np.frombuffer(body, np.dtype(kind), count, start).reshape(shape)
        arrays[name] = array
        start += array.nbytes + -array.nbytes % ALIGN
    return Packed(facts=header["facts"], arrays=arrays)
