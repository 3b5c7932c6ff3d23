"""The command run as its users run it, in processes of its own, and what that took."""

import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import psutil

PROGRAM = """
import resource, sys
from pipeline.cli.main import run
try:
    run()
except SystemExit as end:
    if end.code:
        raise
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(sum(each.ru_utime + each.ru_stime for each in used), used[0].ru_maxrss)
"""
EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Used:
    """Of the command and its workers. peak_gb: the most that they held together, what they share counted once."""

    wall_s: float
    cpu_s: float
    peak_gb: float


def run(*arguments: str) -> Used:
    """Run `groundbreak` with these arguments. Raises CalledProcessError where it does not end well."""
    began, command = time.monotonic(), [sys.executable, "-c", PROGRAM, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        held, ended = [0], threading.Event()
        watch = threading.Thread(target=_watched, args=(process.pid, held, ended))
        watch.start()
        told, said = process.communicate()
        ended.set()
        watch.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, told, said)
    cpu_s, own_kb = (float(value) for value in told.splitlines()[-1].split())
    return Used(time.monotonic() - began, cpu_s, max(own_kb * 1024, max(held)) / 1e9)


def _watched(pid: int, held: list[int], ended: threading.Event) -> None:
    """Note again and again how much a process and those that it started hold."""
    while not ended.wait(EVERY_S):
        try:
            root = psutil.Process(pid)
            held.append(sum(each.memory_full_info().pss for each in (root, *root.children(recursive=True))))
        except psutil.Error:
            # one ended while it was asked: the next sample counts
            continue
