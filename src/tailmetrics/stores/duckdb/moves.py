"""Statements apart from commits that move records: DuckDB shows one that runs meanwhile some rows twice."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

_Result = TypeVar("_Result")

_LOOK_SECONDS = 0.05  # for an end, while something is waited for


class Moves:
    """Which statements ran while a commit was made that has moved records. Thread-safe.

    A commit of many rows is applied table by table. A statement that begins to look at a table just then sees
    its new rows, though its snapshot is older, and still those that were deleted elsewhere: the same records
    at two places (DuckDB 1.5.6 and 2.0.0). `check`, called while something is waited for, may raise.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._made = 0
        self._is_moving = False
        self._held_off = 0  # by so many statements

    @contextlib.contextmanager
    def moving(self, check: Callable[[], None]) -> Iterator[None]:
        """Within this a commit is made; it waits for statements that were disturbed before."""
        with self._changed:
            while self._held_off:
                self._changed.wait(_LOOK_SECONDS)
                check()
            self._is_moving = True
        try:
            yield
        finally:
            with self._changed:
                self._made += 1
                self._is_moving = False
                self._changed.notify_all()

    def undisturbed(self, statement: Callable[[], _Result], check: Callable[[], None]) -> _Result:
        """The result of a statement, which is run again when it was disturbed; nothing is moved meanwhile."""
        with self._changed:
            self._await_end(check)
            made = self._made
        result = statement()
        with self._changed:
            if not self._is_moving and self._made == made:
                return result
            self._await_end(check)
            self._held_off += 1
        try:
            return statement()
        finally:
            with self._changed:
                self._held_off -= 1
                self._changed.notify_all()

    def _await_end(self, check: Callable[[], None]) -> None:
        while self._is_moving:
            self._changed.wait(_LOOK_SECONDS)
            check()
