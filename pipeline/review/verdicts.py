"""Verdicts given outside QGIS: one short transaction in review.gpkg, stamped and logged by its own triggers."""

from pathlib import Path

from pipeline.model.errors import UsageError
from pipeline.review.gpkg import open_review
from pipeline.review.schema import VERDICTS

MAX_NOTE = 2000
WAIT_SECONDS = 5.0
"""Seconds that a verdict waits for another writer; the analyst can give it again."""


def give_verdict(path: Path, change_id: str, verdict: str | None, note: str | None, reviewer: str) -> None:
    """Store a verdict and a note of a change; None for both makes it a change without a verdict again.

    Raises UsageError for a verdict or a change that does not exist, ReviewError where the file cannot be written.
    """
    if verdict is not None and verdict not in VERDICTS:
        raise UsageError(f"no such verdict: {verdict!r}", str(path), f"give one of {', '.join(VERDICTS)}")
    if note is not None and len(note) > MAX_NOTE:
        raise UsageError(f"a note of {len(note)} letters", str(path), f"keep it below {MAX_NOTE}")
    by = None if verdict is None and note is None else reviewer
    with open_review(path, WAIT_SECONDS) as db:
        db.execute("BEGIN IMMEDIATE")
        done = db.execute(
            "UPDATE changes SET verdict = ?, note = ?, reviewer = ? WHERE change_id = ?", [verdict, note, by, change_id]
        )
        if not done.rowcount:
            raise UsageError(f"no change {change_id!r}", str(path), "reload the page")
        db.execute("COMMIT")
