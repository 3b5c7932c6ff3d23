"""How many actions a verdict takes in the real application: keys and clicks that the X server sends."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.model.alert import Kind
from tests.qgis.conftest import QGIS
from tests.review import made
from tests.review.conftest import put

SURE = [0.999, 0.6, 0.97, 0.7, 0.91, 0.85, 0.55, 0.9]


def test_the_first_verdict_takes_three_actions_and_each_further_one_two(environment, tmp_path):
    missing = [name for name in ("qgis", "xvfb-run", "xdotool", "openbox") if not shutil.which(name)]
    if missing and not QGIS:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{missing} missing; under CI they must be there")
        pytest.skip(f"not installed: {', '.join(missing)}")
    kinds = [Kind.NEW_STRUCTURE, Kind.CLEARED_GROUND]
    alerts = [
        made.alert(n, outline=made.outline(14 * (n // 3) + 3, 14 * (n % 3) + 4), confidence=sure, kind=kinds[n % 2])
        for n, sure in enumerate(SURE)
    ]
    put(tmp_path / "made-place", alerts)
    target = tmp_path / "seen.json"
    display = {key: value for key, value in environment.items() if key != "QT_QPA_PLATFORM"}
    command = [
        *QGIS, "xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", "sh", "-c", 'openbox & exec "$@"', "sh", "qgis",
        "--nologo", "--noversioncheck", "--noplugins", "--profiles-path", str(tmp_path / "profile"), "--code",
        str(Path(__file__).with_name("actions.py")), str(tmp_path / "made-place" / "review.qgz"),
    ]  # fmt: skip
    subprocess.run(
        command, env={**display, "GROUNDBREAK_SEEN": str(target)}, timeout=180, capture_output=True, check=False
    )
    seen = json.loads(target.read_text())
    assert "error" not in seen, seen["error"]
    assert (seen["first"], seen["further"], seen["form"]) == (3, 2 * 2, 2 * 2)
    # the surest new structure is the first row; in the form the change after the first cleared ground follows
    given = {label: verdict for label, verdict in seen["verdicts"].items() if verdict}
    assert given == {
        "A1": "construction", "A3": "no change", "A5": "uncertain", "A6": "other change", "A8": "no change",
    }  # fmt: skip
    assert seen["saved"]
