"""How the three rasters look in QGIS, in the project and at a double-click."""

from collections.abc import Sequence

from pipeline.model.bands import VISIBLE, Band
from pipeline.review.qgis_xml import VERSION, Element, document, element
from pipeline.review.rasters import picture_order

TRUE_STRETCH, FALSE_STRETCH = (0, 2500), (0, 4500)
"""DN shown from black to white; the same before and after, else unchanged ground would differ."""
RAMP = ((0.0, "#ffffff", 0), (2.0, "#ffffb2", 120), (6.0, "#fd8d3c", 220), (12.0, "#bd0026", 255))
"""Nats, colour, alpha; nothing at the low end lets the image through."""


def raster_styles(bands: Sequence[Band]) -> dict[str, str]:
    """File name -> QML: what QGIS takes by itself for the raster of that name. bands: of the looks."""
    true = true_colour(picture_order(bands))
    return {"before.qml": _qml(true), "after.qml": _qml(true), "score.qml": _qml(evidence())}


def true_colour(bands: Sequence[Band]) -> Element:
    """Red, green, blue as they stand first in the file; grey where the visible bands are missing."""
    return _rgb((1, 2, 3) if tuple(bands[:3]) == VISIBLE else (1, 1, 1), TRUE_STRETCH)


def false_colour(bands: Sequence[Band]) -> Element:
    """Near infrared, red, green: vegetation shines red; true colour where there is no near infrared."""
    near = next((index for index, band in enumerate(bands, 1) if band in (Band.B08, Band.B8A)), None)
    if near is None or tuple(bands[:3]) != VISIBLE:
        return true_colour(bands)
    return _rgb((near, 1, 2), FALSE_STRETCH)


def pipe(renderer: Element) -> Element:
    """A renderer in the form that layers and styles hold it."""
    plain = element("brightnesscontrast", {"brightness": 0, "contrast": 0, "gamma": 1})
    return element("pipe", None, renderer, plain, element("rasterresampler", {"maxOversampling": 2}))


def _qml(renderer: Element) -> str:
    root = element("qgis", {"version": VERSION, "styleCategories": "AllStyleCategories"}, pipe(renderer))
    return document(root)


def _rgb(bands: tuple[int, int, int], stretch: tuple[int, int]) -> Element:
    def enhancement(name: str) -> Element:
        return element(
            f"{name}ContrastEnhancement",
            None,
            element("minValue", text=stretch[0]),
            element("maxValue", text=stretch[1]),
            element("algorithm", text="StretchToMinimumMaximum"),
        )

    red, green, blue = bands
    return element(
        "rasterrenderer",
        {"type": "multibandcolor", "redBand": red, "greenBand": green, "blueBand": blue, "alphaBand": -1, "opacity": 1},
        element("minMaxOrigin", None, element("limits", text="None")),
        *[enhancement(name) for name in ("red", "green", "blue")],
    )


def evidence() -> Element:
    """The score as a ramp over the picture."""
    low, high = RAMP[0][0], RAMP[-1][0]
    items = [element("item", {"value": v, "color": c, "alpha": a, "label": f"{v:g} nats"}) for v, c, a in RAMP]
    shader = element(
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
    return element(
        "rasterrenderer",
        {
            "type": "singlebandpseudocolor",
            "band": 1,
            "alphaBand": -1,
            "opacity": 1,
            "classificationMin": low,
            "classificationMax": high,
        },
        element("minMaxOrigin", None, element("limits", text="None")),
        element("rastershader", None, shader),
    )
