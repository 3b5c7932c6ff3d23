"""What is printed can be read on a terminal of 80 columns."""

import io
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli import console, scenes
from pipeline.cli.console import narrow_table, show_progress
from pipeline.model.imagery import SceneRecord
from tests import world
from tests.cli.conftest import Command

ROOT = Path(__file__).resolve().parents[2]


def test_a_site_of_thirty_letters_keeps_its_id_whole_beside_its_alerts() -> None:
    table = narrow_table("What was found", "site", "used", "alerts", "kinds", numbers=("used",))
    table.add_row("southern-carpathians-simulated", "114 of 115", "2 provisional\n5 withdrawn", "28 cleared ground")
    text = io.StringIO()
    Console(file=text, width=80).print(table)
    assert "southern-carpathians-simulated  114 of 115  2 provisional  28 cleared ground" in text.getvalue()


def test_the_name_of_a_row_is_never_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["S2A_MSIL2A_20190127_T52TCK_made_up", "february-11-plant-simulated-20190924-1"]
    made = [SceneRecord(scene=name, time=datetime(2019, 1, 27, 2, 11, tzinfo=UTC), used=False, shift=(0.25, -1.5),
                        reason="unlike the site's history", value=0.155666, limit=0.1, note="B02 above the history",
                        clear_share=0.5, reliability=0.9) for name in names]  # fmt: skip
    text = io.StringIO()
    monkeypatch.setattr(scenes, "out", Console(file=text, width=80))
    scenes._print_records("place", made, 0)
    lines = text.getvalue().splitlines()
    assert all(any(line.startswith(f" {name}") or line.startswith(name) for line in lines) for name in names)
    assert max(map(len, lines)) <= 80 and "2019-01-27 02:11" in text.getvalue() and "history" in text.getvalue()


def test_a_log_hears_every_five_minutes_how_long_a_stage_will_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with show_progress() as step:
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
    with show_progress() as step:
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

main.root_command = Command
main.run([])
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_job_is_ended_by_a_signal_though_a_script_started_it_with_sigint_ignored(name: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", AT_WORK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as job:
        assert job.stdout is not None and job.stderr is not None
        assert job.stdout.readline() == "at work\n"
        job.send_signal(getattr(signal, name))
        assert job.wait(30) == 130 and "interrupted" in job.stderr.read()


HOSTILE = {
    "markup": "[/old]", "open markup": "[bold red]Plant", "link": "[link=file:///etc/passwd]x[/link]",
    "emoji": ":bomb:", "clear the screen": "\x1b[2JPlant", "title": "\x1b]0;owned\x07Plant", "c1": "\x9b2JPlant",
    "backspaces": "Plant\b\b\b", "carriage return": "Plant\rgone", "lines": "Plant\nerror: all is lost",
    "right to left": "\u202etnalP", "half a letter": "Plant\ud800",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "words", [("sites", "list"), ("sites", "check"), ("detect", "--sites"), ("--debug", "detect", "--sites")]
)
def test_nothing_in_a_site_reaches_the_terminal_as_a_command(
    command: Command, tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    text = HOSTILE[name]
    good = world.feature(str(tmp_path), name=text, kind=text, note=text)
    bad = world.feature(text, name=text, id=text)
    (tmp_path / "s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [good, bad]}))
    ended = command(*words, "s.geojson")
    assert ended.code in (0, 2, 3)
    shown = ended.out + ended.err
    assert not any((ord(letter) < 32 and letter not in "\n\t") or 126 < ord(letter) < 160 for letter in shown), repr(
        shown
    )
    assert "\u202e" not in shown and "unexpected" not in shown
    assert not any(line.startswith("error: all is lost") for line in shown.splitlines())
    if name in ("markup", "open markup", "emoji") and words == ("sites", "list"):
        assert text in ended.out


def test_a_name_that_the_terminal_has_no_letters_for_ends_no_command(tmp_path: Path) -> None:
    world.write_sites(tmp_path / "s.geojson", [world.feature(str(tmp_path), name="平壌 завод")])
    for encoding in ("latin-1", "ascii"):
        ended = subprocess.run(
            [sys.executable, "-c", "from pipeline.cli.main import run; run(['sites', 'list', 's.geojson'])"],
            cwd=tmp_path, capture_output=True, check=False,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr.decode()
        assert b"place" in ended.stdout
