import sys
from pathlib import Path

from tests.review import made
from tests.review.conftest import put

ROOT = Path(__file__).resolve().parents[2]


def test_two_hundred_interleavings_of_nights_and_edits_lose_and_move_no_verdict(run, tmp_path):
    put(tmp_path / "made-place", [made.alert(0, row=0, col=0)], max_timelines=0)
    tally = run("session.py", tmp_path / "made-place", sys.executable, ROOT, 20261123, 200, timeout=300)
    assert tally["lost"] == [] and tally["moved"] == [] and tally["integrity"] == []
    assert tally["saves"] + tally["undone"] == 200 and tally["nights"] > 150
    assert tally["judged"] >= 10 and tally["logged"] >= tally["saves"] and tally["deferred"] == 0
