"""An analyst's edit session, against nights of a second process. Run by QGIS's own Python:

/usr/bin/python3 session.py FOLDER WRITERS_PYTHON REPOSITORY SEED COUNT
"""

import json
import os
import random
import subprocess
import sys
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from qgis.core import QgsApplication, QgsVectorLayer

folder, python, repository, seed, count = sys.argv[1:6]
rng = random.Random(int(seed))
app = QgsApplication([], True)
app.initQgis()
gpkg = f"{folder}/review.gpkg"
environment = {**os.environ, "PYTHONPATH": repository, "OMP_NUM_THREADS": "1"}
writer = subprocess.Popen(
    [python, f"{repository}/tests/qgis/night.py", gpkg], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    env=environment, cwd=repository,
)  # fmt: skip
tally = {"nights": 0, "saves": 0, "locked": 0, "undone": 0, "deferred": 0, "lost": [], "moved": [], "integrity": []}


def ask(text):
    writer.stdin.write(text + "\n")
    writer.stdin.flush()


def answer():
    return json.loads(writer.stdout.readline())


def heard():
    tally["nights"] += 1
    said = answer()
    tally["deferred"] += bool(said and "error" in said)


def night():
    ask(f"night {rng.randrange(10**6)}")


def save(layer):
    """Save as an analyst does: when the file is locked, once more."""
    for _ in range(40):
        if layer.commitChanges():
            tally["saves"] += 1
            return
        tally["locked"] += 1
        time.sleep(0.05)
    raise SystemExit(f"a save failed forty times: {layer.commitErrors()[-1]}")


night()
answer()
said, outlines = {}, {}
for turn in range(int(count)):
    layer = QgsVectorLayer(f"{gpkg}|layername=changes", "changes", "ogr")
    column = layer.fields().indexFromName
    if rng.random() < 0.7:
        list(layer.getFeatures())
    layer.startEditing()
    pending = {}
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.4:
            night()
            heard()
        feature = rng.choice(list(layer.getFeatures()))
        verdict = rng.choice(["construction", "uncertain", "no change", "other change"])
        note = f'turn {turn} "it\'s"'
        layer.changeAttributeValue(feature.id(), column("verdict"), verdict)
        layer.changeAttributeValue(feature.id(), column("note"), note)
        pending[feature["change_id"]] = [verdict, note]
    together = rng.random() < 0.5
    if together:
        night()
        time.sleep(rng.uniform(0, 0.02))
    if rng.random() < 0.15:
        layer.rollBack()
        tally["undone"] += 1
    else:
        save(layer)
        said.update(pending)
    if together:
        heard()
    elif rng.random() < 0.5:
        night()
        heard()
    ask("rows")
    state = answer()
    if state["integrity"] != "ok":
        tally["integrity"].append(turn)
    for change_id, words in said.items():
        verdict, note, outline = state["rows"].get(change_id, [None, None, None])
        if [verdict, note] != words:
            tally["lost"].append([turn, change_id, words, verdict, note])
        # judged outlines are frozen from the first state in which the verdict was seen in the file
        if outlines.setdefault(change_id, outline) != outline:
            tally["moved"].append([turn, change_id])
    strangers = {key for key, row in state["rows"].items() if row[0] is not None} - set(said)
    tally["lost"] += [[turn, key, "a verdict on another polygon"] for key in strangers]
    tally["logged"] = state["logged"]
    del layer
writer.stdin.close()
writer.wait(30)
tally["judged"] = len(said)
sys.stdout.write(json.dumps(tally) + "\n")
sys.stdout.flush()
os._exit(0)
