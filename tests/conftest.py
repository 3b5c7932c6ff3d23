"""For every test: no network but loopback, an empty environment, marks by folder, and the profiles of Hypothesis."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "CI", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
COMMANDS = ("api/", "cli/", "test_examples.py", "test_notebooks.py")
"""Tests of whole commands, below tests/: they get the mark `command`, and `make test-fast` leaves them out."""
ARITHMETIC = ("PYTEST", "OPENBLAS_")
"""What starts so is kept too: another BLAS kernel adds up in another order, and last bits are compared here."""

settings.register_profile("dev", max_examples=20, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of whole commands."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.relative_to(folder).as_posix().startswith(COMMANDS):
            item.add_marker("command")


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ) - set(KEPT):
        if not name.startswith(ARITHMETIC):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "unix"
        if host not in ("127.0.0.1", "::1", "localhost", "unix"):
            raise OSError(f"a test tried to reach {host}: tests talk to this machine only")
        real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded data; a clone elsewhere lacks it, CI may not."""
    if not SHARED.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the recorded data are missing at {SHARED}; under CI they must be there")
        pytest.skip("the recorded data are not beside this checkout")
    return SHARED
