"""Pending notifications of a site, and their form as JSON and as a chat message; mails are in `mail`."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.model.settings import Notify
from pipeline.notify.feed import entry_id
from pipeline.review.contents import GONE, Change, Contents
from pipeline.review.descriptions import describe_change
from pipeline.review.folder import Folder
from pipeline.review.matching import REJECTIONS

RANKS = {"provisional": 0, "confirmed": 1, "finished": 2}
"""Statuses that are notified, in the order of a life; a return to an earlier one is not."""
CORRECTIONS = ("withdrawn", "rejected", "ended")
"""Correction of an alert that was notified: later looks refute it, the analyst rejects it, the change has reverted."""
MAX_LISTED = 20
"""Alerts listed one by one in a message; the others are counted."""
_COLUMNS = (
    "kind", "confidence", "area_m2", "area_error_m2", "last_clear_before", "first_seen", "confirmed_at", "last_seen",
    "lon", "lat",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One alert in one status, or a correction of it. key: the same on every machine and in every night.

    status: one of RANKS or CORRECTIONS. page, picture: relative to out/.
    """

    key: str
    change_id: str
    status: str
    words: str
    facts: Mapping[str, Any]
    page: str
    picture: str
    file: Path

    @property
    def event(self) -> tuple[str, str]:
        """What the ledger remembers of it."""
        return self.change_id, self.status

    @property
    def is_correction(self) -> bool:
        """Whether it corrects an earlier message."""
        return self.status in CORRECTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """All that one message says: the news of one site in one night, newest alert first.

    first: first message of this channel on the site, so its alerts come from the history.
    """

    site: str
    name: str
    items: tuple[Item, ...]
    first: bool
    simulated: str
    attribution: str

    @property
    def key(self) -> str:
        """Names the message: one that is sent again after a crash has the same."""
        return hashlib.sha256("\n".join((self.site, *sorted(item.key for item in self.items))).encode()).hexdigest()


def build_message(folder: Folder, contents: Contents) -> Message:
    """Every alert of the machine at a site with its status, refuted ones as corrections; newest first."""
    site = folder.path.name
    items = []
    for change in contents.changes:
        status = _notified_status(change)
        if not status:
            continue
        file = folder.timeline(change.id)
        items.append(
            Item(
                key=entry_id(site, change.id, status),
                change_id=change.id,
                status=status,
                words=describe_change(change.facts),
                facts={name: change[name] for name in _COLUMNS},
                page=f"{site}/{folder.report.name}#c-{change.id}",
                picture=f"{site}/timeline/{file.name}" if file.is_file() else "",
                file=file,
            )
        )
    items.sort(key=lambda item: (item.facts["first_seen"] or "", item.facts["confidence"] or 0.0), reverse=True)
    return Message(
        site=site,
        name=contents.name,
        items=tuple(items),
        first=False,
        simulated=contents.provenance.get("simulated", ""),
        attribution=contents.provenance.get("attribution", ""),
    )


def _notified_status(change: Change) -> str:
    """The status as it is notified; empty for an outline of the analyst and for what a person has confirmed against
    the machine.
    """
    if change.drawn:
        return ""
    if change["verdict"] in REJECTIONS:
        return "rejected"
    if change["status"] == GONE:
        return "" if change["verdict"] == "construction" else "withdrawn"
    if change["status"] not in RANKS:
        return ""
    return "ended" if change["ended"] else str(change["status"])


def pending_part(message: Message, notified: Iterable[tuple[str, str]], settings: Notify | None = None) -> Message:
    """The part of a message that a channel has not been sent.

    An alert is pending in a higher status than the one notified, if it passes the thresholds of `settings`. A
    correction is pending once, where the alert was notified. A corrected alert that is confirmed again is pending.
    """
    known: dict[str, set[str]] = {}
    for change_id, status in notified:
        known.setdefault(change_id, set()).add(status)
    fresh = (item for item in message.items if _is_pending(item, known.get(item.change_id, set()), settings))
    return replace(message, items=tuple(fresh))


def _is_pending(item: Item, known: set[str], settings: Notify | None) -> bool:
    corrected = not known.isdisjoint(CORRECTIONS)
    if item.is_correction:
        return not corrected and not known.isdisjoint(RANKS)
    if settings is not None and not _passes_settings(item, settings):
        return False
    if corrected:
        return RANKS[item.status] >= RANKS["confirmed"]
    return RANKS[item.status] > max((RANKS.get(status, 0) for status in known), default=-1)


def _passes_settings(item: Item, settings: Notify) -> bool:
    return item.facts["kind"] in settings.kinds and (item.facts["confidence"] or 0.0) >= settings.min_confidence


def as_json(message: Message, base_url: str) -> dict[str, Any]:
    """The generic webhook's body."""
    return {
        "key": message.key,
        "site": message.site,
        "name": message.name,
        "first": message.first,
        "simulated": bool(message.simulated),
        "attribution": message.attribution,
        "text": write_headline(message),
        "alerts": [
            {
                "key": item.key,
                "change_id": item.change_id,
                "status": item.status,
                **item.facts,
                "text": item.words,
                "report": link_to(item.page, base_url),
                "picture": link_to(item.picture, base_url) if item.picture else None,
            }
            for item in message.items
        ],
    }


def as_chat(message: Message, base_url: str) -> dict[str, str]:
    """A Slack-style body: `{"text": …}`, its three special letters escaped."""
    lines = [write_headline(message)]
    for item in message.items[:MAX_LISTED]:
        lines.append(f"• {item.status}: {item.words}")
        if base_url:
            lines.append("  " + " ".join(link_to(part, base_url) for part in (item.page, item.picture) if part))
    lines += count_unlisted(len(message.items))
    text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": text}


def write_headline(message: Message) -> str:
    """The subject: the site, and how many alerts of which status."""
    statuses = (*RANKS, *CORRECTIONS)
    counts = [(sum(item.status == status for item in message.items), status) for status in statuses]
    what = ", ".join(f"{count} {status}" for count, status in counts if count)
    simulated = "[simulated] " if message.simulated else ""
    return f"{simulated}{message.name}: {'from the history: ' if message.first else ''}{what}"


def link_to(part: str, base_url: str) -> str:
    """A path inside out/ as a link, where it is known how out/ is read; else the path."""
    return f"{base_url.rstrip('/')}/{part}" if base_url else part


def count_unlisted(count: int, limit: int = MAX_LISTED) -> Sequence[str]:
    """A line on the alerts beyond those listed."""
    return (f"and {count - limit} more, in the report",) if count > limit else ()
