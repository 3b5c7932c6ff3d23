"""Looks, references and values of the decision as arrays and facts for the result cache, and back, to the last bit."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import Field, asdict, fields
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from pipeline.correct.reference import Reference
from pipeline.model.bands import Band
from pipeline.model.imagery import Alignment, Look, Reason, Rejection, Scene
from pipeline.run.result_cache import Packed


class HasFields(Protocol):
    """An instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Value = TypeVar("Value", bound=HasFields)


def pack_look(look: Look | Rejection) -> Packed:
    """A look, or why there is none; its scene and its grid are the caller's."""
    if isinstance(look, Rejection):
        return Packed(facts={"rejection": rejection_facts(look)})
    facts = {
        "bands": look.bands,
        "alignment": asdict(look.alignment),
        "boa_offset_dn": look.boa_offset_dn,
        "gain": look.gain,
        "offset": look.offset,
    }
    return Packed(facts=facts, arrays={"reflectance": look.reflectance, "why": look.why, "noise": look.noise})


def unpack_look(packed: Packed, scene: Scene, grid: GeoBox) -> Look | Rejection:
    """The inverse of `pack_look`."""
    facts, arrays = packed.facts, packed.arrays
    if "rejection" in facts:
        return rejection_of(facts["rejection"], scene)
    alignment = dict(facts["alignment"])
    return Look(
        scene=scene,
        grid=grid,
        bands=tuple(map(Band, facts["bands"])),
        reflectance=arrays["reflectance"],
        why=arrays["why"],
        alignment=Alignment(**{**alignment, "shift": tuple(alignment["shift"])}),
        noise=arrays["noise"],
        boa_offset_dn=facts["boa_offset_dn"],
        gain=tuple(facts["gain"]),
        offset=tuple(facts["offset"]),
    )


def rejection_facts(refused: Rejection) -> dict[str, Any]:
    """A refusal as plain JSON, without its scene."""
    return {"reason": refused.reason, "value": refused.value, "limit": refused.limit, "note": refused.note}


def rejection_of(facts: Mapping[str, Any], scene: Scene) -> Rejection:
    """The inverse of `rejection_facts`."""
    return Rejection(
        scene=scene.id,
        time=scene.time,
        reason=Reason(facts["reason"]),
        value=facts["value"],
        limit=facts["limit"],
        note=facts["note"],
    )


def pack_reference(reference: Reference) -> Packed:
    """A reference; its grid is the caller's."""
    facts = {"bands": reference.bands, "scenes": reference.scenes, "shift_scatter_px": reference.shift_scatter_px}
    return Packed(facts=facts, arrays={"reflectance": reference.reflectance})


def unpack_reference(packed: Packed, grid: GeoBox) -> Reference:
    """The inverse of `pack_reference`."""
    facts = packed.facts
    return Reference(
        grid=grid,
        bands=tuple(map(Band, facts["bands"])),
        scenes=tuple(facts["scenes"]),
        shift_scatter_px=facts["shift_scatter_px"],
        **packed.arrays,
    )


def pack_fields(value: HasFields) -> Packed:
    """A value of the decision: fields that are arrays, or tuples of arrays, as arrays, and all others as facts."""
    facts, arrays = {}, {}
    for name in (each.name for each in fields(value)):
        content = getattr(value, name)
        if isinstance(content, np.ndarray):
            arrays[name] = content
        elif isinstance(content, tuple):
            arrays |= {f"{name}.{index}": part for index, part in enumerate(content)}
        else:
            facts[name] = content
    return Packed(facts=facts, arrays=arrays)


def unpack_fields(kind: type[Value], packed: Packed) -> Value:
    """The inverse of `pack_fields`, for a value of this class."""
    parts: dict[str, dict[int, NDArray[Any]]] = defaultdict(dict)
    for name, array in packed.arrays.items():
        base, _, index = name.partition(".")
        if index:
            parts[base][int(index)] = array
    tuples = {base: tuple(each[index] for index in sorted(each)) for base, each in parts.items()}
    whole = {name: array for name, array in packed.arrays.items() if "." not in name}
    return kind(**packed.facts, **whole, **tuples)
