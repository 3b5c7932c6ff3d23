"""What a site's earlier judgements found out, so that a night costs what its new scenes cost.

Everything is named by the digest of all that it follows from: pixels, settings, this program's own code, the libraries
under it. What is found under its name is therefore what would be worked out again, to the last bit; a late scene,
a reprocessed one or another setting is another name. What a judgement did not ask for is removed at its end.
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

FACTS = "facts.json"
ALIGN = 64
ROOM_BYTES = 2_000_000_000
"""Left free for the results: what is remembered can be worked out again, they cannot be done without."""
LIBRARIES = ("affine", "numpy", "odc-geo", "pydantic", "rasterio", "scikit-image", "scipy", "shapely")
"""Distributions that the pure layers import: another version may round differently."""
FLOORS = ("model", "correct", "decide")
CODE = ("*.py", "*.json")
"""Files of the pure layers that results follow from; the tables that were learned are JSON."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """A value taken apart: facts are plain JSON; arrays are read-only where they come from a file."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(slots=True)
class ResultCache:
    """One site's; root None: nothing is remembered. To be closed after a judgement that went well."""

    root: Path | None
    known: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    fault: str = ""

    @classmethod
    def of(cls, root: Path | None, expected_bytes: int) -> "ResultCache":
        """A site's, where the disk has room to spare for what it will hold; one that remembers nothing elsewhere."""
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

    def fact(self, key: str, make: Callable[[], Any]) -> Any:
        """A plain JSON value, from before or made now."""
        if key not in self.asked:
            self.asked[key] = self.known[key] if key in self.known else make()
        return self.asked[key]

    def knows(self, key: str) -> bool:
        """Whether a fact is known already."""
        return key in self.known or key in self.asked

    def packed(self, key: str, make: Callable[[], Packed]) -> Packed:
        """A value with arrays, from before or made now."""
        found = self.find(key)
        if found is None:
            found = make()
            self.keep(key, found)
        return found

    def find(self, key: str) -> Packed | None:
        """A value with arrays from before; None where there is none that is whole."""
        if self.root is None or self.fault:
            return None
        found = read_packed(self.root, key)
        if found is not None:
            self.used.add(key)
        return found

    def keep(self, key: str, value: Packed) -> None:
        """Remember a value. A disk that takes no more only ends the remembering: `fault` says so."""
        if self.root is None or self.fault:
            return
        try:
            CheckedFiles(self.root).write(key, _parts(value))
            self.used.add(key)
        except OSError as fault:
            self._give_up(fault)

    def save(self) -> None:
        """Write the facts beside those of earlier judgements, and remove nothing: for work that stops half-way."""
        if self.root is None or self.fault:
            return
        try:
            CheckedFiles(self.root).write(FACTS, [json.dumps({**self.known, **self.asked}).encode()])
        except OSError as fault:
            self._give_up(fault)

    def close(self) -> None:
        """Write the facts, and remove what this judgement did not ask for."""
        if self.root is None or self.fault:
            return
        try:
            CheckedFiles(self.root).write(FACTS, [json.dumps(self.asked).encode()])
            for path in self.root.iterdir():
                if path.name not in self.used and path.name != FACTS:
                    path.unlink()
        except OSError as fault:
            self._give_up(fault)

    def _give_up(self, fault: OSError) -> None:
        """The room goes back to the results, which can be had without."""
        self.fault = fault.strerror or str(fault)
        if self.root is not None:
            for path in self.root.glob("*"):
                with suppress(OSError):
                    path.unlink()


def read_packed(root: Path, key: str) -> Packed | None:
    """A value with arrays out of a site's folder; None where there is none that is whole."""
    body = CheckedFiles(root).read(key)
    return None if body is None else _unpacked(body)


def cache_key(*facts: Any) -> str:
    """Digest of the inputs of a cached value: JSON values, or values identified by their text."""
    return hashlib.sha256(json.dumps([code_digest(), *facts], default=str).encode()).hexdigest()[:40]


@cache
def code_digest() -> str:
    """Digest of the code of the pure layers and of the versions of the libraries that it imports.

    The same in every process of an installation, whatever else that has imported.
    """
    digest = hashlib.sha256()
    for floor in FLOORS:
        for path in sorted(each for form in CODE for each in (Path(__file__).parents[1] / floor).glob(form)):
            digest.update(path.read_bytes())
    digest.update(json.dumps([version(name) for name in LIBRARIES]).encode())
    return digest.hexdigest()


def _parts(value: Packed) -> list[Buffer]:
    """Length of the header, header, arrays one after the other, each on a round address."""
    arrays = {name: np.ascontiguousarray(array) for name, array in value.arrays.items()}
    kinds = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    header = json.dumps({"facts": value.facts, "arrays": kinds}).encode()
    header += b" " * (-(len(header) + 8) % ALIGN)
    parts: list[Buffer] = [len(header).to_bytes(8, "little"), header]
    for array in arrays.values():
        parts += [array.reshape(-1).view(np.uint8).data, b"\0" * (-array.nbytes % ALIGN)]
    return parts


def _unpacked(body: memoryview) -> Packed:
    start = 8 + int.from_bytes(body[:8], "little")
    header = json.loads(bytes(body[8:start]))
    arrays = {}
    for name, (kind, shape) in header["arrays"].items():
        count = int(np.prod(shape))
        array = np.frombuffer(body, np.dtype(kind), count, start).reshape(shape)
        arrays[name] = array
        start += array.nbytes + -array.nbytes % ALIGN
    return Packed(facts=header["facts"], arrays=arrays)
