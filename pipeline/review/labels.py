"""Labels of alerts: short names such as `A17`, given once per site and kept for life."""

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeline.model.alert import Alert, Decision
from pipeline.review.matching import Row

LETTER = "A"
_LABEL = re.compile(rf"{LETTER}(\d+)")


def assign_labels(rows: Sequence[Row], decision: Decision) -> dict[str, str]:
    """change_id -> label for the rows of a review file and the alerts of a decision.

    A label that a row has stays. Rows of an older file without one come next, in their order; then new alerts in the
    order of their first look. Numbers are never used twice.
    """
    labels = {row.change_id: row.label for row in rows if row.change_id and row.label}
    used = [int(match[1]) for row in rows if row.label and (match := _LABEL.fullmatch(row.label))]
    number = max(used, default=0)
    born = sorted(decision.alerts, key=_birth_order)
    names = [*(row.change_id for row in rows if row.change_id), *(alert.id for alert in born)]
    for name in names:
        if name not in labels:
            number += 1
            labels[name] = f"{LETTER}{number}"
    return labels


def with_labels(decision: Decision, labels: dict[str, str]) -> Decision:
    """The decision whose alerts carry their labels."""
    return replace(decision, alerts=tuple(replace(each, label=labels[each.id]) for each in decision.alerts))


def _birth_order(alert: Alert) -> tuple[object, ...]:
    return alert.first_seen, alert.id
