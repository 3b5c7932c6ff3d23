"""Five sentences at the head of a report: what, since when, how large, how certain, what was not observable."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

from pipeline.review.contents import Change, Contents
from pipeline.review.descriptions import format_confidence, round_area
from pipeline.review.observed import Observed

CONSTRUCTION = "construction"
NEW_STRUCTURE = "new structure"
DEFAULT_KINDS = (NEW_STRUCTURE,)
PLURALS = {
    "new structure": "new structures", "cleared ground": "places of cleared ground",
    "resurfaced": "resurfaced surfaces", "demolished": "demolished structures",
}  # fmt: skip
SINGULARS = {
    "new structure": "new structure", "cleared ground": "place of cleared ground",
    "resurfaced": "resurfaced surface", "demolished": "demolished structure",
}  # fmt: skip


def split_changes(contents: Contents) -> tuple[list[Change], list[Change]]:
    """Changes shown at first and the folded ones, each sorted by verdict of construction, new structure, confidence.

    Shown at first: the change types of `report.kinds`, and whatever a person called construction or drew.
    """
    kinds = kinds_of(contents.provenance)
    first: list[Change] = []
    folded: list[Change] = []
    for change in contents.shown:
        wanted = change.drawn or change["verdict"] == CONSTRUCTION or change["kind"] in kinds
        (first if wanted else folded).append(change)
    for part in (first, folded):
        part.sort(key=_rank_change)
    return first, folded


def _rank_change(change: Change) -> tuple[bool, bool, float, str]:
    built = change["verdict"] == CONSTRUCTION
    return not built, change["kind"] != NEW_STRUCTURE, -(change["confidence"] or 0.0), change.id


def kinds_of(provenance: Mapping[str, str]) -> tuple[str, ...]:
    """The change types shown at first; those of the default for a review file that does not say."""
    text = provenance.get("report_kinds")
    return tuple(json.loads(text)) if text else DEFAULT_KINDS


def summarise(contents: Contents, observed: Observed) -> tuple[tuple[str, str], ...]:
    """(question, answer) of the five sentences."""
    first, folded = split_changes(contents)
    return (
        ("Built", _what_sentence(first, folded)),
        ("Since when", _since_sentence(first)),
        ("How big", _size_sentence(first)),
        ("How sure", _confidence_sentence(first, contents)),
        ("Not seen", _sensitivity_sentence(observed)),
    )


def count_by_type(changes: Sequence[Change]) -> str:
    """`5 new structures and 2 resurfaced surfaces`; construction by verdict and drawn outlines are named as such."""
    counts = Counter(_type_name(change) for change in changes)
    parts = [
        f"{count} {_plural_name(name, count)}"
        for name, count in sorted(counts.items(), key=lambda c: _type_order(c[0]))
    ]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def day_words(iso: str) -> str:
    """`16 May 2020`."""
    day = date.fromisoformat(iso[:10])
    return f"{day.day} {day:%B %Y}"


def bracket_words(change: Change) -> str:
    """When a change began: `between 11 and 16 May 2020`."""
    if not change["first_seen"]:
        return "at an unknown time"
    last, first = change["last_clear_before"], change["first_seen"]
    if not last:
        return f"before {day_words(first)}"
    start = date.fromisoformat(last)
    same_month, same_year = last[:7] == first[:7], last[:4] == first[:4]
    begin = f"{start.day}" if same_month else f"{start.day} {start:%B}" if same_year else day_words(last)
    return f"between {begin} and {day_words(first)}"


def _type_name(change: Change) -> str:
    if change.drawn:
        return "drawn"
    return "construction" if change["verdict"] == CONSTRUCTION else str(change["kind"])


def _type_order(name: str) -> tuple[int, str]:
    names = ("construction", *SINGULARS, "drawn")
    return names.index(name) if name in names else len(names), name


def _plural_name(name: str, count: int) -> str:
    if name == "construction":
        return f"construction{'s' * (count != 1)} (by verdict)"
    if name == "drawn":
        return f"outline{'s' * (count != 1)} drawn by the analyst"
    return SINGULARS.get(name, name) if count == 1 else PLURALS.get(name, name)


def _what_sentence(first: Sequence[Change], folded: Sequence[Change]) -> str:
    found = f"{count_by_type(first)} found" if first else "No new structure was found"
    return f"{found}. Also changed: {count_by_type(folded)}, folded below." if folded else f"{found}."


def _since_sentence(changes: Sequence[Change]) -> str:
    dated = sorted((c for c in changes if c["first_seen"]), key=lambda c: (str(c["first_seen"]), c.id))
    if not dated:
        return "No date, because no new structure was found."
    if len(dated) == 1:
        return f"It appeared {bracket_words(dated[0])}."
    return f"The first appeared {bracket_words(dated[0])}, the latest {bracket_words(dated[-1])}."


def _size_sentence(changes: Sequence[Change]) -> str:
    areas = [float(change["area_m2"]) for change in changes if change["area_m2"] is not None]
    if not areas:
        return "No size, because no new structure was found."
    low, high = round_area(min(areas)), round_area(max(areas))
    each = f"{low} m²" if low == high else f"{low} to {high} m²"
    return f"About {each}." if len(areas) == 1 else f"Each {each}, together about {round_area(sum(areas))} m²."


def _confidence_sentence(changes: Sequence[Change], contents: Contents) -> str:
    rejected = sum(change["verdict"] in ("no change", "other change") for change in contents.changes)
    aside = f" {rejected} other{'s were' if rejected != 1 else ' was'} rejected by a person." if rejected else ""
    sure = sorted(float(c["confidence"]) for c in changes if c["confidence"] is not None)
    if not changes:
        waiting = sum(change["verdict"] is None for change in contents.shown)
        others = f"No person has looked at {waiting} folded change{'s' * (waiting != 1)} yet." if waiting else ""
        return f"No new structure to judge. {others}{aside}".strip()
    machine = ""
    if sure:
        low, high = format_confidence(sure[0]), format_confidence(sure[-1])
        reach = low if low == high else f"{low} to {high}"
        machine = f"Confidence of the program {reach}. "
    confirmed = sum(change["verdict"] == CONSTRUCTION for change in changes)
    uncertain = sum(change["verdict"] == "uncertain" for change in changes)
    waiting = len(changes) - confirmed - uncertain
    if waiting == len(changes):
        return f"{machine}No person has looked yet.{aside}"
    parts = [f"a person confirmed {confirmed} as construction" if confirmed else "",
             f"called {uncertain} uncertain" if confirmed and uncertain else f"a person called {uncertain} uncertain"
             if uncertain else "",
             f"{waiting} without a verdict" if waiting else ""]  # fmt: skip
    sentence = ", ".join(part for part in parts if part)
    return f"{machine}{sentence[:1].upper()}{sentence[1:]}.{aside}"


def _sensitivity_sentence(observed: Observed) -> str:
    parts = []
    if observed.gaps:
        gap = observed.gaps[0]
        parts.append(f"No clear look from {day_words(gap.start)} to {day_words(gap.end)}")
    elif observed.clear:
        parts.append("No gap of 30 days without a clear look")
    else:
        parts.append("No clear look at all")
    if observed.unseen is not None:
        parts.append(unseen_words(observed.unseen))
    if observed.curve is None:
        parts.append("how small a building may be missed was not measured")
    else:
        parts += _undetected_sizes(observed)
    return f"{'; '.join(parts)}."


def _undetected_sizes(observed: Observed) -> list[str]:
    """Largest size with a probability of detection below 0.9."""
    curve = observed.curve
    if curve is None or len(curve.within) < 2:
        return []
    place = len(curve.within) // 2
    weak = [(size, shares[place][0]) for size, shares in curve.rows.items() if shares[place][0] is not None]
    missed = [(size, share) for size, share in weak if share is not None and share < 0.9]
    if not missed:
        return []
    size, share = missed[-1]
    where = "" if curve.own else " at another site"
    found = "none" if share == 0 else f"{100 * share:.0f} %"
    return [f"of buildings of {size} {found} {'was' if share == 0 else 'were'} found in a test{where}"]


def unseen_words(share: float) -> str:
    """Text on the share of the area that no look showed; a small share is never rounded to zero."""
    if share == 0:
        return "every part of the area was seen"
    return f"{'less than 1' if share < 0.01 else f'{100 * share:.0f}'} % of the area was never seen"
