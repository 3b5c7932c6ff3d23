"""When an object was first there, and when it was last seen, judged on the object as a whole."""

import numpy as np
from numpy.typing import NDArray

from pipeline.decide.fold import Fold
from pipeline.decide.persistence import SEEN_SIGMAS, Trace
from pipeline.decide.series import middle_scores

WITNESS_SHARE = 0.4
"""Of the clearest look: less tells no first or last day."""


def bracket(fold: Fold, core: NDArray[np.bool_], healed: bool) -> tuple[int, int, int]:
    """First look with it, last clear look without it (-1 = none), last look with it. core: (row, col), its pixels.

    Pixels differ by a look or two in when they pass; the object is first there at the earliest look from which on
    its middle scores as seen, back from where most of its pixels began.
    """
    series = _witnessed(fold, core)
    first = _typical(fold.trace.first, core)
    before = -1
    for index in range(first - 1, -1, -1):
        score_then = series[index]
        if score_then is None:
            continue
        if score_then <= SEEN_SIGMAS:
            before = index
            break
        first = index
    if before < 0:
        clear = [index for index in range(first) if fold.scores[index] is None]
        before = clear[-1] if clear else -1
    end = int(np.median(fold.trace.ended[core])) if healed else len(series)
    seen = [index for index in range(first, max(end, first + 1)) if (series[index] or 0) > SEEN_SIGMAS]
    return first, before, seen[-1] if seen else first


def last_clear(fold: Fold, core: NDArray[np.bool_], until: int) -> int:
    """The last look before one that can tell whether the object was there, -1 = none."""
    series = _witnessed(fold, core)
    return next((index for index in range(until - 1, -1, -1) if series[index] is not None), -1)


def turned(fold: Fold, core: NDArray[np.bool_]) -> int:
    """The look at which most of an object became something else than what began there, -1 where it did not."""
    return _typical(turns(fold.trace), core) if (turns(fold.trace)[core] >= 0).mean() > 0.5 else -1


def turns(trace: Trace) -> NDArray[np.int16]:
    """(row, col): the look at which the change that a pixel shows became another one, -1 where it did not."""
    return np.where((trace.onset == trace.first) & (trace.ended < 0), trace.turn, -1).astype(np.int16)


def _witnessed(fold: Fold, core: NDArray[np.bool_]) -> list[float | None]:
    # a look that is mostly masked is a poor witness of a beginning: what the masks missed lies in it too
    least = WITNESS_SHARE * max(fold.clear_share)
    scores = middle_scores(fold, core)
    return [value if clear >= least else None for value, clear in zip(scores, fold.clear_share, strict=True)]


def _typical(index: NDArray[np.int16], where: NDArray[np.bool_]) -> int:
    """The look that most pixels of a region name, the earliest of equals; -1 where none names any."""
    named = index[where]
    named = named[named >= 0]
    if named.size == 0:
        return -1
    values, counts = np.unique(named, return_counts=True)
    return int(values[np.argmax(counts)])
