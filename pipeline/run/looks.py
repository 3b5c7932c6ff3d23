"""Looks of a site from its scenes; cached parts are not computed again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np

from pipeline.correct.look import RECENT_CLEAR, make_look, make_unregistered, warp_again
from pipeline.correct.offset import DeclaredGranule, DnQuantiles, dn_quantiles, resolve_declared, with_declared
from pipeline.correct.persistence import REACH_LOOKS, unmask_persistent
from pipeline.correct.reference import (
    RECENT_LOOKS,
    Reference,
    UnregisteredImage,
    build_reference,
    select_reference_images,
)
from pipeline.correct.site_looks import bands_of, make_looks
from pipeline.model.bands import Band
from pipeline.model.errors import PixelError
from pipeline.model.grid import aoi_mask
from pipeline.model.imagery import Chip, DeclaredOffset, Look, Reason, Rejection, Scene
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

    def __init__(self, scene: Scene, error: PixelError) -> None:
        super().__init__(str(error))
        self.scene, self.error = scene, error


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

    def declared(self) -> dict[str, DeclaredOffset]:
        """The declared offset of each granule, by its id."""
        granules = self.scene.granules if self._chips is None else [chip.granule for chip in self._chips]
        return {granule.id: granule.declared_offset for granule in granules}

    def drop(self) -> None:
        """Free the memory of the pixels."""
        self._chips = None


@dataclass(eq=False, kw_only=True)
class _ResolvedReading:
    """A reading with its resolved offsets, and its unregistered image. key: digest of all that the image depends on."""

    reading: Reading
    declared: tuple[DeclaredOffset, ...]
    key: str
    site: Site
    settings: Settings
    _fresh: UnregisteredImage | Rejection | None = field(default=None, init=False)

    def chips(self) -> tuple[Chip, ...]:
        try:
            return with_declared(self.reading.chips(), self.declared)
        except PixelError as error:
            raise LostError(self.reading.scene, error) from error

    def unregistered(self) -> UnregisteredImage | Rejection:
        """Made at first use; dropped pixels are warped again, masks are kept."""
        if self._fresh is None:
            chips = self.chips()
            self._fresh = make_unregistered(chips, self.site.grid, bands_of(chips), self.settings)
        elif isinstance(self._fresh, UnregisteredImage) and not self._fresh.reflectance.size:
            self._fresh = warp_again(self._fresh, self.chips())
        return self._fresh

    def facts(self) -> dict[str, Any]:
        """Cached part of the unregistered image. Its pixels are dropped: a long history would not fit."""
        unregistered = self.unregistered()
        if isinstance(unregistered, Rejection):
            return rejection_facts(unregistered)
        self._fresh = replace(unregistered, reflectance=np.zeros((0, 0, 0), np.float32))
        return {"clear": unregistered.clear_share, "level": unregistered.level}

    def drop(self) -> None:
        self._fresh = None
        self.reading.drop()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corrected:
    """Looks of all accepted scenes in time order, and the rejections of the others.

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
    """Looks of all accepted scenes.

    Raises LostError if a scene was read before and its pixels cannot be read again.
    """
    usable, refused = _usable_readings(site, readings, settings, memory)
    if not usable:
        return Corrected(refused=tuple(refused))
    usable.sort(key=lambda each: (each[0].reading.scene.time, each[0].reading.scene.id))
    measures = [(each.reading.scene, clear, level) for each, clear, level in usable]
    chosen = [usable[index][0] for index in select_reference_images(measures)]
    reference = _SiteReference(chosen, site, settings, memory)
    reference.used()
    looks: list[tuple[Look, str]] = []
    for done, (each, clear, _) in enumerate(usable, 1):
        step(site.id, done, len(usable), "looks corrected")
        look, key = _make_look(each, reference, looks[-RECENT_LOOKS:] if clear >= RECENT_CLEAR else ())
        each.drop()
        if isinstance(look, Rejection):
            refused.append(look)
        else:
            looks.append((look, key))
    unmasked, keys = _unmask_persistent(looks, settings, memory)
    return Corrected(looks=unmasked, keys=keys, stored=tuple(key for _, key in looks), refused=tuple(refused))


def correct_chips(
    site: Site, read: Sequence[tuple[Chip, ...]], settings: Settings, step: Progress
) -> tuple[tuple[Look, ...], tuple[Rejection, ...]]:
    """Looks of all accepted chips, and the rejections of the others. read: the chips of each scene."""

    def on_look(done: int, total: int) -> None:
        step(site.id, done, total, "looks corrected")

    return make_looks(read, site.grid, aoi_mask(site), settings, on_look)


def quantiles_key(reading: Reading) -> str:
    """Name of the DN quantiles of a reading in the result cache; if it is there, no pixels are read for them."""
    return cache_key("quantiles", reading.source)


def quantile_facts(reading: Reading) -> list[list[Any]]:
    """Id and DN quantiles of each granule, as plain JSON. Raises PixelError where the pixels cannot be read."""
    return [
        [chip.granule.id, {str(band): pair.tolist() for band, pair in dn_quantiles(chip).items()}]
        for chip in reading.chips()
    ]


def _usable_readings(
    site: Site, readings: Sequence[Reading], settings: Settings, memory: ResultCache
) -> tuple[list[tuple[_ResolvedReading, float, float]], list[Rejection]]:
    """Readings with an unregistered image, its clear share and level, and the rejections of the others."""
    usable, refused = list[tuple[_ResolvedReading, float, float]](), list[Rejection]()
    for each in _resolve_readings(site, readings, settings, memory):
        facts = memory.cached_fact(each.key, each.facts)
        if "clear" in facts:
            usable.append((each, facts["clear"], facts["level"]))
        else:
            refused.append(rejection_of(facts, each.reading.scene))
    return usable, refused


def _resolve_readings(
    site: Site, readings: Sequence[Reading], settings: Settings, memory: ResultCache
) -> list[_ResolvedReading]:
    granules = []
    for reading in readings:
        rows = memory.cached_fact(quantiles_key(reading), lambda reading=reading: quantile_facts(reading))  # type: ignore[misc]
        declared = reading.declared()
        granules.append(
            [DeclaredGranule(declared=declared[granule], levels=_quantiles_of(each)) for granule, each in rows]
        )
    return [
        _ResolvedReading(
            reading=reading,
            declared=declared,
            key=cache_key(
                "unregistered", reading.source, _look_inputs(reading.scene), declared, settings.correct.model_dump()
            ),
            site=site,
            settings=settings,
        )
        for reading, declared in zip(readings, resolve_declared(granules), strict=True)
    ]


def _quantiles_of(facts: dict[str, list[float]]) -> DnQuantiles:
    return {Band(band): np.array(pair) for band, pair in facts.items()}


def _look_inputs(scene: Scene) -> list[Any]:
    """Inputs of a look besides its pixels."""
    return [scene.id, scene.time.isoformat(), scene.level, scene.sun]


class _SiteReference:
    """Reference of all looks of a site, built when the first of them needs it."""

    def __init__(self, chosen: Sequence[_ResolvedReading], site: Site, settings: Settings, memory: ResultCache) -> None:
        self.site, self.settings, self.memory, self.inside = site, settings, memory, aoi_mask(site)
        self.key = cache_key("reference", [each.key for each in chosen])
        self.look_key = cache_key("looks", self.key, sha256(self.inside.tobytes()).hexdigest())
        self._chosen = chosen

    @cached_property
    def image(self) -> Reference:
        return unpack_reference(self.memory.cached_arrays(self.key, self._made), self.site.grid)

    def _made(self) -> Packed:
        images = [each.unregistered() for each in self._chosen]
        usable = [each for each in images if isinstance(each, UnregisteredImage)]
        return pack_reference(build_reference(usable, self.settings))

    def used(self) -> None:
        """Keep the reference in the cache though every look was there: the next new one needs it."""
        self.memory.used.add(self.key)


def _make_look(
    each: _ResolvedReading, reference: _SiteReference, recent: Sequence[tuple[Look, str]]
) -> tuple[Look | Rejection, str]:
    """Look or rejection, and the cache key of all its inputs.

    The looks before it, `recent`, are inputs only where the reference does not register it.
    """

    def made(looks: Sequence[Look]) -> Packed:
        unregistered = each.unregistered()
        known = unregistered if isinstance(unregistered, UnregisteredImage) else None
        return pack_look(make_look(each.chips(), reference.image, reference.settings, reference.inside, known, looks))

    def found(key: str, looks: Sequence[Look]) -> Look | Rejection:
        packed = reference.memory.cached_arrays(key, lambda: made(looks))
        return unpack_look(packed, each.reading.scene, reference.site.grid)

    key = cache_key("look", each.key, reference.look_key)
    look = found(key, ())
    if isinstance(look, Rejection) and look.reason is Reason.REGISTRATION and len(recent) == RECENT_LOOKS:
        key = cache_key("look", key, [own for _, own in recent])
        look = found(key, [look for look, _ in recent])
    return look, key


def _unmask_persistent(
    looks: Sequence[tuple[Look, str]], settings: Settings, memory: ResultCache
) -> tuple[tuple[Look, ...], tuple[str, ...]]:
    """The looks without flags on persistent objects, and a key of each that covers its content.

    Flags of a look depend on REACH_LOOKS looks before and after it: a new look leaves those far before it as they are.
    """
    keys = [key for _, key in looks]
    starts = [max(0, index - REACH_LOOKS) for index in range(len(looks))]
    own = [
        cache_key("unmasked", index - start, keys[start : index + REACH_LOOKS + 1])
        for index, start in enumerate(starts)
    ]
    kept = {index: flags for index, key in enumerate(own) if (flags := memory.find_arrays(key)) is not None}
    missing = [index for index in range(len(looks)) if index not in kept]
    if missing:
        first = max(0, missing[0] - REACH_LOOKS)
        near = [look for look, _ in looks[first : missing[-1] + REACH_LOOKS + 1]]
        fresh = unmask_persistent(near, settings, range(missing[0] - first, missing[-1] + 1 - first))
        for index, look in enumerate(fresh, missing[0]):
            if index in kept:
                continue
            kept[index] = Packed(facts={}, arrays={"why": look.why})
            memory.store_arrays(own[index], kept[index])
    unmasked, own_keys = [], []
    for index, (look, key) in enumerate(looks):
        why = kept[index].arrays["why"]
        unmasked.append(replace(look, why=why))
        own_keys.append(cache_key("flags", key, sha256(why.tobytes()).hexdigest()))
    return tuple(unmasked), tuple(own_keys)
