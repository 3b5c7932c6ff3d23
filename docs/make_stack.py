"""Makes the picture of the page "Use from Python": the registered looks of the demonstration, from `open_stack`.

python docs/make_stack.py [--out out]
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import groundbreak

HERE = Path(__file__).parent
YEARS = ("2019", "2020", "2021", "2022", "2023", "2024")
BRIGHT = 0.25
"""Reflectance shown as white."""
CLEAR_SHARE = 0.95
"""Least clear share of a look in the NDVI curve."""


def main() -> None:
    """Open the stack, draw the clearest summer look of each year and the mean NDVI of clear looks, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"))
    looks = groundbreak.open_stack(
        "february-11-plant-simulated", sites=HERE.parent / "aois/demo.geojson", out=parser.parse_args().out
    ).swap_dims(band="common_name")
    summer = looks.sel(time=looks.time.dt.month.isin([5, 6, 7, 8, 9, 10]))
    figure, axes = plt.subplot_mosaic([list(YEARS), ["NDVI"] * len(YEARS)], figsize=(11, 4.4), layout="constrained")
    for year in YEARS:
        one = summer.sel(time=year)
        look = one.isel(time=int(one.clear_share.argmax("time")))
        colour = (look.reflectance.sel(common_name=["red", "green", "blue"]) / BRIGHT).clip(0, 1) ** 0.7
        colour.plot.imshow(ax=axes[year], rgb="common_name", add_labels=False)
        axes[year].set(title=f"{look.time.dt.date.item()}", xticks=[], yticks=[], aspect="equal")
    # the mean of a look half under cloud is that of other ground
    clear = looks.reflectance.where(looks.usable & looks.inside).sel(time=looks.clear_share > CLEAR_SHARE)
    nir, red = clear.sel(common_name="nir"), clear.sel(common_name="red")
    ((nir - red) / (nir + red)).mean(("y", "x")).plot(ax=axes["NDVI"], marker=".", color="#2a7f3f", linewidth=1)
    axes["NDVI"].set(title="", xlabel="", ylabel="mean NDVI")
    credit = looks.attrs.get("credit") or looks.attrs.get("attribution", "")
    figure.supxlabel(f"Simulated pixels. {credit}", fontsize=7, color="grey")
    figure.savefig(HERE / "stack.png", dpi=90, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
