"""The command run as its users run it, in one process of its own, and what that took."""

import subprocess
import sys
from dataclasses import dataclass

PROGRAM = """
import resource, sys
from pipeline.cli.main import run
try:
    run()
except SystemExit as end:
    if end.code:
        raise
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds and peak memory; of this process alone, so the command has to be asked for one worker."""

    cpu_s: float
    peak_gb: float


def run(*arguments: str) -> Used:
    """Run `groundbreak` with these arguments. Raises CalledProcessError where it does not end well."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    cpu_s, peak_kb = (float(value) for value in done.stdout.splitlines()[-1].split())
    return Used(cpu_s, peak_kb / 1e6)
