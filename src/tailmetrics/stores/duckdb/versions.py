"""Whether answers about a customer still hold: a number for each, which commits of its records change."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import polars as pl

from tailmetrics.records import MAX_CUSTOMER_ID_CHARACTERS

_SLOTS = 65_536  # customers whose ids have the same hash share one, and end each other's answers too soon
_EVERYBODY = _SLOTS


class Versions:
    """The versions of a store's records. `of` may be called from any thread.

    An answer holds while the version that was read before asking is still the version of now. The version
    changes when a commit is made and before its writer says so: what was asked meanwhile, of the state before
    or after, has the old version and holds no more. (To let nothing hold during a commit as well would close
    the microseconds between the two, and ask each repeated question twice a commit.)
    """

    def __init__(self) -> None:
        self._slots = np.zeros(_SLOTS + 1, np.int64)
        self._lock = threading.Lock()  # adding to slots is not one step

    def of(self, customer_id: str | None) -> int:
        """The version of a customer's records; None: of everybody's."""
        return int(self._slots[_EVERYBODY if customer_id is None else _slot_of(customer_id)])

    @contextmanager
    def changing(self, customers: Sequence[pl.Series]) -> Iterator[None]:
        """Around the commit of records of these customers, whether it fails or not."""
        slots = np.concatenate([np.array([_EVERYBODY], np.uint64), *map(_slots_of, customers)])
        try:
            yield
        finally:
            self._add(slots)

    def all_changed(self) -> None:
        """After records of anybody were deleted for their age: until then an answer may have them or not."""
        self._add(slice(None))

    def _add(self, slots: slice | np.typing.NDArray[np.uint64]) -> None:
        with self._lock:
            self._slots[slots] += 1  # once for a slot that is named many times


def _slots_of(customers: pl.Series) -> np.typing.NDArray[np.uint64]:
    return customers.hash().to_numpy() % np.uint64(_SLOTS)


@lru_cache(4096)
def _slot(customer_id: str) -> int:
    return int(_slots_of(pl.Series([customer_id]))[0])


def _slot_of(customer_id: str) -> int:
    # What is longer is no customer's id, and not to be remembered.
    return _slot(customer_id) if len(customer_id) <= MAX_CUSTOMER_ID_CHARACTERS else _EVERYBODY
