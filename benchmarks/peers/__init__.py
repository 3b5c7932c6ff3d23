"""Other programs, each in an environment of its own (benchmarks/peers/setup.sh), asked by files in a scratch folder.

A script of theirs gets one argument, a folder with `given.npz`, and writes `answer.npz` into it.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".venv-peers"
Arrays = dict[str, NDArray[np.generic]]


class PeerMissingError(Exception):
    """The environment is not set up."""


def ask(environment: str, script: str, given: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """What a peer's script answers to arrays. Raises PeerMissingError; what a script raised is raised."""
    python = ENVIRONMENTS / environment / "bin" / "python"
    if not python.exists():
        raise PeerMissingError(f"no {environment} environment: make peers")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.savez(folder / "given.npz", **given)  # type: ignore[arg-type]
        alone = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        ended = subprocess.run([python, HERE / script, folder], env=alone, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise RuntimeError(f"{script}: {ended.stderr[-800:]}")
        with np.load(folder / "answer.npz") as answer:
            return dict(answer)
