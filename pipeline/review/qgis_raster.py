"""Styles of the rasters in QGIS, in the project and beside the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.model.bands import VISIBLE, Band
from pipeline.model.imagery import Look
from pipeline.model.indices import near_infrared
from pipeline.review.qgis_xml import VERSION, Element, xml_document, xml_element
from pipeline.review.rasters import picture_order
from pipeline.review.stretch import GAMMA, Stretch

LOW, HIGH = 1.0, 99.0
"""Percentiles of the infrared bands shown from black to white."""
HEADROOM = 1.3
"""Factor from the white of `Stretch` to the white in QGIS, which has no shoulder."""
MIN_SPAN = 400
RAMP = ((0.0, "#ffffff", 0), (2.0, "#ffffb2", 120), (6.0, "#fd8d3c", 220), (12.0, "#bd0026", 255))
"""Score, colour, alpha; low scores are transparent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """DN shown as black and as white, by band: one for before and after, else unchanged ground would differ."""

    limits: Mapping[Band, tuple[int, int]]
    gamma: float = 1.0

    def of(self, band: Band) -> tuple[int, int]:
        """(low, high) of a band."""
        return self.limits.get(band, (0, 3000))


def fit_stretches(looks: Sequence[Look], tone: Stretch) -> Stretches:
    """One stretch for all the looks that are shown. tone: that of the site's other pictures, for the visible bands."""
    white = tone.low + HEADROOM * (tone.high - tone.low)
    found = dict.fromkeys(VISIBLE, (round(tone.low * 10_000), round(white * 1000) * 10))
    for band in (band for band in looks[0].bands if band not in VISIBLE):
        values = [look.reflectance[look.bands.index(band)][look.usable] for look in looks if band in look.bands]
        known = np.concatenate([*values, np.zeros(0, np.float32)])
        low, high = np.percentile(known, (LOW, HIGH)) * 10_000 if known.size else (0.0, 3000.0)
        found[band] = round(low / 10) * 10, round(max(high, low + MIN_SPAN) / 10) * 10
    return Stretches(limits=found, gamma=1 / GAMMA)


def raster_styles(bands: Sequence[Band], stretch: Stretches) -> dict[str, str]:
    """File name -> QML: what QGIS takes by itself for the raster of that name. bands: of the looks."""
    true = true_colour(picture_order(bands), stretch)
    look = _raster_qml(true, stretch.gamma)
    return {"before.qml": look, "after.qml": look, "score.qml": _raster_qml(score_style())}


def true_colour(bands: Sequence[Band], stretch: Stretches) -> Element:
    """Red, green, blue as they stand first in the file; grey where the visible bands are missing."""
    return _rgb_renderer(bands, VISIBLE if tuple(bands[:3]) == VISIBLE else (bands[0],) * 3, stretch)


def false_colour(bands: Sequence[Band], stretch: Stretches) -> Element:
    """Near infrared, red, green: vegetation shines red; true colour where there is no near infrared."""
    near = near_infrared(bands)
    if near is None or tuple(bands[:3]) != VISIBLE:
        return true_colour(bands, stretch)
    return _rgb_renderer(bands, (near, *VISIBLE[:2]), stretch)


def renderer_pipe(renderer: Element, gamma: float = 1.0) -> Element:
    """A renderer in the form that layers and styles hold it. gamma: as QGIS counts it, above 1 is brighter."""
    plain = xml_element("brightnesscontrast", {"brightness": 0, "contrast": 0, "gamma": f"{gamma:.2f}"})
    return xml_element("pipe", None, renderer, plain, xml_element("rasterresampler", {"maxOversampling": 2}))


def _raster_qml(renderer: Element, gamma: float = 1.0) -> str:
    root = xml_element(
        "qgis", {"version": VERSION, "styleCategories": "AllStyleCategories"}, renderer_pipe(renderer, gamma)
    )
    return xml_document(root)


def _rgb_renderer(bands: Sequence[Band], shown: Sequence[Band], stretch: Stretches) -> Element:
    names = ("red", "green", "blue")
    numbers = {f"{name}Band": bands.index(band) + 1 for name, band in zip(names, shown, strict=True)}
    return xml_element(
        "rasterrenderer",
        {"type": "multibandcolor", **numbers, "alphaBand": -1, "opacity": 1},
        xml_element("minMaxOrigin", None, xml_element("limits", text="None")),
        *[_contrast_enhancement(name, stretch.of(band)) for name, band in zip(names, shown, strict=True)],
    )


def _contrast_enhancement(name: str, limits: tuple[int, int]) -> Element:
    return xml_element(
        f"{name}ContrastEnhancement",
        None,
        xml_element("minValue", text=limits[0]),
        xml_element("maxValue", text=limits[1]),
        xml_element("algorithm", text="StretchToMinimumMaximum"),
    )


def score_style() -> Element:
    """The score as a ramp over the picture."""
    low, high = RAMP[0][0], RAMP[-1][0]
    items = [xml_element("item", {"value": v, "color": c, "alpha": a, "label": f"{v:g}"}) for v, c, a in RAMP]
    shader = xml_element(
        "colorrampshader",
        {
            "colorRampType": "INTERPOLATED",
            "classificationMode": 1,
            "clip": 0,
            "minimumValue": low,
            "maximumValue": high,
        },
        *items,
    )
    return xml_element(
        "rasterrenderer",
        {
            "type": "singlebandpseudocolor",
            "band": 1,
            "alphaBand": -1,
            "opacity": 1,
            "classificationMin": low,
            "classificationMax": high,
        },
        xml_element("minMaxOrigin", None, xml_element("limits", text="None")),
        xml_element("rastershader", None, shader),
    )
