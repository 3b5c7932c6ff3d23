"""A real Chromium, driven by playwright-core; the packages come from npm into a folder that git ignores."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def missing(what: str) -> None:
    """Skip on a machine without the programs; under CI they have to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; under CI it must be there")
    pytest.skip(what)


PACKAGES = tuple(json.loads((HERE / "package.json").read_text())["dependencies"])


@pytest.fixture(scope="session")
def packages() -> None:
    """The packages of package.json, installed where they are not."""
    if not (shutil.which("chromium") and shutil.which("node") and shutil.which("npm")):
        missing("Chromium, node or npm is not installed")
    if not all((HERE / "node_modules" / name).is_dir() for name in PACKAGES):
        quiet = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent"]
        done = subprocess.run(quiet, cwd=HERE, capture_output=True, text=True, timeout=300)
        if done.returncode:
            missing(f"npm could not install the browser tests' packages: {done.stderr.strip()[:200]}")


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory, packages: None) -> Callable[..., dict[str, Any]]:
    """Open a page, once a session; returns what it asked for, said and did. Screenshots lie in the folder `shots`.

    With "open" as the second argument the page is opened and nothing else is done.
    """
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "CHROMIUM")}

    @cache
    def run(page: Path, *only: str) -> dict[str, Any]:
        shots = tmp_path_factory.mktemp("shots")
        command = ["node", str(HERE / "look.mjs"), str(page), str(shots), *only]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=180, env=kept)
        assert done.returncode == 0, done.stderr[-2000:]
        return {**json.loads(done.stdout.splitlines()[-1]), "shots": shots}

    return run
