"""Strip of an alert: its clear looks in one small picture, for swipes, films, figures and the review page.

`looks/<change_id>.jpg` contains the chips one below the other, unmarked, at one picture pixel per ground pixel. The
EXIF description lists them as JSON, so that the file needs no second one.
"""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry import MultiPolygon, Polygon

from pipeline.model.alert import Alert, Observation
from pipeline.model.imagery import Look
from pipeline.review.chips import Window, corner_marks, outline_boxes, true_colour, window_around
from pipeline.review.stretch import Stretch

MAX_FRAMES = 40
"""Largest number of looks in a strip, about 100 kB; more are thinned out evenly."""
QUALITY = 90
DESCRIPTION = 0x010E
"""EXIF tag ImageDescription."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One look of a strip. seen: whether the change was seen in it."""

    scene: str
    day: str
    seen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Frames in time order. width, height: of one frame, pixels; corners: SVG path of the marks around the outline.

    before, after: indexes of the pair that shows the change best.
    """

    frames: tuple[Frame, ...]
    width: int
    height: int
    pixel_m: float
    corners: str
    before: int
    after: int
    content: bytes

    @property
    def data(self) -> str:
        """The picture as a data URI."""
        return "data:image/jpeg;base64," + base64.b64encode(self.content).decode()

    def pixels(self) -> NDArray[np.uint8]:
        """(frame, row, col, 3)."""
        with Image.open(io.BytesIO(self.content)) as picture:
            flat = np.asarray(picture.convert("RGB"))
        return flat.reshape(len(self.frames), self.height, self.width, 3)


def write_strip(path: Path, alert: Alert, clear: Sequence[Look], seen: Sequence[Observation], stretch: Stretch) -> None:
    """Write the strip of an alert. clear: looks in which its outline is clear, in time order, at least one."""
    by_scene = {each.scene: each for each in seen}
    part = window_around(alert.outline, clear[0].grid)
    chosen = _select_looks(clear, alert)
    flat = np.concatenate([stretch.rendered(true_colour(look, part)) for look in chosen])
    frames = [Frame(look.scene.id, f"{look.time:%Y-%m-%d}", by_scene[look.scene.id].seen) for look in chosen]
    before, after = _pair_frames(frames, alert)
    facts = {
        "frames": [asdict(frame) for frame in frames],
        "width": int(flat.shape[1]),
        "height": int(flat.shape[0] // len(frames)),
        "pixel_m": abs(float(part.grid.affine.a)),
        "corners": corner_path(alert.outline, part),
        "before": before,
        "after": after,
    }
    exif = Image.Exif()
    exif[DESCRIPTION] = json.dumps(facts)
    Image.fromarray(flat).save(path, "jpeg", quality=QUALITY, subsampling=0, exif=exif.tobytes())


def read_strip(path: Path) -> Strip | None:
    """The strip of a file; None where there is none or it is not one of ours."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as picture:
            facts: dict[str, Any] = json.loads(str(picture.getexif()[DESCRIPTION]))
            size = picture.size
        frames = tuple(Frame(**frame) for frame in facts.pop("frames"))
        strip = Strip(frames=frames, content=content, **facts)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return strip if size == (strip.width, strip.height * len(frames)) else None


def corner_path(outline: Polygon | MultiPolygon, part: Window) -> str:
    """SVG path, in pixels of a chip, of corner marks around the box of each part of an outline."""
    return "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
        for box in outline_boxes(outline, part)
        for line in corner_marks(*box)
    )


def _select_looks(clear: Sequence[Look], alert: Alert) -> list[Look]:
    """At most MAX_FRAMES looks, evenly chosen; the pair and both ends of the bracket are always among them."""
    if len(clear) <= MAX_FRAMES:
        return list(clear)
    days = (alert.last_clear_before, alert.first_seen)
    kept = {
        index
        for index, look in enumerate(clear)
        if look.scene.id in (alert.before_scene, alert.after_scene) or look.time.date() in days
    }
    even = np.linspace(0, len(clear) - 1, MAX_FRAMES - len(kept)).round().astype(int)
    return [clear[index] for index in sorted({*kept, *map(int, even)})]


def _pair_frames(frames: Sequence[Frame], alert: Alert) -> tuple[int, int]:
    """Frames of the pair that the alert names; the last one before and the last one where it is not clear."""
    index = {frame.scene: place for place, frame in enumerate(frames)}
    earlier = [place for place, frame in enumerate(frames) if frame.day < alert.first_seen.isoformat()]
    before = index.get(alert.before_scene, earlier[-1] if earlier else 0)
    return before, index.get(alert.after_scene, len(frames) - 1)
