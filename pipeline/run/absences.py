"""Sites that a night could not even search for: their failures are counted like those of any other site."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.model.errors import GroundbreakError, SiteError
from pipeline.review.layout import Results
from pipeline.run.ledger import Ledger, SiteEntry

WATCHED_DAYS = 30
"""Days since its last success after which a site that is in no AOI file counts as given up, not as lost."""


def note_absences(
    out: Path, errors: Mapping[str, GroundbreakError], present: Collection[str], now: datetime, *, is_complete: bool
) -> dict[str, GroundbreakError]:
    """Count a failed night for each site that has no search, and return why, by site.

    errors: what is wrong with sites that were read. present: ids of all sites that were read. is_complete: False where
    a part of the AOI files could not be read; sites of earlier nights that are missing tonight then count as failed,
    since they may have been in that part.
    """
    ledger = Ledger(Results(out).ledger)
    try:
        known, absent = ledger.sites(), dict(errors)
        if not is_complete:
            for site, entry in known.items():
                if site not in present and _is_watched(entry, now):
                    absent[site] = SiteError(
                        "is in no AOI file that can be read", site, "fix the AOI file, or remove the site from it"
                    )
        moment = now.astimezone(UTC).isoformat(timespec="seconds")
        entries = [(known.get(site) or SiteEntry(site=site), error) for site, error in absent.items()]
        ledger.note_sites(
            replace(entry, failures=entry.failures + 1, failed=moment, error=str(error)) for entry, error in entries
        )
    finally:
        ledger.close()
    return absent


def _is_watched(entry: SiteEntry, now: datetime) -> bool:
    return bool(entry.success) and now - datetime.fromisoformat(entry.success) < timedelta(days=WATCHED_DAYS)
