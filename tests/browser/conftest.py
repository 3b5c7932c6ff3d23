"""A real Chromium, driven by playwright-core; the packages come from npm into a folder that git ignores."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def missing(what: str) -> None:
    """Skip on a machine without the programs; under CI they have to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; under CI it must be there")
    pytest.skip(what)


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], dict[str, Any]]:
    """Open a page; returns what it asked for, said and did. Screenshots lie in the folder `shots`."""
    if not (shutil.which("chromium") and shutil.which("node") and shutil.which("npm")):
        missing("Chromium, node or npm is not installed")
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        quiet = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent"]
        done = subprocess.run(quiet, cwd=HERE, capture_output=True, text=True, timeout=300)
        if done.returncode:
            missing(f"npm could not install the browser tests' packages: {done.stderr.strip()[:200]}")
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "CHROMIUM")}

    def run(page: Path) -> dict[str, Any]:
        shots = tmp_path_factory.mktemp("shots")
        command = ["node", str(HERE / "look.mjs"), str(page), str(shots)]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=180, env=kept)
        assert done.returncode == 0, done.stderr[-2000:]
        return {**json.loads(done.stdout.splitlines()[-1]), "shots": shots}

    return run
