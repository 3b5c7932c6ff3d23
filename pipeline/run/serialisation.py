"""Looks, references and screenings as arrays and facts for the result cache, and back, to the last bit."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from pipeline.correct.reference import Reference
from pipeline.decide.residuals import Baseline, Residual
from pipeline.decide.screening import Natural, Screening
from pipeline.model.bands import Band
from pipeline.model.imagery import Alignment, Look, Reason, Rejection, Scene
from pipeline.run.result_cache import Packed

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


def pack_baseline(baseline: Baseline) -> Packed:
    """The baseline of a site."""
    return Packed(facts={}, arrays={"mean": baseline.mean, "cover": baseline.cover})


def unpack_baseline(packed: Packed) -> Baseline:
    """The inverse of `pack_baseline`."""
    return Baseline(**packed.arrays)


def pack_residual(residual: Residual) -> Packed:
    """The residual of one look."""
    scales = {f"scale{index}": plane for index, plane in enumerate(residual.pooled)}
    return Packed(facts={}, arrays=scales | {"noise": residual.noise})


def unpack_residual(packed: Packed) -> Residual:
    """The inverse of `pack_residual`."""
    scales = sorted(name for name in packed.arrays if name.startswith("scale"))
    return Residual(pooled=tuple(packed.arrays[name] for name in scales), noise=packed.arrays["noise"])


def pack_natural(natural: Natural) -> Packed:
    """The natural steps of a site."""
    return Packed(facts={}, arrays={"covariances": natural.covariances})


def unpack_natural(packed: Packed) -> Natural:
    """The inverse of `pack_natural`."""
    return Natural(**packed.arrays)


def pack_screening(screening: Screening) -> Packed:
    """The screening of some looks."""
    arrays = {
        f"{name}{index}": plane
        for name in ("score", "start", "stop")
        for index, plane in enumerate(getattr(screening, name))
    }
    return Packed(facts={"count": screening.count}, arrays=arrays)


def unpack_screening(packed: Packed) -> Screening:
    """The inverse of `pack_screening`."""
    scales = range(len(packed.arrays) // 3)
    score, start, stop = (
        tuple(packed.arrays[f"{name}{index}"] for index in scales) for name in ("score", "start", "stop")
    )
    return Screening(score=score, start=start, stop=stop, count=packed.facts["count"])
