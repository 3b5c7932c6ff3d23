"""Canvas in pixel units on the rasteriser of matplotlib, without its axes and artists."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.path import Path as Shape
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

DPI = 120
PT = DPI / 72
"""Pixels to a point."""
CASING = "#1b1c1f"
"""A dark edge under light lines and letters: without it they are lost on a bright roof, and in print."""
CASING_PT = 1.4
"""Width that the casing adds to a line, in points."""
BELOW, ABOVE = 0.21, 0.76
"""Share of the text size by which the lowest letters reach below the baseline, and the highest above it."""
PNG_LEVEL = 3
"""A tenth larger than at zlib's usual six, in two thirds of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStyle:
    """Text style. size: points. across: l, m or r, the anchor of the text at its x."""

    size: float
    colour: str
    bold: bool = False
    across: str = "l"
    cased: bool = False
    upright: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text at a position in pixels; upright text ends left of x and is centred at y."""

    x: float
    y: float
    text: str
    style: TextStyle


@dataclass(slots=True, eq=False)
class Canvas:
    """x runs to the right and y down, in pixels; widths and sizes are points. Text lies over everything else."""

    width: int
    height: int
    texts: list[Text] = field(default_factory=list)
    _agg: Any = field(init=False)
    _down: Affine2D = field(init=False)

    def __post_init__(self) -> None:
        self._agg = RendererAgg(self.width, self.height, DPI)  # type: ignore[no-untyped-call]
        self._down = Affine2D.from_values(1, 0, 0, -1, 0, self.height)
        self.fill((0, self.width, self.width, 0), (0, 0, self.height, self.height), "#ffffff")

    def picture(self, left: float, top: float, right: float, bottom: float, pixels: NDArray[np.uint8]) -> None:
        """(row, col, 3) bytes stretched over a part of the canvas, each pixel a sharp rectangle."""
        sides = (round(bottom) - round(top), round(right) - round(left))
        at = [(np.arange(side) * size) // side for side, size in zip(sides, pixels.shape, strict=False)]
        shown = np.dstack([pixels[np.ix_(*at)], np.full(sides, 255, np.uint8)])
        self._agg.draw_image(
            self._graphics_context("#ffffff", 0), round(left), self.height - round(bottom), shown[::-1]
        )

    def line(
        self, x: ArrayLike, y: ArrayLike, colour: str, points: float, *, dash: Sequence[float] = (), cased: bool = False
    ) -> None:
        """A line through these points, with gaps where one is NaN. dash: lengths on and off, in widths of the line."""
        shape = Shape(np.column_stack([x, y]))
        for ink, width in ((CASING, points + CASING_PT), (colour, points)) if cased else ((colour, points),):
            context = self._graphics_context(ink, width)
            if dash:
                context.set_dashes(0, [each * width for each in dash])
            self._agg.draw_path(context, shape, self._down)

    def stems(self, x: ArrayLike, low: float, high: ArrayLike, colour: str, points: float) -> None:
        """Upright lines from one height."""
        x = np.asarray(x, float)
        ends = np.stack([np.column_stack([x, np.full(len(x), low)]), np.column_stack([x, high])], axis=1)
        shape = Shape(ends.reshape(-1, 2), np.tile([Shape.MOVETO, Shape.LINETO], len(x)))
        self._agg.draw_path(self._graphics_context(colour, points), shape, self._down)

    def fill(self, x: ArrayLike, y: ArrayLike, colour: str, alpha: float = 1.0) -> None:
        """The polygon through these points."""
        corners = np.column_stack([x, y])
        shape = Shape(np.vstack([corners, corners[:1]]), closed=True)
        context = self._graphics_context(colour, 0)
        context.set_alpha(alpha)
        self._agg.draw_path(context, shape, self._down, to_rgb(colour))

    def dots(self, x: ArrayLike, y: ArrayLike, points: ArrayLike, colour: str) -> None:
        """Discs around these points. points: their diameters."""
        centres = np.column_stack([x, y])
        radii = np.broadcast_to(np.asarray(points, float) * PT / 2, len(centres))
        circle: Any = Shape.unit_circle()
        discs = circle.vertices[None] * radii[:, None, None] + centres[:, None]
        shape = Shape(discs.reshape(-1, 2), np.tile(circle.codes, len(centres)))
        self._agg.draw_path(self._graphics_context(colour, 0), shape, self._down, to_rgb(colour))

    def write(self, x: float, y: float, text: str, style: TextStyle) -> None:
        """Write text on a line at y; upright text ends left of x and is centred at y."""
        self.texts.append(Text(x, y, text, style))

    def save(self, path: Path, comment: str) -> None:
        """Write a PNG with a comment."""
        image = Image.frombuffer("RGBA", (self.width, self.height), self._agg.buffer_rgba(), "raw", "RGBA", 0, 1)
        image = image.convert("RGB")
        draw = ImageDraw.Draw(image)
        for each in self.texts:
            _draw_text(image, draw, each)
        facts = PngInfo()
        facts.add_text("Comment", comment)
        facts.add_text("Software", "groundbreak")
        image.save(path, "png", pnginfo=facts, compress_level=PNG_LEVEL)

    def _graphics_context(self, colour: str, points: float) -> GraphicsContextBase:
        context: GraphicsContextBase = self._agg.new_gc()
        context.set_foreground(colour)
        context.set_linewidth(points)
        return context


@lru_cache
def load_font(points: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along, so that pictures are the same on every machine."""
    path = findfont(FontProperties(family=["DejaVu Sans"], weight="bold" if bold else "normal"))
    return ImageFont.truetype(path, points * PT, layout_engine=ImageFont.Layout.BASIC)


def _draw_text(image: Image.Image, draw: ImageDraw.ImageDraw, line: Text) -> None:
    style = line.style
    face = load_font(style.size, style.bold)
    if style.upright:
        left, top, right, bottom = face.getbbox(line.text, anchor="ls")
        mask = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
        ImageDraw.Draw(mask).text((1 - left, 1 - top), line.text, 255, face, "ls")
        turned = mask.transpose(Image.Transpose.ROTATE_90)
        corner = round(line.x - turned.width), round(line.y - turned.height / 2)
        image.paste(Image.new("RGB", turned.size, style.colour), corner, turned)
    else:
        edge = 2 if style.cased else 0
        place = line.x, line.y
        draw.text(place, line.text, style.colour, face, style.across + "s", stroke_width=edge, stroke_fill=CASING)
