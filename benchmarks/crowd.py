"""A site of a thousand alerts: how long until the project, the report and the review page can be worked with.

python -m benchmarks.crowd      needs QGIS, Chromium, node and the packages of tests/browser
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.review import made
from tests.review.conftest import put
from tests.review.reviewing import ROOT, reviewing

ALERTS, LOOKS, COLUMNS = 1000, 40, 50
GOAL_S = 3.0


def main() -> str:
    """A markdown section."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "crowd"
        _publish(folder)
        qgis = _run(Path(scratch), "/usr/bin/python3", "tests/qgis/opened.py", folder)
        report = _node(Path(scratch), "look.mjs", folder / "report.html", scratch, "open")
        with reviewing(folder) as address:
            page = _node(Path(scratch), "opened.mjs", address)
        size = (folder / "report.html").stat().st_size / 1e6
    load = os.getloadavg()[0]
    asked = {phase: [row for row in rows if row[1] != "favicon.ico"] for phase, rows in page["asked"].items()}
    rows = [
        ("project: read, map drawn, table open", sum(v[0] for k, v in qgis.items() if k != "rows"),
         sum(v[1] for k, v in qgis.items() if k != "rows"), f"{qgis['rows']} rows"),
        ("report", report["seconds"], report["busy"], f"{size:.1f} MB, one file"),
        ("review page: list, first picture", page["open"]["seconds"], page["open"]["busy"], _traffic(asked["open"])),
        ("review page: a verdict, next picture", page["verdict"]["seconds"], page["verdict"]["busy"],
         _traffic(asked["verdict"])),
    ]  # fmt: skip
    met = ["met" if max(column) <= GOAL_S else "missed" for column in zip(*(row[1:3] for row in rows), strict=True)]
    return "\n".join([
        "## A site of a thousand alerts",
        "",
        f"`benchmarks/crowd.py`: {ALERTS} alerts of one pixel each, {LOOKS} looks, nobody has given a verdict. Seconds",
        "until it can be worked with; CPU: of the browser's page or of QGIS, without their own start.",
        f"{os.cpu_count()} cores at a load of {load:.0f}.",
        "",
        "| opened | wall s | CPU s | what is loaded |",
        "|---|---|---|---|",
        *(f"| {name} | {wall:.1f} | {cpu:.1f} | {loaded} |" for name, wall, cpu, loaded in rows),
        "",
        f"Goal: {GOAL_S:.0f} s each: {met[1]} by CPU, {met[0]} by the clock at this load.",
    ])  # fmt: skip


def _publish(folder: Path) -> None:
    shapes = [made.outline(n % COLUMNS, n // COLUMNS * 2, 1, 1) for n in range(ALERTS)]
    alerts = [made.alert(n, outline=shape, confidence=0.9 - 0.4 * n / ALERTS) for n, shape in enumerate(shapes)]
    put(folder, alerts, made.looks(count=LOOKS), after_scene=f"scene-{LOOKS - 1:02d}")


def _traffic(rows: list[list[Any]]) -> str:
    return f"{len(rows)} requests, {sum(size for _, _, size in rows) / 1e6:.2f} MB"


def _node(home: Path, script: str, *arguments: object) -> dict[str, Any]:
    return _run(home, shutil.which("node") or "node", f"tests/browser/{script}", *arguments)


def _run(home: Path, program: str, script: str, *arguments: object) -> dict[str, Any]:
    """The JSON in the last line of what a program prints."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8",
                   "XDG_RUNTIME_DIR": str(home), "QT_QPA_PLATFORM": "offscreen"}  # fmt: skip
    command = [program, str(ROOT / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{script} ended with {done.returncode}: {done.stderr[-500:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    print(main())
