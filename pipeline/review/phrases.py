"""Alerts and evenings in words: what reports, feeds and maps say."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def words(facts: Mapping[str, Any]) -> str:
    """A change as a sentence, the way the trade writes it: what, how big, both ends of the bracket, how sure.

    facts: a row of `changes`. An outline that the analyst drew has few facts; it is called hers.
    """
    if facts["change_id"] is None:
        return f"Drawn by the analyst: {facts['verdict'] or 'no verdict yet'}"
    since = f"not there on {facts['last_clear_before']}, " if facts["last_clear_before"] else ""
    sure = f"confirmed {facts['confirmed_at']}, seen in" if facts["confirmed_at"] else "not yet confirmed, seen in"
    seen = f"{facts['looks_seen']} of {facts['looks_clear']} clear looks"
    return (
        f"{str(facts['kind']).capitalize()} of about {rounded(facts['area_m2'])} m²: "
        f"{since}there on {facts['first_seen']}, {sure} {seen}; {strength(facts['confidence'])}"
    )


def strength(confidence: float) -> str:
    """Confidence as a word and a number."""
    word = "low" if confidence < 0.5 else "moderate" if confidence < 0.8 else "high"
    return f"{word} confidence ({certainty(confidence)})"


def certainty(confidence: float) -> str:
    """Two decimals, but never 1.00 nor 0.00: no alert is certain, and none impossible."""
    if confidence >= 0.995:
        return "above 0.99"
    return "below 0.01" if confidence < 0.005 else f"{confidence:.2f}"


def sentence(changes: Sequence[Mapping[str, Any]], scenes: Sequence[Mapping[str, Any]]) -> str:
    """What stands open at a site, in one sentence. changes: rows that are neither withdrawn nor rejected."""
    used = [scene["time"][:10] for scene in scenes if scene["used"]]
    span = f"from {used[0]} to {used[-1]}" if used else "of no date"
    stands = [change for change in changes if change["change_id"]]
    confirmed = sum(change["status"] in ("confirmed", "finished") for change in stands)
    structures = sum(change["kind"] == "new structure" for change in stands)
    many = f"{len(stands)} change{'s' * (len(stands) != 1)} stand{'s' * (len(stands) == 1)}"
    new = f"{structures} new structure{'s' * (structures != 1)}"
    what = f"{many}: {confirmed} confirmed, {new}" if stands else "No change stands"
    return f"{what}. Judged on {len(used)} clear looks {span}."


def brought(news: Sequence[Mapping[str, Any]]) -> str:
    """What the last night with news brought, in one sentence; nothing where there never was any."""
    if not news:
        return ""
    counts = Counter(each["event"] for each in news)
    what = ", ".join(f"{count} {event}" for event, count in sorted(counts.items(), key=lambda c: (c[0] != "new", c[0])))
    return f"The last news came with the look of {news[0]['as_of'][:10]}: {what}."


def rounded(area: float) -> str:
    """Two significant figures: the outline does not carry more."""
    step = 10 ** max(len(str(int(area))) - 2, 0)
    return f"{int(round(area / step) * step):,}"


def place(lon: float, lat: float) -> str:
    """A point as it is copied into maps: latitude, longitude, six decimals."""
    return f"{lat:.6f}, {lon:.6f}"
