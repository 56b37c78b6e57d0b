"""What every store remembers beside records: which times were written to, and texts under names."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from tailmetrics.settings import Settings
from tailmetrics.stores import Store
from tailmetrics.stores.base import Changes, Note
from tailmetrics.stores.in_memory import Memory
from tailmetrics.windows import to_us
from tests.builders import Record, at, batch_of, moved, source_of
from tests.stores.conftest import Ask, open_store

NOON = at("2024-10-10T12:00:00")
OLD, FAR = at("2021-05-05T05:05:05"), at("2022-02-02")

TEXTS = {
    "quotes": 'it\'s "quoted" and `ticked`; -- $1 :name ? %s {}',
    "lines": "back\\slash \\n, two\nlines\r\n and a\ttab",
    "spaces": " spaces at its ends ",
    "unicode": "\u00fc, \u4e2d\u6587, e\u0301, \u202e, \U0001f680",
    "controls": "".join(map(chr, range(1, 0x300))),
    "two million characters": '{"state": "firing \\u00fc"}' * 80_000,
}


def requests(*times: datetime) -> list[Record]:
    return [(moment, "a", "/", 200, 0.1) for moment in times]


def covered(changes: Changes, *times: datetime) -> bool:
    """Whether changes tell of these times, or say that they may be anywhere."""
    return changes.spans is None or all(
        any(low <= to_us(moment) < high for low, high in changes.spans) for moment in times
    )


class TestChanges:
    def test_nothing_was_written_since_the_mark_of_now(self, store: Store, ask: Ask[Any]) -> None:
        for times in ((), (NOON,)):
            if times:
                store.write([batch_of(store.register(source_of()), requests(*times))])
            mark = ask(store.changes(None)).mark
            assert not ask(store.changes(mark)).spans

    def test_times_that_were_written_to_since_a_mark(self, store: Store, ask: Ask[Any]) -> None:
        source = store.register(source_of())
        first = batch_of(source, requests(NOON))
        store.write([first])
        before = ask(store.changes(None)).mark
        second = batch_of(moved(source, first), requests(NOON + timedelta(hours=1), OLD, NOON))
        store.write([second])
        between = ask(store.changes(before))
        assert covered(between, NOON + timedelta(hours=1), OLD, NOON)
        latest = NOON + timedelta(hours=2, microseconds=1)
        store.write([batch_of(moved(moved(source, first), second), requests(latest))])
        assert covered(ask(store.changes(before)), NOON + timedelta(hours=1), OLD, NOON, latest)
        later = ask(store.changes(between.mark))
        assert covered(later, latest)
        for changes in (between, later):
            assert changes.spans is None or not covered(changes, FAR)

    def test_each_batch_of_a_commit_is_told_of(self, store: Store, ask: Ask[Any]) -> None:
        mark = ask(store.changes(None)).mark
        one, two = store.register(source_of("one")), store.register(source_of("two", inode=8))
        store.write([batch_of(one, requests(NOON)), batch_of(two, requests(OLD)), batch_of(one, start=54)])
        assert covered(ask(store.changes(mark)), NOON, OLD)

    def test_a_mark_outlives_the_store_that_gave_it_or_is_known_to_be_too_old(
        self, settings: Settings | Memory, store: Store, ask: Ask[Any]
    ) -> None:
        source = store.register(source_of())
        mark = ask(store.changes(None)).mark
        batch = batch_of(source, requests(NOON))
        store.write([batch])
        store.close()
        reopened = open_store(settings)
        reopened.write([batch_of(moved(source, batch), requests(OLD))])
        changes = ask(reopened.changes(mark))
        again = ask(reopened.changes(changes.mark))
        reopened.close()
        assert covered(changes, NOON, OLD)
        assert not again.spans


class TestNotes:
    def test_a_note_that_was_never_kept_is_empty(self, store: Store, ask: Ask[Any]) -> None:
        assert ask(store.note("alerts")) == Note(0, "")

    def test_a_note_is_replaced_by_who_knows_its_version(self, store: Store, ask: Ask[Any]) -> None:
        assert ask(store.keep_note("alerts", "first", 0))
        assert ask(store.note("alerts")) == Note(1, "first")
        assert ask(store.keep_note("alerts", "second", 1))
        assert ask(store.keep_note("alerts", "", 2))
        assert ask(store.note("alerts")) == Note(3, "")

    def test_a_note_of_another_version_is_left_as_it_is(self, store: Store, ask: Ask[Any]) -> None:
        assert ask(store.keep_note("alerts", "first", 0))
        for version in (-1, 0, 2):
            assert not ask(store.keep_note("alerts", "too late", version))
        assert not ask(store.keep_note("new", "of no version yet", 1))
        assert ask(store.note("alerts")) == Note(1, "first")
        assert ask(store.note("new")) == Note(0, "")

    def test_of_many_at_once_one_is_the_quickest(self, store: Store, ask: Ask[Any]) -> None:
        async def keep_all(version: int) -> list[bool]:
            texts = map(str, range(5))
            return await asyncio.gather(*(store.keep_note("lease", text, version) for text in texts))

        for version in range(3):
            kept = ask(keep_all(version))
            assert sorted(kept) == [False] * 4 + [True]
            assert ask(store.note("lease")) == Note(version + 1, str(kept.index(True)))

    def test_notes_of_other_names_are_others(self, store: Store, ask: Ask[Any]) -> None:
        names = ("alerts", "Alerts", "alerts ", "silences/\u00fc", "100%_'s\\")
        for name in names:
            assert ask(store.keep_note(name, f"of {name}", 0))
        assert [ask(store.note(name)).text for name in names] == [f"of {name}" for name in names]

    def test_the_names_of_all_notes_are_told_in_their_order(self, store: Store, ask: Ask[Any]) -> None:
        assert list(ask(store.note_names())) == []
        names = ["silences/\u00fc", "alerts", "100%_'s\\", "Alerts"]
        for name in names:
            for version, text in enumerate(("first", "")):
                assert ask(store.keep_note(name, text, version))
        assert list(ask(store.note_names())) == sorted(names)

    def test_any_text_is_there_again_after_reopening(
        self, settings: Settings | Memory, store: Store, ask: Ask[Any]
    ) -> None:
        for name, text in TEXTS.items():
            for version in range(2):
                assert ask(store.keep_note(name, text, version))
            assert ask(store.note(name)) == Note(2, text), name
        store.close()
        reopened = open_store(settings)
        found = {name: ask(reopened.note(name)) for name in TEXTS}
        reopened.close()
        assert found == {name: Note(2, text) for name, text in TEXTS.items()}

    def test_a_note_is_no_change_of_records(self, store: Store, ask: Ask[Any]) -> None:
        store.write([batch_of(store.register(source_of()), requests(NOON))])
        before = (store.version_of(None), store.version_of("a"), ask(store.status()).version)
        mark = ask(store.changes(None)).mark
        assert ask(store.keep_note("alerts", "text", 0))
        assert (store.version_of(None), store.version_of("a"), ask(store.status()).version) == before
        assert not ask(store.changes(mark)).spans
