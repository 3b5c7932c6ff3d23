"""Run inside the QGIS application (--code): looks at what an analyst sees and leaves it as JSON."""

import json
import os
import traceback
from pathlib import Path

from qgis.core import QgsProject, QgsRectangle
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QComboBox
from qgis.utils import iface

TARGET = os.environ["GROUNDBREAK_SEEN"]
found = {}


def look():
    project = QgsProject.instance()
    found["project"] = Path(project.fileName()).name
    found["windows"] = [
        type(w).__name__
        for w in QApplication.topLevelWidgets()
        if w.isVisible() and w is not iface.mainWindow() and w.windowTitle()
    ]
    found["title"] = iface.mainWindow().windowTitle()
    found["dirty"] = project.isDirty()
    main = iface.mapCanvas()
    canvases = {c.objectName(): c for c in iface.mapCanvases()}
    others = [c for c in canvases.values() if c is not main]
    found["canvases"] = len(canvases)
    found["docked theme"] = [c.theme() for c in others]
    found["filtered by time"] = main.mapSettings().isTemporal()
    found["scales"] = [main.scale() / c.scale() for c in others]
    centre = main.extent().center()
    main.setExtent(QgsRectangle(centre.x() + 20, centre.y() + 20, centre.x() + 120, centre.y() + 120))
    main.refresh()
    QTimer.singleShot(1500, lambda: guarded(after_moving, main, others))


def after_moving(main, others):
    here = main.extent().center()
    found["apart"] = [
        max(abs(c.extent().center().x() - here.x()), abs(c.extent().center().y() - here.y())) for c in others
    ]
    found["scales"] += [main.scale() / c.scale() for c in others]
    layer = QgsProject.instance().mapLayer("groundbreak_changes")
    layer.startEditing()
    iface.openFeatureForm(layer, next(layer.getFeatures()), False, False)
    choices = [
        [box.itemText(i) for i in range(box.count())]
        for window in QApplication.topLevelWidgets()
        for box in window.findChildren(QComboBox)
    ]
    found["choices"] = [each for each in choices if "construction" in each]
    iface.mainWindow().grab().save(TARGET + ".png")
    for window in QApplication.topLevelWidgets():
        if window.isVisible() and window is not iface.mainWindow() and window.width() > 200:
            window.grab().save(TARGET + ".form.png")
    leave()


def guarded(step, *arguments):
    try:
        step(*arguments)
    except Exception:  # noqa: BLE001  (whatever it is, the test wants to read it)
        found["error"] = traceback.format_exc()
        leave()


def leave():
    Path(TARGET).write_text(json.dumps(found))
    os._exit(0)


QgsMapCanvas  # noqa: B018  (its wrapper must be known before canvases are handed out)
QTimer.singleShot(5000, lambda: guarded(look))
