"""The scenes of a site to looks, each made once: what the memory holds of a scene is not made again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np

from pipeline.correct.look import make_draft, make_look, warped_anew
from pipeline.correct.offset import Claimed, Levels, levels, settle_claims, with_claims
from pipeline.correct.reference import Draft, Reference, found, founders
from pipeline.correct.release import REACH, release
from pipeline.correct.site_looks import bands_of, make_looks
from pipeline.model.bands import Band
from pipeline.model.errors import PixelError
from pipeline.model.grid import aoi_mask
from pipeline.model.imagery import Chip, DeclaredOffset, Look, Rejection, Scene
from pipeline.model.progress import Progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run.result_cache import Packed, ResultCache, cache_key
from pipeline.run.serialisation import (
    pack_look,
    pack_reference,
    rejection_facts,
    rejection_of,
    unpack_look,
    unpack_reference,
)


class LostError(Exception):
    """A scene can no longer be read; processing starts again without it."""

    def __init__(self, scene: Scene, fault: PixelError) -> None:
        super().__init__(str(fault))
        self.scene, self.fault = scene, fault


@dataclass(slots=True, eq=False)
class Reading:
    """A scene whose pixels are read when they are asked for. source: digest of what they are read from."""

    scene: Scene
    source: str
    read: Callable[[], tuple[Chip, ...]]
    _chips: tuple[Chip, ...] | None = None

    def chips(self) -> tuple[Chip, ...]:
        """The pixels, granule by granule. Raises PixelError where they cannot be read."""
        if self._chips is None:
            self._chips = self.read()
        return self._chips

    def claims(self) -> dict[str, DeclaredOffset]:
        """What the metadata claim of each granule, by its id."""
        granules = self.scene.granules if self._chips is None else [chip.granule for chip in self._chips]
        return {granule.id: granule.declared_offset for granule in granules}

    def drop(self) -> None:
        """Give the memory back."""
        self._chips = None


@dataclass(eq=False, kw_only=True)
class _Settled:
    """A reading whose claims are settled, and its draft. key: of all that the draft follows from."""

    reading: Reading
    claims: tuple[DeclaredOffset, ...]
    key: str
    site: Site
    settings: Settings
    _fresh: Draft | Rejection | None = field(default=None, init=False)

    def chips(self) -> tuple[Chip, ...]:
        try:
            return with_claims(self.reading.chips(), self.claims)
        except PixelError as fault:
            raise LostError(self.reading.scene, fault) from fault

    def draft(self) -> Draft | Rejection:
        """Made at first use; dropped pixels are warped again, masks are kept."""
        if self._fresh is None:
            chips = self.chips()
            self._fresh = make_draft(chips, self.site.grid, bands_of(chips), self.settings)
        elif isinstance(self._fresh, Draft) and not self._fresh.reflectance.size:
            self._fresh = warped_anew(self._fresh, self.chips())
        return self._fresh

    def facts(self) -> dict[str, Any]:
        """Cached part of the unregistered image. Its pixels are dropped: a long history would not fit."""
        draft = self.draft()
        if isinstance(draft, Rejection):
            return rejection_facts(draft)
        self._fresh = replace(draft, reflectance=np.zeros((0, 0, 0), np.float32))
        return {"clear": draft.clear_share, "level": draft.level}

    def drop(self) -> None:
        self._fresh = None
        self.reading.drop()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corrected:
    """Looks of all scenes that can be trusted in time order, and the refusals of the others.

    keys:  of each look, the digest of all that it follows from. stored: of each look, the name under which the result
            cache has its reflectance.
    """

    looks: tuple[Look, ...] = ()
    keys: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    refused: tuple[Rejection, ...] = ()


def correct_readings(
    site: Site, readings: Sequence[Reading], settings: Settings, step: Progress, memory: ResultCache
) -> Corrected:
    """Looks of all scenes that can be trusted.

    Raises LostError where a scene's pixels were there once and are wanted again in vain.
    """
    usable, refused = _drafted(site, readings, settings, memory)
    if not usable:
        return Corrected(refused=tuple(refused))
    chosen = [
        usable[index][0] for index in founders([(each.reading.scene, clear, level) for each, clear, level in usable])
    ]
    basis = _Basis(chosen, site, settings, memory)
    basis.used()
    looks: list[tuple[Look, str]] = []
    for done, (each, *_) in enumerate(usable, 1):
        step(site.id, done, len(usable), "looks corrected")
        look, key = _look(each, basis)
        each.drop()
        if isinstance(look, Rejection):
            refused.append(look)
        else:
            looks.append((look, key))
    looks.sort(key=lambda pair: (pair[0].time, pair[0].scene.id))
    released, keys = _released(looks, settings, memory)
    return Corrected(looks=released, keys=keys, stored=tuple(key for _, key in looks), refused=tuple(refused))


def correct_chips(
    site: Site, read: Sequence[tuple[Chip, ...]], settings: Settings, step: Progress
) -> tuple[tuple[Look, ...], tuple[Rejection, ...]]:
    """Looks of all chips that can be trusted, and the refusals of the others. read: the chips of each scene."""

    def on_look(done: int, total: int) -> None:
        step(site.id, done, total, "looks corrected")

    return make_looks(read, site.grid, aoi_mask(site), settings, on_look)


def levels_key(reading: Reading) -> str:
    """Under what name the memory holds the levels of a reading; known: its pixels need not be read for them."""
    return cache_key("levels", reading.source)


def levels_facts(reading: Reading) -> list[list[Any]]:
    """Of each granule its id and its levels, as plain JSON. Raises PixelError where the pixels cannot be read."""
    return [
        [chip.granule.id, {str(band): pair.tolist() for band, pair in levels(chip).items()}] for chip in reading.chips()
    ]


def _drafted(
    site: Site, readings: Sequence[Reading], settings: Settings, memory: ResultCache
) -> tuple[list[tuple[_Settled, float, float]], list[Rejection]]:
    """What has a draft, with its clear share and level, and the refusals of the others."""
    usable, refused = list[tuple[_Settled, float, float]](), list[Rejection]()
    for each in _settled(site, readings, settings, memory):
        facts = memory.fact(each.key, each.facts)
        if "clear" in facts:
            usable.append((each, facts["clear"], facts["level"]))
        else:
            refused.append(rejection_of(facts, each.reading.scene))
    return usable, refused


def _settled(site: Site, readings: Sequence[Reading], settings: Settings, memory: ResultCache) -> list[_Settled]:
    claimed = []
    for reading in readings:
        rows = memory.fact(levels_key(reading), lambda reading=reading: levels_facts(reading))  # type: ignore[misc]
        claims = reading.claims()
        claimed.append([Claimed(claim=claims[granule], levels=_levels(each)) for granule, each in rows])
    return [
        _Settled(
            reading=reading,
            claims=claims,
            key=cache_key(
                "draft", reading.source, _circumstances(reading.scene), claims, settings.correct.model_dump()
            ),
            site=site,
            settings=settings,
        )
        for reading, claims in zip(readings, settle_claims(claimed), strict=True)
    ]


def _levels(facts: dict[str, list[float]]) -> Levels:
    return {Band(band): np.array(pair) for band, pair in facts.items()}


def _circumstances(scene: Scene) -> list[Any]:
    """What a look follows from besides its pixels."""
    return [scene.id, scene.time.isoformat(), scene.level, scene.sun]


class _Basis:
    """What all looks of a site are measured against; the reference is made when the first of them needs it."""

    def __init__(self, chosen: Sequence[_Settled], site: Site, settings: Settings, memory: ResultCache) -> None:
        self.site, self.settings, self.memory, self.inside = site, settings, memory, aoi_mask(site)
        self.key = cache_key("reference", [each.key for each in chosen])
        self.look_key = cache_key("looks", self.key, sha256(self.inside.tobytes()).hexdigest())
        self._chosen = chosen

    @cached_property
    def reference(self) -> Reference:
        return unpack_reference(self.memory.packed(self.key, self._made), self.site.grid)

    def _made(self) -> Packed:
        drafts = [each.draft() for each in self._chosen]
        return pack_reference(found([draft for draft in drafts if isinstance(draft, Draft)], self.settings))

    def used(self) -> None:
        """The reference stays known though every look was: the next new one needs it."""
        self.memory.used.add(self.key)


def _look(each: _Settled, basis: _Basis) -> tuple[Look | Rejection, str]:
    """A look, or why there is none, and the key of all that it follows from."""

    def made() -> Packed:
        draft = each.draft()
        known = draft if isinstance(draft, Draft) else None
        return pack_look(make_look(each.chips(), basis.reference, basis.settings, basis.inside, known))

    key = cache_key("look", each.key, basis.look_key)
    packed = basis.memory.packed(key, made)
    return unpack_look(packed, each.reading.scene, basis.site.grid), key


def _released(
    looks: Sequence[tuple[Look, str]], settings: Settings, memory: ResultCache
) -> tuple[tuple[Look, ...], tuple[str, ...]]:
    """The looks released from standing flags, and a key of each that says what is in it.

    A look's flags follow from REACH looks before and after it, so that a night's new look leaves the older alone.
    """
    keys = [key for _, key in looks]
    own = [cache_key("released", index - max(0, index - REACH), keys[max(0, index - REACH) : index + REACH + 1])
           for index in range(len(looks))]  # fmt: skip
    kept = {index: flags for index, key in enumerate(own) if (flags := memory.find(key)) is not None}
    missing = [index for index in range(len(looks)) if index not in kept]
    if missing:
        first = max(0, missing[0] - REACH)
        near = [look for look, _ in looks[first : missing[-1] + REACH + 1]]
        fresh = release(near, settings, range(missing[0] - first, missing[-1] + 1 - first))
        for index, look in enumerate(fresh, missing[0]):
            if index in kept:
                continue
            kept[index] = Packed(facts={}, arrays={"why": look.why})
            memory.keep(own[index], kept[index])
    freed, said = [], []
    for index, (look, key) in enumerate(looks):
        why = kept[index].arrays["why"]
        freed.append(replace(look, why=why))
        said.append(cache_key("free", key, sha256(why.tobytes()).hexdigest()))
    return tuple(freed), tuple(said)
