"""Classes of ground for `pipeline.ground.classes`, learned from real city pairs without any label of land cover.

python -m benchmarks.learn_ground [--check]          needs the city pairs beside the checkout

The class of a pixel follows from what it does between two dates: green now is vegetated, not green now but then is
soil, never green within rough and mostly never-green ground is built. Changed ground takes no part. Learned on the
development cities of `benchmarks.semireal`; --check prints how the held-out cities are classified.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks.semireal import BANDS, BLUE, DEVELOPMENT, GREEN, HELD_OUT, NIR, RED, SWIR1, ndvi, read_pair
from pipeline.ground import classes as ground
from pipeline.model.alert import State

CLASSES = (State.VEGETATED, State.BARE, State.BUILT, State.WATER)
SAMPLE = 4000
"""Pixels of one class and city, at most."""
LEAST = {State.VEGETATED: 100, State.BARE: 100, State.BUILT: 100, State.WATER: 5}
"""Pixels of a class below which a city takes no part: water is sure by its bands, a few bare pixels may be shadow."""
WIDER = 9
"""Variance of what is like no class, in that of all of them."""
NEVER_GREEN, GREEN_NOW, GREEN_THEN = 0.25, 0.45, 0.5
ROUGHNESS, DENSE = 0.15, 0.5
"""Built ground: least coefficient of variation over 5 x 5 pixels, and share of never-green ground over 25 x 25."""
MISREGISTRATION = 0.03
"""Added to the standard deviation of the logarithm of reflectance along every axis."""


def main(check: bool) -> None:
    if check:
        _check()
        return
    rng = np.random.default_rng(0)
    samples = {city: classes_of(city, rng) for city in DEVELOPMENT}
    found, means, spread = {}, [], []
    for state in CLASSES:
        each = [samples[city][state] for city in DEVELOPMENT if len(samples[city][state]) >= LEAST[state]]
        mean, covariance = _gaussian([np.log(np.maximum(part, ground.DARKEST)) for part in each])
        found[state.value] = {"mean": np.round(mean, 4).tolist(), "covariance": np.round(covariance, 5).tolist()}
        means.append(mean)
        spread.append(covariance)
    total = np.cov(np.array(means).T, bias=True) + np.mean(spread, axis=0)
    middle = np.mean(means, axis=0)
    found[State.OTHER.value] = {"mean": np.round(middle, 4).tolist(), "covariance": np.round(WIDER * total, 5).tolist()}
    record = {
        "made_by": "benchmarks/learn_ground.py",
        "from": f"Onera Satellite Change Detection, unchanged ground of {', '.join(DEVELOPMENT)}",
        "values": "mean and covariance of the natural logarithm of surface reflectance",
        "bands": [band.value for band in BANDS],
        "classes": found,
    }
    target = Path(ground.__file__).with_name("classes.json")
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {target.name}")


def classes_of(city: str, rng: np.random.Generator) -> dict[State, np.ndarray]:
    """(pixel, band) reflectance of each class."""
    pair = read_pair(city)
    good = np.isfinite(pair.before).all(axis=0) & np.isfinite(pair.after).all(axis=0)
    good = ndimage.binary_erosion(good, iterations=3) & ~ndimage.binary_dilation(pair.label, iterations=2)
    never = np.maximum(ndvi(pair.before), ndvi(pair.after)) < NEVER_GREEN
    found: dict[State, list[np.ndarray]] = {state: [] for state in CLASSES}
    for stack, other in ((pair.before, pair.after), (pair.after, pair.before)):
        values, index, then = np.nan_to_num(stack), ndvi(stack), ndvi(other)
        wetness = (values[GREEN] - values[SWIR1]) / np.maximum(values[GREEN] + values[SWIR1], 1e-3)
        water = (wetness > 0.3) & (index < 0.2) & (values[NIR] < 0.12)
        bright = values[[BLUE, GREEN, RED]].mean(axis=0)
        mean = ndimage.uniform_filter(bright, 5)
        rough = np.sqrt(np.maximum(ndimage.uniform_filter(bright**2, 5) - mean**2, 0)) / np.maximum(mean, 0.02)
        dense = ndimage.uniform_filter((never & ~water).astype(float), 25)
        where = {
            State.VEGETATED: index > GREEN_NOW,
            State.BARE: ndimage.binary_erosion((index < NEVER_GREEN) & (then > GREEN_THEN) & ~water & good),
            State.BUILT: never & ~water & (rough > ROUGHNESS) & (dense > DENSE),
            State.WATER: ndimage.binary_erosion(water),
        }
        for state, mask in where.items():
            found[state].append(values[:, mask & good].T)
    drawn = {}
    for state, parts in found.items():
        each = np.concatenate(parts)
        drawn[state] = each[rng.permutation(len(each))[:SAMPLE]]
    return drawn


def _gaussian(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance, each city with the same weight."""
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in parts])
    values, weights = np.concatenate(parts), weights / weights.sum()
    mean = weights @ values
    off = values - mean
    return mean, (weights[:, None] * off).T @ off + MISREGISTRATION**2 * np.eye(len(mean))


def _check() -> None:
    """How the samples of the held-out cities are classified, with all bands and with three."""
    rng = np.random.default_rng(0)
    print("| city | bands | class | n | " + " | ".join(state.value for state in ground.STATES) + " |")
    print("|---|---|---|---|" + "---|" * len(ground.STATES))
    for city in HELD_OUT:
        drawn = classes_of(city, rng)
        for bands in (BANDS, BANDS[:3]):
            for state, values in drawn.items():
                if len(values) < LEAST[state]:
                    continue
                best = ground.log_likelihood(bands, values[:, : len(bands)]).argmax(axis=1)
                share = " | ".join(f"{float((best == each).mean()):.2f}" for each in range(len(ground.STATES)))
                print(f"| {city} | {len(bands)} | {state.value} | {len(values)} | {share} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="classify the held-out cities")
    main(parser.parse_args().check)
