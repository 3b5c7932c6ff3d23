"""Real chips moved by known shifts and disturbed: the cases of benchmarks/trouble.py."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.warp import Resampling, reproject
from scipy import fft, ndimage

from pipeline.correct.alignment import estimate_shift

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SEA, PAD, WINDOWS, REACH_PX = 64, 24, 4, 3.0
MAX_WATER, DARK_DN = 0.1, 900
NOISE_DN = 15.0
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Case(NamedTuple):
    """One question to the estimator. truth: (row, col) px, None = nothing can be known and it must be refused."""

    trouble: str
    reference: Image
    target: Image
    usable: Mask
    truth: NDArray[np.float64] | None


class Pair(NamedTuple):
    """A window of a city, with PAD around it: red of both dates."""

    city: str
    before: Image
    after: Image


OTHER_SEASON = ("bordeaux", "saclay_e", "cupertino", "pisa", "beihai")
"""Cities whose two dates lie three to six months apart in the year; the season is the real one."""


def cases(size: int) -> Iterator[Case]:
    """Every case on chips of size x size px, always the same ones."""
    rng = np.random.default_rng(1)
    clouds = Clouds()
    land, sea = windows(size)
    for pair in land:
        yield from _usable(pair, clouds, rng)
    yield from _hopeless(land, sea, clouds, rng)


def windows(size: int) -> tuple[list[Pair], list[tuple[Image, Image]]]:
    """Windows of every city: WINDOWS of land each, drawn at random; and those that are water in both dates."""
    rng = np.random.default_rng(0)
    land, sea = [], []
    side = size + 2 * PAD
    for city in sorted(path for path in (SHARED / "oscd").iterdir() if path.is_dir()):
        before, after, darker = _city(city)
        corners = [tuple(int(rng.integers(0, length - side + 1)) for length in before.shape) for _ in range(400)]
        taken: list[tuple[int, ...]] = []
        for row, col in corners:
            cut = (slice(row, row + side), slice(col, col + side))
            share = float((darker[cut] < DARK_DN).mean())
            pair = Pair(city.name, before[cut], after[cut])
            if share < MAX_WATER and len(taken) < WINDOWS:
                far = all(max(abs(row - other[0]), abs(col - other[1])) > size // 2 for other in taken)
                if far or min(before.shape) < 2 * side:
                    taken.append((row, col))
                    land.append(pair)
        sea += [(before[cut], after[cut]) for cut in _wet(darker)]
    return land, sea


def _wet(infrared: Image) -> list[tuple[slice, slice]]:
    """Windows of SEA that hold next to nothing but water, half a window apart."""
    share = ndimage.uniform_filter((infrared < DARK_DN).astype(np.float32), SEA, mode="constant")
    half = SEA // 2
    middles = [
        (row, col)
        for row in range(half, infrared.shape[0] - half, half)
        for col in range(half, infrared.shape[1] - half, half)
        if share[row, col] > 0.99
    ]
    return [(slice(row - half, row + half), slice(col - half, col + half)) for row, col in middles]


def _city(city: Path) -> tuple[Image, Image, Image]:
    """Red before and after, and the darker of both infrared, on the grid of before."""
    with rasterio.open(city / "before/B04.tif") as source:
        grid = {"dst_transform": source.transform, "dst_crs": source.crs, "resampling": Resampling.cubic}
        shape = source.shape
    planes = []
    for name in ("before/B04", "after/B04", "before/B08", "after/B08"):
        plane = np.zeros(shape, np.float32)
        with rasterio.open(city / f"{name}.tif") as source:
            reproject(rasterio.band(source, 1), plane, **grid)
        planes.append(plane)
    return planes[0], planes[1], np.minimum(planes[2], planes[3])


class Clouds:
    """Drawn clouds and their shadows, mirrored and enlarged at random until they cover what is asked for."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(SHARED / "cloud_reference/image.tif") as source:
                self.red = source.read(3).astype(np.float32)
            with rasterio.open(SHARED / "cloud_reference/labels.tif") as source:
                self.labels = source.read(1)
        self.tops = self.red[self.labels == 4]

    def layer(self, size: int, share: float, rng: np.random.Generator) -> tuple[Image, Image, Image]:
        """(brightness DN, opacity 0..1, light 0..1), each (size, size); about `share` lies under cloud or shade."""
        bright, opaque, light = np.zeros((size, size), np.float32), np.zeros((size, size)), np.ones((size, size))
        for _ in range(60):
            if float(((opaque > 0.02) | (light < 0.98)).mean()) >= share:
                break
            zoom = float(rng.uniform(max(0.8, size / 250), 2.5))
            side = int(size / zoom) + 1
            row, col = (int(rng.integers(0, length - side)) for length in self.red.shape)
            turn = int(rng.integers(4))
            red, labels = (np.rot90(part[row : row + side, col : col + side], turn) for part in (self.red, self.labels))
            cover, shade = (
                _enlarged(ndimage.gaussian_filter((labels == value).astype(float), 1.0), size) for value in (4, 0)
            )
            cover, shade = np.clip(cover, 0, 1), np.clip(shade, 0, 1)
            bright = np.where(cover > opaque, _enlarged(red, size), bright)
            opaque, light = np.maximum(opaque, cover), np.minimum(light, 1 - 0.6 * shade)
        return bright, opaque.astype(np.float32), light.astype(np.float32)

    def full(self, size: int, rng: np.random.Generator) -> Image:
        """Nothing but cloud: a top of the drawn ones' levels, lumpy at every scale."""
        lumps = sum(
            ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma) * sigma for sigma in (2, 4, 8, 16, 32)
        )
        level, spread = float(np.median(self.tops)), float(self.tops.std())
        return (level + spread * lumps / lumps.std()).astype(np.float32)


def _enlarged(image: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """A square image at (size, size), bilinear."""
    return np.asarray(ndimage.zoom(image, size / image.shape[0], order=1, grid_mode=True, mode="nearest"))


def _moved(image: Image, shift: NDArray[np.float64]) -> Image:
    """The middle of an image, so that moved(x + shift) is the image at x: exact, over a mirrored border."""
    size = len(image) - 2 * PAD
    wide = np.pad(image, size // 2, mode="symmetric")
    moved = fft.ifft2(ndimage.fourier_shift(fft.fft2(wide), shift)).real
    start = size // 2 + PAD
    return moved[start : start + size, start : start + size].astype(np.float32)


def _usable(pair: Pair, clouds: Clouds, rng: np.random.Generator) -> Iterator[Case]:
    """Every trouble in which the ground can still be seen."""
    shift = rng.uniform(-REACH_PX, REACH_PX, 2)
    size = len(pair.before) - 2 * PAD
    inner = slice(PAD, PAD + size)
    reference, still = pair.before[inner, inner], pair.after[inner, inner]
    target, everything = _moved(pair.after, shift), np.ones((size, size), bool)
    target = target * rng.uniform(0.85, 1.15) + rng.uniform(-100, 100) + rng.normal(0, NOISE_DN, target.shape)

    def case(trouble: str, image: Image, told: Mask, ground: Mask) -> Case:
        # what can be compared: ground that is seen at x in the one and at x + shift in the other
        seen = ground & (ndimage.shift(ground.astype(np.float32), -shift, order=1, cval=0) > 0.99)
        plain = estimate_shift(reference, still, seen)
        return Case(trouble, reference, image.astype(np.float32), told, shift + plain.shift)

    yield case("other season" if pair.city in OTHER_SEASON else "another year", target, everything, everything)
    for trouble, share in (("30 % cloud", 0.3), ("60 % cloud", 0.6)):
        bright, opaque, light = clouds.layer(size, share, rng)
        image = target * light * (1 - opaque) + bright * opaque
        ground = (opaque < 0.02) & (light > 0.98)
        yield case(f"{trouble}, masked", image, ground, ground)
        yield case(f"{trouble}, mask blind", image, everything, ground)
    image, ground = _half(target, clouds, rng)
    yield case("half-plane cloud, masked", image, ground, ground)
    yield case("half-plane cloud, mask blind", image, everything, ground)
    image = _hazed(target, rng)
    yield case("shadow and thin haze, mask blind", image, everything, everything)
    image, ground = _changed(target, pair, rng)
    yield case("10 % of the area changed", image, everything, ground)
    image, ground = _snowed(target, rng)
    yield case("patches of snow, masked", image, ground, ground)
    yield case("patches of snow, mask blind", image, everything, ground)


def _half(target: Image, clouds: Clouds, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A cloud bank over half of the chip, its edge soft and at any angle."""
    angle = rng.uniform(0, 2 * np.pi)
    row, col = np.mgrid[: len(target), : len(target)] - len(target) / 2
    waves = ndimage.gaussian_filter(rng.normal(size=target.shape), 8) * 100
    depth = row * np.sin(angle) + col * np.cos(angle) + waves
    opaque = np.clip(depth / 6, 0, 1)
    return target * (1 - opaque) + clouds.full(len(target), rng) * opaque, depth < -1


def _hazed(target: Image, rng: np.random.Generator) -> Image:
    """Thin cloud of up to a tenth in reflectance and shadow of up to a half, both smooth over about 15 px."""
    veil, shade = (ndimage.gaussian_filter(rng.normal(size=target.shape), 15) for _ in range(2))
    veil, shade = (np.clip(field / np.abs(field).max(), 0, 1) for field in (veil, shade))
    return target * (1 - 0.5 * shade) * (1 - 0.3 * veil) + 1000 * veil


def _changed(target: Image, pair: Pair, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A tenth of the area is other ground altogether: blocks of 12 to 40 px from elsewhere in the window, turned."""
    image, ground = target.copy(), np.ones(target.shape, bool)
    size = len(target)
    other = np.rot90(pair.after[:size, :size], 2)
    while ground.mean() > 0.9:
        rows, cols = (int(side) for side in rng.integers(12, 40, 2))
        row, col = int(rng.integers(0, size - rows)), int(rng.integers(0, size - cols))
        cut = (slice(row, row + rows), slice(col, col + cols))
        image[cut] = other[cut] * rng.uniform(0.8, 1.5)
        ground[cut] = False
    return image, ground


def _snowed(target: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Snow in patches over about 40 %: bright, a tenth of the ground's structure left."""
    field = ndimage.gaussian_filter(rng.normal(size=target.shape), 9)
    cover = np.clip((field - np.quantile(field, 0.6)) / (0.3 * field.std()), 0, 1)
    snow = 7000 + 0.1 * (target - target.mean()) + rng.normal(0, 60, target.shape)
    return target * (1 - cover) + snow * cover, cover == 0


def _hopeless(
    land: list[Pair], sea: list[tuple[Image, Image]], clouds: Clouds, rng: np.random.Generator
) -> Iterator[Case]:
    """What must be refused."""
    size = len(land[0].before) - 2 * PAD
    inner = slice(PAD, PAD + size)

    def case(trouble: str, one: Image, two: Image) -> Case:
        return Case(trouble, one.astype(np.float32), two.astype(np.float32), np.ones(one.shape, bool), None)

    for one, two in sea:
        yield case("water, real", one, two)
    for pair in land:
        reference = pair.before[inner, inner]
        yield case("water, waves", *(_rough(size, 400, 30, 1.5, rng) for _ in range(2)))
        yield case("full cloud", reference, clouds.full(size, rng))
        yield case("full snow", reference, 7500 + _rough(size, 0, 150, 3, rng) + 0.01 * _moved(pair.after, np.zeros(2)))
        yield case("uniform desert", *(_striped(size, rng) for _ in range(2)))
    for index, pair in enumerate(land):
        for step in (7, 13, 23):
            other = land[(index + step) % len(land)]
            if other.city != pair.city:
                yield case("unrelated images", pair.before[inner, inner], other.after[inner, inner])


def _rough(size: int, level: float, spread: float, sigma: float, rng: np.random.Generator) -> Image:
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma)
    return (level + spread * field / field.std() + rng.normal(0, NOISE_DN, field.shape)).astype(np.float32)


def _striped(size: int, rng: np.random.Generator) -> Image:
    """Sand: one level, a long slope, noise, and the stripes of the detector, which lie still when the ground moves."""
    fixed = np.random.default_rng(5).normal(0, 4, size)
    slope = np.linspace(0, rng.uniform(-100, 100), size)[:, None]
    return (3000 + slope + fixed[None, :] + rng.normal(0, NOISE_DN, (size, size))).astype(np.float32)
