"""Files that can be computed again. Each ends in a checksum of its own bytes; an altered file counts as missing.

A night reads all that is remembered of a site: the checksum is XXH3, which goes as fast as memory does. It is there
against what rots, not against forgery. A file takes its name only when it is whole, so a kill or a full disk leaves a
leftover and no half file. Bodies are read, not mapped: where the file of a map is cut or its disk fails, the system
ends the process at the next look at an array.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from xxhash import xxh3_128

DIGEST_BYTES = 16
Buffer = bytes | memoryview


@dataclass(slots=True)
class CheckedFiles:
    """Files under `root`; `damaged` names those that were found altered or unreadable, and removed."""

    root: Path
    damaged: list[str] = field(default_factory=list)

    def read(self, name: str) -> memoryview | None:
        """Content of a file, read-only; None if it is missing or damaged."""
        path = self.root / name
        try:
            whole = memoryview(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError:  # a disk that fails: it can be made again elsewhere on it
            whole = memoryview(b"")
        body, digest = whole[:-DIGEST_BYTES], whole[-DIGEST_BYTES:]
        if xxh3_128(body).digest() == digest:
            # the age of a file is that of its last use, by which retention finds old files
            with suppress(PermissionError):
                os.utime(path)
            return body
        self.damaged.append(name)
        path.unlink(missing_ok=True)
        return None

    def write(self, name: str, parts: Iterable[Buffer]) -> None:
        """Write a file atomically. Raises OSError if it cannot be written."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{token_hex(6)}.part")
        digest = xxh3_128()
        try:
            with beside.open("wb") as file:
                for part in parts:
                    digest.update(part)
                    file.write(part)
                file.write(digest.digest())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
