"""Timing of a call, here and in the environments of the peers: needs nothing but Python."""

import time
from collections.abc import Callable
from typing import Any

TURNS = 3


def least(call: Callable[[], Any]) -> float:
    """CPU seconds, the least of some turns after one to warm up."""
    call()
    seconds = []
    for _ in range(TURNS):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)
