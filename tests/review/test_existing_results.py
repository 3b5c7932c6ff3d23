"""What a review file states of the run before, also where somebody has altered it."""

import contextlib

import pytest

from pipeline.review.existing_results import read_existing
from tests.review import made
from tests.review.conftest import put
from tests.review.review_files import connect


@pytest.mark.parametrize("key", ["first_look", "last_look"])
@pytest.mark.parametrize(
    "altered", ["2001-01-01T00:00:00+00:00", "9999-01-01T00:00:00+00:00", "2001-01-01", "2999-01-01"]
)
def test_a_period_that_the_scenes_do_not_have_is_not_believed(folder, key, altered):
    put(folder, [made.alert(1)])
    before = read_existing(folder / "review.gpkg")
    with contextlib.closing(connect(folder)) as db, db:
        db.execute("UPDATE provenance SET value = ? WHERE key = ?", [altered, key])
    after = read_existing(folder / "review.gpkg")
    believed = (key == "first_look") == altered.startswith(("9", "29"))
    name = key.removesuffix("_look")
    assert (getattr(after, name) == getattr(before, name)) is not believed
    assert getattr(after, name).tzinfo is not None
