"""`kill -9` at random moments of a night: the next night is as if nothing had happened."""

import random
import shutil
import time
from pathlib import Path

from pipeline.review.layout import Results
from tests.faults.nights import VERDICT, evening, results, verdicts

KILLS, IN_A_ROW = 100, 8


def test_a_hundred_kills_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "evening").mkdir()
    # the least history that has an alert: the night is short, and more of the kills fall into its publishing
    stage = evening(tmp_path / "evening", dates=10, built_from=3)
    whole = tmp_path / "whole"
    whole.mkdir()
    undisturbed = stage.copy(whole)
    began = time.monotonic()
    assert undisturbed.night().code == 0
    seconds = time.monotonic() - began
    expected = results(whole)
    assert verdicts(whole) == [VERDICT]
    # a night goes on from what the killed one found out, and is shorter; every other time it may not
    draw, spans = random.Random(11), [0.7 * seconds, seconds]
    number = cut = tried = 0
    while cut < KILLS:
        number += 1
        folder = tmp_path / f"killed-{number}"
        folder.mkdir()
        struck, anew = stage.copy(folder), number % 2
        for _ in range(IN_A_ROW):
            if anew:
                shutil.rmtree(Results(folder / "out").caches, ignore_errors=True)
            began = time.monotonic()
            killed = struck.night(kill_after=draw.uniform(0, spans[anew])).code == -9
            assert verdicts(folder) == [VERDICT], "a verdict was lost in mid-night"
            tried += 1
            cut += killed
            if not killed:  # the machine is quicker than it was a minute ago
                spans[anew] = min(spans[anew], time.monotonic() - began)
                break
        assert struck.night().code in (0, 4)
        assert results(folder) == expected
        assert verdicts(folder) == [VERDICT]
        assert not list((folder / "out").rglob("*.part")), "what a killed night left half-written is still there"
        assert tried <= 3 * KILLS, "most nights ended before they were killed"
