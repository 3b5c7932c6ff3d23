"""Sites that fail night after night: one message to the operator, on every channel, until they recover."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.model.errors import GroundbreakError
from pipeline.model.settings import Notify
from pipeline.notify.channels import Secrets, UndeliveredError, open_channels, read_secrets
from pipeline.review.layout import Results
from pipeline.run.ledger import Ledger, SiteEntry


def escalate_failures(
    out: Path, sites: Sequence[str], settings: Notify, secrets: Secrets | None = None
) -> tuple[GroundbreakError, ...]:
    """Send one message on the sites that have failed `notify.escalate_after` nights in a row, each site once.

    Returns what a channel did not take; that message is sent again the next night.
    """
    ways, _ = open_channels(settings, secrets or read_secrets())  # `notify` reports the errors
    try:
        ledger = Ledger(Results(out).ledger)
    except GroundbreakError as error:
        return (error,)
    errors = list[GroundbreakError]()
    try:
        known = ledger.sites()
        due = [known[site] for site in sites if site in known and _is_due(known[site], settings.escalate_after)]
        if not due or not ways:
            return ()
        lines = [describe_failures(entry) for entry in due]
        subject = (
            f"groundbreak: {len(due)} site{'s' * (len(due) != 1)} failed {settings.escalate_after} nights in a row"
        )
        key = hashlib.sha256("\n".join([subject, *lines]).encode()).hexdigest()
        for way in ways:
            try:
                way.alarm(subject, lines, key)
            except UndeliveredError as error:
                errors.append(error)
        if len(errors) < len(ways):
            ledger.note_sites(replace(entry, escalated=True) for entry in due)
    except GroundbreakError as error:
        errors.append(error)
    finally:
        ledger.close()
    return tuple(errors)


def describe_failures(entry: SiteEntry) -> str:
    """How a failing site fares, in one line."""
    last = f"last looked at {entry.success[:10]}" if entry.success else "never looked at"
    return f"{entry.site}: {entry.error}; failed {entry.failures} nights in a row, {last}"


def _is_due(entry: SiteEntry, nights: int) -> bool:
    return entry.failures >= nights and not entry.escalated
