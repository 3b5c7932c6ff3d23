"""The nightly writer as a process of its own: reads `night SEED` or `rows` from stdin, answers one line each."""

import contextlib
import hashlib
import json
import random
import sqlite3
import sys
from pathlib import Path

from pipeline.model.errors import ReviewError
from pipeline.review.gpkg import ReviewUpdate, read_rows, write_changes
from pipeline.review.matching import match_alerts
from pipeline.review.qgis_style import layer_styles
from tests.review import made

LOOKS = made.looks(count=8)


def night(path: Path, seed: int) -> None:
    """Alerts come, go, move and change their minds; what the analyst said has to survive all of it."""
    rng = random.Random(seed)
    alerts = []
    for number in range(12):
        if rng.random() < 0.2:
            continue
        base = made.alert(number, row=14 * (number // 4), col=14 * (number % 4), confidence=rng.uniform(0.55, 0.75))
        alerts.append(made.moved(base, rng.choice((0, 0, 10, 20))))
    decision = match_alerts(read_rows(path), made.decision(alerts, LOOKS, after_scene=LOOKS[-1].scene.id)).decision
    facts = {"software": "groundbreak", "settings_digest": str(seed)}
    work = ReviewUpdate(
        site=made.site(), decision=decision, records=made.records(LOOKS), as_of=LOOKS[-1].time, provenance=facts
    )
    write_changes(path, work, layer_styles(), lambda: None)


def rows(path: Path) -> dict[str, list]:
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as db, db:
        found = db.execute("SELECT change_id, verdict, note, geom FROM changes ORDER BY fid").fetchall()
        state = db.execute("PRAGMA integrity_check").fetchone()[0]
        logged = db.execute("SELECT count(*) FROM review_log").fetchone()[0]
    db.close()
    table = {key: [verdict, note, hashlib.sha256(blob).hexdigest()] for key, verdict, note, blob in found}
    return {"rows": table, "integrity": state, "logged": logged}


if __name__ == "__main__":
    gpkg = Path(sys.argv[1])
    for line in sys.stdin:
        word, *rest = line.split()
        try:
            answer = rows(gpkg) if word == "rows" else night(gpkg, int(rest[0]))
        except ReviewError as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
