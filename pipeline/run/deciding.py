"""Looks to a decision, folded on from where an earlier judgement stood."""

from collections.abc import Sequence

from pipeline.correct.release import REACH
from pipeline.decide.alerts import calibrated_on, decide, in_order, learned_from, limit_of
from pipeline.decide.fold import State, advance, begin
from pipeline.model.alert import Decision
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run.memory import Memory, Packed, mark_of
from pipeline.run.packing import pack_state, pack_step, unpack_state


def decide_onwards(
    site: Site, looks: Sequence[Look], marks: Sequence[str], settings: Settings, memory: Memory
) -> Decision:
    """What `decide_site` decides, bit for bit, without folding again what was folded before.

    looks: in time order, each once. marks: of each, the digest of all that is in it. Raises DecisionError as
    `decide_site` does.
    """
    ordered = in_order(looks)
    learning = learned_from(site, len(ordered), settings)
    chain = _chain(marks, learning)
    known, settled = calibrated_on(len(ordered), learning), len(ordered) - REACH
    fresh: list[State] = []

    def calibrated() -> float:
        state = _onto(begin(ordered, learning), ordered, min(settled, known), chain, memory)
        fresh.append(_onto(state, ordered, known, chain, memory))
        return limit_of(fresh[0], ordered[:known], settings)

    limit = memory.fact(mark_of("limit", chain[known], settings.decide.model_dump()), calibrated)
    # the next look may change the flags of the last ones: a state from before them has to be there then
    back = fresh[0] if fresh else _latest(chain, learning, settled, memory) or begin(ordered, learning)
    if settled - back.count > REACH:
        back = _onto(back, ordered, settled, chain, memory)
    front = _latest(chain, learning, len(ordered), memory)
    state = _onto(back if front is None else front, ordered, len(ordered), chain, memory)
    return decide(site, state, ordered, limit, settings)


def _chain(marks: Sequence[str], learning: int) -> dict[int, str]:
    """By how many looks are folded: the digest of those looks and their order."""
    chain = {learning: mark_of("fold", learning, marks[:learning])}
    for count in range(learning + 1, len(marks) + 1):
        chain[count] = mark_of(chain[count - 1], marks[count - 1])
    return chain


def _onto(state: State, looks: Sequence[Look], count: int, chain: dict[int, str], memory: Memory) -> State:
    """The state after so many looks, kept, with what each new look left behind."""
    if count <= state.count:
        return state
    after = advance(state, looks[:count])
    for index in range(state.count, count):
        memory.keep(_step_mark(chain, index), pack_step(after, index))
    memory.keep(_state_mark(chain, count), pack_state(after))
    return after


def _latest(chain: dict[int, str], learning: int, limit: int, memory: Memory) -> State | None:
    """The longest beginning of these looks, of at most `limit`, that was folded before; None where there is none."""
    for count in sorted((count for count in chain if count <= limit), reverse=True):
        packed = memory.find(_state_mark(chain, count))
        if packed is None:
            continue
        steps: list[Packed] = []
        for index in range(learning, count):
            found = memory.find(_step_mark(chain, index))
            if found is None:
                break
            steps.append(found)
        else:
            return unpack_state(packed, steps)
    return None


def _state_mark(chain: dict[int, str], count: int) -> str:
    return mark_of("state", chain[count])


def _step_mark(chain: dict[int, str], index: int) -> str:
    """Of the look at an index: the digest of all looks up to it, itself included."""
    return mark_of("step", chain[index + 1])
