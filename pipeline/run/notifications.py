"""Notifications at the end of a night, each (alert, status, channel) once.

There is no message queue. Pending notifications are computed in each run: the alerts in the review files minus those
recorded in the ledger. A crash between publishing and notifying loses nothing, and a failed channel is tried again
in the next night.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pipeline.model.errors import GroundbreakError
from pipeline.model.settings import Notify
from pipeline.notify.channels import Channel, Secrets, UndeliveredError, open_channels, read_secrets
from pipeline.notify.feed import Entry, entry_id, read_feed, write_feed
from pipeline.notify.mail import Bulletin
from pipeline.notify.messages import CORRECTIONS, RANKS, Message, build_message, pending_part
from pipeline.review.contents import read_contents
from pipeline.review.layout import Results
from pipeline.run.detect import as_site_error
from pipeline.run.ledger import Ledger

FEED = "feed"
WAIT_SECONDS = 5.0
"""Seconds to wait for a locked review file; its notifications follow in the next night."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """Notifications of a night: alerts by channel, and failed deliveries."""

    alerts: Counter[str]
    errors: tuple[GroundbreakError, ...]


def notify(
    out: Path, sites: Sequence[str], settings: Notify, now: datetime, secrets: Secrets | None = None,
    *, send: bool = True, failures: Sequence[str] = (),
) -> Notified:  # fmt: skip
    """Send the pending notifications of these sites, then write the feed. Errors do not fail a night: see `errors`.

    send: False writes the feed alone, as for a replay, which is not news. failures: a line for each site
    that failed tonight; they accompany a message and are no reason for one.
    """
    alerts, errors = Counter[str](), list[GroundbreakError]()
    ways, unusable = open_channels(settings, secrets or read_secrets()) if send else ((), ())
    errors += unusable
    try:
        ledger = Ledger(Results(out).ledger)
    except GroundbreakError as error:
        return Notified(alerts=alerts, errors=(*errors, error))
    try:
        messages = list(_read_messages(out, sites, errors))
        feed = read_feed(Results(out).feed)
        _register_channels(ledger, messages, [way.name for way in ways], feed)
        for way in ways:
            _send_pending(way, ledger, messages, settings, failures, alerts, errors)
        _write_feed(Results(out).feed, ledger, messages, feed or (), settings.base_url, now, alerts)
    except GroundbreakError as error:
        errors.append(error)
    except sqlite3.DatabaseError as error:
        errors.append(GroundbreakError(f"the ledger fails: {error}", str(ledger.path), "the next night goes on"))
    finally:
        ledger.close()
    return Notified(alerts=alerts, errors=tuple(errors))


def _read_messages(out: Path, sites: Sequence[str], errors: list[GroundbreakError]) -> Iterator[Message]:
    for site in sites:
        folder = Results(out).site(site)
        if not folder.gpkg.exists():
            continue
        try:
            yield build_message(folder, read_contents(folder.gpkg, WAIT_SECONDS))
        except Exception as error:  # noqa: BLE001  (the boundary of a site: what breaks it stops no other)
            errors.append(as_site_error(error, site))


def _register_channels(
    ledger: Ledger, messages: Sequence[Message], ways: Sequence[str], feed: tuple[Entry, ...] | None
) -> None:
    """Settle, before anything is sent, what is past for a channel that never looked at a site: what the feed holds.

    A channel set up later, and one whose ledger was lost, thus begins with what is new; on a site's own first night
    the feed has no entry of it. A lost feed starts empty.
    """
    if feed is None:
        ledger.reset_channel(FEED)
    held = {entry.id for entry in feed or ()}
    for message in messages:
        past = {
            (item.change_id, status)
            for item in message.items
            for status in (*RANKS, *CORRECTIONS)
            if entry_id(message.site, item.change_id, status) in held
        }
        for way in (*ways, FEED):
            ledger.register_channel(message.site, way, past)


def _send_pending(
    way: Channel, ledger: Ledger, messages: Sequence[Message], settings: Notify, failures: Sequence[str],
    alerts: Counter[str], errors: list[GroundbreakError],
) -> None:  # fmt: skip
    """Send what is pending, in one message or in one a site; what was taken is written down in one transaction."""
    fresh = []
    for message in messages:
        initialised = ledger.is_initialised(message.site, way.name)
        news = replace(pending_part(message, ledger.notified(message.site, way.name), settings), first=not initialised)
        if news.items:
            fresh.append(news)
        elif not initialised:
            ledger.mark_notified(way.name, {message.site: ()})
    if not fresh:
        alerts[way.name] += 0
    for batch in [fresh] if way.is_nightly and fresh else [[news] for news in fresh]:
        try:
            way.send(Bulletin(messages=tuple(batch), failures=tuple(failures)))
        except UndeliveredError as error:
            errors.append(error)
            if error.down:
                return
            continue
        ledger.mark_notified(way.name, {news.site: [item.event for item in news.items] for news in batch})
        alerts[way.name] += sum(len(news.items) for news in batch)


def _write_feed(
    path: Path, ledger: Ledger, messages: Sequence[Message], known: Sequence[Entry], base_url: str, now: datetime,
    alerts: Counter[str],
) -> None:  # fmt: skip
    news = [pending_part(message, ledger.notified(message.site, FEED)) for message in messages]
    fresh = [entry for message in news for entry in _feed_entries(message, now)]
    if fresh or not path.exists():
        write_feed(path, [*known, *fresh], base_url)
    if fresh:
        ledger.mark_notified(
            FEED, {message.site: [item.event for item in message.items] for message in news if message.items}
        )
    alerts[FEED] += len(fresh)


def _feed_entries(message: Message, now: datetime) -> Iterator[Entry]:
    for item in message.items:
        yield Entry(
            id=item.key,
            title=f"{'[simulated] ' if message.simulated else ''}{message.name}: {item.facts['kind']}, {item.status}",
            summary=f"{item.words}. {message.attribution}",
            updated=f"{now:%Y-%m-%dT%H:%M:%SZ}",
            status=item.status,
            page=item.page,
            point=f"{item.facts['lat']} {item.facts['lon']}",
            picture=item.picture,
            size=item.file.stat().st_size if item.picture else 0,
        )
