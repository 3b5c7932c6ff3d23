"""City pairs: `groundbreak pair` against the labels of the Onera set, beside the classical peers.

python -m benchmarks.pairs      needs the recorded city pairs beside the checkout
"""

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject
from scipy import ndimage
from skimage.filters import threshold_otsu

from pipeline.model.settings import Settings
from pipeline.run.pair import compare_pair

CITIES = Path(__file__).resolve().parents[2] / "shared" / "data" / "oscd"
BANDS = ("B02", "B03", "B04", "B08", "B8A", "B11", "B12")
Array = Any


def main() -> str:
    """A markdown section: pooled AP and F1 of `pair` and of its peers, then city by city."""
    if not CITIES.is_dir():
        raise FileNotFoundError("the city pairs are not beside this checkout")
    cities = sorted(path for path in CITIES.iterdir() if path.is_dir())
    truth, found, seconds = {}, {}, {}
    for city in cities:
        with rasterio.open(city / "label.tif") as source:
            truth[city.name] = source.read(1) > 0
        found[city.name], seconds[city.name] = _ours(city)
        images = _images(city)
        for name, method in PEERS.items():
            found[city.name][name] = method(*images)
    return "\n".join([*_table(truth, found), "", *_city_table(truth, found, seconds)])


def _ours(city: Path) -> tuple[dict[str, tuple[Array, Array]], float]:
    with rasterio.open(city / "before" / "B04.tif") as source:
        shape, transform, crs = source.shape, source.transform, source.crs
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        began = time.monotonic()
        compare_pair(city / "before", city / "after", None, Path(folder) / city.name, Settings())
        seconds = time.monotonic() - began
        out = Path(folder) / city.name
        score = np.full(shape, np.nan, np.float32)
        with rasterio.open(out / "score.tif") as source:
            reproject(rasterio.band(source, 1), score, dst_transform=transform, dst_crs=crs, dst_nodata=np.nan,
                      resampling=Resampling.nearest)  # fmt: skip
        outlines = geopandas.read_file(out / "review.gpkg", layer="changes").to_crs(crs).geometry
        mask = rasterize(outlines, shape, transform=transform) > 0 if len(outlines) else np.zeros(shape, bool)
    return {"groundbreak pair": (np.nan_to_num(score, nan=-np.inf), mask)}, seconds


def _images(city: Path) -> tuple[Array, Array]:
    """Both dates on the grid of before/B04.tif, warped by georeference alone: what the peers are given."""
    with rasterio.open(city / "before" / "B04.tif") as source:
        shape, transform, crs = source.shape, source.transform, source.crs
    sides = []
    for side in ("before", "after"):
        planes = []
        for band in BANDS:
            plane = np.zeros(shape, np.float32)
            with rasterio.open(city / side / f"{band}.tif") as source:
                reproject(rasterio.band(source, 1), plane, dst_transform=transform, dst_crs=crs,
                          resampling=Resampling.bilinear)  # fmt: skip
            planes.append(plane / 10000)
        sides.append(np.stack(planes))
    return sides[0], sides[1]


def _standardised(image: Array) -> Array:
    return (image - image.mean(axis=(1, 2), keepdims=True)) / image.std(axis=(1, 2), keepdims=True)


def _cva(before: Array, after: Array) -> tuple[Array, Array]:
    length = np.sqrt(((_standardised(after) - _standardised(before)) ** 2).sum(axis=0))
    return length, length > threshold_otsu(length)


def _robust_cva(before: Array, after: Array) -> tuple[Array, Array]:
    change = after - before
    change = change - np.median(change, axis=(1, 2), keepdims=True)
    change /= 1.4826 * np.median(np.abs(change), axis=(1, 2), keepdims=True)
    length = np.sqrt(np.mean([ndimage.gaussian_filter(plane, 1) ** 2 for plane in change], axis=0))
    middle = np.median(length)
    return length, length > middle + 7 * 1.4826 * np.median(np.abs(length - middle))


def _pca_difference(before: Array, after: Array) -> tuple[Array, Array]:
    change = (_standardised(after) - _standardised(before)).reshape(len(before), -1)
    _, vectors = np.linalg.eigh(np.cov(change))
    parts = vectors[:, -3:].T @ (change - change.mean(axis=1, keepdims=True))
    length = np.sqrt((parts**2).sum(axis=0)).reshape(before.shape[1:])
    return length, length > threshold_otsu(length)


def _ir_mad(before: Array, after: Array) -> tuple[Array, Array]:
    one, two = (image.reshape(len(image), -1).astype(np.float64) for image in (before, after))
    weights = np.ones(one.shape[1])
    chi = weights
    for _ in range(20):
        both = np.cov(np.vstack([one, two]), aweights=weights)
        n = len(one)
        inner = np.linalg.solve(both[:n, :n], both[:n, n:]) @ np.linalg.solve(both[n:, n:], both[n:, :n])
        squares, a = np.linalg.eig(inner)
        order = np.argsort(squares.real)
        rho, a = np.sqrt(np.clip(squares.real[order], 0, 0.9999)), a.real[:, order]
        a = a / np.sqrt(np.einsum("ik,ij,jk->k", a, both[:n, :n], a))
        b = np.linalg.solve(both[n:, n:], both[n:, :n] @ a) / np.maximum(rho, 1e-6)
        middles = [np.average(image, axis=1, weights=weights)[:, None] for image in (one, two)]
        mad = a.T @ (one - middles[0]) - b.T @ (two - middles[1])
        chi = (mad**2 / (2 * (1 - rho))[:, None]).sum(axis=0)
        weights = np.maximum(np.exp(-chi / 2), 1e-12)
    length = np.sqrt(chi).reshape(before.shape[1:])
    return length, length > threshold_otsu(length)


def _pca_k_means(before: Array, after: Array) -> tuple[Array, Array]:
    """Celik 2009: principal components of 4 x 4 blocks of the difference, two clusters."""
    length = np.sqrt(((_standardised(after) - _standardised(before)) ** 2).sum(axis=0))
    padded = np.pad(length, ((1, 2), (1, 2)), mode="reflect")
    blocks = np.lib.stride_tricks.sliding_window_view(padded, (4, 4)).reshape(-1, 16)
    _, vectors = np.linalg.eigh(np.cov(blocks[::7].T))
    features = (blocks - blocks.mean(axis=0)) @ vectors[:, -3:]
    centres = np.quantile(features, [0.1, 0.99], axis=0)
    for _ in range(20):
        distance = np.stack([((features - centre) ** 2).sum(axis=1) for centre in centres])
        nearest = distance.argmin(axis=0)
        centres = np.stack([features[nearest == index].mean(axis=0) for index in (0, 1)])
    score = (np.sqrt(distance[0]) - np.sqrt(distance[1])).reshape(length.shape)
    changed = int(length.ravel()[nearest == 1].mean() > length.ravel()[nearest == 0].mean())
    return (score if changed else -score), (nearest == changed).reshape(length.shape)


PEERS = {
    "robust CVA, smoothed, median + 7 sigmas": _robust_cva,
    "CVA + Otsu": _cva,
    "PCA-difference + Otsu": _pca_difference,
    "IR-MAD + Otsu": _ir_mad,
    "PCA-K-means": _pca_k_means,
}


def average_precision(score: Array, truth: Array) -> float:
    """Area under precision over recall, each true pixel's precision averaged."""
    order = np.argsort(-score, kind="stable")
    hits = truth[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def f1(mask: Array, truth: Array) -> float:
    """2 TP / (2 TP + FP + FN)."""
    both = int((mask & truth).sum())
    return 2 * both / max(int(mask.sum()) + int(truth.sum()), 1)


def _table(truth: dict[str, Array], found: dict[str, dict[str, tuple[Array, Array]]]) -> list[str]:
    labels = np.concatenate([each.ravel() for each in truth.values()])
    rows = [
        "## City pairs",
        "",
        f"`benchmarks/pairs.py`: {len(truth)} city pairs, pixels pooled, each method at its own threshold; the peers",
        "see both dates warped by georeference, as their papers do. Nothing is trained on the labels.",
        "",
        "| method | AP | F1 |",
        "|---|---|---|",
    ]
    for name in ("groundbreak pair", *PEERS):
        score, mask = (np.concatenate([found[city][name][part].ravel() for city in truth]) for part in (0, 1))
        rows.append(f"| {name} | {average_precision(score, labels):.3f} | {f1(mask, labels):.3f} |")
    return rows


def _city_table(
    truth: dict[str, Array], found: dict[str, dict[str, tuple[Array, Array]]], seconds: dict[str, float]
) -> list[str]:
    rows = ["| city | changed | AP | F1 | seconds |", "|---|---|---|---|---|"]
    for city, label in truth.items():
        score, mask = found[city]["groundbreak pair"]
        rows.append(
            f"| {city} | {label.mean():.2%} | {average_precision(score.ravel(), label.ravel()):.2f} "
            f"| {f1(mask, label):.2f} | {seconds[city]:.1f} |"
        )
    return rows


if __name__ == "__main__":
    print(main())
