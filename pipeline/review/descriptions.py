"""Sentences on alerts and updates, for reports, feeds and maps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

UNJUDGED = "; no verdict yet"
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
STATES = {"other": "other ground"}
"""Names of ground states in sentences, where they differ from the stored name."""
SURE_STATE = 0.8
"""Probability of a state from which it is stated without "probably"."""


def describe_change(facts: Mapping[str, Any]) -> str:
    """A change in one sentence: label, verdict or change type, area, bracket, confidence.

    A verdict comes first; without one the sentence ends by saying so. `facts` is a row of `changes`.
    """
    label = f"{label_of(facts)}: " if label_of(facts) else ""
    return f"{label}{change_heading(facts)}{change_details(facts)}"


def change_heading(facts: Mapping[str, Any]) -> str:
    """Heading of a change: the verdict if one was given, else the change type."""
    if facts["change_id"] is None:
        return f"Drawn by the analyst: {facts['verdict'] or 'no verdict yet'}"
    if facts["verdict"]:
        day = f" of {facts['reviewed_at'][:10]}" if facts["reviewed_at"] else ""
        return f"{str(facts['verdict']).capitalize()} (verdict{day})"
    return str(facts["kind"]).capitalize()


def change_details(facts: Mapping[str, Any]) -> str:
    """The rest of the sentence that begins with `change_heading`; empty for an outline of the analyst."""
    if facts["change_id"] is None:
        return ""
    area = f"about {round_area(facts['area_m2'])} m²"
    since = f"not there on {facts['last_clear_before']}, " if facts["last_clear_before"] else ""
    seen = f"seen in {facts['looks_seen']} of {facts['looks_clear']} clear looks"
    if facts["status"] == "withdrawn":
        # neither its confidence nor the missing verdict says anything of a change that the program took back
        return f", {area}: {since}there on {facts['first_seen']}, {seen}, {describe_status(facts)}"
    machine = f"classified as {facts['kind']}, " if facts["verdict"] else ""
    unjudged = "" if facts["verdict"] else UNJUDGED
    return (
        f", {area}: {since}there on {facts['first_seen']}, {describe_status(facts)}, {seen}; "
        f"{machine}{describe_confidence(facts['confidence'])}{unjudged}"
    )


def describe_phases(phases: Sequence[Mapping[str, Any]]) -> str:
    """States of the ground: "vegetated, bare from November 2017, built since January 2018"; empty if unknown.

    A change within one state, such as a hall on a paved yard, reads "built before and after".
    phases: rows of the table `phases` of one change, in time order.
    """
    runs = [row for index, row in enumerate(phases) if not index or row["state"] != phases[index - 1]["state"]]
    states = [str(row["state"]) for row in runs]
    said = [
        f"{_phase_certainty(row)}{STATES.get(state, state)}{' again' * (state in states[:index])}"
        f"{_phase_start(row, index, len(runs))}"
        for index, (row, state) in enumerate(zip(runs, states, strict=True))
    ]
    return ", ".join(said)


def _phase_start(row: Mapping[str, Any], index: int, count: int) -> str:
    if not index:
        return "" if count > 1 else " before and after"
    day = date.fromisoformat(str(row["from"])[:10])
    return f" {'since' if index == count - 1 else 'from'} {MONTHS[day.month - 1]} {day.year}"


def _phase_certainty(row: Mapping[str, Any]) -> str:
    return "probably " if (row["probability"] or 0.0) < SURE_STATE else ""


def describe_status(facts: Mapping[str, Any]) -> str:
    """The status of an alert in words that cannot be read as the verdict of a person."""
    if facts["status"] == "withdrawn":
        return "withdrawn after later looks"
    if facts.get("ended"):
        return f"persistent since {facts['confirmed_at']}, ended after {facts['ended']}"
    if facts["confirmed_at"]:
        return f"persistent in later looks since {facts['confirmed_at']}"
    return "not yet persistent"


def label_of(facts: Mapping[str, Any]) -> str:
    """The label of a change; `D` and the row number for an outline that the analyst drew."""
    return f"D{facts['fid']}" if facts["change_id"] is None else str(facts.get("label") or "")


def describe_confidence(confidence: float) -> str:
    """Confidence as a word and a number."""
    word = "low" if confidence < 0.5 else "moderate" if confidence < 0.8 else "high"
    return f"{word} confidence ({format_confidence(confidence)})"


def format_confidence(confidence: float) -> str:
    """Two decimals, but never 1.00 nor 0.00: no alert is certain, and none impossible."""
    if confidence >= 0.995:
        return "above 0.99"
    return "below 0.01" if confidence < 0.005 else f"{confidence:.2f}"


def describe_update(news: Sequence[Mapping[str, Any]]) -> str:
    """Sentence on the last update with news; empty if there never was any."""
    if not news:
        return ""
    counts = Counter(each["event"] for each in news)
    what = ", ".join(f"{count} {event}" for event, count in sorted(counts.items(), key=lambda c: (c[0] != "new", c[0])))
    return f"The last news came with the look of {news[0]['as_of'][:10]}: {what}."


def round_area(area: float) -> str:
    """Area with two significant figures, the accuracy of an outline."""
    step = 10 ** max(len(str(int(area))) - 2, 0)
    return f"{int(round(area / step) * step):,}"


def format_position(lon: float, lat: float) -> str:
    """Position as map services take it: latitude, longitude, six decimals."""
    return f"{lat:.6f}, {lon:.6f}"
