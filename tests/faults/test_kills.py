"""`kill -9` at random moments of a night: the next night is as if nothing had happened."""

import random
import shutil
import time
from pathlib import Path

import pytest

from pipeline.run.keep import MEMORY
from tests.faults.nights import VERDICT, evening, results, verdicts

pytestmark = pytest.mark.faults
KILLS, IN_A_ROW = 100, 4


def test_a_hundred_kills_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "evening").mkdir()
    stage = evening(tmp_path / "evening")
    whole = tmp_path / "whole"
    whole.mkdir()
    undisturbed = stage.copy(whole)
    began = time.monotonic()
    assert undisturbed.night().code == 0
    seconds = time.monotonic() - began
    expected = results(whole)
    assert verdicts(whole) == [VERDICT]
    draw, cut = random.Random(11), 0
    for number in range(KILLS // IN_A_ROW):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        struck = stage.copy(folder)
        for _ in range(IN_A_ROW):
            # a night goes on from what the killed one found out, and is shorter; every other time it may not
            if number % 2:
                shutil.rmtree(folder / "out" / MEMORY, ignore_errors=True)
            cut += struck.night(kill_after=draw.uniform(0, seconds if number % 2 else 0.7 * seconds)).code == -9
            assert verdicts(folder) == [VERDICT], "a verdict was lost in mid-night"
        assert struck.night().code in (0, 4)
        assert results(folder) == expected
        assert verdicts(folder) == [VERDICT]
        assert not list((folder / "out").rglob("*.part")), "what a killed night left half-written is still there"
    assert cut >= 0.6 * KILLS, "most nights ended before they were killed: nothing was tried"
