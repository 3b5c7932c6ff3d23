"""Kinds of cover: their covariance is that of all turns, however early it stands still."""

import numpy as np
import pytest

from pipeline.numerics.clusters import robust_covariance, squared_distance


def all_turns(change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bands, centre, weights = change.shape[1], np.median(change, axis=0), np.ones(len(change))
    for _ in range(6):
        off = change - centre
        covariance = (off * weights[:, None]).T @ off / weights.sum() + 1e-6 * np.eye(bands)
        distance = squared_distance(off, covariance)
        distance *= (bands - 0.66) / np.median(distance)
        weights = np.where(distance < 2.5 * bands, 1.0, 1e-9)
        centre = (change * weights[:, None]).sum(axis=0) / weights.sum()
    off = change - centre
    return centre, (off * weights[:, None]).T @ off / weights.sum()


@pytest.mark.parametrize("strangers", [0, 9])
def test_turns_that_end_early_end_where_all_would(strangers: int) -> None:
    """Without strangers no weight ever changes, and the centre still goes from the median to the mean."""
    rng = np.random.default_rng(1)
    change = np.concatenate([rng.uniform(-1, 1, (80, 4)), rng.normal(9, 1, (strangers, 4))]) * 0.01
    for found, wanted in zip(robust_covariance(change), all_turns(change), strict=True):
        np.testing.assert_array_equal(found, wanted)
