"""How long a project takes until an analyst can work in it, as JSON. Run by QGIS's own Python:

/usr/bin/python3 opened.py FOLDER
"""

import json
import os
import pathlib
import sys
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from qgis.core import QgsApplication, QgsFeatureRequest, QgsMapRendererParallelJob, QgsMapSettings, QgsProject
from qgis.gui import QgsAttributeEditorContext, QgsDualView, QgsGui, QgsMapCanvas
from qgis.PyQt.QtCore import QSize

app = QgsApplication([], True)
app.initQgis()
QgsGui.editorWidgetRegistry().initEditors()
project = QgsProject.instance()
found = {}


class Timed:
    """Wall and CPU seconds of a step."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.begun = time.time(), time.process_time()

    def __exit__(self, *_):
        found[self.name] = [time.time() - self.begun[0], time.process_time() - self.begun[1]]


with Timed("read"):
    project.read(str(pathlib.Path(sys.argv[1]).resolve() / "review.qgz"))
layer = project.mapLayer("groundbreak_changes")
with Timed("map"):
    settings = QgsMapSettings()
    settings.setDestinationCrs(project.crs())
    settings.setLayers([each for each in project.layerTreeRoot().layerOrder() if each.id() in
                        project.mapThemeCollection().mapThemeVisibleLayerIds("After")])  # fmt: skip
    settings.setExtent(project.viewSettings().defaultViewExtent())
    settings.setOutputSize(QSize(1600, 1000))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
with Timed("table"):
    canvas = QgsMapCanvas()
    canvas.setLayers([layer])
    context = QgsAttributeEditorContext()
    context.setMapCanvas(canvas)
    dual = QgsDualView()
    dual.init(layer, canvas, QgsFeatureRequest(), context, True)
    dual.setView(QgsDualView.AttributeEditor)
    dual.resize(1200, 800)
    dual.show()
    for _ in range(20):
        app.processEvents()
found["rows"] = dual.featureCount()
sys.stdout.write(json.dumps(found) + "\n")
sys.stdout.flush()
os._exit(0)
