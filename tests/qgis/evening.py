"""An evening's work by keys and clicks in QGIS's own table and form, as JSON. Run by QGIS's own Python:

/usr/bin/python3 evening.py FOLDER PICTURES
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from qgis.core import (
    QgsApplication,
    QgsExpression,
    QgsExpressionContextUtils,
    QgsFeatureRequest,
    QgsProject,
    QgsRenderContext,
)
from qgis.gui import QgsAttributeEditorContext, QgsAttributeForm, QgsDualView, QgsGui, QgsMapCanvas
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QComboBox, QLabel, QLineEdit, QListView, QToolButton

folder, pictures = (pathlib.Path(part).resolve() for part in sys.argv[1:3])
app = QgsApplication([], True)
app.initQgis()
QgsGui.editorWidgetRegistry().initEditors()
project = QgsProject.instance()
project.read(str(folder / "review.qgz"))
layer = project.mapLayer("groundbreak_changes")
column = layer.fields().indexFromName
canvas = QgsMapCanvas()
canvas.setDestinationCrs(project.crs())
canvas.setLayers([layer])
canvas.resize(400, 400)
place = next(layer.getFeatures()).geometry().boundingBox()
canvas.setExtent(place)
found = {}


def settle():
    for _ in range(20):
        app.processEvents()


def rows():
    return {f["change_id"]: f for f in layer.getFeatures()}


def told(feature):
    return {name: None if not feature[name] else str(feature[name]) for name in ("verdict", "note", "reviewer")}


def form_of(feature):
    form = QgsAttributeForm(layer, feature, context())
    form.resize(900, 900)
    form.show()
    settle()
    return form


def shown(form, kind):
    return [widget for widget in form.findChildren(kind) if widget.isVisibleTo(form)]


def verdict_of(form):
    """The drop-down that is shown: forms hold others, for searches."""
    return next(box for box in shown(form, QComboBox) if box.findText("construction") >= 0)


def context():
    made = QgsAttributeEditorContext()
    made.setMapCanvas(canvas)
    return made


def table(feature_filter=None):
    dual = QgsDualView()
    dual.init(layer, canvas, QgsFeatureRequest(), context(), True)
    dual.setView(QgsDualView.AttributeEditor)
    if feature_filter:
        ids = [f.id() for f in layer.getFeatures(QgsFeatureRequest().setFilterExpression(feature_filter))]
        dual.setFilteredFeatures(ids)
    dual.resize(1200, 800)
    dual.show()
    settle()
    return dual


def listed(dual):
    view = next(v for v in dual.findChildren(QListView) if v.metaObject().className() == "QgsFeatureListView")
    model = view.model()
    return [str(model.data(model.index(i, 0), Qt.DisplayRole)) for i in range(model.rowCount())]


# where a picture is missing, words stand in the form
found["forms"] = []
for change_id, feature in sorted(rows().items()):
    form = form_of(feature)
    drawn = (folder / "timeline" / f"{change_id}.png").exists()
    lines = [line.text() for line in shown(form, QLineEdit)]
    images = [label for label in shown(form, QLabel) if label.pixmap() and label.pixmap().width() > 300]
    found["forms"].append([drawn, "; ".join(lines), len(images)])
    if not drawn:
        form.grab().save(str(pictures / "form without picture.png"))
    form.close()

# next and previous, surest first, the map following
ranked = sorted(rows().values(), key=lambda f: -f["confidence"])
dual = table()
found["list"] = listed(dual)
buttons = {b.objectName(): b for b in dual.findChildren(QToolButton)}
if not buttons["mAutoPanButton"].isChecked():
    buttons["mAutoPanButton"].click()
walked = []
buttons["mFirstFeatureButton"].click()  # QGIS 3.40 opens on the row that is first in the file
settle()
for name in ("mNextFeatureButton", "mNextFeatureButton", "mPreviousFeatureButton"):
    buttons[name].click()
    settle()
    extent = canvas.extent()
    walked.append([extent.contains(f.geometry().boundingBox().center()) for f in ranked])
found["walked"] = [row.index(True) if any(row) else None for row in walked]
dual.grab().save(str(pictures / "table.png"))

# a verdict by one letter, a note after Tab, as in the form
layer.startEditing()
form = form_of(ranked[0])
form.activateWindow()
letters = {}
box = verdict_of(form)
for letter in "coun":
    box.setFocus()
    QTest.keyClicks(box, letter)
    letters[letter] = box.currentText()
    QTest.qWait(600)  # letters typed faster are one word to Qt
found["letters"] = letters
QTest.keyClick(box, Qt.Key_Tab)
settle()
QTest.keyClicks(app.focusWidget(), 'a "field"')
form.save()
found["by keys"] = told(layer.getFeature(ranked[0].id()))

# one verdict for many
many = [f.id() for f in ranked[1:4]]
layer.selectByIds(many)
dual = table()
dual.setMultiEditEnabled(True)
settle()
box = verdict_of(dual)
box.setCurrentIndex(box.findText("uncertain"))
settle()
dual.saveEditChanges()
found["saved"] = layer.commitChanges()
found["after"] = {key: told(feature) for key, feature in rows().items()}
found["stamped"] = [bool(feature["reviewed_at"]) for feature in rows().values()].count(True)

# what is left to do
stored = {s.name: s.expression for s in layer.storedExpressionManager().storedExpressions()}
found["filters"] = {
    name: len(list(layer.getFeatures(QgsFeatureRequest().setFilterExpression(rule)))) for name, rule in stored.items()
}
found["list to do"] = listed(table(stored["to do"]))
found["list after"] = listed(table())

# how each row is drawn before that
drawing = layer.renderer().clone()
paint = QgsRenderContext()
paint.expressionContext().appendScopes(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
drawing.startRender(paint, layer.fields())
found["classes"] = {}
for key, feature in rows().items():
    paint.expressionContext().setFeature(feature)
    keys = drawing.legendKeysForFeature(feature, paint)
    labels = {item.ruleKey(): item.label() for item in drawing.legendSymbolItems()}
    found["classes"][key] = next((labels.get(each) for each in keys), None)
drawing.stopRender(paint)

# what the last night brought
layer.styleManager().setCurrentStyle("last night")
scopes = layer.createExpressionContext()
fresh = []
for feature in layer.getFeatures():
    scopes.setFeature(feature)
    scopes.setFields(layer.fields())
    fresh.append([feature["change_id"], QgsExpression(layer.renderer().classAttribute()).evaluate(scopes)])
found["last night"] = fresh
sys.stdout.write(json.dumps(found, default=str) + "\n")
sys.stdout.flush()
os._exit(0)
