"""Default probability of detection, for sites where it was not measured: that of looks with similar noise."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.model.imagery import Look

TARGET = Path(__file__).parent / "world" / "detection.json"
"""Written by benchmarks/size_curve.py."""
SHOWN = ("20x20 m", "30x60 m")


def noise_of(looks: Sequence[Look]) -> float:
    """The noise level of a site: the median over its looks of their scatter on unchanged ground, mean of the bands."""
    return float(np.median([look.noise.mean() for look in looks])) if looks else float("nan")


def default_curve(noise: float) -> dict[str, Any] | None:
    """The record of the level next above a noise level, the noisiest for what is above all; None where it is unknown.

    Keys: `within`, `rows`, `noise`, `site`.
    """
    if not np.isfinite(noise):
        return None
    record: dict[str, Any] = json.loads(TARGET.read_text(encoding="utf-8"))
    levels = sorted(record["levels"], key=lambda level: level["noise"])
    level = next((each for each in levels if each["noise"] >= noise), levels[-1])
    return {**level, "within": record["within"], "site": record["site"], "above_all": noise > levels[-1]["noise"]}
