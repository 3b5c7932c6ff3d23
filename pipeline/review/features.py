"""A change as a GeoJSON feature that is complete by itself."""

from typing import Any

from shapely.geometry import mapping

from pipeline.review.contents import Change, Contents
from pipeline.review.lonlat import lonlat_bounds, to_lonlat
from pipeline.review.schema import ANALYST, MACHINE

COLUMNS = (*MACHINE, *ANALYST)
ITEMS = ("before_item", "after_item")
"""Addresses of the provider's items of the pair; empty where the catalogue is local."""
CREDIT = ("attribution", "simulated")
"""Properties of the site that each feature carries."""


def geojson_feature(change: Change, contents: Contents) -> dict[str, Any]:
    """RFC 7946, with every column, a sentence, the credit and what is simulated."""
    shape = to_lonlat(change.outline, contents.crs)
    return {
        "type": "Feature",
        "id": change.id,
        **({} if shape.is_empty else {"bbox": list(lonlat_bounds(shape))}),
        "geometry": mapping(shape),
        "properties": {
            **{name: change[name] for name in COLUMNS},
            "label": change.label,
            "description": contents.sentence_of(change),
            **dict.fromkeys(ITEMS),
            **contents.items_of(change),
            "attribution": contents.provenance.get("attribution", ""),
            "simulated": contents.provenance.get("simulated", ""),
        },
    }
