"""Classes of ground, and how likely a spectrum is under each.

One Gaussian a class over the logarithm of reflectance (quadratic discriminant analysis): a factor of light moves a
spectrum, and any subset of the bands has the same model. `classes.json` is learned by benchmarks/learn_ground.py on
unchanged ground of real cities; no class and no spectrum is shared with the simulator.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.alert import State
from pipeline.model.bands import Band

STATES = tuple(State)
"""Order of the last axis of every array of classes."""
DARKEST = 0.005
"""Least reflectance of which a logarithm is taken."""
SOIL_IN_FIELDS = 0.3
"""Share of looks in which vegetated or farmed ground shows soil."""
PAINTED, COLOUR = 0.05, 0.4
"""Share of built ground with a colour of its own (paint, tiles, panels), and the spread of its log reflectance."""
OUTLIER = -6.0
"""Least log-probability that one look gives a class: a missed cloud excludes none."""
PRIOR = {State.VEGETATED: 0.35, State.BARE: 0.2, State.BUILT: 0.35, State.WATER: 0.08, State.OTHER: 0.02}


@dataclass(frozen=True, slots=True, eq=False)
class _Classes:
    """mean: (class, band); covariance: (class, band, band); of log reflectance."""

    bands: tuple[Band, ...]
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def read_learned(package: str, name: str) -> dict[str, Any]:
    """A file of learned values of a package, with what it was learned from and by which script."""
    record: dict[str, Any] = json.loads(files(package).joinpath(name).read_text(encoding="utf-8"))
    return record


@lru_cache(maxsize=1)
def _read_classes() -> _Classes:
    record = read_learned("pipeline.ground", "classes.json")
    each = [record["classes"][state.value] for state in STATES]
    return _Classes(
        bands=tuple(Band(name) for name in record["bands"]),
        mean=np.array([one["mean"] for one in each]),
        covariance=np.array([one["covariance"] for one in each]),
    )


def log_likelihood(bands: tuple[Band, ...], spectra: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, state) log-density of (n, band) reflectance. Bands that the classes lack are left out."""
    known, built = _read_classes(), STATES.index(State.BUILT)
    own = [index for index, band in enumerate(bands) if band in known.bands]
    at = [known.bands.index(bands[index]) for index in own]
    values = np.log(np.maximum(spectra[:, own].astype(np.float64), DARKEST))
    covariances = known.covariance[:, at][:, :, at]
    out = np.stack([_log_density(values, *each) for each in zip(known.mean[:, at], covariances, strict=True)], axis=1)
    painted = _log_density(values, known.mean[built, at], covariances[built] + COLOUR**2 * np.eye(len(at)))
    out[:, built] = np.logaddexp(np.log(1 - PAINTED) + out[:, built], np.log(PAINTED) + painted)
    return out


def _log_density(
    values: NDArray[np.float64], mean: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) logarithm of a Gaussian density of (n, band) values, but for a constant of the bands."""
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, (values - mean).T)
    return np.asarray(-0.5 * (white**2).sum(axis=0) - np.log(np.diag(root)).sum())


def log_posterior(bands: tuple[Band, ...], spectra: NDArray[np.floating]) -> NDArray[np.float64]:
    """(look, state) log-probability of each look alone, at least OUTLIER. Vegetated ground is soil at times: fields."""
    found = log_likelihood(bands, spectra)
    green, soil = STATES.index(State.VEGETATED), STATES.index(State.BARE)
    found[:, green] = np.logaddexp(
        np.log(1 - SOIL_IN_FIELDS) + found[:, green], np.log(SOIL_IN_FIELDS) + found[:, soil]
    )
    found += np.log([PRIOR[state] for state in STATES])
    return np.asarray(np.maximum(found - np.logaddexp.reduce(found, axis=1, keepdims=True), OUTLIER))
