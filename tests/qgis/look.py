"""Opens a review folder as an analyst's QGIS does and prints what it found, as JSON. Run by QGIS's own Python:

/usr/bin/python3 look.py FOLDER PICTURES. It imports nothing of ours: QGIS and rasterio bring two GDALs.
"""

import json
import os
import pathlib
import sys
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from qgis.core import (
    QgsApplication,
    QgsDateTimeRange,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsLayoutExporter,
    QgsLayoutItemMap,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
    QgsProjectBadLayerHandler,
    QgsRasterLayer,
    QgsRenderContext,
    QgsSymbolLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QDateTime, QSize, Qt

folder, pictures = (pathlib.Path(part).resolve() for part in sys.argv[1:3])
app = QgsApplication([], True)
app.initQgis()
bad, messages = [], []


class Handler(QgsProjectBadLayerHandler):
    def handleBadLayers(self, layers):
        bad.extend(layers)


project = QgsProject.instance()
handler = Handler()
project.setBadLayerHandler(handler)
QgsApplication.messageLog().messageReceived.connect(
    lambda text, tag, level: messages.append([tag, text]) if int(level) > 0 else None
)
begun, busy = time.time(), time.process_time()
read = project.read(str(folder / "review.qgz"))
found = {
    "read": read,
    "seconds": time.time() - begun,
    "busy": time.process_time() - busy,
    "bad": len(bad),
    "error": project.error(),
}
found["valid"] = {layer.id(): layer.isValid() for layer in project.mapLayers().values()}
found["crs"], found["title"] = project.crs().authid(), project.title()
found["template"] = project.readEntry("groundbreak", "template")[0]
found["checked"] = sorted(layer.layerId() for layer in project.layerTreeRoot().findLayers() if layer.isVisible())
found["order"] = [layer.id() for layer in project.layerTreeRoot().layerOrder()]

collection = project.mapThemeCollection()
found["themes"], colours = {}, {}
where = next(project.mapLayer("groundbreak_changes").getFeatures()).geometry().centroid().asPoint()
extent = project.viewSettings().defaultViewExtent()
found["view"] = [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()]
for theme in collection.mapThemes():
    found["themes"][theme] = collection.mapThemeVisibleLayerIds(theme)
    settings = QgsMapSettings()
    settings.setLayers(collection.mapThemeVisibleLayers(theme))
    settings.setLayerStyleOverrides(collection.mapThemeStyleOverrides(theme))
    settings.setDestinationCrs(project.crs())
    settings.setExtent(extent)
    settings.setOutputSize(QSize(400, 400))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    while job.isActive():
        # not waitForFinished: since QGIS 3.30 an expression that asks another layer waits for this thread's events
        app.processEvents()
        time.sleep(0.01)
    shown = job.renderedImage()
    shown.save(str(pictures / f"theme {theme}.png"))
    pixel = job.mapSettings().mapToPixel().transform(where)
    colour = shown.pixelColor(int(pixel.x()), int(pixel.y()))
    colours[theme] = [colour.red(), colour.green(), colour.blue(), colour.lightness()]
    seen = {shown.pixel(x, y) for x in range(0, 400, 3) for y in range(0, 400, 3)}
    found.setdefault("many_colours", {})[theme] = len(seen)
    edges = {shown.pixelColor(x, y).name() for x in range(400) for y in range(400)}
    found.setdefault("outlined", {})[theme] = bool({"#ffe119", "#ff2fd0"} & edges)
found["colours"] = colours


def behaviour(layer):
    """What the analyst meets in a layer of changes."""
    index = layer.fields().indexFromName
    context = QgsRenderContext()
    context.expressionContext().appendScope(QgsExpressionContextUtils.layerScope(layer))
    layer.renderer().startRender(context, layer.fields())
    feature = next(layer.getFeatures())
    feature.setAttribute("verdict", None)
    context.expressionContext().setFeature(feature)
    symbol = layer.renderer().symbolForFeature(feature, context)
    colour = symbol.symbolLayer(0).strokeColor().name() if symbol else None
    layer.renderer().stopRender(context)
    limits = layer.fields()[index("note")].constraints()
    form = layer.editFormConfig()
    return {
        "renderer": layer.renderer().type(),
        "colour of no verdict": colour,
        "widgets": {n: layer.editorWidgetSetup(index(n)).type() for n in ("verdict", "note", "reviewed_at", "picture")},
        "choices": [next(iter(each)) for each in layer.editorWidgetSetup(index("verdict")).config()["map"]],
        "alias": layer.attributeAlias(index("area_m2")),
        "default on update": layer.defaultValueDefinition(index("reviewer")).applyOnUpdate(),
        "soft": limits.constraintStrength(limits.ConstraintExpression) == limits.ConstraintStrengthSoft,
        "read only": [n for n in ("kind", "verdict", "note", "reviewed_at") if form.readOnly(index(n))],
        "tabs": [tab.name() for tab in form.tabs()],
        "picture": next(layer.getFeatures())["picture"],
        "tip": layer.mapTipTemplate(),
        "time": [layer.temporalProperties().isActive(), layer.temporalProperties().startField()],
        "rows": [style.rule() for style in layer.conditionalStyles().rowStyles()],
        "sort": layer.attributeTableConfig().sortExpression(),
        "types": {f.name(): f.typeName() for f in layer.fields()},
    }


changes = project.mapLayer("groundbreak_changes")
found["in project"] = behaviour(changes)
found["styles"] = sorted(changes.styleManager().styles())
renderers = {}
for style in found["styles"]:
    changes.styleManager().setCurrentStyle(style)
    renderers[style] = [changes.renderer().type(), changes.editFormConfig().tabs()[0].name()]
changes.styleManager().setCurrentStyle("verdict")
found["renderers"] = renderers
scopes = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(changes))
found["tips"] = []
for feature in changes.getFeatures():
    scopes.setFeature(feature)
    told = QgsExpression.replaceExpressionText(changes.mapTipTemplate(), scopes)
    drawn = (folder / "timeline" / f"{feature['change_id']}.png").exists()
    found["tips"].append([drawn, told])
alone = QgsVectorLayer(f"{folder}/review.gpkg|layername=changes", "alone", "ogr")
alone.loadDefaultStyle()
found["alone"] = behaviour(alone)

found["labels"] = {}
for name, layer in (("in project", changes), ("alone", alone)):
    settings = layer.labeling().settings() if layer.labelsEnabled() and layer.labeling() else None
    rule = QgsExpression(settings.fieldName) if settings and settings.isExpression else None
    words = []
    for feature in layer.getFeatures() if rule else ():
        scopes.setFeature(feature)
        scopes.setFields(layer.fields())
        words.append(rule.evaluate(scopes))
    found["labels"][name] = words
found["lines"] = {}
render = QgsRenderContext()
render.setExpressionContext(QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(changes)))
changes.renderer().startRender(render, changes.fields())
for feature in changes.getFeatures():
    render.expressionContext().setFeature(feature)
    symbol = changes.renderer().symbolForFeature(feature, render)
    rule = symbol.symbolLayer(0).dataDefinedProperties().property(QgsSymbolLayer.PropertyStrokeStyle)
    found["lines"][feature["change_id"]] = rule.value(render.expressionContext())[0] if rule.isActive() else None
changes.renderer().stopRender(render)
found["slider"], found["looks"] = {}, {}
looks = {i: each for i, each in project.mapLayers().items() if i.startswith("groundbreak_look_")}
for day in ("2023-02-01", "2023-02-25", "2023-04-15", "2023-07-25", "2023-08-20"):
    begin = QDateTime.fromString(day + "T00:00:00Z", Qt.ISODate)
    span = QgsDateTimeRange(begin, begin.addDays(1))
    found["slider"][day] = [
        name
        for name in ("before", "before_fc", "after", "after_fc", "score")
        if project.mapLayer(f"groundbreak_{name}").temporalProperties().isActive()
        and project.mapLayer(f"groundbreak_{name}").temporalProperties().isVisibleInTemporalRange(span)
    ]
    found["looks"][day] = [
        each.name() for each in looks.values() if each.temporalProperties().isVisibleInTemporalRange(span)
    ]
found["bookmarks"] = {mark.name(): mark.extent().width() for mark in project.bookmarkManager().bookmarks()}
found["time"] = project.timeSettings().temporalRange().begin().toString("yyyy-MM-dd")
found["relations"] = {}
for name, relation in project.relationManager().relations().items():
    rows = relation.getRelatedFeatures(next(changes.getFeatures())) if relation.isValid() else ()
    listed = QgsExpression(relation.referencingLayer().displayExpression())
    scopes.setFields(relation.referencingLayer().fields())
    lines = []
    for row in rows:
        scopes.setFeature(row)
        lines.append(listed.evaluate(scopes))
    found["relations"][name] = lines
layout = project.layoutManager().layoutByName("Alerts")
atlas = layout.atlas()
found["atlas"] = [atlas.enabled(), atlas.coverageLayer().id(), atlas.updateFeatures()]
atlas.beginRender()
atlas.first()
outline = layout.reportContext().feature().geometry().boundingBox()
found["first page"] = [
    [item.extent().width() - max(outline.width(), outline.height()), item.scale()]
    for item in layout.items()
    if isinstance(item, QgsLayoutItemMap)
]
exporter = QgsLayoutExporter(layout)
pages = QgsLayoutExporter.ImageExportSettings()
pages.dpi = 100
found["page"] = int(exporter.exportToImage(str(pictures / "page.png"), pages))
if atlas.count() <= 20:
    pdf = QgsLayoutExporter.PdfExportSettings()
    pdf.dpi = 100
    result, _ = QgsLayoutExporter.exportToPdf(atlas, str(pictures / "alerts.pdf"), pdf)
    found["pdf"] = int(result)
found["pages"] = []
for page in range(min(atlas.count(), 20)):
    atlas.seekTo(page)
    found["pages"].append(layout.reportContext().feature()["label"])
rasters = {}
for name in ("before", "after", "score"):
    raster = QgsRasterLayer(f"{folder}/{name}.tif", name)
    raster.loadDefaultStyle()
    renderer = raster.renderer()
    rasters[name] = [renderer.type(), raster.dataProvider().sourceHasNoDataValue(1)]
    if renderer.type() == "multibandcolor":
        stretch = renderer.redContrastEnhancement()
        rasters[name] += [renderer.usesBands(), stretch.minimumValue(), stretch.maximumValue()]
found["rasters"] = rasters
found["messages"] = messages
sys.stdout.write(json.dumps(found, default=str) + "\n")
sys.stdout.flush()
os._exit(0)  # the ordinary exit of PyQGIS may crash
