"""For every test: no network but loopback, an empty environment, marks by folder, and the profiles of Hypothesis."""

import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
RECORDED_ABSENT = os.environ.get("GROUNDBREAK_RECORDED") == "absent"
"""A CI that has no recorded data says so: their tests are skipped there."""
KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "CI", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
INTEGRATION = (
    "api/", "cli/", "run/", "study/", "evaluation/test_sensitivity.py", "review/test_publish.py",
    "decide/test_objects.py", "decide/test_properties.py", "decide/test_renewals.py",
    "catalogue/test_environment.py", "catalogue/test_fuzz_items.py", "catalogue/test_fuzz_readers.py",
    "test_examples.py", "test_notebooks.py",
)  # fmt: skip
"""Below tests/: whole commands, long simulated series, other processes, fuzzing. `make test-fast` leaves them out."""
UNIT = ("run/test_deploy.py", "run/test_retention.py", "run/test_serialisation.py", "study/test_weather.py")
"""Files of those folders that are quick."""
SLOW = (
    "cli/test_damaged_results.py", "cli/test_dask.py", "cli/test_demonstration.py", "qgis/test_conflicts.py",
    "run/test_result_cache.py", "run/test_wide.py", "study/test_ablation.py", "study/test_plant_story.py",
    "evaluation/test_sensitivity.py", "test_notebooks.py",
)  # fmt: skip
"""Files of half a minute or more: `.ci/run` runs them, `make test` leaves them out."""
MARKS = {
    "browser": ("browser/",), "faults": ("faults/",), "integration": INTEGRATION, "peer": ("cli/test_dask.py", "peer/"),
    "qgis": ("qgis/",), "slow": SLOW,
}  # fmt: skip
"""Mark -> the folders and files below tests/ whose tests have it."""
IN_MEMORY, ROOM_BYTES = Path("/dev/shm"), 8_000_000_000
"""Folder of temporary files, if it has the room and neither TMPDIR nor --basetemp names another. A disk may need 3 ms
to remove a file and 50 ms to commit a transaction: two thirds of the time of the whole commands."""
ARITHMETIC = ("PYTEST", "OPENBLAS_")
"""What starts so is kept too: another BLAS kernel adds up in another order, and last bits are compared here."""

settings.register_profile("dev", max_examples=20, deadline=None, derandomize=True)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev"))


def pytest_configure(config: pytest.Config) -> None:
    """Choose the folder of temporary files, for this process and those that it starts."""
    chosen = "TMPDIR" in os.environ or config.option.basetemp is not None
    if chosen or not os.access(IN_MEMORY, os.W_OK) or shutil.disk_usage(IN_MEMORY).free < ROOM_BYTES:
        return
    os.environ["TMPDIR"] = str(IN_MEMORY)
    tempfile.tempdir = None


def marks_of(path: Path) -> set[str]:
    """The marks of all tests of a file."""
    name = path.relative_to(Path(__file__).parent).as_posix()
    return {mark for mark, places in MARKS.items() if name.startswith(places)} - (
        {"integration"} if name in UNIT else set()
    )


def excluded_marks(expression: str) -> set[str]:
    """The marks that `-m` excludes whatever else a test has; none where the expression is of another form."""
    word = r"not (\w+|\(\w+(?: or \w+)*\))"
    if not re.fullmatch(rf"{word}(?: and {word})*", expression):
        return set()
    return set(re.findall(r"\w+", expression)) - {"not", "and", "or"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file of which `-m` would deselect every test is not imported: the imports take longer than most tests."""
    is_test = collection_path.name.startswith("test_")
    return True if is_test and marks_of(collection_path) & excluded_marks(config.option.markexpr) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their file, before `-m` selects."""
    for item in items:
        for mark in marks_of(item.path):
            item.add_marker(mark)


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
    """The folder of recorded data; a clone elsewhere lacks it, CI may not unless GROUNDBREAK_RECORDED is `absent`."""
    if not SHARED.is_dir():
        if os.environ.get("CI") == "true" and not RECORDED_ABSENT:
            pytest.fail(f"the recorded data are missing at {SHARED}; under CI they must be there")
        pytest.skip("the recorded data are not beside this checkout")
    return SHARED
