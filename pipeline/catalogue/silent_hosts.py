"""Servers that do not answer are skipped for a while: each scene would wait for half a minute."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

SILENT_AFTER = 5
"""Consecutive scenes without an answer, after which a server is skipped."""
ALONE_SECONDS = 600.0
"""Seconds for which it is skipped; the first scene after that tries again."""


@dataclass(slots=True)
class SilentHosts:
    """Servers that a process has read from, by name and port, with their failures."""

    clock: Callable[[], float] = time.monotonic
    _silent: dict[str, int] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find_silent(self, hrefs: Collection[str]) -> str:
        """Server among these addresses that is skipped at present; empty if all are read."""
        with self._lock:
            return next((host for host in hosts_of(hrefs) if self._until.get(host, 0.0) > self.clock()), "")

    def note(self, hrefs: Collection[str], *, answered: bool) -> None:
        """Record whether the servers of these addresses answered for one scene."""
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
"""The silent hosts of this process."""
