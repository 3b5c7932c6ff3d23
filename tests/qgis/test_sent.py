import zipfile

from pipeline.review.export import export_site
from pipeline.review.folder import Folder
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import judge

HOSTILE = "\u202e<script>alert(1)</script> \"quoted\" 'twice' 🏗 [% env('HOME') %]"


def test_what_is_sent_on_opens_elsewhere_in_qgis(run, tmp_path):
    two = [made.alert(1), made.alert(2, row=30, col=30, confidence=0.6)]
    put(tmp_path / "made-place", two, site=made.site(HOSTILE))
    judge(tmp_path / "made-place", two[0].id, "construction", HOSTILE)
    folder = Folder(tmp_path / "made-place")
    kmz = export_site(folder, "kml", tmp_path / "sent.kmz")
    there = tmp_path / "a colleague's 룡성"
    with zipfile.ZipFile(export_site(folder, "zip", tmp_path / "sent.zip")) as archive:
        archive.extractall(there)
    # nothing of the sender's folder may be needed
    folder.path.rename(tmp_path / "gone")
    seen = run("sent.py", kmz, there / "made-place")
    assert seen["read"] and all(seen["valid"].values()) and all(seen["inside"])
    assert seen["verdicts"] == ["construction"]
    assert seen["kml"] and seen["crs"] == "EPSG:4326"
    judged, other = sorted(seen["names"])
    assert judged.startswith("A1: Construction (verdict of ") and judged.endswith("), 2023-03-21")
    assert other == "A2: New structure, 2023-03-21"
    assert all(128 < x < 130 and 38 < y < 40 for x, y in seen["centres"])
    assert not any("<script" in page for page in seen["pages"])
