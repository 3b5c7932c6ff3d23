"""Map annotations of a picture: place, credit, scale bar and north arrow."""

from dataclasses import dataclass, replace

from matplotlib.font_manager import FontProperties, findfont, get_font

from pipeline.model.credit import ATTRIBUTION
from pipeline.model.site import Site
from pipeline.review.canvas import ABOVE, BELOW, PT, Canvas, TextStyle

LENGTHS_M = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
MAX_SHARE = 0.4
"""Part of a picture that its scale bar may take."""
MAX_NAME = 90
GREY, SMALL, WHITE = "#6b6f76", 6.8, TextStyle(size=6.5, colour="#ffffff", cased=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """site: its name, or its id where the font lacks a letter of the name. simulated: what of it is, or nothing."""

    site: str
    attribution: str
    simulated: str


def site_caption(site: Site) -> Caption:
    """The caption of all pictures of a site, from its name and its properties `attribution` and `simulated`."""
    said = {name: str(site.properties.get(name) or "") for name in ("attribution", "simulated")}
    return make_caption(site.name, site.id, said["attribution"] or ATTRIBUTION, said["simulated"])


def make_caption(name: str, site_id: str, attribution: str, simulated: str) -> Caption:
    """Make a caption from texts of untrusted files."""
    known = get_font(findfont(FontProperties(family=["DejaVu Sans"]))).get_charmap()
    drawable = name.isprintable() and all(ord(letter) in known for letter in name)
    shown = name if drawable else site_id
    if len(shown) > MAX_NAME:
        shown = shown[: MAX_NAME - 1] + "…"
    return Caption(site=shown, attribution=attribution, simulated=simulated)


def write_caption(canvas: Canvas, words: Caption, change_id: str) -> None:
    """Write the place at the upper right, credit and simulated content below."""
    left, right = 0.012 * canvas.width, 0.988 * canvas.width
    canvas.write(right, (13 + ABOVE * 8.5) * PT, words.site, TextStyle(size=8.5, colour=GREY, across="r"))
    credit = words.attribution[:1].upper() + words.attribution[1:]
    said = f"{credit}. {f'Simulated: {words.simulated}. ' if words.simulated else ''}Grid north is up."
    below = canvas.height - (5 + BELOW * SMALL) * PT
    canvas.write(left, below, said, TextStyle(size=SMALL, colour=GREY))
    canvas.write(right, below, change_id, TextStyle(size=SMALL, colour=GREY, across="r"))


def scale_bar(width_m: float) -> tuple[float, str]:
    """(part of the width, label) of a bar of round length in a picture that shows `width_m` metres."""
    fitting = [length for length in LENGTHS_M if length <= MAX_SHARE * width_m]
    length = fitting[-1] if fitting else LENGTHS_M[0]
    return length / width_m, f"{length} m" if length < 1000 else f"{length // 1000} km"


def mark_scale(canvas: Canvas, pixel_m: float, chip: tuple[float, float, float], side: float) -> None:
    """A bar and a north arrow in a chip, whose left, top and bottom are given.

    pixel_m: ground to one pixel of the canvas. side: the longer side of the chip.
    """
    left, top, bottom = chip
    share, label = scale_bar(side * pixel_m)
    start, low = left + 0.06 * side, bottom - 0.07 * side
    canvas.line([start, start + share * side], [low, low], WHITE.colour, 1.6, cased=True)
    canvas.write(start, low - 0.03 * side - BELOW * WHITE.size * PT, label, WHITE)
    for line, letter in enumerate("N↑"):
        at = top + 0.04 * side + (ABOVE + line) * WHITE.size * PT
        canvas.write(left + 0.94 * side, at, letter, replace(WHITE, across="r"))
