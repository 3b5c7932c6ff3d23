"""A running `groundbreak review` of a folder, as a person starts it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START = "import sys; from pipeline.cli.main import run; run(sys.argv[1:])"


@contextmanager
def reviewing(folder: Path) -> Iterator[str]:
    """The address that the command prints, token included; it is ended as by Ctrl+C."""
    arguments = ["review", folder.name, "--out", str(folder.parent), "--no-browser"]
    run = subprocess.Popen([sys.executable, "-u", "-c", START, *arguments], cwd=ROOT, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    try:
        assert run.stdout
        address = run.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), run.communicate(timeout=120)
        yield address
    finally:
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=120)
        assert run.returncode == 0 and "Traceback" not in err, err
