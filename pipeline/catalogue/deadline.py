"""A limit on the whole of a call that has only limits between its pieces, as a request has."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """The value of a call, or what it raises. Raises TimeoutError where it is not done in time.

    A server that sends a byte now and then passes every timeout of a socket. The thread of a call that is late is
    left to itself and ends with its connection, or with the process.
    """
    done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put((call(), None))
        except BaseException as error:  # noqa: BLE001  (it is raised where the call was made)
            done.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"not done after {seconds:.0f} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]
