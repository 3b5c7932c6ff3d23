"""Quality of the observation of a site: gaps, unobserved area, rejected scenes, small buildings."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.features import geometry_mask

from pipeline.model.alert import CLEAR_SHARE
from pipeline.model.errors import ReviewError
from pipeline.review.contents import Contents
from pipeline.review.detection_default import SHOWN, default_curve
from pipeline.review.folder import Folder

GAP_DAYS = 30
"""Days without a clear look from which the time between two looks counts as a gap."""
MAX_GAPS = 3
RECENT_DAYS = 90
UNREADABLE = "sensitivity.json cannot be read: run `groundbreak sensitivity` again"


@dataclass(frozen=True, slots=True)
class Gap:
    """The time between two clear looks, as ISO days."""

    start: str
    end: str

    @property
    def days(self) -> int:
        """Length in days."""
        return (date.fromisoformat(self.end) - date.fromisoformat(self.start)).days


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Probability of detection. rows: size -> for each of `within` (clear looks) the share and its 95 % interval.

    own: whether it was measured at this site; the default curve of detection_default.py was not.
    """

    sentence: str
    own: bool = True
    within: tuple[int, ...] = ()
    rows: Mapping[str, Sequence[Sequence[float | None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """How well a site was observed.

    clear: days of clear looks. gaps: the longest first. recent: clear looks in the last RECENT_DAYS. unseen: share of
    the site that no look showed, None where the raster lacks it. refused: scenes by reason, most first. ticks: one per
    scene, (place 0..1, kind). curve: the default one unless `groundbreak sensitivity` was run; None in an older file.
    """

    clear: tuple[str, ...]
    gaps: tuple[Gap, ...]
    recent: int
    unseen: float | None
    refused: tuple[tuple[str, int], ...]
    ticks: tuple[tuple[float, str], ...]
    span: tuple[str, str] | None
    curve: Curve | None


def read_observed(folder: Folder, contents: Contents) -> Observed:
    """The quality of the observation of a site, from its review file, its score and its sensitivity file."""
    scenes = contents.scenes
    days = [str(scene["time"])[:10] for scene in scenes]
    clear = tuple(dict.fromkeys(day for day, scene in zip(days, scenes, strict=True) if _is_clear(scene)))
    reasons = Counter(str(scene["reason"]) for scene in scenes if not scene["used"])
    return Observed(
        clear=clear,
        gaps=_longest_gaps(clear, days),
        recent=sum(_days_between(day, days[-1]) <= RECENT_DAYS for day in clear) if days else 0,
        unseen=_unseen_share(folder.score, contents),
        refused=tuple(reasons.most_common()),
        ticks=_month_ticks(scenes, days),
        span=(days[0], days[-1]) if days else None,
        curve=read_curve(folder.detection) or _default_curve(contents),
    )


def read_curve(path: Path) -> Curve | None:
    """The probability of detection that `groundbreak sensitivity` measured; None where it was not run."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        rows = {str(size): tuple(map(tuple, shares)) for size, shares in record.get("rows", {}).items()}
        return Curve(sentence=str(record["sentence"]), within=tuple(record.get("within", ())), rows=rows)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Curve(sentence=UNREADABLE, rows={})


def _default_curve(contents: Contents) -> Curve | None:
    """The curve of looks that scatter as much as those of this site; None where an older file does not say it."""
    try:
        noise = float(contents.provenance.get("noise", "nan"))
    except ValueError:
        return None
    level = default_curve(noise)
    if level is None:
        return None
    place = len(level["within"]) // 2
    shares = {size: level["rows"][size][place] for size in SHOWN}
    found = [f"{size} in {share:.0%} ({low:.0%} to {high:.0%})" for size, (share, low, high) in shares.items()
             if share is not None]  # fmt: skip
    sentence = (
        f"Not measured here. Of buildings drawn into the looks of another site ({level['site']}), which scatter by "
        f"{level['noise']:.4f} of reflectance on unchanged ground ({noise:.4f} here), those of {', '.join(found)} were "
        f"found within {level['within'][place]} clear looks ({level['trials']} cases). "
        f"`groundbreak sensitivity {contents.site}` measures it here."
    )
    return Curve(sentence=sentence, own=False, within=tuple(level["within"]), rows=level["rows"])


def _is_clear(scene: Mapping[str, Any]) -> bool:
    return bool(scene["used"]) and (scene["clear_share"] or 0.0) >= CLEAR_SHARE


def _days_between(one: str, other: str) -> int:
    return abs((date.fromisoformat(one) - date.fromisoformat(other)).days)


def _longest_gaps(clear: Sequence[str], days: Sequence[str]) -> tuple[Gap, ...]:
    """The longest gaps; the time from the last clear look to the last scene is one too."""
    ends = [*clear, days[-1]] if days and clear else []
    found = [Gap(start, end) for start, end in pairwise(ends) if _days_between(start, end) >= GAP_DAYS]
    return tuple(sorted(found, key=lambda gap: (-gap.days, gap.start))[:MAX_GAPS])


def _month_ticks(scenes: Sequence[Mapping[str, Any]], days: Sequence[str]) -> tuple[tuple[float, str], ...]:
    if not days:
        return ()
    reach = max(_days_between(days[0], days[-1]), 1)
    kinds = ["clear" if _is_clear(scene) else "cloudy" if scene["used"] else "refused" for scene in scenes]
    return tuple((round(_days_between(days[0], day) / reach, 4), kind) for day, kind in zip(days, kinds, strict=True))


def _unseen_share(score: Path, contents: Contents) -> float | None:
    """Share of the site's pixels without a score: no look showed them."""
    try:
        with rasterio.open(score) as source:
            shrink = max(1.0, max(source.shape) / 2000)
            shape = tuple(round(side / shrink) for side in source.shape)
            values = source.read(1, out_shape=shape)
            transform = source.transform * source.transform.scale(source.width / shape[1], source.height / shape[0])
    except rasterio.errors.RasterioError as error:
        hint = "run `groundbreak detect` for this site again"
        raise ReviewError(f"cannot be read: {error}", str(score), hint) from error
    inside = geometry_mask([contents.aoi], shape, transform, invert=True)
    return float(np.isnan(values[inside]).mean()) if inside.any() else None
