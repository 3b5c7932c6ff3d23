"""Picture of the probability of detection by size and number of clear looks, with intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

COLOURS = ("#35618f", "#2f8f83", "#c2261c")


def draw_detection(path: Path, within: Sequence[int], rows: Mapping[str, Sequence[tuple[float, float, float]]]) -> None:
    """Write a PNG. rows: size -> for each of `within` (clear looks) the share confirmed and its 95 % interval."""
    figure = Figure(figsize=(7.2, 3.6), facecolor="white")
    axis = figure.add_axes((0.09, 0.16, 0.89, 0.72))
    places = np.arange(len(rows))
    for index, (count, colour) in enumerate(zip(within, COLOURS, strict=False)):
        values = np.array([shares[index] for shares in rows.values()], float)
        known = np.isfinite(values[:, 0])
        middle, low, high = values[known].T
        at = places[known] + 0.12 * (index - 1)
        bars = np.maximum((middle - low, high - middle), 0)
        axis.errorbar(at, middle, yerr=bars, fmt="o", color=colour, markersize=5, capsize=2, linewidth=1,
                      label=f"within {count} clear looks")  # fmt: skip
    axis.set_xticks(places, list(rows))
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("share confirmed")
    axis.set_title("Buildings injected into this site's own looks", fontsize=10, loc="left")
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=120, metadata={"Software": "groundbreak"})
