"""Opens what was sent on as a colleague's QGIS does. Run by QGIS's own Python: /usr/bin/python3 sent.py KMZ FOLDER"""

import json
import os
import sys

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from qgis.core import QgsApplication, QgsProject, QgsVectorLayer

kmz, folder = sys.argv[1:3]
app = QgsApplication([], True)
app.initQgis()
layer = QgsVectorLayer(kmz, "sent", "ogr")
features = list(layer.getFeatures())
area = [feature.geometry() for feature in features]
project = QgsProject.instance()
found = {
    "read": project.read(f"{folder}/review.qgz"),
    "valid": {each.id(): each.isValid() for each in project.mapLayers().values()},
    "inside": [each.source().startswith(folder) for each in project.mapLayers().values()],
    "verdicts": [str(f["verdict"]) for f in project.mapLayer("groundbreak_changes").getFeatures() if f["verdict"]],
    "kml": layer.isValid(),
    "crs": layer.crs().authid(),
    "names": [str(feature["Name"]) for feature in features],
    "centres": [[g.centroid().asPoint().x(), g.centroid().asPoint().y()] for g in area],
    "pages": [str(feature["description"]) for feature in features],
}
sys.stdout.write(json.dumps(found) + "\n")
sys.stdout.flush()
os._exit(0)
