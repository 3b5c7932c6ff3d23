"""Makes the demonstration's picture and README's table from the results of `make detect`: truth beside found.

python docs/make_demonstration.py [--results out/february-11-plant-simulated]
"""

import argparse
from pathlib import Path

import geopandas
import matplotlib
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import DatasetReader

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.cli.demo import HEADINGS, measure_site, truth_lines, truth_rows

HERE = Path(__file__).parent
TRUTH = HERE.parent / "aois" / "demo" / "plant" / "truth.geojson"
README, PICTURE = HERE.parent / "README.md", HERE / "demonstration.png"
BEGIN, END = "<!-- table of docs/make_demonstration.py -->", "<!-- end of the table -->"
COLOURS = {"new structure": "#ff2d55", "cleared ground": "#ffb000", "resurfaced": "#7f5cff", "demolished": "#00b3ff"}
BRIGHT = 0.22
"""Reflectance shown as white."""


def main() -> None:
    """Read, draw, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("out/february-11-plant-simulated"))
    arguments = parser.parse_args()
    write_table(arguments.results / "review.gpkg")
    changes = geopandas.read_file(arguments.results / "review.gpkg", layer="changes")
    changes = changes[changes.status != "withdrawn"]
    truth = geopandas.read_file(TRUTH).to_crs(changes.crs)
    truth = truth[truth.role == "change"]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13.2, 5.1), layout="constrained")
    for axes, name in ((left, "before"), (middle, "after"), (right, "after")):
        with rasterio.open(arguments.results / f"{name}.tif") as source:
            show(axes, source)
        axes.set_title("what groundbreak outlined" if axes is right else name, fontsize=11)
    truth.boundary.plot(ax=right, color="white", linewidth=1.6, linestyle=":")
    for kind, colour in COLOURS.items():
        if (changes.kind == kind).any():
            changes[changes.kind == kind].boundary.plot(ax=right, color=colour, linewidth=1.4)
    right.set(xlabel="", ylabel="")
    legend(figure, [kind for kind in COLOURS if (changes.kind == kind).any()])
    figure.suptitle(
        "SIMULATED pixels: the published story of a plant, drawn by a program on ground of another place", fontsize=12
    )
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


def write_table(review: Path) -> None:
    """Replace the lines between the two marks of README."""
    measures = measure_site(review, TRUTH)
    rows = [HEADINGS, ("---",) * len(HEADINGS), *truth_rows(measures.sought)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN + "\n", 1)
    after = rest.split(END, 1)[1]
    block = "\n".join([BEGIN, *lines, "", *truth_lines(measures), END])
    README.write_text(before + block + after, encoding="utf-8")


def show(axes: Axes, source: DatasetReader) -> None:
    """True colour in the CRS of the polygons; what was never measured stays white."""
    bands: NDArray[np.float64] = source.read((1, 2, 3)).astype(float) / 10000
    picture = np.clip(bands / BRIGHT, 0, 1) ** 0.6
    picture[:, (bands == 0).all(axis=0)] = 1
    box = source.bounds
    axes.imshow(np.moveaxis(picture, 0, -1), extent=(box.left, box.right, box.bottom, box.top), interpolation="nearest")
    rows, cols = np.nonzero((bands > 0).any(axis=0))
    west, north = source.xy(rows.min(), cols.min())
    east, south = source.xy(rows.max(), cols.max())
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.plot([west + 60, west + 260], [south + 50, south + 50], color="black", linewidth=3)
    axes.text(west + 160, south + 66, "200 m", ha="center", fontsize=9)


def legend(figure: Figure, kinds: list[str]) -> None:
    """Which line is what."""
    lines = [Line2D([], [], color=COLOURS[kind], label=kind) for kind in kinds]
    lines.append(Line2D([], [], color="grey", linestyle=":", label="drawn by the program"))
    figure.legend(handles=lines, fontsize=9, loc="outside lower center", ncols=len(lines))


if __name__ == "__main__":
    main()
