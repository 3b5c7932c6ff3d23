"""Messages about a site: as JSON, as a line for a chat, as a mail."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.review.contents import Contents
from pipeline.review.feed import entry_id
from pipeline.review.folder import Folder
from pipeline.review.phrases import place, words

RANKS = {"provisional": 0, "confirmed": 1, "finished": 2}
"""Statuses that are notified, in the order of a life; a return to an earlier one is not."""
MAX_LISTED = 20
"""Alerts named one by one in a letter or a chat; the others are counted, and stand in the report."""
_COLUMNS = (
    "kind", "confidence", "area_m2", "area_error_m2", "last_clear_before", "first_seen", "confirmed_at", "lon", "lat",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One alert in one status. key: the same on every machine and in every night. page, picture: relative to out/."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
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


def standing(folder: Folder, contents: Contents) -> Digest:
    """Everything that stands at a site: neither withdrawn, nor rejected or drawn by the analyst."""
    site = folder.path.name
    items = []
    for change in contents.shown:
        if change.drawn or change["status"] not in RANKS:
            continue
        file = folder.timeline(change.id)
        items.append(
            Item(
                key=entry_id(site, change.id, change["status"]),
                change_id=change.id,
                status=change["status"],
                words=words(change.facts),
                facts={name: change[name] for name in _COLUMNS},
                page=f"{site}/{folder.report.name}#c-{change.id}",
                picture=f"{site}/timeline/{file.name}" if file.is_file() else "",
                file=file,
            )
        )
    items.sort(key=lambda item: (item.facts["first_seen"] or "", item.facts["confidence"] or 0.0), reverse=True)
    return Digest(
        site=site,
        name=contents.name,
        items=tuple(items),
        first=False,
        simulated=contents.provenance.get("simulated", ""),
        attribution=contents.provenance.get("attribution", ""),
    )


def untold(digest: Digest, told: Iterable[tuple[str, str]]) -> Digest:
    """The pending part of a message: alerts not yet notified, or notified in an earlier status only."""
    highest: dict[str, int] = {}
    for change_id, status in told:
        highest[change_id] = max(RANKS.get(status, 0), highest.get(change_id, 0))
    fresh = tuple(item for item in digest.items if RANKS[item.status] > highest.get(item.change_id, -1))
    return replace(digest, items=fresh)


def as_json(digest: Digest, base_url: str) -> dict[str, Any]:
    """The generic webhook's body."""
    return {
        "key": digest.key,
        "site": digest.site,
        "name": digest.name,
        "first": digest.first,
        "simulated": bool(digest.simulated),
        "attribution": digest.attribution,
        "text": headline(digest),
        "alerts": [
            {
                "key": item.key,
                "change_id": item.change_id,
                "status": item.status,
                **item.facts,
                "text": item.words,
                "report": link(item.page, base_url),
                "picture": link(item.picture, base_url) if item.picture else None,
            }
            for item in digest.items
        ],
    }


def as_chat(digest: Digest, base_url: str) -> dict[str, str]:
    """A Slack-style body: `{"text": …}`, its three special letters escaped."""
    lines = [headline(digest)]
    for item in digest.items[:MAX_LISTED]:
        lines.append(f"• {item.status}: {item.words}")
        if base_url:
            lines.append("  " + " ".join(link(part, base_url) for part in (item.page, item.picture) if part))
    lines += _rest(digest)
    text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": text}


def as_letter(digest: Digest, base_url: str) -> str:
    """A mail's plain text."""
    lines = [headline(digest), ""]
    for item in digest.items[:MAX_LISTED]:
        lines += [
            f"{item.status.capitalize()}: {item.words}",
            f"  {place(item.facts['lon'], item.facts['lat'])}",
            *(f"  {link(part, base_url)}" for part in (item.page, item.picture) if part),
            "",
        ]
    return "\n".join([*lines, *_rest(digest), digest.attribution, ""])


def headline(digest: Digest) -> str:
    """The subject: the site, and how many alerts of which status."""
    counts = [(sum(item.status == status for item in digest.items), status) for status in RANKS]
    what = ", ".join(f"{count} {status}" for count, status in counts if count)
    simulated = "[simulated] " if digest.simulated else ""
    return f"{simulated}{digest.name}: {'from the history: ' if digest.first else ''}{what}"


def link(part: str, base_url: str) -> str:
    """A path inside out/ as a link, where it is known how out/ is read; else the path."""
    return f"{base_url.rstrip('/')}/{part}" if base_url else part


def _rest(digest: Digest) -> Sequence[str]:
    more = len(digest.items) - MAX_LISTED
    return (f"and {more} more, in the report",) if more > 0 else ()
