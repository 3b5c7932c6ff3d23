"""Weights of `pipeline.decide.posterior`, learned on semi-real series of the development cities.

python -m benchmarks.learn_posterior [--work DIR]          needs the city pairs beside the checkout

Every series is judged whole, without its first and without its last months: changes are learned after long and after
short histories, as a night finds them weeks or a year after they began, on sites with and without farming. An alert is
right if it shares a tenth of the smaller outline with an object of the truth that had begun, wrong if it touches none
or begins before it, and left out in between. Maximum likelihood with a ridge prior. What is printed, and the level that
confirms, come from log-odds of series whose city was left out of the fit.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from odc.geo.geom import Geometry
from shapely import STRtree
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from benchmarks.semireal import DEVELOPMENT, Case, build, judged
from pipeline.decide import alerts, detections, objects, posterior
from pipeline.evaluation.measures import EARLY_DAYS
from pipeline.model.grid import aoi_mask
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings

CASES = (
    ("temperate", "rennes", 1), ("temperate", "cupertino", 1), ("mediterranean", "pisa", 1), ("monsoon", "beihai", 1),
    ("rgb", "aguasclaras", 1), ("dark", "paris", 1), ("majority", "paris", 1), ("temperate", "beihai", 2),
    ("mediterranean", "cupertino", 2), ("temperate", "paris", 2), ("monsoon", "pisa", 2),
    ("mediterranean", "rennes", 2),
    *((variant, city, 4) for variant in ("no-farm", "quiet") for city in DEVELOPMENT),
)  # fmt: skip
LEFT_OUT_DAYS = ((0, 0), (130, 0), (250, 0), (0, 60), (0, 120), (0, 240), (0, 360))
"""At the beginning and at the end of a series."""
RIDGE = 0.1
RATES = (1.0, 2.0, 3.0, 5.0, 10.0)
"""False confirmed alerts per 100 km2 and year between which level and slope are fitted."""
BINS = (0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 1.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The alerts of one series. city: of the truth. early: it ends before the series does. extent: 100 km2 years.
    measured: `measure_features` of each alert, at all looks. right, ended: (alert,) True = it touches an object of the
    truth; the old ground is back."""

    city: str
    early: bool
    extent: float
    measured: tuple[np.ndarray, ...]
    right: np.ndarray
    ended: np.ndarray


def main(work: Path | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = work or Path(scratch)
        samples = [
            sample for variant, city, seed in CASES
            for sample in _samples(city, build(city, seed, variant, folder / f"{variant}-{city}-{seed}"))
        ]  # fmt: skip
    learn(samples)


def learn(samples: Sequence[Sample]) -> None:
    """Fit, print and write the weights."""
    cities = sorted({each.city for each in samples})
    left_out = {city: fitted([each for each in samples if each.city != city]) for city in cities}
    odds = [(each, [one @ left_out[each.city] for one in each.measured]) for each in samples]
    # what ends early repeats nights of the whole series
    level, slope = _tail([each for each in odds if not each[0].early])
    print("\n".join(reliability(odds)))
    print(f"false alerts: level {level:.2f}, slope {slope:.2f}")
    record = {
        "made_by": "benchmarks/learn_posterior.py",
        "from": "semi-real series " + ", ".join("-".join(map(str, case)) for case in CASES)
        + f"; each without its (first, last) days {LEFT_OUT_DAYS}",
        "features": [
            "1", "ln score", "root of years on the shorter side", "ended", "ln hectares",
            "ln share of objects that reverted",
        ],
        "weights": np.round(fitted(samples), 3).tolist(),
        "level": round(level, 3),
        "slope": round(slope, 3),
    }  # fmt: skip
    target = Path(posterior.__file__).with_name("posterior.json")
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {target.name}: {record['weights']}")


def _samples(city: str, case: Case) -> Iterator[Sample]:
    looks = alerts.in_order(judged(case).looks)
    for early, late in LEFT_OUT_DAYS:
        part = [
            each for each in looks
            if (each.time - looks[0].time).days >= early and (looks[-1].time - each.time).days >= late
        ]  # fmt: skip
        yield replace(sample_of(city, case, part), early=late > 0)


def sample_of(city: str, case: Case, looks: Sequence[Look]) -> Sample:
    """What the decision measures of every object, before any is confirmed."""
    site, settings = case.site, Settings()
    truth = json.loads((case.folder / "truth.geojson").read_text(encoding="utf-8"))["features"]
    crs, inside = str(site.grid.crs), aoi_mask(site)
    tree = STRtree([Geometry(shape(each["geometry"]), "EPSG:4326").to_crs(crs).geom for each in truth])
    earliest = np.array([date.fromisoformat(each["properties"]["begins"]).toordinal() - EARLY_DAYS for each in truth])
    stack = alerts.stack_of(site, looks, settings)
    known = objects.grow_objects(stack, posterior.JUDGED)
    prior = replace(alerts.site_prior(known, settings), level=np.inf)
    found = [
        each for made in known
        for each in detections.make_detections(looks, stack, made, prior, settings.decide.min_area_m2)
        if (each.shape.where & inside[each.shape.window]).any()
    ]  # fmt: skip
    shared = [
        _shared(tree, each.shape.outline, earliest <= looks[each.episode.first].time.toordinal()) for each in found
    ]
    clear = [index for index, share in enumerate(shared) if share >= alerts.OVERLAP or not share]
    area = looks[0].grid.shape[0] * looks[0].grid.shape[1] * 1e-4
    return Sample(
        city=city,
        early=False,
        extent=area * (looks[-1].time - looks[0].time).days / 365.25 / 100,
        measured=tuple(found[index].measured for index in clear),
        right=np.array([shared[index] > 0 for index in clear], bool),
        ended=np.array([found[index].episode.ended for index in clear], bool),
    )


def _shared(tree: STRtree, outline: BaseGeometry, begun: np.ndarray) -> float:
    """The largest share of the smaller outline that an object of the truth and another outline have in common.

    begun: (object,) False = it had not; 0 where one of them shares more than OVERLAP, and none that had begun does.
    """
    near = tree.query(outline, predicate="intersects")
    share = np.array([each.intersection(outline).area / min(each.area, outline.area) for each in tree.geometries[near]])
    right = float(share[begun[near]].max(initial=0))
    return right if right >= alerts.OVERLAP or share.max(initial=0) < alerts.OVERLAP else 0.0


def fitted(samples: Sequence[Sample]) -> np.ndarray:
    """Weights of a logistic regression on alerts as they stand at the end, by Newton's method."""
    features = np.concatenate([one[-1:] for each in samples for one in each.measured])
    right = np.concatenate([each.right for each in samples]).astype(float)
    weights, prior = np.zeros(features.shape[1]), RIDGE * np.diag([0, *[1] * (features.shape[1] - 1)])
    for _ in range(50):
        sure = _probability(features @ weights)
        curvature = (features * (sure * (1 - sure))[:, None]).T @ features + prior
        weights += np.linalg.solve(curvature, features.T @ (right - sure) - prior @ weights)
    return weights


def _probability(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-odds)))


def _tail(odds: Sequence[tuple[Sample, list[np.ndarray]]]) -> tuple[float, float]:
    """(level, slope): false alerts are confirmed at USUAL_RATE above the level, and by a factor e more rarely for every
    slope that it is raised."""
    extent = sum(each.extent for each, _ in odds)
    false = sorted(
        (float(one[-1] if ended else one.max())
         for each, own in odds for one, right, ended in zip(own, each.right, each.ended, strict=True) if not right),
        reverse=True,
    )  # fmt: skip
    at = [false[round(rate * extent)] for rate in RATES]
    slope, level = np.polyfit(np.log(posterior.USUAL_RATE / np.array(RATES)), at, 1)
    return float(level), float(slope)


def reliability(odds: Sequence[tuple[Sample, list[np.ndarray]]]) -> list[str]:
    """A markdown table: what alerts of a confidence say in the mean, and how many of them are right, as they stand at
    the end of a series.
    """
    sure = _probability(np.array([one[-1] for _, own in odds for one in own]))
    right = np.concatenate([each.right for each, _ in odds])
    lines = ["| confidence | alerts | stated | right |", "|---|---|---|---|"]
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
