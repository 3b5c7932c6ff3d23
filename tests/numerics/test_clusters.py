"""Land-cover clusters, the spread of the unchanged majority, and the spectrum of an object along the looks."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.decide.series import RECENT, spectra_of, typical_spectrum
from pipeline.numerics.clusters import cluster_pixels, robust_covariance, squared_distance
from tests.decide.scenes import BANDS, SIDE, clouded, unchanged


def groups(seed: int = 1, each: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """(pixel, band) spectra of three covers, the third band of small scale; and the cover of each pixel."""
    rng, centres = np.random.default_rng(seed), np.array([[0.1, 0.4, 0.001], [0.4, 0.1, 0.001], [0.1, 0.1, 0.004]])
    cover = np.repeat(np.arange(3), each)
    return centres[cover] + rng.normal(0, [0.01, 0.01, 0.0001], (3 * each, 3)), cover


def test_covers_that_lie_apart_are_clusters_whatever_the_unit_of_a_band() -> None:
    spectra, cover = groups()
    for scaled in (spectra * [1, 1, 500], spectra * [30, 1, 900] + [5, 0, 7]):
        labels = cluster_pixels(scaled, 3, 1)
        assert [len(set(labels[cover == each])) for each in range(3)] == [1, 1, 1]
        assert sorted({int(labels[cover == each][0]) for each in range(3)}) == [0, 1, 2]


def test_all_pixels_get_a_cluster_though_a_sample_is_fitted() -> None:
    spectra, cover = groups()
    labels = cluster_pixels(spectra * [1, 1, 500], 3, 7)
    assert labels.shape == cover.shape
    assert all(len(set(labels[cover == each])) == 1 for each in range(3))
    np.testing.assert_array_equal(labels, cluster_pixels(spectra * [1, 1, 500], 3, 7))


def test_one_cluster_and_more_clusters_than_pixels_are_no_error() -> None:
    spectra, _ = groups(each=2)
    assert (cluster_pixels(spectra, 1, 1) == 0).all() and cluster_pixels(spectra, 1, 1).dtype.kind == "i"
    labels = cluster_pixels(spectra[:3], 8, 1)
    assert labels.shape == (3,) and ((labels >= 0) & (labels < 8)).all()


def test_a_squared_length_is_that_of_mahalanobis() -> None:
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    off = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    expected = [row @ np.linalg.inv(covariance) @ row for row in off]
    np.testing.assert_allclose(squared_distance(off, covariance), expected)


def test_the_spread_is_that_of_the_majority_and_not_of_a_tenth_that_changed() -> None:
    rng, truth = np.random.default_rng(3), np.array([[4.0, 1.5, 0], [1.5, 1.0, 0], [0, 0, 2.0]]) * 1e-4
    change = rng.multivariate_normal([0.01, 0.0, -0.02], truth, 6000)
    change[:600] += 0.5
    centre, covariance = robust_covariance(change)
    np.testing.assert_allclose(centre, [0.01, 0.0, -0.02], atol=0.001)
    # the tail of the majority is left out, a tenth of its variance
    np.testing.assert_allclose(covariance, 0.9 * truth, atol=0.1e-4)
    assert squared_distance(np.array([[0.5, 0.5, 0.5]]), covariance)[0] > 100


def test_an_object_has_the_median_spectrum_of_its_clear_pixels() -> None:
    where = np.zeros((SIDE, SIDE), bool)
    where[10, 10:14] = True
    looks = [unchanged(index) for index in range(3)]
    looks[1] = clouded(looks[1], (slice(10, 11), slice(10, 12)))
    looks[2] = clouded(looks[2], (slice(10, 11), slice(10, 13)))
    found = spectra_of(looks, where)
    assert found.shape == (3, len(BANDS))
    np.testing.assert_allclose(found[0], np.median(looks[0].reflectance[:, 10, 10:14], axis=1), rtol=1e-6)
    np.testing.assert_allclose(found[1], looks[1].reflectance[:, 10, 12:14].mean(axis=1), rtol=1e-5)
    assert np.isnan(found[2]).all(), "less than half of it is clear"
    dark = replace(looks[0], reflectance=looks[0].reflectance * np.float32(0.5))
    np.testing.assert_allclose(spectra_of([dark], where)[0], found[0] / 2, rtol=1e-5)


def test_the_typical_spectrum_is_that_of_the_latest_clear_looks_of_those_named() -> None:
    spectra = np.arange(8.0)[:, None] + np.array([0.0, 10.0])
    spectra[6] = np.nan
    assert RECENT == 3
    np.testing.assert_array_equal(typical_spectrum(spectra, range(8)), [5, 15])
    np.testing.assert_array_equal(typical_spectrum(spectra, range(3)), [1, 11])
    np.testing.assert_array_equal(typical_spectrum(spectra, [2]), [2, 12])
    np.testing.assert_array_equal(typical_spectrum(spectra, [6]), [3, 13])
    assert np.isnan(typical_spectrum(np.full((4, 2), np.nan), range(4))).all()


@pytest.mark.parametrize("indices", [[], [6]])
def test_without_a_clear_look_among_those_named_all_clear_looks_count(indices: list[int]) -> None:
    spectra = np.array([[1.0], [2.0], [9.0], [np.nan], [3.0], [4.0], [np.nan]])
    np.testing.assert_array_equal(typical_spectrum(spectra, indices), [3])
