"""Every pixel's most anomalous lasting step, judged against the steps that like ground makes without construction.

Anomalous change detection (Theiler 2008) applied to steps: a step is scored by its Mahalanobis length under the
covariance of natural steps of its land-cover cluster, scale and duration. Fields step every season along the axis from
soil to leaf, so there a step of that direction means little; a roof does not lie on that axis.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.decide.residuals import CLUSTERS, SCALES, WEIGHTS, Baseline, Residual, reflectance_of
from pipeline.decide.steps import DURATIONS, Sums, Times, windows_by_stop
from pipeline.model.alert import LEAST_LOOKS
from pipeline.model.bands import Band
from pipeline.model.indices import near_infrared, normalised_difference
from pipeline.numerics.robust import median

SAMPLE = 1000
"""Pixels of each cluster from which natural steps are learned, and their median at each window."""
LEAST_SAMPLE = 40
"""Fewer pixels make no covariance."""
LEAST_CLUSTER = 0.02
"""Share of the site below which a cluster is judged by the steps of the others: it may be what was built."""
KEPT = 0.97
"""Of the quiet steps, by Mahalanobis length: the rest is for the covariance of episodes."""
QUIET = 0.5
"""Of the windows of one duration, those with the smallest steps: construction of half a site is not natural."""
LARGE_SHARE = 0.9
"""Quantile of the steps of one window that says how large they are."""
POOL = 20_000
"""Natural steps of one covariance, at most."""
FLOOR = 0.0015
"""Least spread of quiet steps along any direction, reflectance."""
LARGE = 4.0
"""Mahalanobis length under the quiet covariance from which a step is large."""
REVERTED = -0.4
"""Of a step: where what follows goes back by more than this share, it was an episode (a field that grew again)."""
BRIGHTNESS, QUIET_BRIGHTNESS, OTHER = 0.10, 0.04, 0.006
"""Largest spread of natural steps: of brightness (moisture, sun, haze) as share of the reflectance, in episodes and in
quiet windows; and of any other direction but that from leaf to soil, reflectance. Ground that is moved and moved again
steps further: that is work."""
GREEN_CONTRAST, VISIBLE_CONTRAST = 0.4, 0.2
"""Difference in NDVI, or in the same index of green and red, between the greenest and the barest ground of a site that
has both leaf and soil."""
PRIOR_EPISODES = 20.0
"""Episodes along the axis from leaf to soil that are believed in before any were observed."""
CHUNK = 4096
"""Pixels worked on together: what one window reads fits the processor's cache."""
_Planes = list[NDArray[Any]]
"""Score, start and stop of some pixels, see `Screening`."""
_Steps = dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.bool_]]]
"""By window: (band, pixel) steps, and (pixel,) True = enough clear looks on both sides."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Natural:
    """Steps without construction. covariances: (scale, cluster, duration class, band, band), reflectance squared."""

    covariances: NDArray[np.float64]

    def whitener(self, scale: int, cluster: int, duration: int) -> NDArray[np.float32]:
        """(band, band): natural steps multiplied by it have unit covariance."""
        return np.linalg.inv(np.linalg.cholesky(self.covariances[scale, cluster, duration])).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Screening:
    """The largest step of every pixel, one array a scale.

    score: (row, col) float32, Mahalanobis length, 0 where none. start, stop: (row, col) int16, its window of looks,
    -1 where none. count: looks screened.
    """

    score: tuple[NDArray[np.float32], ...]
    start: tuple[NDArray[np.int16], ...]
    stop: tuple[NDArray[np.int16], ...]
    count: int


def times_of(residuals: Sequence[Residual], days: Sequence[int], founding: int | None = None) -> Times:
    """Days of the looks, and their weights: the inverse of their noise variance, 1 for the usual noise.

    `founding`: number of first looks that set the usual noise; None = all.
    """
    noise = np.array([float(each.noise.mean()) for each in residuals])
    first = noise[:founding]
    known = first[np.isfinite(first)]
    usual = float(np.median(known)) if known.size else 1.0
    return Times(days=np.array(days), weights=np.clip((usual / noise) ** 2, *WEIGHTS))


def natural_steps(baseline: Baseline, residuals: Sequence[Residual], times: Times, axis: NDArray[Any]) -> Natural:
    """Covariances of natural steps inside these looks, by scale, cluster and duration, from a sample of the pixels.

    They are those of episodes: large steps that reverted, as a field that is ploughed and green again, or a flood.
    Construction does not revert, so episodes are the changes of the site's own history that are surely natural.
    axis: (band,) from leaf to soil, the direction of episodes that is believed in before any were observed.
    """
    bands, classes = len(baseline.mean), len(DURATIONS) + 1
    found = np.zeros((len(SCALES), CLUSTERS, classes, bands, bands))
    believed = PRIOR_EPISODES * np.outer(axis, axis) / 4
    for scale in range(len(SCALES)):
        samples = _sample_clusters(baseline, residuals, times, scale)
        for cluster in range(CLUSTERS):
            sums = samples.get(cluster)
            steps = {} if sums is None else _steps_of_windows(sums, times)
            parts = _steps_by_duration(steps, times)
            ground = baseline.mean[:, baseline.cover == cluster]
            still, most = (
                np.outer(axis, axis) + _covariance_limit(ground, share) for share in (QUIET_BRIGHTNESS, BRIGHTNESS)
            )
            own = {
                duration: _cut_covariance(_trimmed_covariance(_quiet_steps(part)), still)
                for duration, part in parts.items()
            }
            quiet = np.zeros((classes, bands, bands))
            for duration in range(classes):
                near = min(own, key=lambda each: (abs(each - duration), each), default=None)
                quiet[duration] = np.eye(bands) * 0.01**2 if near is None else own[near]
            for duration, episodes in enumerate(_find_episodes(sums, steps, times, quiet)):
                number = episodes.shape[1] + PRIOR_EPISODES
                natural = (episodes @ episodes.T + believed) / number + 2 * quiet[duration]
                if duration == classes - 1:
                    # episodes do not last: what stays for most of a year is compared with ground that stays as it is
                    natural = quiet[duration]
                found[scale, cluster, duration] = _cut_covariance(natural, most + 2 * quiet[duration])
        sampled = sorted(samples)
        for cluster in set(range(CLUSTERS)) - set(samples):
            if sampled:
                found[scale, cluster] = found[scale, sampled].mean(axis=0)
    return Natural(covariances=found)


def leaf_to_soil(baseline: Baseline, bands: Sequence[Band]) -> NDArray[np.float64]:
    """(band,) spectrum of the site's barest ground less that of its greenest, as far as that is green; reflectance."""
    at = {band: plane.ravel() for band, plane in zip(bands, baseline.mean, strict=True)}
    low = at.get(Band.B04, baseline.mean[-1].ravel())
    near = near_infrared(at)
    high = at.get(near or Band.B03, baseline.mean[0].ravel())
    index = normalised_difference(high, low)
    spectra = baseline.mean.reshape(len(bands), -1)
    green, bare = index >= np.quantile(index, 0.9), index <= np.quantile(index, 0.3)
    contrast = float(np.median(index[green]) - np.median(index[bare])) / (GREEN_CONTRAST if near else VISIBLE_CONTRAST)
    off = np.median(spectra[:, bare], axis=1) - np.median(spectra[:, green], axis=1)
    return np.asarray(off * min(contrast, 1.0), np.float64)


def _find_episodes(
    sums: Sums | None, steps: _Steps, times: Times, quiet: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """By duration class: (band, episode) steps that were large and reverted in as many looks again."""
    classes, bands = len(DURATIONS) + 1, quiet.shape[-1]
    found: list[list[NDArray[np.float32]]] = [[np.zeros((bands, 0), np.float32)] for _ in range(classes)]
    roots = np.linalg.inv(np.linalg.cholesky(quiet)).astype(np.float32)
    for (start, stop), (step, enough) in steps.items():
        until, duration = min(2 * stop - start, len(times.days)), int(times.duration_class(start, stop))
        if until - stop < LEAST_LOOKS:
            continue
        back, known = steps.get((stop, until)) or sums.step(stop, until)[::2]  # type: ignore[union-attr]
        both = np.flatnonzero(enough & known)
        if both.size < LEAST_SAMPLE:
            continue
        step, back = _less_median(step[:, both]), _less_median(back[:, both])
        white, turned = roots[duration] @ step, roots[duration] @ back
        size = (white**2).sum(axis=0)
        reverted = (size > LARGE**2) & ((white * turned).sum(axis=0) < REVERTED * size)
        found[duration].append(step[:, reverted])
    return [np.concatenate(each, axis=1).astype(np.float64) for each in found]


def begin_screening(baseline: Baseline) -> Screening:
    """Nothing screened yet."""
    shapes = [baseline.cover[::stride, ::stride].shape for _, stride in SCALES]
    none = tuple(np.full(shape, -1, np.int16) for shape in shapes)
    return Screening(score=tuple(np.zeros(shape, np.float32) for shape in shapes), start=none, stop=none, count=0)


def advance_screening(
    before: Screening, baseline: Baseline, natural: Natural, residuals: Sequence[Residual], times: Times
) -> Screening:
    """The screening of all residuals, of which the first `before.count` are screened already."""
    return advance_each([(before, (len(residuals),))], baseline, natural, residuals, times)[0]


def advance_each(
    portions: Sequence[tuple[Screening, Sequence[int]]],
    baseline: Baseline,
    natural: Natural,
    residuals: Sequence[Residual],
    times: Times,
) -> tuple[Screening, ...]:
    """Several screenings from sums that are worked out once.

    portions: where to go on from, and the numbers of residuals, in ascending order, whose screenings are wanted.
    """
    planes = [[_planes_of(before, scale) for scale in range(len(SCALES))] for before, stops in portions for _ in stops]
    first = min(before.count for before, _ in portions)
    ends = sorted({end for before, stops in portions for end in pairwise((before.count, *stops))})
    for scale in range(len(SCALES)):
        samples = _sample_clusters(baseline, residuals, times, scale)
        tests = {
            cluster: _cluster_tests(natural, scale, cluster, _median_steps(samples.get(cluster), ends), ends, times)
            for cluster in range(CLUSTERS)
        }
        for cluster, where in _pixel_chunks(_cover_at_scale(baseline, scale).ravel()):
            sums = Sums(*_residuals_at(residuals, scale, where), times, first)
            wanted = iter(planes)
            for before, stops in portions:
                best, done = _planes_of(before, scale, where), before.count
                for stop in stops:
                    _raise_scores(sums, tests[cluster], (done, stop), best)
                    for plane, each in zip(next(wanted)[scale], best, strict=True):
                        plane.reshape(-1)[where] = each
                    done = stop
    counts = [stop for _, stops in portions for stop in stops]
    return tuple(_make_screening(each, count) for each, count in zip(planes, counts, strict=True))


def _planes_of(before: Screening, scale: int, where: NDArray[np.intp] | None = None) -> _Planes:
    """Copies of score, start and stop of one scale, of all its pixels or of some."""
    planes = (before.score[scale], before.start[scale], before.stop[scale])
    return [each.copy() if where is None else each.reshape(-1)[where] for each in planes]


def _make_screening(scales: Sequence[_Planes], count: int) -> Screening:
    score, start, stop = zip(*scales, strict=True)
    return Screening(score=score, start=start, stop=stop, count=count)


@dataclass(frozen=True, slots=True, eq=False)
class _Test:
    """The windows of a cluster that stop together. starts: (window,). whiteners: (window, band, band).

    centres: (window, band, 1), the median step of the cluster, 0 where too few of its pixels were clear.
    """

    starts: NDArray[np.int16]
    whiteners: NDArray[np.float32]
    centres: NDArray[np.float32]


def _cluster_tests(
    natural: Natural,
    scale: int,
    cluster: int,
    centres: Mapping[tuple[int, int], NDArray[np.float32]],
    ends: Iterable[tuple[int, int]],
    times: Times,
) -> dict[int, _Test]:
    """By stop."""
    whiteners = np.stack([natural.whitener(scale, cluster, duration) for duration in range(len(DURATIONS) + 1)])
    none, found = np.zeros(whiteners.shape[-1], np.float32), dict[int, _Test]()
    for stop, starts in chain.from_iterable(windows_by_stop(*each) for each in ends):
        middles = np.stack([centres.get((start, stop), none) for start in starts])[:, :, None]
        found[stop] = _Test(np.array(starts, np.int16), whiteners[times.duration_class(starts, stop)], middles)
    return found


def _raise_scores(sums: Sums, tests: Mapping[int, _Test], ends: tuple[int, int], best: _Planes) -> None:
    """Raise the best score of pixels of one cluster by the windows that end after the first of `ends`, in place."""
    score, at, until = best
    for stop in sorted(stop for stop in tests if ends[0] < stop <= ends[1]):
        test = tests[stop]
        step, _, enough = sums.steps(test.starts, stop)
        enough &= sums.clear[test.starts]
        step -= test.centres
        white = np.matmul(test.whiteners, step)
        length = np.sqrt(np.einsum("wbp,wbp->wp", white, white) / np.float32(white.shape[1]))
        length *= enough
        higher = np.flatnonzero(length.max(axis=0) > score)
        if higher.size:
            # of windows that are equal the first one, which is the shortest
            window = length[:, higher].argmax(axis=0)
            score[higher] = length[window, higher]
            at[higher], until[higher] = test.starts[window], stop


def _median_steps(sample: Sums | None, ends: Sequence[tuple[int, int]]) -> dict[tuple[int, int], NDArray[np.float32]]:
    """By window, the (band,) median step of a cluster; no entry where too few of its pixels were clear.

    sample: None = the cluster is too small for one. ends: (first, last) of the windows that are wanted: those that
    stop after the one and not after the other.
    """
    found = dict[tuple[int, int], NDArray[np.float32]]()
    if sample is None:
        return found
    for stop, starts in chain.from_iterable(windows_by_stop(*each) for each in ends):
        steps, _, enoughs = sample.steps(starts, stop)
        for start, step, enough in zip(starts, steps, enoughs, strict=True):
            if (start, stop) not in found and np.count_nonzero(enough) >= LEAST_SAMPLE:
                found[start, stop] = median(_select_clear(step, enough), axis=1).astype(np.float32)
    return found


def _select_clear(steps: NDArray[np.float32], enough: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(band, some pixels) of (band, pixel): a copy only where some are left out."""
    return steps if enough.all() else steps.compress(enough, axis=1)


def _sample_clusters(baseline: Baseline, residuals: Sequence[Residual], times: Times, scale: int) -> dict[int, Sums]:
    """Sums of every n-th pixel of each cluster: not a random draw, so that the same looks give the same bits."""
    cover, found = _cover_at_scale(baseline, scale).ravel(), {}
    for cluster in range(CLUSTERS):
        where = np.flatnonzero(cover == cluster)
        if where.size >= max(LEAST_SAMPLE, LEAST_CLUSTER * cover.size):
            where = where[:: max(1, where.size // SAMPLE)]
            found[cluster] = Sums(*_residuals_at(residuals, scale, where), times)
    return found


def _steps_of_windows(sums: Sums, times: Times) -> _Steps:
    """The step of every window, each worked out once."""
    return {
        (start, stop): (step, enough)
        for stop, starts in windows_by_stop(0, len(times.days))
        for start, step, enough in zip(starts, *sums.steps(starts, stop)[::2], strict=True)
    }


def _steps_by_duration(steps: _Steps, times: Times) -> dict[int, list[NDArray[np.float32]]]:
    """By duration class: of each window the (band, pixel) steps, their median taken off."""
    found: dict[int, list[NDArray[np.float32]]] = {}
    for (start, stop), (step, enough) in steps.items():
        if np.count_nonzero(enough) >= LEAST_SAMPLE:
            duration = int(times.duration_class(start, stop))
            found.setdefault(duration, []).append(_less_median(_select_clear(step, enough)))
    return found


def _less_median(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(band, pixel) steps less their median: what a whole cluster does is season or light."""
    return np.asarray(steps - median(steps, axis=1)[:, None], np.float32)


def _quiet_steps(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The steps of the windows in which they are small."""
    sizes = [float(np.mean(_upper_quantile(np.abs(part)))) for part in parts]
    limit = float(np.quantile(sizes, QUIET))
    kept = np.concatenate([part for part, size in zip(parts, sizes, strict=True) if size <= limit], axis=1)
    return kept[:, :: max(1, kept.shape[1] // POOL)]


def _upper_quantile(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """(row,): quantile LARGE_SHARE of each row, as `np.quantile` has it, by one partition."""
    place = LARGE_SHARE * (values.shape[1] - 1)
    low = int(place)
    lines = np.partition(values, low, axis=1)
    above = lines[:, low + 1 :].min(axis=1) if place > low else lines[:, low]
    return np.asarray(lines[:, low] + (place - low) * (above.astype(np.float64) - lines[:, low]))


def _trimmed_covariance(steps: NDArray[np.float32]) -> NDArray[np.float64]:
    """(band, band) of (band, pixel) steps, those of the largest Mahalanobis length left out."""
    sample = steps[:, :: max(1, steps.shape[1] // POOL)].astype(np.float64)
    floor = FLOOR**2 * np.eye(len(sample))
    covariance = np.cov(sample) + floor
    for _ in range(3):
        length = np.einsum("ip,ij,jp->p", sample, np.linalg.inv(covariance), sample)
        covariance = 1.05 * np.cov(sample[:, length <= np.quantile(length, KEPT)]) + floor
    return np.asarray(covariance)


def _covariance_limit(spectra: NDArray[np.float32], brightness: float) -> NDArray[np.float64]:
    """(band, band) covariance of the largest natural steps off the axis from leaf to soil, of (band, pixel) ground."""
    middle = np.median(spectra, axis=1).astype(np.float64) if spectra.size else np.full(len(spectra), 0.1)
    return np.asarray(brightness**2 * np.outer(middle, middle) + OTHER**2 * np.eye(len(middle)))


def _cut_covariance(covariance: NDArray[np.float64], largest: NDArray[np.float64]) -> NDArray[np.float64]:
    """A covariance, cut to the largest along every direction (in the coordinates in which that is 1)."""
    root = np.linalg.cholesky(largest)
    white = np.linalg.inv(root)
    values, vectors = np.linalg.eigh(white @ covariance @ white.T)
    return np.asarray(root @ (vectors * np.minimum(values, 1)) @ vectors.T @ root.T)


def _cover_at_scale(baseline: Baseline, scale: int) -> NDArray[np.int8]:
    stride = SCALES[scale][1]
    return baseline.cover[::stride, ::stride]


def _pixel_chunks(cover: NDArray[np.int8]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """(cluster, indices of some of its pixels), all pixels together once."""
    for cluster in range(CLUSTERS):
        where = np.flatnonzero(cover == cluster)
        for start in range(0, where.size, CHUNK):
            yield cluster, where[start : start + CHUNK]


def _residuals_at(
    residuals: Sequence[Residual], scale: int, where: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(look, band, where) reflectance, 0 where not usable; and (look, where), True = usable."""
    counts = np.stack([each.pooled[scale].reshape(len(each.noise), -1).take(where, axis=1) for each in residuals])
    return reflectance_of(counts)
