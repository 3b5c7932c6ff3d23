"""A real QGIS, in its own Python and its own process."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PYTHON = "/usr/bin/python3"
HERE = Path(__file__).parent
QGIS = os.environ.get("GROUNDBREAK_QGIS", "").split()
"""What stands before every command to run another QGIS than this machine's: `/usr/sbin/chroot FOLDER`, say."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A fresh home without a display; skips where there is no QGIS, fails under CI."""
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    # the system's programs alone: from a PATH with another Python ahead, QGIS's own takes the wrong library
    kept = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "LC_ALL": "C.UTF-8",
    }
    found = (
        Path(PYTHON).exists()
        and not subprocess.run(
            [*QGIS, PYTHON, "-c", "import qgis.core"], capture_output=True, env={**kept, "QT_QPA_PLATFORM": "offscreen"}
        ).returncode
    )
    if not found:
        if os.environ.get("CI") == "true":
            pytest.fail("QGIS is missing (python3-qgis, qgis-providers); under CI it must be there")
        pytest.skip("QGIS is not installed (apt-get install python3-qgis qgis-providers)")
    return {**kept, "QT_QPA_PLATFORM": "offscreen"}


@pytest.fixture(scope="session")
def run(environment: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """Run a script beside this file in QGIS's Python; returns the JSON of its last line."""

    def run(script: str, *arguments: object, timeout: int = 120) -> dict[str, Any]:
        command = [*QGIS, PYTHON, str(HERE / script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
        assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
        return json.loads(done.stdout.splitlines()[-1])

    return run
