"""Run inside the QGIS application (--code): gives verdicts by keys and clicks of the X server and counts them.

Every step waits for what it leads to, not for a time; only sending an event is an action.
"""

import json
import os
import subprocess
import time
import traceback
from pathlib import Path

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QComboBox, QToolButton
from qgis.utils import iface

TARGET = os.environ["GROUNDBREAK_SEEN"]
PATIENCE = 60.0
found = {"first": 0, "further": 0, "form": 0}


def send(*words):
    subprocess.Popen(["xdotool", *words])


def layer():
    return QgsProject.instance().mapLayer("groundbreak_changes")


def shown(name):
    """The visible widget of a class."""
    return next((w for w in QApplication.allWidgets() if w.metaObject().className() == name and w.isVisible()), None)


def table():
    view = shown("QgsAttributeTableView")
    return view if view and view.model() and view.model().rowCount() else None


def place(widget, point):
    at = widget.mapToGlobal(point)
    return str(at.x()), str(at.y())


def cell(row):
    view = table()
    return place(view.viewport(), view.visualRect(view.model().index(row, 0)).center())


def drop_down(parent):
    boxes = parent.findChildren(QComboBox) if parent else []
    return next((b for b in boxes if b.isVisible() and b.findText("construction") >= 0), None)


def editor(words):
    """Whether the open drop-down of the table says so."""
    box = drop_down(table())
    return bool(box and box.currentText() == words)


def form_box():
    return drop_down(shown("QgsDualView"))


def verdicts():
    return {f["label"]: f["verdict"] or None for f in layer().getFeatures()}


def click_next():
    button = shown("QgsDualView").findChild(QToolButton, "mNextFeatureButton")
    send("mousemove", *place(button, button.rect().center()), "click", "1")


def to_form():
    """Not counted: QGIS keeps the view for the next evening."""
    shown("QgsDualView").window().findChild(QToolButton, "mAttributeViewButton").click()


def steps():
    """(what it is for, what is sent, what it leads to)."""
    yield "first", lambda: send("key", "F6"), lambda: table() and table().isActiveWindow()
    yield "first", lambda: send("key", "ctrl+e"), lambda: layer().isEditable()
    yield "first", lambda: send("key", "c"), lambda: editor("construction")
    for row, letter, words in ((1, "n", "no change"), (2, "u", "uncertain")):
        yield "further", lambda row=row: send("mousemove", *cell(row), "click", "1"), lambda: editor("to do")
        yield "further", lambda letter=letter: send("key", letter), lambda words=words: editor(words)
    yield None, to_form, lambda: form_box() is not None
    for _ in range(2):
        yield None, click_next, lambda: True
    yield None, lambda: form_box().setFocus(), lambda: form_box().hasFocus()
    for letter, words in (("o", "other change"), ("n", "no change")):
        yield "form", click_next, lambda: form_box().hasFocus() and form_box().currentText() == "to do"
        yield "form", lambda letter=letter: send("key", letter), lambda words=words: form_box().currentText() == words


walk = steps()
state = {"until": 0.0, "reached": None, "tries": 0}


def advance():
    try:
        if state["reached"] is None or state["reached"]():
            kind, act, state["reached"] = next(walk)
            if kind:
                found[kind] += 1
            state["until"] = time.time() + PATIENCE
            act()
        elif time.time() > state["until"]:
            focus = QApplication.focusWidget()
            raise TimeoutError(f"nothing came of it: {found}, focus on {focus and focus.metaObject().className()}")
        QTimer.singleShot(400, advance)
    except StopIteration:
        leave()
    except Exception:  # noqa: BLE001  (whatever it is, the test wants to read it)
        found["error"] = traceback.format_exc()
        leave()


def leave():
    iface.mainWindow().screen().grabWindow(0).save(TARGET + ".png")
    if "error" not in found:
        shown("QgsDualView").setFocus()
        QApplication.processEvents()
        found["saved"] = layer().commitChanges()
        found["verdicts"] = verdicts()
    Path(TARGET).write_text(json.dumps(found))
    os._exit(0)


QTimer.singleShot(3000, advance)
