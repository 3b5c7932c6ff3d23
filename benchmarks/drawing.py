"""Figures of the benchmarks: kept in plots/, linked from RESULTS.md."""

from pathlib import Path

from matplotlib.figure import Figure

PLOTS = Path(__file__).parent / "plots"


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    return Figure(figsize=(width, height), layout="constrained")


def link(figure: Figure, name: str, what: str) -> str:
    """The figure kept as plots/NAME.png, and the line of markdown that shows it."""
    PLOTS.mkdir(exist_ok=True)
    figure.savefig(PLOTS / f"{name}.png", dpi=100, metadata={"Software": None})
    return f"![{what}](plots/{name}.png)"
