"""What lets a picture of a change stand alone: place, credit, scale bar and north."""

from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patheffects import withStroke

from pipeline.model.site import Site

ATTRIBUTION = "Contains modified Copernicus Sentinel data"
"""Credit of what a site names no other source for."""
LENGTHS_M = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
MAX_SHARE = 0.4
"""Part of a picture that its scale bar may take."""
MAX_NAME = 90
CASING = (withStroke(linewidth=2.8, foreground="#1b1c1f"),)
"""A dark edge under light lines and letters: without it they are lost on a bright roof, and in print."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """site: its name, or its id where the font lacks a letter of the name. simulated: what of it is, or nothing."""

    site: str
    attribution: str
    simulated: str


def site_caption(site: Site) -> Caption:
    """The caption of all pictures of a site, from its name and its properties `attribution` and `simulated`."""
    said = {name: str(site.properties.get(name) or "") for name in ("attribution", "simulated")}
    return caption(site.name, site.id, said["attribution"] or ATTRIBUTION, said["simulated"])


def caption(name: str, site_id: str, attribution: str, simulated: str) -> Caption:
    """A caption from words that anybody may have written."""
    known = get_font(findfont(FontProperties(family=["DejaVu Sans"]))).get_charmap()
    drawable = name.isprintable() and all(ord(letter) in known for letter in name)
    shown = name if drawable else site_id
    if len(shown) > MAX_NAME:
        shown = shown[: MAX_NAME - 1] + "…"
    return Caption(site=shown, attribution=attribution, simulated=simulated)


def write_caption(figure: Figure, words: Caption, change_id: str) -> None:
    """Place above on the right, credit and what is simulated below. Names are no formulas: a `$` stays one."""
    plain: dict[str, Any] = {"parse_math": False, "color": "#6b6f76"}
    height = float(figure.get_figheight())
    figure.text(0.988, 1 - 0.18 / height, words.site, fontsize=8.5, va="top", ha="right", **plain)
    credit = words.attribution[:1].upper() + words.attribution[1:]
    said = f"{credit}. {f'Simulated: {words.simulated}. ' if words.simulated else ''}Grid north is up."
    figure.text(0.012, 0.07 / height, said, fontsize=6.8, va="bottom", **plain)
    figure.text(0.988, 0.07 / height, change_id, fontsize=6.8, va="bottom", ha="right", **plain)


def scale_bar(width_m: float) -> tuple[float, str]:
    """(part of the width, label) of a bar of round length in a picture that shows `width_m` metres."""
    fitting = [length for length in LENGTHS_M if length <= MAX_SHARE * width_m]
    length = fitting[-1] if fitting else LENGTHS_M[0]
    return length / width_m, f"{length} m" if length < 1000 else f"{length // 1000} km"


def mark_scale(axis: Any, width_m: float, bottom: float) -> None:
    """A bar and a north arrow in the first chip, which reaches from 0 to 1 and shows `width_m` metres of ground."""
    share, label = scale_bar(width_m)
    left, low = 0.06, bottom + 0.07
    axis.plot([left, left + share], [low, low], color="white", linewidth=1.6, path_effects=CASING, zorder=4)
    at: dict[str, Any] = {"color": "white", "fontsize": 6.5, "path_effects": CASING, "zorder": 4}
    axis.text(left, low + 0.03, label, va="bottom", **at)
    axis.text(0.94, 0.96, "N\n↑", va="top", ha="right", linespacing=0.9, **at)
