"""Looks, references and folds taken apart for the memory, and put together again to the last bit."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from pipeline.correct.reference import Reference
from pipeline.decide.fold import State
from pipeline.decide.history import History
from pipeline.decide.persistence import Trace
from pipeline.model.bands import Band
from pipeline.model.imagery import Alignment, Look, Reason, Rejection, Scene
from pipeline.run.memory import Packed

Arrays = Mapping[str, NDArray[Any]]


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
    facts = {"bands": reference.bands, "scenes": reference.scenes, "wander_px": reference.wander_px}
    return Packed(facts=facts, arrays={"reflectance": reference.reflectance})


def unpack_reference(packed: Packed, grid: GeoBox) -> Reference:
    """The inverse of `pack_reference`."""
    facts = packed.facts
    return Reference(
        grid=grid,
        bands=tuple(map(Band, facts["bands"])),
        scenes=tuple(facts["scenes"]),
        wander_px=facts["wander_px"],
        **packed.arrays,
    )


def pack_step(state: State, index: int) -> Packed:
    """What one look of a fold left behind: its scores and its whitened residual; nothing where it was not judged."""
    score, white = state.scores[index], state.white[index]
    return Packed(facts={}, arrays={} if score is None or white is None else {"score": score, "white": white})


def pack_state(state: State) -> Packed:
    """Where a fold stands, without what `pack_step` keeps look by look."""
    arrays = {f"past.{name}": array for name, array in _arrays(state.past).items()}
    arrays |= {f"trace.{name}": array for name, array in _arrays(state.trace).items()}
    return Packed(facts={"learning": state.learning}, arrays=arrays | {"judged": state.judged})


def unpack_state(packed: Packed, steps: list[Packed]) -> State:
    """The inverse of both. steps: of all looks after the first `learning`, in their order."""
    learning = packed.facts["learning"]
    none = (None,) * learning
    return State(
        count=learning + len(steps),
        past=History(**_part(packed.arrays, "past")),
        trace=Trace(**_part(packed.arrays, "trace")),
        scores=(*none, *(step.arrays.get("score") for step in steps)),
        white=(*none, *(step.arrays.get("white") for step in steps)),
        judged=packed.arrays["judged"],
        learning=learning,
    )


def _arrays(value: Any) -> dict[str, NDArray[Any]]:
    return {each.name: np.asarray(getattr(value, each.name)) for each in fields(value)}


def _part(arrays: Arrays, name: str) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
