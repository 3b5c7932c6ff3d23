"""One mail over all sites of a night: new structures with pictures, corrections, counts of other changes, failures."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.notify.messages import CORRECTIONS, MAX_LISTED, Item, Message, count_unlisted, link_to
from pipeline.review.descriptions import format_position
from pipeline.review.folder import REPORT

NEW_STRUCTURE = "new structure"
MAX_PICTURES = 8
MAX_PICTURE_BYTES, MAX_PICTURES_BYTES = 1_500_000, 6_000_000
"""Of one picture, and of all in one mail: common servers take 10 MB, and the encoding adds a third."""
_STATUS = {"ended": "reverted"}
_TEMPLATES = Environment(
    loader=PackageLoader("pipeline.notify", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulletin:
    """The pending notifications of one night. failures: a line for each site that failed."""

    messages: tuple[Message, ...]
    failures: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Names the message: one that is sent again after a crash has the same, whichever sites have failed since."""
        return hashlib.sha256("\n".join(sorted(message.key for message in self.messages)).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One alert as it is listed. title: status and site; words: the sentence on it."""

    item: Item
    title: str
    words: str
    place: str
    page: str
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the mail. lines: alerts one by one; notes: sentences."""

    title: str
    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()


def write_subject(bulletin: Bulletin) -> str:
    """The subject: where, and how many alerts of which group."""
    messages, items = bulletin.messages, [item for message in bulletin.messages for item in message.items]
    new = sum(_is_new_structure(item) for item in items)
    corrected = sum(item.is_correction for item in items)
    other = len(items) - new - corrected
    counts = (
        _count_noun(new, "new structure"),
        _count_noun(other, "other change"),
        _count_noun(corrected, "correction"),
    )
    where = messages[0].name if len(messages) == 1 else f"{len(messages)} sites"
    simulated = "[simulated] " if all(message.simulated for message in messages) else ""
    first = "from the history: " if all(message.first for message in messages) else ""
    return f"{simulated}{where}: {first}{', '.join(filter(None, counts))}"


def as_text(bulletin: Bulletin, base_url: str) -> str:
    """The mail as plain text."""
    parts = [write_subject(bulletin), ""]
    for section in build_sections(bulletin, base_url):
        parts += [section.title.upper(), ""]
        for line in section.lines:
            links = [each for each in (line.page, line.picture) if each]
            parts += [f"{line.title}: {line.words}", f"  {line.place}", *(f"  {each}" for each in links), ""]
        if section.notes:
            parts += [*section.notes, ""]
    return "\n".join([*parts, *collect_attributions(bulletin), ""])


def as_html(bulletin: Bulletin, base_url: str, shown: Collection[str]) -> str:
    """The mail as HTML. shown: keys of the alerts whose picture comes with it, under the same name."""
    page = _TEMPLATES.get_template("mail.html.j2")
    return page.render(
        subject=write_subject(bulletin), sections=build_sections(bulletin, base_url), shown=frozenset(shown),
        is_linked=bool(base_url), content_id=content_id, attributions=collect_attributions(bulletin),
    )  # fmt: skip


def collect_pictures(bulletin: Bulletin) -> Mapping[str, Path]:
    """Pictures of the alerts that are listed first, by content id, as many as a mail server takes."""
    found, size = dict[str, Path](), 0
    for section in build_sections(bulletin, ""):
        for line in section.lines:
            wanted = line.item.picture and not line.item.is_correction and len(found) < MAX_PICTURES
            if not wanted or not line.item.file.is_file():
                continue
            weight = line.item.file.stat().st_size
            if weight <= MAX_PICTURE_BYTES and size + weight <= MAX_PICTURES_BYTES:
                found[content_id(line.item)] = line.item.file
                size += weight
    return found


def content_id(item: Item) -> str:
    """The name of an alert's picture within a mail."""
    return f"{item.key.rpartition(':')[2]}@groundbreak.invalid"


def build_sections(bulletin: Bulletin, base_url: str) -> Sequence[Section]:
    """New structures first, those of tonight before those from the history; then corrections, counts, failures."""
    pairs = [(message, item) for message in bulletin.messages for item in message.items]
    new = [(message, item) for message, item in pairs if _is_new_structure(item)]
    new.sort(key=lambda pair: (pair[1].facts["first_seen"] or "", pair[1].facts["confidence"] or 0.0), reverse=True)
    new.sort(key=lambda pair: pair[0].first)
    corrected = [(message, item) for message, item in pairs if item.is_correction]
    found = [
        _list_section("New structures", new, base_url),
        _list_section("Corrections of earlier messages", corrected, base_url),
        Section(title="Other changes", notes=tuple(_count_other_changes(bulletin.messages, base_url))),
        Section(
            title="Sites that failed tonight", notes=(*bulletin.failures[:MAX_LISTED], *_more_sites(bulletin.failures))
        ),
    ]
    return [section for section in found if section.lines or section.notes]


def collect_attributions(bulletin: Bulletin) -> Sequence[str]:
    """The credits of the imagery, each once."""
    return tuple(dict.fromkeys(message.attribution for message in bulletin.messages if message.attribution))


def _list_section(title: str, pairs: Sequence[tuple[Message, Item]], base_url: str) -> Section:
    lines = [_make_line(message, item, base_url) for message, item in pairs[:MAX_LISTED]]
    return Section(title=title, lines=tuple(lines), notes=tuple(count_unlisted(len(pairs))))


def _make_line(message: Message, item: Item, base_url: str) -> Line:
    simulated = "[simulated] " if message.simulated else ""
    stood = " (from the history)" if message.first else ""
    last = f"; last seen on {item.facts['last_seen']}" if item.status == "ended" else ""
    return Line(
        item=item,
        title=f"{simulated}{_STATUS.get(item.status, item.status).capitalize()} at {message.name}{stood}",
        words=f"{item.words}{last}",
        place=format_position(item.facts["lon"], item.facts["lat"]),
        page=link_to(item.page, base_url),
        picture=link_to(item.picture, base_url) if item.picture else "",
    )


def _count_other_changes(messages: Sequence[Message], base_url: str) -> list[str]:
    """Alerts of other change types by site, the sites with most of them first."""
    lines = []
    for message in messages:
        kinds = Counter(
            str(item.facts["kind"]) for item in message.items if not (_is_new_structure(item) or item.is_correction)
        )
        if kinds:
            what = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            simulated = "[simulated] " if message.simulated else ""
            report = link_to(f"{message.site}/{REPORT}", base_url)
            lines.append((-kinds.total(), f"{simulated}{message.name}: {what} ({report})"))
    lines.sort()
    texts = [text for _, text in lines]
    return [*texts[:MAX_LISTED], *_more_sites(texts)]


def _more_sites(texts: Sequence[str]) -> tuple[str, ...]:
    return (f"and {len(texts) - MAX_LISTED} more sites",) if len(texts) > MAX_LISTED else ()


def _is_new_structure(item: Item) -> bool:
    return item.facts["kind"] == NEW_STRUCTURE and item.status not in CORRECTIONS


def _count_noun(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}" if count else ""
