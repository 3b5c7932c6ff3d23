"""index.html: one table for one site or a thousand."""

import re
import shutil
from datetime import date

from pipeline.model.alert import Kind, Status
from pipeline.review import index
from pipeline.review.index import write_index
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import judge


def test_the_index_lists_the_newest_change_first_and_survives_a_broken_site(tmp_path):
    put(tmp_path / "older", [made.alert(1)], site=made.site("Older"))
    put(tmp_path / "newer", [made.alert(1, first_seen=date(2023, 6, 1))], site=made.site("Newer"))
    put(tmp_path / "quiet", [made.alert(1, status=Status.WITHDRAWN)], site=made.site("Quiet"))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "review.gpkg").write_bytes(b"noise" * 500)
    text = write_index(tmp_path).read_text(encoding="utf-8")
    places = [text.index(f'<th scope="row"><a href="{name}/') for name in ("newer", "older", "broken")]
    assert places == sorted(places)
    assert "review file is damaged" in text and "nothing changed" in text and "1 site cannot be read" in text


def test_what_is_to_do_is_counted_without_what_has_a_verdict(tmp_path):
    put(tmp_path / "x", [made.alert(1), made.alert(2, row=30, col=30)])
    judge(tmp_path / "x", made.alert(1).id, "construction")
    text = write_index(tmp_path).read_text(encoding="utf-8")
    assert "1 change without a verdict" in text
    cells = re.search(r'<td>to do</td><td class="n">(\d)</td><td class="n">(\d)</td><td class="n">(\d)</td>', text)
    assert cells.groups() == ("1", "2", "0")


def test_a_type_that_a_site_shows_first_is_not_counted_as_a_new_structure(tmp_path):
    alerts = [made.alert(1), made.alert(2, row=30, col=30, kind=Kind.RESURFACED, first_seen=date(2023, 6, 1))]
    put(tmp_path / "x", alerts, kinds=("new structure", "resurfaced"))
    text = write_index(tmp_path).read_text(encoding="utf-8")
    cells = re.search(r'<td>to do</td><td class="n">(\d)</td><td class="n">(\d)</td><td class="n">(\d)</td>', text)
    assert cells.groups() == ("2", "1", "1") and "2023-06-01" in text


def test_a_thousand_sites_make_a_page_below_two_megabytes(tmp_path, published, monkeypatch):
    shutil.copytree(published, tmp_path / "site-0000")
    row = index._site_row(tmp_path / "site-0000")
    folders = [tmp_path / f"site-{number:04d}" for number in range(1000)]
    monkeypatch.setattr(index, "_site_row", lambda path: {**row, "id": path.name, "name": f"{row['name']} {path.name}"})
    for folder in folders[1:]:
        folder.mkdir()
        (folder / "review.gpkg").touch()
    page = write_index(tmp_path)
    assert page.stat().st_size < 2_000_000
    text = page.read_text(encoding="utf-8")
    assert text.count('<th scope="row">') == 1000
    # each has a dot on the map that leads to it
    assert text.count('/report.html" aria-label="') == 1000 and 'class="land" d="M' in text
