"""How cost grows: with area, history, sites and alerts, each with its fitted exponent; nothing should be above one.

python -m benchmarks.growth      needs nothing but the embedded archive; draws benchmarks/plots/growth.png
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.scale import Place, cost_of, exponent
from benchmarks.thousand import measured

SIDES, LOOKS = (100, 200, 450, 1000), 10
"""From 1 to 100 km², each as one site: what `detect` would process in cells too."""
HISTORIES, SIDE = (20, 50, 140, 400), 100
SITES, REMEMBERED = (3, 6, 12), 16
HALLS, HALLS_SIDE, HALLS_LOOKS = (2, 3, 5), 200, 40
"""Halls a side of a square of them, and looks enough for each to be an alert."""
STEP_PX, FIRST_PX = 24, 48
PLOT = Path(__file__).parent / "plots" / "growth.png"


@dataclass(frozen=True, slots=True)
class Curve:
    """what grows, in `unit`: sizes and the CPU seconds of each."""

    what: str
    unit: str
    sizes: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        return exponent(self.sizes, self.seconds)


def main() -> str:
    """A markdown section."""
    curves = (_area(), _history(), _sites(), _alerts())
    _drawn(curves)
    rows = [
        f"| {curve.what} | {', '.join(f'{size:.3g}' for size in curve.sizes)} {curve.unit} "
        f"| {', '.join(f'{each:.1f}' for each in curve.seconds)} | {curve.exponent:.2f} |"
        for curve in curves
    ]
    return "\n".join([
        "## How cost grows",
        "",
        f"`benchmarks/growth.py`: CPU seconds. A first run of {LOOKS} looks by area; one of a km² by the number of its",
        f"looks; a night of sites of one km², {REMEMBERED} looks remembered of each, by their number; deciding and",
        "publishing by the number of alerts, of which the most follow from halls that were built.",
        "",
        "| what grows | sizes | CPU s | exponent |",
        "|---|---|---|---|",
        *rows,
        "",
        "![CPU seconds over size, both logarithmic](plots/growth.png)",
    ])  # fmt: skip


def _area() -> Curve:
    costs = [cost_of(side, LOOKS).seconds for side in SIDES]
    return Curve("area", "km²", tuple(side**2 / 1e4 for side in SIDES), tuple(costs))


def _history() -> Curve:
    return Curve("history", "looks", HISTORIES, tuple(cost_of(SIDE, looks).seconds for looks in HISTORIES))


def _sites() -> Curve:
    nights = [measured(sites, SIDE, REMEMBERED, workers=1) for sites in SITES]
    assert all(night.alike == night.sites for night in nights), "sites over one ground tell different alerts"
    return Curve("sites", "sites", SITES, tuple(night.used.cpu_s for night in nights))


def _alerts() -> Curve:
    costs = [cost_of(HALLS_SIDE, HALLS_LOOKS, _square(count)) for count in HALLS]
    assert all(cost.alerts for cost in costs), "no hall was found"
    seconds = tuple(cost.stages["objects"] + cost.stages["publish"] for cost in costs)
    return Curve("alerts", "alerts", tuple(cost.alerts for cost in costs), seconds)


def _square(count: int) -> list[Place]:
    starts = range(FIRST_PX, FIRST_PX + count * STEP_PX, STEP_PX)
    return [(slice(row, row + 6), slice(col, col + 8)) for row, col in product(starts, starts)]


def _drawn(curves: Sequence[Curve]) -> None:
    figure, panels = plt.subplots(2, 2, figsize=(7, 5.5), layout="constrained")
    for panel, curve in zip(panels.flat, curves, strict=True):
        panel.loglog(curve.sizes, curve.seconds, "o-", label=f"exponent {curve.exponent:.2f}")
        linear = [curve.seconds[0] * size / curve.sizes[0] for size in curve.sizes]
        panel.loglog(curve.sizes, linear, color="grey", linewidth=1, label="linear")
        panel.set(xlabel=curve.unit if curve.what == curve.unit else f"{curve.what}, {curve.unit}", ylabel="CPU s")
        panel.set_xticks(curve.sizes, [f"{size:.3g}" for size in curve.sizes])
        panel.set_yticks(curve.seconds, [f"{each:.3g}" for each in curve.seconds])
        panel.minorticks_off()
        panel.legend()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    print(main())
