"""The pages of a search: every one of them, whatever the server says about their number, and no more than a budget.

A page that is full and names no next one, or a count that is higher than what came, shows that pages may be missing.
The period is then split, and its parts are searched, until they agree with the whole. A count alone proves nothing:
some servers estimate it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.catalogue.fetch import FIX, FetchError, RetryingStacIO
from pipeline.catalogue.hrefs import host_of, join_href, link_relation, redact_href
from pipeline.catalogue.product import parse_time

MAX_PAGES = 2000
"""Pages of one search, those of its parts included."""
MAX_ITEMS = 50_000
"""Items of one search; ten years of a site where two orbits and four tiles meet have 18,000."""
MAX_BYTES = 600_000_000
"""Bytes of one search: 20,000 recorded items."""
STALE_PAGES = 10
"""Pages in a row without an item that is new, after which a search is given up."""
SAME_LINK = 3
"""How often one and the same next link is followed, in case the page behind it was empty by mistake."""
TOO_MUCH = frozenset({413, 500, 502, 504})
"""HTTP statuses after which a smaller page is requested."""
NO_POST = frozenset({403, 404, 405, 501})
"""Answers of servers that search by GET only."""
LEAST = timedelta(seconds=1)
"""Shortest period that is searched: an acquisition of one tile takes longer."""
SHORTER = "ask for a shorter period"

Raw = Mapping[str, Any]
Period = tuple[datetime, datetime]
_paging_servers: set[str] = set()
"""Searches that were seen to name a next page, so that each is tried once by a process."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Name and acquisition time of an item."""

    name: tuple[str, str]
    time: datetime | None


@dataclass(slots=True)
class _Pages:
    """Result of one walk over the pages. looped: the last next link led to a page that was read before."""

    items: dict[str, "_Seen"] = field(default_factory=dict)
    matched: int | None = None
    pages: int = 0
    last: int = 0
    looped: bool = False

    @property
    def is_short(self) -> bool:
        """Whether the server counted more items than it gave."""
        return self.matched is not None and _count_ids(self.items) < self.matched


@dataclass(slots=True)
class Search:
    """One question to one server.

    limit: items asked for at once. hosts: those that its links may lead to. take: gets every item once, as it comes, so
    that no more than a page is held.
    """

    line: RetryingStacIO
    url: str
    question: Mapping[str, Any]
    limit: int
    hosts: frozenset[str]
    take: Callable[[object], None]
    method: str = "POST"
    _bytes: int = 0
    _pages: int = 0
    _items: int = 0
    _taken: set[str] = field(default_factory=set)

    def run(self, first: datetime, last: datetime) -> None:
        """Take every item of a period. Raises FetchError if the search cannot be completed."""
        self._complete(first, last)

    def _complete(self, first: datetime, last: datetime) -> dict[str, _Seen]:
        whole = self._walk(first, last)
        if whole.is_short:
            return self._checked(whole, first, last)
        if (whole.matched is None or whole.last >= self.limit) and self._may_be_cut(whole, first, last):
            return self._split(whole, first, last, len(whole.items))
        return whole.items

    def _checked(self, whole: _Pages, first: datetime, last: datetime) -> dict[str, _Seen]:
        """The items of a period whose count is higher: those of its parts if they have more; else it was estimated."""
        found, agree = dict(whole.items), True
        parts = [part for part in _split_period(whole.items, first, last) if part != (first, last)]
        for part in parts:
            piece = self._walk(*part)
            found |= piece.items
            agree = agree and not self._is_cut(piece) and _is_within(piece, *part)
        if len(found) > len(whole.items):
            for part in parts:
                found |= self._complete(*part)
        elif self._is_cut(whole) and not agree:
            raise FetchError(f"{_count_ids(found)} of {whole.matched} items came", redact_href(self.url), FIX)
        return found

    def _is_cut(self, pages: _Pages) -> bool:
        return pages.looped or pages.last >= self.limit

    def _may_be_cut(self, whole: _Pages, first: datetime, last: datetime) -> bool:
        """Whether the server may have stopped paging before the last item."""
        if self._is_cut(whole):
            return True
        if whole.pages > 1 or len(whole.items) < 2 or self.url in _paging_servers:
            return False
        # does it name a next page where there must be one?
        page = self._page(self.url, self.method, self._parameters(first, last, 1))
        if next_link(page) is not None or _matched_count(page) is not None:
            _paging_servers.add(self.url)
            return False
        return True

    def _split(self, whole: _Pages, first: datetime, last: datetime, most: int) -> dict[str, _Seen]:
        """The items of a period by its parts, as long as a part has as many items as the largest page seen."""
        found = dict(whole.items)
        for part in _split_period(whole.items, first, last):
            piece = whole if part == (first, last) else self._walk(*part)
            most = max(most, len(piece.items))
            found |= piece.items
            if len(piece.items) < most and not piece.looped:
                continue
            if piece is not whole and _is_within(piece, *part):
                found |= self._split(piece, *part, most)
            elif self._is_cut(piece):
                # one instant, or a server to which a period says nothing
                what = f"a page of {piece.last} items names no next one"
                raise FetchError(what, redact_href(self.url), "name another catalogue: this one gives no pages")
        return found

    def _parameters(self, first: datetime, last: datetime, limit: int) -> dict[str, Any]:
        ends = (first, last + LEAST if last.microsecond else last)
        period = "/".join(moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for moment in ends)
        asked = {**self.question, "datetime": period, "limit": limit}
        if self.method == "POST":
            return asked
        return asked | {"collections": ",".join(asked["collections"]), "intersects": json.dumps(asked["intersects"])}

    def _walk(self, first: datetime, last: datetime) -> _Pages:
        """All pages; asked for again with half the page where the server fails on its size, and by GET."""
        while True:
            try:
                return self._follow(first, last)
            except FetchError as error:
                if error.status in NO_POST and self.method == "POST":
                    self.method = "GET"
                elif error.status in TOO_MUCH and self.limit > 1:
                    self.limit //= 2
                else:
                    raise

    def _follow(self, first: datetime, last: datetime) -> _Pages:
        """Follow `next` verbatim to its end, over empty pages too, and not in a circle."""
        found, stale, asked = _Pages(), 0, Counter[str]()
        url, method, original = self.url, self.method, self._parameters(first, last, self.limit)
        parameters: dict[str, Any] | None = original
        while True:  # `_page` ends it
            page = self._page(url, method, parameters)
            before = len(found.items)
            found.items |= dict(map(self._seen, page["features"]))
            found.pages, found.last = found.pages + 1, len(page["features"])
            found.matched = _matched_count(page) if _matched_count(page) is not None else found.matched
            link = next_link(page)
            key = json.dumps(link, sort_keys=True)
            if link is None:
                return found
            stale = 0 if len(found.items) > before else stale + 1
            if asked[key] >= SAME_LINK:
                found.looped = True
                return found
            if stale >= STALE_PAGES:
                raise FetchError(f"{stale} pages in a row without a new item", redact_href(self.url), FIX)
            asked[key] += 1
            url, method, parameters = self._onward(link, url, original)

    def _seen(self, raw: object) -> tuple[str, _Seen]:
        key = hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()
        if key not in self._taken:
            self._taken.add(key)
            self.take(raw)
        fields = raw if isinstance(raw, Mapping) else {}
        return key, _Seen((str(fields.get("collection")), str(fields.get("id"))), _item_time(fields))

    def _page(self, url: str, method: str, parameters: dict[str, Any] | None) -> Raw:
        text = self.line.request(url, method=method, parameters=parameters)
        page: object = json.loads(text)
        features = page.get("features") if isinstance(page, Mapping) else None
        if not isinstance(page, Mapping) or not isinstance(features, list):
            raise FetchError("a page of the search has no features", redact_href(self.url), FIX)
        self._pages += 1
        self._bytes, self._items = self._bytes + len(text), self._items + len(features)
        if self._bytes > MAX_BYTES or self._items > MAX_ITEMS or self._pages > MAX_PAGES:
            what = f"the search goes beyond {MAX_PAGES} pages, {MAX_ITEMS} items or {MAX_BYTES / 1e6:.0f} MB"
            raise FetchError(what, redact_href(self.url), SHORTER)
        return page

    def _onward(self, link: Raw, base: str, original: dict[str, Any]) -> tuple[str, str, dict[str, Any] | None]:
        """Address, method and parameters of a next link, which may be relative to its page."""
        url = join_href(base, link["href"], redact_href(self.url))
        if host_of(url) not in self.hosts or not url.lower().startswith(("http://", "https://")):
            fix = "if you trust it, add the host to search.asset_hosts in groundbreak.toml"
            raise FetchError(f"the next page lies on {host_of(url) or 'no host'}", redact_href(self.url), fix)
        if str(link.get("method", "GET")).upper() != "POST":
            return url, "GET", None
        body = link.get("body")
        body = dict(body) if isinstance(body, Mapping) else {}
        return url, "POST", {**original, **body} if link.get("merge") else body


def _split_period(items: Mapping[str, _Seen], first: datetime, last: datetime) -> Iterator[Period]:
    """A period split where its items are: at the middle one, or around the one instant that all have."""
    times = sorted(each.time for each in items.values() if each.time is not None and first <= each.time <= last)
    if last - first <= LEAST:
        yield first, last
        return
    middle = times[len(times) // 2] if times else first + (last - first) / 2
    middle = middle.replace(microsecond=0)
    if times and times[-1] - times[0] < LEAST:
        after = middle + LEAST
        yield from ((a, b) for a, b in ((first, middle - LEAST), (middle, after), (after, last)) if a <= b)
        return
    if not first < middle < last:
        middle = first + (last - first) / 2
    yield first, middle
    yield middle, last


def _is_within(pages: _Pages, first: datetime, last: datetime) -> bool:
    """Whether all times lie within a period."""
    times = [each.time for each in pages.items.values() if each.time is not None]
    return all(first - LEAST <= time <= last + LEAST for time in times)


def _item_time(raw: Raw) -> datetime | None:
    properties = raw.get("properties")
    try:
        return parse_time(str(properties["datetime"])) if isinstance(properties, Mapping) else None
    except (KeyError, ValueError, OverflowError):
        return None


def _count_ids(items: Mapping[str, _Seen]) -> int:
    """Number of different item ids; a server counts two versions of an item once."""
    return len({each.name for each in items.values()})


def _matched_count(page: Raw) -> int | None:
    context = page.get("context")
    stated = page.get("numberMatched", context.get("matched") if isinstance(context, Mapping) else None)
    return stated if isinstance(stated, int) and not isinstance(stated, bool) else None


def next_link(page: Raw) -> Raw | None:
    """The link of a page to the next one, None where it names none."""
    links: object = page.get("links")
    for link in links if isinstance(links, Sequence) else []:
        if isinstance(link, Mapping) and link_relation(link) == "next" and isinstance(link.get("href"), str):
            return link
    return None
