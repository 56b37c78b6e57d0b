"""Notes in the DuckDB file: the room they take, and that copies of the file have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores import backup
from tailmetrics.stores.base import Note
from tests.builders import settings_of
from tests.stores.conftest import Ask
from tests.stores.duckdb.support import opened_at

TEXT = "state " * 40_000


def test_what_was_replaced_takes_no_room(tmp_path: Path, ask: Ask[Any]) -> None:
    store = opened_at(tmp_path)
    assert ask(store.keep_note("silences", "", 0))  # which stays beside it
    sizes = []
    for version in range(12):
        assert ask(store.keep_note("alerts", f"{version} {TEXT}", version))
        store._writer.checkpoint()
        sizes.append(store._file.size())
    store.close()
    assert max(sizes) < sizes[0] + 3 * len(TEXT)


def test_a_backup_has_the_notes(tmp_path: Path, ask: Ask[Any]) -> None:
    store = opened_at(tmp_path / "first")
    for version, text in enumerate(("first", TEXT)):
        assert ask(store.keep_note("alerts", text, version))
    with backup.draft_of(tmp_path / "backup") as draft, store.copying() as snapshot:
        backup.write(snapshot, draft)
    store.close()
    backup.restore(settings_of(tmp_path / "second" / "store.duckdb"), tmp_path / "backup", force=False)
    restored = opened_at(tmp_path / "second")
    found = ask(restored.note("alerts"))
    restored.close()
    assert found == Note(2, TEXT)


def test_a_closed_store_keeps_no_note(tmp_path: Path, ask: Ask[Any]) -> None:
    store = opened_at(tmp_path)
    store.close()
    for asked in (store.keep_note("alerts", "", 0), store.note("alerts"), store.changes(None)):
        with pytest.raises(StoreUnavailable, match="is closed"):
            ask(asked)
