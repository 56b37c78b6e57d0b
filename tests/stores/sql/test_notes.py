"""Notes longer than one statement may be, and writers that meet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tailmetrics.stores import Store
from tailmetrics.stores.base import Note
from tailmetrics.stores.sql import notes
from tests.stores.conftest import Ask


@pytest.mark.servers
def test_a_note_is_kept_in_pieces_and_none_of_a_longer_one_before_it_is_left(
    store: Store, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "PIECE_BYTES", 3)
    for version, text in enumerate(("\u00e4\u00f6\u00fc\u20ac", "", "abcdefg", "a")):
        assert ask(store.keep_note("name", text, version))
        assert ask(store.note("name")) == Note(version + 1, text)


@pytest.mark.servers
def test_of_writers_that_meet_one_is_quicker(store: Store, ask: Ask[Any]) -> None:
    async def keep(version: int) -> list[bool]:
        return await asyncio.gather(*(store.keep_note("name", str(each), version) for each in range(4)))

    for version in range(3):
        kept = ask(keep(version))
        assert sorted(kept) == [False, False, False, True]
        assert ask(store.note("name")) == Note(version + 1, str(kept.index(True)))
