import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.qgis.conftest import QGIS
from tests.review import made
from tests.review.conftest import put


def test_the_analyst_sees_before_beside_after_at_once_and_nothing_asks_her(environment, tmp_path):
    if not (QGIS or (shutil.which("qgis") and shutil.which("xvfb-run"))):
        if os.environ.get("CI") == "true":
            pytest.fail("qgis or xvfb is missing; under CI they must be there")
        pytest.skip("qgis and xvfb are not installed")
    put(tmp_path / "made-place", [made.alert(1), made.alert(2, row=30, col=30, confidence=0.6)])
    target = tmp_path / "seen.json"
    display = {key: value for key, value in environment.items() if key != "QT_QPA_PLATFORM"}
    command = [
        *QGIS, "xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", "qgis", "--nologo", "--noversioncheck", "--noplugins",
        "--profiles-path", str(tmp_path / "profile"), "--code", str(Path(__file__).with_name("application.py")),
        str(tmp_path / "made-place" / "review.qgz"),
    ]  # fmt: skip
    subprocess.run(
        command, env={**display, "GROUNDBREAK_SEEN": str(target)}, timeout=120, capture_output=True, check=False
    )
    seen = json.loads(target.read_text())
    assert "error" not in seen, seen["error"]
    assert seen["project"] == "review.qgz" and "Made Place" in seen["title"]
    assert seen["windows"] == [] and not seen["dirty"] and not seen["filtered by time"]
    assert seen["canvases"] == 2 and seen["docked theme"] == ["Before"]
    # at opening and after the main map was moved
    assert seen["scales"] == [pytest.approx(1, abs=0.05)] * 2
    assert seen["apart"] == [pytest.approx(0, abs=1.0)]
    assert ["to do", "construction", "other change", "no change", "uncertain"] in seen["choices"]
