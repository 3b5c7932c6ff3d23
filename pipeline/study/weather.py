"""Nuisances of a simulated scene: clouds and their shadows, haze, snow, wet soil, and errors of the SCL."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.model.bands import Band
from pipeline.study.materials import CLOUD, SNOW

OVERCAST = 0.75
"""Mean cloud cover above which a scene is not delivered."""
SHADE = {Band.B02: 0.55, Band.B03: 0.5, Band.B04: 0.45, Band.B08: 0.4, Band.B8A: 0.4, Band.B11: 0.32, Band.B12: 0.3}
"""Share of the light under a thick cloud, per band: sky light, mostly blue."""
HAZE = {Band.B02: 1.0, Band.B03: 0.75, Band.B04: 0.55, Band.B08: 0.3, Band.B8A: 0.28, Band.B11: 0.08, Band.B12: 0.05}
_SCL = {"vegetation": 4, "bare": 5, "water": 6, "unclassified": 7, "medium": 8, "high": 9, "shadow": 3, "snow": 11}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """Shares of the passes of a month: up to `clear` without cloud, up to `broken` with some, the rest overcast.

    snow: chance that it lies.
    """

    clear: float
    broken: float
    snow: float


def temperate_weather(lat: float, month: int) -> Chances:
    """The weather of the middle latitudes; snow in winter beyond 30 degrees."""
    winter = abs(lat) > 30 and month in ((12, 1, 2) if lat > 0 else (6, 7, 8))
    return Chances(clear=0.45, broken=0.75, snow=0.25 if winter else 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """One pass's weather on the 10 m grid, all (row, col) 0..1. snow: whole-scene cover. gain: (band,)."""

    cloud: NDArray[np.float32]
    shade: NDArray[np.float32]
    haze: NDArray[np.float32]
    wet: NDArray[np.float32]
    snow: NDArray[np.float32]
    gain: dict[Band, float]


def smooth_field(shape: tuple[int, int], rng: np.random.Generator, slope: float = 1.8) -> NDArray[np.float32]:
    """A random field with a power-law spectrum, zero mean and unit spread: clouds, haze, moisture."""
    rows, cols = (int(2 ** np.ceil(np.log2(size))) for size in shape)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(rows, cols))) / frequency**slope
    field = np.fft.irfft2(spectrum, (rows, cols))[: shape[0], : shape[1]]
    return np.asarray((field - field.mean()) / max(field.std(), 1e-9), np.float32)


def draw_weather(shape: tuple[int, int], sun: tuple[float, float], chances: Chances, rng: np.random.Generator) -> Sky:
    """Draw one pass's weather. sun: (zenith, azimuth) degrees."""
    lot = rng.uniform()
    cover = 0.0 if lot < chances.clear else rng.uniform(0.05, 0.6) if lot < chances.broken else rng.uniform(0.8, 1.2)
    cloud = np.zeros(shape, np.float32)
    if cover > 0:
        field = smooth_field(shape, rng)
        limit = float(np.quantile(field, max(1 - cover, 0)))
        cloud = np.clip((field - limit) / 0.35, 0, 1).astype(np.float32) if cover < 1 else np.ones(shape, np.float32)
    base_m, azimuth = rng.uniform(600, 2500), np.radians(sun[1])
    reach = base_m * np.tan(np.radians(sun[0])) / 10
    # the shadow falls away from the sun; image rows run south
    shade = ndimage.shift(cloud, (reach * np.cos(azimuth), -reach * np.sin(azimuth)), order=1, mode="reflect")
    haze = rng.gamma(1.2, 0.008) * (1 + 0.3 * smooth_field(shape, rng, 2.4))
    wet = np.clip(rng.uniform(-0.1, 1.0) + 0.25 * smooth_field(shape, rng), 0, 1)
    snow = np.zeros(shape, np.float32)
    if chances.snow > 0 and rng.uniform() < chances.snow:
        snow = np.clip(rng.uniform(0.4, 1.3) + 0.3 * smooth_field(shape, rng), 0, 1).astype(np.float32)
    level = rng.normal(1, 0.05)
    return Sky(
        cloud=cloud,
        shade=np.asarray(shade, np.float32),
        haze=np.clip(haze, 0, 0.08).astype(np.float32),
        wet=wet.astype(np.float32),
        snow=snow,
        gain={band: float(np.clip(level + rng.normal(0, 0.015), 0.8, 1.2)) for band in HAZE},
    )


def apply_weather(plane: NDArray[np.float32], band: Band, sky: Sky, bare: NDArray[np.float32]) -> NDArray[np.float32]:
    """A band's reflectance as the sensor would deliver it. bare: (row, col) 0..1 soil, which darkens when wet.

    plane, bare: on the band's own grid; the sky is brought to it.
    """

    def here(field: NDArray[np.float32]) -> NDArray[np.float32]:
        if field.shape == plane.shape:
            return field
        rows, cols = plane.shape
        return np.asarray(field.reshape(rows, 2, cols, 2).mean(axis=(1, 3)), np.float32)

    value = plane * (1 - 0.22 * here(sky.wet) * bare)
    value = value + here(sky.snow) * 0.9 * (SNOW[band] - value)
    value = value * (1 - here(sky.shade) * (1 - SHADE[band]))
    value = sky.gain[band] * value + here(sky.haze) * HAZE[band]
    return np.asarray(value + here(sky.cloud) * (CLOUD[band] - value), np.float32)


def scene_classes(
    sky: Sky, index: NDArray[np.float32], blue: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """SCL with the errors of Sen2Cor: thin cloud and a third of the shadows missed, bright roofs classified as cloud.

    index: NDVI, blue: reflectance of the clear ground, both (row, col) at 10 m.
    """
    classes = np.full(index.shape, _SCL["bare"], np.uint8)
    classes[index > 0.35] = _SCL["vegetation"]
    classes[(index < -0.05) & (blue < 0.1)] = _SCL["water"]
    classes[(blue > 0.28) & (sky.snow < 0.3)] = _SCL["medium"]
    classes[blue > 0.45] = _SCL["high"]
    classes[sky.snow > 0.5] = _SCL["snow"]
    if rng.uniform() > 0.35:
        classes[(sky.shade > 0.45) & (sky.cloud < 0.3)] = _SCL["shadow"]
    classes[sky.cloud > 0.3] = _SCL["unclassified"]
    classes[sky.cloud > 0.45] = _SCL["medium"]
    classes[sky.cloud > 0.7] = _SCL["high"]
    if rng.uniform() < 0.06:
        # a scene that SCL passes as clear, as it does now and then
        classes[(classes == _SCL["medium"]) | (classes == _SCL["high"]) | (classes == _SCL["shadow"])] = _SCL["bare"]
    return classes
