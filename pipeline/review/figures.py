"""Figures and films of a change, made from its strip of clear looks."""

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.model.errors import UsageError
from pipeline.review.annotations import scale_bar
from pipeline.review.canvas import CASING, load_font
from pipeline.review.contents import Change, Contents
from pipeline.review.descriptions import change_details, change_heading, format_position
from pipeline.review.folder import Folder, file_name_of, replace_file
from pipeline.review.strips import Strip, read_strip

YELLOW, GREY = "#ffd92f", "#53565d"
DPI = 200
WIDTH_IN = 8.0
"""1,600 pixels: a column of print at 300 dpi is 5.3 inches wide."""
FILM_PX, HEAD_PX, FOOT_PX = 480, 30, 54
WRAP_FIGURE, WRAP_FILM = 155, 90
"""Letters in a line of small print."""
_OURS = re.compile(r"[A-Za-z0-9_-]+\.(png|svg|webp|gif)")
FRAME_MS, LAST_MS = 500, 2000
FILMS: Mapping[str, Mapping[str, Any]] = {"webp": {"quality": 85, "method": 3}, "gif": {"optimize": False}}
"""Ending of a film and how it is written."""


def write_figures(folder: Folder, contents: Contents, path: Path) -> None:
    """A folder with `A17.png` and `A17.svg` of every change that has a strip."""
    _check_place(path)
    for change, strip in _with_strips(folder, contents):
        figure = _draw_figure(change, strip, contents)
        for ending in ("png", "svg"):
            buffer = io.BytesIO()
            # without a date and with fixed ids the same facts give the same bytes
            with matplotlib.rc_context({"svg.hashsalt": change.id}):
                figure.savefig(buffer, format=ending, dpi=DPI, metadata={"Date": None} if ending == "svg" else None)
            _write_image(path / f"{file_name_of(change.label)}.{ending}", buffer.getvalue())


def write_films(folder: Folder, contents: Contents, path: Path) -> None:
    """A folder with `A17.webp` and `A17.gif`, animations of the clear looks, of every change that has a strip."""
    _check_place(path)
    for change, strip in _with_strips(folder, contents):
        looks = enumerate(strip.pixels())
        frames = [_draw_frame(change, strip, contents, index, pixels) for index, pixels in looks]
        pauses = [*[FRAME_MS] * (len(frames) - 1), LAST_MS]
        for ending, options in FILMS.items():
            buffer = io.BytesIO()
            frames[0].save(buffer, ending, save_all=True, append_images=frames[1:], duration=pauses, loop=0, **options)
            _write_image(path / f"{file_name_of(change.label)}.{ending}", buffer.getvalue())


def _with_strips(folder: Folder, contents: Contents) -> list[tuple[Change, Strip]]:
    found = [(change, read_strip(folder.strip(change.id))) for change in contents.shown if not change.drawn]
    return [(change, strip) for change, strip in found if strip is not None]


def _check_place(path: Path) -> None:
    """Raise UsageError unless a path is free, empty or an earlier export: pictures must not get among other files."""
    foreign = path.is_dir() and any(not _OURS.fullmatch(file.name) for file in path.iterdir())
    if foreign or Path.cwd().is_relative_to(path.resolve()):
        raise UsageError("something else stands there", str(path), "give --to a folder that is new or empty")


def _write_image(path: Path, content: bytes) -> None:
    with replace_file(path) as beside:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)


def _credit_line(contents: Contents) -> str:
    credit = contents.provenance.get("attribution", "")
    simulated = contents.provenance.get("simulated", "")
    return f"{credit[:1].upper()}{credit[1:]}.{f' Simulated: {simulated}.' if simulated else ''}"


def _escape_mathtext(text: str) -> str:
    """Text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")


def _draw_figure(change: Change, strip: Strip, contents: Contents) -> Figure:
    """Both looks with date, marks, scale, north, coordinates, credit."""
    tall = strip.height / strip.width
    panel = (WIDTH_IN - 0.3) / 2
    height = panel * tall + 1.55
    figure = Figure(figsize=(WIDTH_IN, height), facecolor="white")
    pixels = strip.pixels()
    for index, left in ((strip.before, 0.1), (strip.after, 0.2 + panel)):
        box = (left / WIDTH_IN, 0.7 / height, panel / WIDTH_IN, panel * tall / height)
        axis = figure.add_axes(box)
        axis.set_axis_off()
        axis.imshow(pixels[index], extent=(0, strip.width, strip.height, 0), interpolation="nearest", aspect="auto")
        axis.set(xlim=(0, strip.width), ylim=(strip.height, 0))
        for x, y in _parse_svg_path(strip.corners):
            axis.plot(x, y, color=CASING, linewidth=2.6)
            axis.plot(x, y, color=YELLOW, linewidth=1.4)
        axis.text(0.03, 0.97, strip.frames[index].day, transform=axis.transAxes, va="top", color="white", fontsize=10,
                  fontweight="bold", bbox={"facecolor": "#000000b0", "edgecolor": "none", "pad": 3})  # fmt: skip
    share, length = scale_bar(strip.width * strip.pixel_m)
    bar = figure.add_axes((0.1 / WIDTH_IN, 0.42 / height, panel / WIDTH_IN, 0.2 / height))
    bar.set_axis_off()
    bar.set(xlim=(0, 1), ylim=(0, 1))
    bar.plot([0.002, share], [0.5, 0.5], color="black", linewidth=2.5, solid_capstyle="butt")
    bar.text(share + 0.03, 0.5, f"{length}    ↑ grid north", va="center", fontsize=8)
    where = format_position(change["lon"], change["lat"]) if change["lon"] is not None else ""
    right = (0.2 + panel) / WIDTH_IN
    figure.text(right, 0.52 / height, f"{where} (latitude, longitude)", va="center", fontsize=8)
    _write_around(figure, height, change, contents)
    return figure


def _write_around(figure: Figure, height: float, change: Change, contents: Contents) -> None:
    """Title and sentence above the pictures, the credit below."""
    sentence = re.sub("^, about", "About", change_details(change.facts))
    left = 0.1 / WIDTH_IN
    figure.text(
        left,
        1 - 0.12 / height,
        _escape_mathtext(f"{change.label}: {change_heading(change.facts)}"),
        va="top",
        fontsize=11,
        fontweight="bold",
    )
    above = _wrap_text(f"{contents.name}. {sentence}", WRAP_FIGURE)
    figure.text(left, 1 - 0.38 / height, _escape_mathtext(above), va="top", fontsize=7.2, color=GREY)
    below = _wrap_text(_credit_line(contents), WRAP_FIGURE)
    figure.text(left, 0.3 / height, _escape_mathtext(below), va="top", fontsize=7, color=GREY)


def _wrap_text(text: str, width: int, lines: int = 2) -> str:
    """Text on a limited number of lines, each with a limited number of letters."""
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))


def _parse_svg_path(path: str) -> list[tuple[list[float], list[float]]]:
    """The polylines of an SVG path that has only M and L."""
    lines = []
    for part in path.split("M")[1:]:
        points = [tuple(map(float, point.split())) for point in part.split("L")]
        lines.append(([x for x, _ in points], [y for _, y in points]))
    return lines


def _draw_frame(change: Change, strip: Strip, contents: Contents, index: int, pixels: NDArray[np.uint8]) -> Image.Image:
    """One look of a film, with the label, the date, a line of the time passed, the scale and the credit."""
    times = max(1, round(FILM_PX / max(strip.width, strip.height)))
    shown = np.repeat(np.repeat(pixels, times, axis=0), times, axis=1)
    width, height = max(shown.shape[1], FILM_PX), shown.shape[0]
    image = Image.new("RGB", (width, height + HEAD_PX + FOOT_PX), "white")
    image.paste(Image.fromarray(shown), (0, HEAD_PX))
    draw = ImageDraw.Draw(image)
    frame = strip.frames[index]
    draw.text((6, 6), f"{change.label}   {frame.day}", CASING, load_font(10, bold=True))
    if frame.seen:
        draw.text((width - 6, 6), "change seen", "#c2261c", load_font(9, bold=True), anchor="ra")
    for x, y in _parse_svg_path(strip.corners):
        points = [(a * times, b * times + HEAD_PX) for a, b in zip(x, y, strict=True)]
        draw.line(points, YELLOW, 2)
    _draw_ruler(draw, strip, times, height + HEAD_PX, width * (index + 1) / len(strip.frames))
    draw.text(
        (6, height + HEAD_PX + 12), _wrap_text(_credit_line(contents), WRAP_FILM, 3), GREY, load_font(5.5), spacing=3
    )
    return image


def _draw_ruler(draw: ImageDraw.ImageDraw, strip: Strip, times: int, top: int, passed: float) -> None:
    share, length = scale_bar(strip.width * strip.pixel_m)
    ends: Sequence[tuple[float, float]] = [(10, top - 12), (10 + share * strip.width * times, top - 12)]
    draw.line(ends, CASING, 6)
    draw.line(ends, "white", 3)
    draw.text((10, top - 30), f"{length}  N↑", "white", load_font(7), stroke_width=2, stroke_fill=CASING)
    draw.rectangle((0, top, passed, top + 5), fill="#0a4f9e")
