"""Lists that a store keeps as a note, and that several processes may change at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from tailmetrics.errors import SchemaMismatch, StoreUnavailable
from tailmetrics.stores.base import Notes

_Item = TypeVar("_Item")

_TRIES: Final = 20  # while others change the note as well


class KeptList(Generic[_Item]):
    """What is kept as the note of a name: JSON of `kept`, a class with the list as a field called `field`.

    `called` is what messages call it.
    """

    def __init__(self, name: str, kept: type[Any], field: str, called: str) -> None:
        self._name = name
        self._kept = kept
        self._field = field
        self._called = called
        self._adapter: TypeAdapter[Any] = TypeAdapter(kept)
        # Who asks often asks of the same text.
        self._parsed = functools.lru_cache(maxsize=1)(self._read_text)

    async def items(self, store: Notes) -> tuple[_Item, ...]:
        """All of them, in the order in which they were kept. Raises StoreError."""
        return self._parsed((await store.note(self._name)).text)

    async def change(self, store: Notes, changed: Callable[[tuple[_Item, ...]], tuple[_Item, ...]]) -> None:
        """Put what a function makes of them in their place. Raises what it raises, and StoreError."""
        for _ in range(_TRIES):
            note = await store.note(self._name)
            kept = self._kept(**{self._field: changed(self._parsed(note.text))})
            if await store.keep_note(self._name, self._adapter.dump_json(kept).decode(), note.version):
                return
        raise StoreUnavailable(f"{self._called} are being changed by many at once; try again")

    def _read_text(self, text: str) -> tuple[_Item, ...]:
        if not text:
            return ()
        try:
            items: tuple[_Item, ...] = getattr(self._adapter.validate_json(text), self._field)
        except ValidationError as error:
            problem = "were kept by another version of tailmetrics; use that version, or a later one"
            raise SchemaMismatch(f"{self._called} {problem}") from error
        return items
