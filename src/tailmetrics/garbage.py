"""When Python looks for garbage: hardly while the program starts, as what is imported stays.

To look through it again and again is a tenth of the time that a start takes.
"""

from __future__ import annotations

import gc

_USUAL = gc.get_threshold()
_OBJECTS_OF_A_START = 1_000_000  # so many new ones until the first look


def collect_seldom() -> None:
    """For the start of the program, and for commands that are soon over."""
    gc.set_threshold(_OBJECTS_OF_A_START)


def collect_as_usual() -> None:
    """After `collect_seldom`, for what goes on for long: all that is there now is taken for what stays."""
    if gc.get_threshold()[0] == _OBJECTS_OF_A_START:
        gc.freeze()
        gc.set_threshold(*_USUAL)
