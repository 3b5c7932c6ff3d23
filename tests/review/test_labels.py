from datetime import date

from pipeline.review.contents import read_contents
from pipeline.review.folder import Folder
from pipeline.review.index import write_index
from pipeline.review.report import write_report
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import TWO, connect, judge, rows


def labels(folder):
    return {key: row["label"] for key, row in rows(folder).items()}


def test_labels_are_given_in_the_order_of_the_first_look_and_stay(tmp_path):
    late = made.alert(1, first_seen=date(2023, 5, 1))
    put(tmp_path / "x", [late, TWO[1]])
    assert labels(tmp_path / "x") == {TWO[1].id: "A1", late.id: "A2"}
    earlier = made.alert(3, row=45, col=45, first_seen=date(2023, 1, 20))
    put(tmp_path / "x", [late, earlier])
    assert labels(tmp_path / "x") == {TWO[1].id: "A1", late.id: "A2", earlier.id: "A3"}
    put(tmp_path / "x", [TWO[1], made.moved(late, 20)])
    assert labels(tmp_path / "x")[TWO[1].id] == "A1", "an alert that comes back keeps its label"


def without_label(folder):
    """The review file as a version without labels wrote it."""
    with connect(folder) as db:
        db.execute("ALTER TABLE changes DROP COLUMN label")


def test_an_older_review_file_is_read_and_gets_labels_in_its_next_night(folder):
    judge(folder, TWO[0].id, "construction", "seen")
    without_label(folder)
    assert {change.label for change in read_contents(folder / "review.gpkg").changes} == {each.id for each in TWO}
    write_report(Folder(folder))
    write_index(folder.parent)
    put(folder, [made.moved(TWO[0], 10), made.alert(3, row=45, col=45)])
    assert labels(folder) == {TWO[0].id: "A1", TWO[1].id: "A2", "a000000000000003": "A3"}
    assert rows(folder)[TWO[0].id]["verdict"] == "construction"


def test_a_label_is_in_every_place_that_names_a_change(folder):
    assert "A1: New structure" in read_contents(folder / "review.gpkg").sentence_of(
        read_contents(folder / "review.gpkg").changes[0]
    )
    assert '<h3 id="A1">' in (folder / "report.html").read_text()
    assert 'report.html#A1"' in write_index(folder.parent).read_text()


def test_an_outline_of_the_analyst_is_named_by_its_row(folder):
    with connect(folder) as db:
        blob = db.execute("SELECT geom FROM changes").fetchone()[0]
        db.execute("INSERT INTO changes (geom, verdict) VALUES (?, 'construction')", [blob])
    drawn = next(change for change in read_contents(folder / "review.gpkg").changes if change.drawn)
    assert drawn.label == f"D{drawn['fid']}"


def test_no_number_is_used_twice(folder):
    with connect(folder) as db:
        db.execute("UPDATE changes SET label = 'A7' WHERE change_id = ?", [TWO[0].id])
    put(folder, [*TWO, made.alert(3, row=45, col=45)])
    assert labels(folder)["a000000000000003"] == "A8"
