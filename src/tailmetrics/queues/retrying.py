"""Consuming that goes on after what was in its way, with longer and longer rests."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from tailmetrics.errors import QueueError

_FIRST_REST_SECONDS = 0.5


def consume_again(
    consume: Callable[[], None],
    note: Callable[[QueueError], None],
    changed: threading.Condition,
    is_stopping: Callable[[], bool],
    longest_rest_seconds: float,
) -> None:
    """Call `consume` until the stop, of which `changed` tells; `note` is told what ended it early.

    Rests double up to the longest one, and begin anew when it went well for longer than that.
    """
    rest_seconds = _FIRST_REST_SECONDS
    while not is_stopping():
        began = time.monotonic()
        try:
            consume()
        except QueueError as error:
            note(error)
        if time.monotonic() - began > longest_rest_seconds:
            rest_seconds = _FIRST_REST_SECONDS
        with changed:
            seconds = rest_seconds * random.uniform(0.5, 1.0)  # noqa: S311  # spreads consumers, no secret
            changed.wait_for(is_stopping, seconds)
        rest_seconds = min(2 * rest_seconds, longest_rest_seconds)
