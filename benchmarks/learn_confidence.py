"""Weights of `pipeline.decide.detections.confidence_of`, learned on semi-real series of the development cities.

python -m benchmarks.learn_confidence [--work DIR]          needs the city pairs beside the checkout

An alert is right if it touches an object of the truth. Maximum likelihood with a ridge prior; the reliability that is
printed has each series left out of the fit once.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from odc.geo.geom import Geometry
from shapely import STRtree
from shapely.geometry import shape

from benchmarks.semireal import Case, build, judged
from pipeline.decide import alerts, detections
from pipeline.model.settings import Settings

CASES = (
    ("temperate", "rennes", 1), ("temperate", "cupertino", 1), ("mediterranean", "pisa", 1), ("monsoon", "beihai", 1),
    ("rgb", "aguasclaras", 1), ("dark", "paris", 1), ("majority", "paris", 1), ("temperate", "beihai", 2),
    ("mediterranean", "cupertino", 2), ("temperate", "paris", 2), ("monsoon", "pisa", 2),
    ("mediterranean", "rennes", 2),
)  # fmt: skip
RIDGE = 0.1
BINS = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.01)


def main(work: Path | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = work or Path(scratch)
        samples = [
            _samples(build(city, seed, variant, folder / f"{variant}-{city}-{seed}")) for variant, city, seed in CASES
        ]
    features, right = (np.concatenate([each[part] for each in samples]) for part in (0, 1))
    weights = fitted(features, right)
    left_out = np.concatenate([
        _probability(own, fitted(*(np.concatenate([each[part] for each in samples if each[0] is not own])
                                   for part in (0, 1)))) for own, _ in samples
    ])  # fmt: skip
    print("\n".join(reliability(left_out, right)))
    record = {
        "made_by": "benchmarks/learn_confidence.py",
        "from": "semi-real series " + ", ".join("-".join(map(str, case)) for case in CASES),
        "features": ["1", "score above the limit", "confirmed", "built now"],
        "weights": np.round(weights, 3).tolist(),
    }
    target = Path(detections.__file__).with_name("confidence.json")
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {target.name}: {record['weights']}")


def _samples(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """(alert, feature) and (alert,) True = it touches an object of the truth; withdrawn ones left out."""
    site, settings = case.site, Settings()
    looks = alerts.in_order(judged(case).looks)
    limit = detections.limit_of(settings.decide.false_alarms_per_100km2_year)
    truth = json.loads((case.folder / "truth.geojson").read_text(encoding="utf-8"))["features"]
    crs = str(site.grid.crs)
    tree = STRtree([Geometry(shape(each["geometry"]), "EPSG:4326").to_crs(crs).geom for each in truth])
    found = alerts.found_in(site, looks, alerts.stack_of(site, looks, settings), settings)
    told = [each for each in found if each.confirmed >= 0 or not each.episode.ended]
    right = [bool(len(tree.query(each.shape.outline, predicate="intersects"))) for each in told]
    return np.stack([detections.features_of(each, limit) for each in told]), np.array(right, float)


def fitted(features: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression, by Newton's method."""
    weights, prior = np.zeros(features.shape[1]), RIDGE * np.diag([0, *[1] * (features.shape[1] - 1)])
    for _ in range(50):
        sure = _probability(features, weights)
        curvature = (features * (sure * (1 - sure))[:, None]).T @ features + prior
        weights += np.linalg.solve(curvature, features.T @ (right - sure) - prior @ weights)
    return weights


def _probability(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-features @ weights))


def reliability(sure: np.ndarray, right: Sequence[float] | np.ndarray) -> list[str]:
    """A markdown table: what alerts of a confidence say in the mean, and how many of them are right."""
    lines, right = ["| confidence | alerts | stated | right |", "|---|---|---|---|"], np.asarray(right, float)
    for low, high in itertools.pairwise(BINS):
        own = (sure >= low) & (sure < high)
        if own.any():
            lines.append(
                f"| {low} to {min(high, 1)} | {own.sum()} | {sure[own].mean():.2f} | {right[own].mean():.2f} |"
            )
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path)
    main(parser.parse_args().work)
