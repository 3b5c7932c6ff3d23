"""Servers of pixels that do not answer are left alone for a while: each scene would wait for half a minute in vain."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

SILENT_AFTER = 5
"""Scenes in a row without an answer, after which a server is left alone."""
ALONE_SECONDS = 600.0
"""How long it is left alone; the first scene after that tries again."""


@dataclass(slots=True)
class SilentHosts:
    """The servers that a process has read from, by name and port."""

    clock: Callable[[], float] = time.monotonic
    _silent: dict[str, int] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find_silent(self, hrefs: Collection[str]) -> str:
        """The server of one of these addresses that is left alone at present; empty if none is."""
        with self._lock:
            return next((host for host in hosts_of(hrefs) if self._until.get(host, 0.0) > self.clock()), "")

    def note(self, hrefs: Collection[str], *, answered: bool) -> None:
        """Note how the servers of these addresses behaved for one scene."""
        with self._lock:
            for host in hosts_of(hrefs):
                self._silent[host] = 0 if answered else self._silent.get(host, 0) + 1
                if self._silent[host] >= SILENT_AFTER:
                    # one more silent scene is enough after the pause
                    self._silent[host] = SILENT_AFTER - 1
                    self._until[host] = self.clock() + ALONE_SECONDS


def hosts_of(hrefs: Collection[str]) -> list[str]:
    """The servers of the remote ones among these addresses, each once."""
    return sorted({urlsplit(href).netloc for href in hrefs if "://" in href} - {""})


SILENT = SilentHosts()
"""Those of this process."""
