"""What is printed can be read on a terminal of 80 columns."""

import io
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from pipeline.cli import console
from pipeline.cli.console import narrow, progress


def test_a_site_of_thirty_letters_keeps_its_id_whole_beside_its_alerts() -> None:
    table = narrow("What was found", "site", "used", "alerts", "kinds", numbers=("used",))
    table.add_row("southern-carpathians-simulated", "114 of 115", "2 provisional\n5 withdrawn", "28 cleared ground")
    text = io.StringIO()
    Console(file=text, width=80).print(table)
    assert "southern-carpathians-simulated  114 of 115  2 provisional  28 cleared ground" in text.getvalue()


def test_a_log_hears_every_five_minutes_how_long_a_stage_will_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with progress() as step:
        for done in range(1, 485):
            clock[0] = 12.0 * done
            step("tile", done, 484, "cells judged")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "tile: cells judged (484)"
    # 484 cells of 12 s are 97 minutes
    assert lines[1] == "tile: cells judged (26 of 484, about 92 min left)"
    assert lines[-1] == "tile: cells judged (476 of 484, about 2 min left)"
    assert len(lines) == 20


def test_a_log_hears_nothing_more_of_a_stage_that_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as step:
        for done in range(1, 40):
            step("site", done, 39, "looks corrected")
    assert capsys.readouterr().err == "site: looks corrected (39)\n"


AT_WORK = """
import time
from pipeline.cli import main

class Command:
    def main(self, *_, **__):
        print("at work", flush=True)
        time.sleep(60)

main.root = Command
main.run([])
"""


def test_a_job_is_ended_by_sigterm_though_a_script_started_it_with_sigint_ignored() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", AT_WORK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as job:
        assert job.stdout is not None and job.stderr is not None
        assert job.stdout.readline() == "at work\n"
        job.terminate()
        assert job.wait(30) == 130 and "interrupted" in job.stderr.read()
