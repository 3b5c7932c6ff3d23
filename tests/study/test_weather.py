"""The weather of a simulation: how often it is clear, where shade falls, what a careless classification makes of it."""

from collections import Counter

import numpy as np
import pytest

from pipeline.model.bands import Band
from pipeline.study.weather import (
    Chances,
    Sky,
    apply_weather,
    draw_weather,
    scene_classes,
    smooth_field,
    temperate_weather,
)

SHAPE = (96, 96)


def plain(**fields: np.ndarray) -> Sky:
    none = np.zeros(SHAPE, np.float32)
    known = {"cloud": none, "shade": none, "haze": none, "wet": none, "snow": none, **fields}
    return Sky(**known, gain=dict.fromkeys((Band.B02, Band.B04, Band.B11), 1.0))


def test_passes_are_clear_broken_and_overcast_as_often_as_said() -> None:
    rng = np.random.default_rng(4)
    chances = Chances(clear=0.3, broken=0.5, snow=0.0)
    covers = [float(draw_weather(SHAPE, (40.0, 160.0), chances, rng).cloud.mean()) for _ in range(300)]
    kinds = Counter("clear" if cover == 0 else "broken" if cover < 0.65 else "overcast" for cover in covers)
    assert kinds["clear"] == pytest.approx(90, abs=25)
    assert kinds["broken"] == pytest.approx(60, abs=25)
    assert kinds["overcast"] == pytest.approx(150, abs=30)


def test_snow_lies_in_the_winter_of_either_hemisphere_only() -> None:
    assert temperate_weather(45, 1).snow > 0 and temperate_weather(45, 7).snow == 0
    assert temperate_weather(-45, 7).snow > 0 and temperate_weather(-45, 1).snow == 0
    assert temperate_weather(10, 1).snow == 0


@pytest.mark.parametrize(("azimuth", "north", "west"), [(180.0, 1, 0), (90.0, 0, 1), (160.0, 0.94, 0.34)])
def test_shade_falls_on_the_far_side_of_the_cloud(azimuth: float, north: float, west: float) -> None:
    rng, shape = np.random.default_rng(8), (256, 256)
    chances = Chances(clear=0.0, broken=1.0, snow=0.0)
    skies = (draw_weather(shape, (15.0, azimuth), chances, rng) for _ in range(99))
    sky = next(sky for sky in skies if 0.05 < sky.cloud.mean() < 0.3)
    spectrum = np.fft.rfft2(sky.cloud).conj() * np.fft.rfft2(sky.shade)
    row, col = np.unravel_index(int(np.argmax(np.fft.irfft2(spectrum, shape))), shape)
    up, left = (-int(row) + 128) % 256 - 128, (-int(col) + 128) % 256 - 128
    reach = float(np.hypot(up, left))
    assert 14 < reach < 70
    assert (up / reach, left / reach) == pytest.approx((north, west), abs=0.06)


def test_thick_cloud_hides_what_is_below_and_shade_darkens_it() -> None:
    ground, bare = np.full(SHAPE, 0.2, np.float32), np.zeros(SHAPE, np.float32)
    half = np.zeros(SHAPE, np.float32)
    half[:, :48] = 1
    clouded = apply_weather(ground, Band.B04, plain(cloud=half), bare)
    assert clouded[:, :48].std() < 1e-6 and clouded[0, 0] > 0.5
    assert clouded[0, 90] == pytest.approx(0.2)
    shaded = apply_weather(ground, Band.B11, plain(shade=half), bare)
    assert shaded[0, 0] < 0.4 * shaded[0, 90]
    coarse = apply_weather(ground[::2, ::2], Band.B11, plain(cloud=half), bare[::2, ::2])
    assert coarse[0, 0] > 0.45 and coarse[0, 47] == pytest.approx(0.2)


def test_the_classification_calls_bright_roofs_cloud_and_passes_thin_cloud() -> None:
    rng = np.random.default_rng(0)
    index, blue = np.full(SHAPE, 0.7, np.float32), np.full(SHAPE, 0.03, np.float32)
    blue[40:46, 40:50], index[40:46, 40:50] = 0.5, 0.02
    thin = np.zeros(SHAPE, np.float32)
    thin[:20] = 0.2
    classes = scene_classes(plain(cloud=thin), index, blue, rng)
    assert set(np.unique(classes[40:46, 40:50])) == {9}
    assert set(np.unique(classes[:20])) == {4}


def test_clouds_are_large_and_small_at_once() -> None:
    field = smooth_field((128, 128), np.random.default_rng(1))
    assert field.mean() == pytest.approx(0, abs=1e-3) and field.std() == pytest.approx(1, abs=1e-3)
    near = np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1]
    far = np.corrcoef(field[:, 40:].ravel(), field[:, :-40].ravel())[0, 1]
    assert near > 0.9 > 0.5 > abs(far)
