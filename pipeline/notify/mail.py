"""One mail over all sites of a night: new structures with pictures, corrections, counts of other changes, failures."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.notify.messages import CORRECTIONS, MAX_LISTED, Digest, Item, link, rest
from pipeline.review.folder import REPORT
from pipeline.review.phrases import place

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

    digests: tuple[Digest, ...]
    failures: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Names the message: one that is sent again after a crash has the same, whichever sites have failed since."""
        return hashlib.sha256("\n".join(sorted(digest.key for digest in self.digests)).encode()).hexdigest()


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


def subject(bulletin: Bulletin) -> str:
    """The subject: where, and how many alerts of which group."""
    digests, items = bulletin.digests, [item for digest in bulletin.digests for item in digest.items]
    new = sum(_is_new_structure(item) for item in items)
    corrected = sum(item.is_correction for item in items)
    other = len(items) - new - corrected
    counts = (_number(new, "new structure"), _number(other, "other change"), _number(corrected, "correction"))
    where = digests[0].name if len(digests) == 1 else f"{len(digests)} sites"
    simulated = "[simulated] " if all(digest.simulated for digest in digests) else ""
    first = "from the history: " if all(digest.first for digest in digests) else ""
    return f"{simulated}{where}: {first}{', '.join(filter(None, counts))}"


def as_text(bulletin: Bulletin, base_url: str) -> str:
    """The mail as plain text."""
    parts = [subject(bulletin), ""]
    for section in sections(bulletin, base_url):
        parts += [section.title.upper(), ""]
        for line in section.lines:
            links = [each for each in (line.page, line.picture) if each]
            parts += [f"{line.title}: {line.words}", f"  {line.place}", *(f"  {each}" for each in links), ""]
        if section.notes:
            parts += [*section.notes, ""]
    return "\n".join([*parts, *attributions(bulletin), ""])


def as_html(bulletin: Bulletin, base_url: str, shown: Collection[str]) -> str:
    """The mail as HTML. shown: keys of the alerts whose picture comes with it, under the same name."""
    page = _TEMPLATES.get_template("mail.html.j2")
    return page.render(
        subject=subject(bulletin), sections=sections(bulletin, base_url), shown=frozenset(shown),
        is_linked=bool(base_url), content_id=content_id, attributions=attributions(bulletin),
    )  # fmt: skip


def pictures(bulletin: Bulletin) -> Mapping[str, Path]:
    """Pictures of the alerts that are listed first, by content id, as many as a mail server takes."""
    found, size = dict[str, Path](), 0
    for section in sections(bulletin, ""):
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


def sections(bulletin: Bulletin, base_url: str) -> Sequence[Section]:
    """New structures first, those of tonight before those from the history; then corrections, counts, failures."""
    pairs = [(digest, item) for digest in bulletin.digests for item in digest.items]
    new = [(digest, item) for digest, item in pairs if _is_new_structure(item)]
    new.sort(key=lambda pair: (pair[1].facts["first_seen"] or "", pair[1].facts["confidence"] or 0.0), reverse=True)
    new.sort(key=lambda pair: pair[0].first)
    corrected = [(digest, item) for digest, item in pairs if item.is_correction]
    found = [
        _listed("New structures", new, base_url),
        _listed("Corrections of earlier messages", corrected, base_url),
        Section(title="Other changes", notes=tuple(_counts(bulletin.digests, base_url))),
        Section(title="Sites that failed tonight", notes=(*bulletin.failures[:MAX_LISTED], *_more(bulletin.failures))),
    ]
    return [section for section in found if section.lines or section.notes]


def attributions(bulletin: Bulletin) -> Sequence[str]:
    """The credits of the imagery, each once."""
    return tuple(dict.fromkeys(digest.attribution for digest in bulletin.digests if digest.attribution))


def _listed(title: str, pairs: Sequence[tuple[Digest, Item]], base_url: str) -> Section:
    lines = [_line(digest, item, base_url) for digest, item in pairs[:MAX_LISTED]]
    return Section(title=title, lines=tuple(lines), notes=tuple(rest(len(pairs))))


def _line(digest: Digest, item: Item, base_url: str) -> Line:
    simulated = "[simulated] " if digest.simulated else ""
    stood = " (from the history)" if digest.first else ""
    last = f"; last seen on {item.facts['last_seen']}" if item.status == "ended" else ""
    return Line(
        item=item,
        title=f"{simulated}{_STATUS.get(item.status, item.status).capitalize()} at {digest.name}{stood}",
        words=f"{item.words}{last}",
        place=place(item.facts["lon"], item.facts["lat"]),
        page=link(item.page, base_url),
        picture=link(item.picture, base_url) if item.picture else "",
    )


def _counts(digests: Sequence[Digest], base_url: str) -> list[str]:
    """Alerts of other change types by site, the sites with most of them first."""
    lines = []
    for digest in digests:
        kinds = Counter(
            str(item.facts["kind"]) for item in digest.items if not (_is_new_structure(item) or item.is_correction)
        )
        if kinds:
            what = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            simulated = "[simulated] " if digest.simulated else ""
            report = link(f"{digest.site}/{REPORT}", base_url)
            lines.append((-kinds.total(), f"{simulated}{digest.name}: {what} ({report})"))
    lines.sort()
    texts = [text for _, text in lines]
    return [*texts[:MAX_LISTED], *_more(texts)]


def _more(texts: Sequence[str]) -> tuple[str, ...]:
    return (f"and {len(texts) - MAX_LISTED} more sites",) if len(texts) > MAX_LISTED else ()


def _is_new_structure(item: Item) -> bool:
    return item.facts["kind"] == NEW_STRUCTURE and item.status not in CORRECTIONS


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}" if count else ""
