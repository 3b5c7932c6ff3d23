"""Looks to a decision, continued from what an earlier run computed."""

from collections.abc import Sequence
from functools import partial

from pipeline.correct.persistence import REACH_LOOKS
from pipeline.decide.alerts import decide, first_times, founding_looks, in_order, times_between
from pipeline.decide.objects import Stack
from pipeline.decide.residuals import Baseline, Residual, build_baseline, residual_of
from pipeline.decide.screening import Natural, Screening, advance_each, begin_screening, leaf_to_soil, natural_steps
from pipeline.model.alert import Decision
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run.result_cache import Packed, ResultCache, cache_key
from pipeline.run.serialisation import pack_fields, unpack_fields


def decide_onwards(
    site: Site, looks: Sequence[Look], keys: Sequence[str], settings: Settings, memory: ResultCache
) -> Decision:
    """Decide on a site with the result of `decide_site`, bit for bit, without screening looks again.

    looks: in time order, each once. keys: of each, the digest of all that is in it. Raises DecisionError as
    `decide_site` does.
    """
    ordered = in_order(looks)
    known = founding_looks(site, len(ordered), settings)
    baseline_key = cache_key("baseline", keys[:known])
    baseline = unpack_fields(
        Baseline, memory.cached_arrays(baseline_key, lambda: pack_fields(build_baseline(ordered[:known])))
    )
    residuals = []
    for look, key in zip(ordered, keys, strict=True):
        made = partial(lambda each: pack_fields(residual_of(each, baseline)), look)
        residuals.append(unpack_fields(Residual, memory.cached_arrays(cache_key("residual", baseline_key, key), made)))
    times = times_between(ordered, residuals, known)

    def learned() -> Packed:
        axis = leaf_to_soil(baseline, ordered[0].bands)
        return pack_fields(natural_steps(baseline, residuals[:known], first_times(times, known), axis))

    natural = unpack_fields(Natural, memory.cached_arrays(cache_key("natural", baseline_key), learned))
    chain = _screening_keys(baseline_key, keys)
    # the next look may change the flags of the last ones: the screening before them is kept for it
    settled = max(len(ordered) - REACH_LOOKS, 0)
    back = _latest_screening(chain, settled, memory) or begin_screening(baseline)
    front = _latest_screening(chain, len(ordered), memory) or back
    portions = _split_work(back, front, settled, len(ordered))
    for screening in advance_each(portions, baseline, natural, residuals, times) if portions else ():
        memory.store_arrays(chain[screening.count], pack_fields(screening))
        if screening.count > front.count:
            front = screening
    stack = Stack(baseline=baseline, natural=natural, residuals=residuals, times=times, screening=front)
    return decide(site, ordered, stack, settings)


def _split_work(back: Screening, front: Screening, settled: int, last: int) -> list[tuple[Screening, tuple[int, ...]]]:
    """Work for `advance_each`; the screening of all looks, if it is not cached, comes last."""
    if back.count == front.count:
        stops = tuple(sorted({stop for stop in (settled, last) if stop > back.count}))
        return [(back, stops)] if stops else []
    return [(each, (stop,)) for each, stop in ((back, settled), (front, last)) if each.count < stop]


def _screening_keys(baseline_key: str, keys: Sequence[str]) -> list[str]:
    """Cache key of the screening of the first n looks, by n."""
    chain = [cache_key("screening", baseline_key)]
    for key in keys:
        chain.append(cache_key(chain[-1], key))
    return chain


def _latest_screening(chain: Sequence[str], limit: int, memory: ResultCache) -> Screening | None:
    """Cached screening of the largest number of first looks, at most `limit`; None if none is cached."""
    for count in range(limit, 0, -1):
        packed = memory.find_arrays(chain[count])
        if packed is not None:
            return unpack_fields(Screening, packed)
    return None
