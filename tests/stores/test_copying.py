"""Copies between stores of all kinds: each line once, also when they are killed, and the same answers."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tailmetrics import stores
from tailmetrics.errors import CopyError, RecordsRefused, Refusal, StoreError
from tailmetrics.settings import Settings, load_settings
from tailmetrics.sources import COPIES_NODE, Batch, Copied, Source
from tailmetrics.stats import BreakdownQuery, CustomersQuery, RecordsQuery, RejectsQuery, StatsQuery
from tailmetrics.status import SourceStatus
from tailmetrics.stores import Store, copying, record_pages
from tailmetrics.stores.copying import CopySummary, copy
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tailmetrics.windows import parse_every
from tests.builders import at, batch_of, moved, source_of
from tests.stores.conftest import BACKENDS, NUMBERED, SUMMARIZED, Ask, open_store
from tests.stores.test_contract import IDS, random_records

NOON = at("2024-10-10T12:00:00")
RECORDS = [*random_records(5, at("2024-10-25"), at("2024-11-02"), 260), *[(NOON, "a", "/", 200, None)] * 40]
KINDS = sorted(name for name in BACKENDS if name != NUMBERED and not name.endswith(SUMMARIZED))
DAILY = parse_every("1d")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_pages, "PAGE_RECORDS", 40)
    monkeypatch.setattr(copying, "_REJECTS_A_PAGE", 4)


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings | Memory:
    return BACKENDS[request.param](tmp_path)


def fill(store: Store, ask: Ask[Any]) -> None:
    """Two logs and a message, rejects of three commits, a source that was forgotten, notes."""
    one, two = store.register(source_of("one.log")), store.register(source_of("two.log", inode=8))
    message = store.register(source_of("message", node_id="queue-abc", inode=0))
    gone = store.register(source_of("gone", node_id="queue-abc", inode=1))
    garbage = [
        (f"timestamp: found {number}, expected a time", f"garbage {number} \u00fc") for number in range(9)
    ]
    first = batch_of(one, RECORDS[:100], rejects=garbage[:4], blanks=3)
    store.write([first, batch_of(two, RECORDS[100:200], blanks=2)])
    store.write([batch_of(moved(one, first), RECORDS[200:], rejects=garbage[4:7])])
    store.write([batch_of(message, RECORDS[:7], rejects=garbage[7:])])
    store.write([batch_of(gone, [(NOON, "a", "/", 200, None)] * 5)])
    assert store.forget([gone.source_id], with_records=True) == 1
    assert ask(store.keep_note("alerts", "firing", 0))
    assert ask(store.keep_note("alerts", "resolved", 1))
    assert ask(store.keep_note("silences/\u00fc", "", 0))


def positions(store: Store) -> dict[str, Source]:
    return {
        source.source_id: replace(source, committed_at=None)
        for source in store.all_sources()
        if source.node_id != COPIES_NODE
    }


def rounded(answer: Any) -> Any:
    """An answer without the last digits of its floats, which depend on the order in which they are added."""
    if isinstance(answer, float):
        return float(f"{answer:.12g}")
    if is_dataclass(answer):
        return [rounded(getattr(answer, each.name)) for each in fields(answer)]
    return [rounded(each) for each in answer] if isinstance(answer, list | tuple) else answer


def answers(store: Store, ask: Ask[Any]) -> dict[str, Any]:
    status = ask(store.status())
    return {
        "counts": (status.records, status.rejects, status.blanks),
        "all": rounded(ask(store.stats(StatsQuery(None, every=DAILY))).summary),
        "stats": [rounded(ask(store.stats(StatsQuery(each, every=DAILY)))) for each in (*IDS, "a")],
        "customers": rounded(ask(store.customers(CustomersQuery()))),
        "breakdown": rounded(ask(store.breakdown(BreakdownQuery(None, top=10)))),
        "rejects": rejects(store, ask),
        "notes": {name: ask(store.note(name)).text for name in ask(store.note_names())},
    }


def rejects(store: Store, ask: Ask[Any]) -> list[Any]:
    """Newest first; when each was seen is told to a millisecond, as InfluxDB has their order in the rest."""
    found = ask(store.rejects(RejectsQuery())).rejects
    return [replace(each, seen_at=each.seen_at.replace(microsecond=0)) for each in found]


def rows(store: Store, ask: Ask[Any]) -> list[tuple[Any, ...]]:
    """All records; of what InfluxDB holds without source and offset, in any order, what it holds."""

    async def read() -> list[pl.DataFrame]:
        return [frame async for frame in store.records(RecordsQuery())]

    frame = pl.concat(ask(read()))
    is_influxdb = type(store).__name__ == "InfluxDBStore"
    return sorted((frame.drop("source", "offset") if is_influxdb else frame).rows(), key=repr)


def shown(_done: int, _total: int) -> None:
    pass


class Killed(BaseException):
    """What no code of the package expects."""


@contextlib.contextmanager
def killed(store: Store, monkeypatch: pytest.MonkeyPatch, commit: int, *, committed: bool) -> Iterator[None]:
    """The process dies before, or behind, the commit of this number."""
    write, left = store.write, commit

    def dying(batches: Sequence[Batch]) -> None:
        nonlocal left
        left -= 1
        if not left and not committed:
            raise Killed
        write(batches)
        if not left:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(store, "write", dying)
        yield


@pytest.fixture
def full(ask: Ask[Any]) -> Store:
    """What the others are compared with."""
    store = InMemoryStore()
    fill(store, ask)
    return store


SUMMARY = CopySummary(records=len(RECORDS) + 12, rejects=9, blanks=5, sources=3)


def test_a_copy_gives_the_same_answers(store: Store, ask: Ask[Any]) -> None:
    fill(store, ask)
    target = InMemoryStore()
    assert ask(copy(store, target, "the old one", shown)) == SUMMARY
    expected = answers(store, ask)
    if type(store).__name__ == "InfluxDBStore":  # which does not count records of forgotten messages
        assert expected["counts"] == (SUMMARY.records - 5, SUMMARY.rejects, SUMMARY.blanks)
        expected["counts"] = (SUMMARY.records, SUMMARY.rejects, SUMMARY.blanks)
    assert answers(target, ask) == expected
    assert positions(target) == positions(store)
    assert [row[:5] for row in rows(target, ask)] == [row[:5] for row in rows(store, ask)]


@pytest.mark.parametrize("committed", [False, True], ids=["before a commit", "behind a commit"])
def test_a_copy_that_is_killed_again_and_again_goes_on(
    settings: Settings | Memory,
    full: Store,
    ask: Ask[Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    committed: bool,
) -> None:
    done: list[int] = []
    for commit in (1, 2, 3):
        store = open_store(settings)
        store.commit_lines = 60
        with killed(store, monkeypatch, commit, committed=committed):
            ask(copy(full, store, "the old one", lambda number, _: done.append(number)))
        store.close()
    store = open_store(settings)
    assert ask(copy(full, store, "the old one", lambda number, _: done.append(number))) == SUMMARY
    found = answers(store, ask), positions(store), rows(store, ask)
    assert ask(copy(full, store, "the old one", shown)) == replace(SUMMARY, was_done=True)
    assert (answers(store, ask), positions(store), rows(store, ask)) == found
    assert found[:2] == (answers(full, ask), positions(full))
    again = InMemoryStore()
    assert ask(copy(store, again, "the new one", shown)).records == SUMMARY.records
    store.close()
    assert answers(again, ask) == found[0]
    assert done == sorted(done)
    assert done[-1] == SUMMARY.records + SUMMARY.rejects


def test_of_a_copy_the_logs_are_as_many_as_of_the_first_store(full: Store, ask: Ask[Any]) -> None:
    first, second = InMemoryStore(), InMemoryStore()
    ask(copy(full, first, "the old one", shown))
    assert ask(copy(first, second, "the new one", shown)).sources == SUMMARY.sources


def test_records_keep_their_sources_and_offsets_but_where_the_source_was_forgotten(
    full: Store, ask: Ask[Any]
) -> None:
    target = InMemoryStore()
    ask(copy(full, target, "the old one", shown))
    known = {source.source_id for source in full.all_sources()}
    of_known = [[row for row in rows(store, ask) if row[5] in known] for store in (full, target)]
    assert of_known[0] == of_known[1]
    [own] = [source for source in target.all_sources() if source.node_id == COPIES_NODE]
    others = [row for row in rows(target, ask) if row[5] not in known]
    assert {row[5] for row in others} == {own.source_id}
    assert len({row[6] for row in others}) == len(others) == 5
    assert own.path == "the old one"
    assert own.source_id not in {source.source_id for source in target.sources(None)}


def test_rejects_that_were_only_counted_stay_counted(settings: Settings | Memory, ask: Ask[Any]) -> None:
    origin = InMemoryStore(max_rejects_kept=60)
    source = origin.register(source_of())
    origin.write([batch_of(source, rejects=[("no time", f"line {number}") for number in range(20)])])
    assert len(rejects(origin, ask)) == 6
    target = open_store(settings)
    ask(copy(origin, target, "the old one", shown))
    found = rejects(target, ask), ask(target.status()).rejects
    target.close()
    assert found == (rejects(origin, ask), 20)


def test_a_copied_reject_was_seen_when_it_was_seen_first(store: Store, ask: Ask[Any]) -> None:
    source, seen_at = store.register(source_of()), at("2020-02-29T12:00:00")
    batch = batch_of(source, rejects=[("no time", "one"), ("no time", "two")])
    store.write([replace(batch, copied=Copied(seen_at, omitted=3))])
    page = ask(store.rejects(RejectsQuery()))
    found = [(each.line, each.seen_at.replace(microsecond=0)) for each in page.rejects]
    assert (found, page.total) == ([("two", seen_at), ("one", seen_at)], 5)
    assert ask(store.status()).rejects == 5


def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE other (a INTEGER)")
        other.commit()
    before = file.read_bytes()
    with pytest.raises(StoreError, match="there is no store at"):
        stores.open_store(load_settings(None, store_url=f"sqlite:///{file}"), creates=False)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_store_of_other_logs_takes_them_in(full: Store, settings: Settings | Memory, ask: Ask[Any]) -> None:
    target = open_store(settings)
    own = target.register(source_of("three.log", inode=9))
    target.write([batch_of(own, [(NOON, "a", "/", 500, 1.0)] * 3, rejects=[("no time", "x")], blanks=1)])
    ask(target.keep_note("alerts", "its own", 0))
    summary = ask(copy(full, target, "the old one", shown))
    status, notes = ask(target.status()), ask(target.note("alerts")).text
    target.close()
    assert summary == replace(SUMMARY, kept_notes=("alerts",))
    assert (status.records, status.rejects, status.blanks) == (SUMMARY.records + 3, 10, 6)
    assert notes == "its own"


def test_a_store_that_has_one_of_the_logs_is_refused(full: Store, ask: Ask[Any]) -> None:
    target = InMemoryStore()
    target.write([batch_of(target.register(source_of("one.log")), [(NOON, "a", "/", 500, 1.0)])])
    with pytest.raises(CopyError, match=r"knows 1 log that the other one has too, such as /logs/one\.log"):
        ask(copy(full, target, "the old one", shown))
    assert ask(target.status()).records == 1


def test_what_came_after_a_copy_is_not_copied_in_silence(full: Store, ask: Ask[Any]) -> None:
    target = InMemoryStore()
    ask(copy(full, target, "the old one", shown))
    [one] = [source for source in full.all_sources() if source.path == "/logs/one.log"]
    full.write([batch_of(one, [(NOON, "a", "/", 500, 1.0)])])
    with pytest.raises(CopyError, match="the old one has changed since it was copied"):
        ask(copy(full, target, "the old one", shown))


def test_what_goes_on_in_the_new_store_is_no_matter_for_a_copy_that_goes_on(
    full: Store, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = InMemoryStore()
    target.commit_lines = 60
    with killed(target, monkeypatch, 3, committed=True):
        ask(copy(full, target, "the old one", shown))
    [one] = [source for source in target.all_sources() if source.path == "/logs/one.log"]
    batch = batch_of(one, [(NOON, "a", "/", 500, 1.0)])
    target.write([batch])
    assert ask(copy(full, target, "the old one", shown)).records == SUMMARY.records
    assert ask(target.status()).records == SUMMARY.records + 1
    assert target.position(one.source_id) == batch.checkpoint.position


@pytest.mark.parametrize("which", ["copied from", "copied into"])
def test_a_store_that_a_processor_writes_to_is_refused(full: Store, ask: Ask[Any], which: str) -> None:
    target = InMemoryStore()
    said = SourceStatus("id", "/logs/one.log", 1, 2, 0, 0, 0, 0, 0.0, "live")
    (full if which == "copied from" else target).report("node", [said])
    with pytest.raises(CopyError, match=f"the store that is {which} is in use.* reads /logs/one[.]log; stop"):
        ask(copy(full, target, "the old one", shown))
    assert target.all_sources() == []


def test_a_store_that_changes_meanwhile_is_no_whole_copy(full: Store, ask: Ask[Any]) -> None:
    target = InMemoryStore()
    [one] = [source for source in full.all_sources() if source.path == "/logs/one.log"]

    def change(done: int, total: int) -> None:
        if done == total:
            full.write([batch_of(one, [(NOON, "a", "/", 500, 1.0)])])

    with pytest.raises(CopyError, match="has changed meanwhile"):
        ask(copy(full, target, "the old one", change))


def test_half_a_copy_is_not_copied_on(full: Store, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    half = InMemoryStore()
    with killed(half, monkeypatch, 1, committed=True):
        ask(copy(full, half, "the old one", shown))
    with pytest.raises(CopyError, match="is itself the target of a copy that has not ended, of the old one"):
        ask(copy(half, InMemoryStore(), "half", shown))


def test_where_there_is_no_store_to_copy_none_is_made(settings: Settings | Memory) -> None:
    if isinstance(settings, Memory):
        return
    for _ in range(2):
        with pytest.raises(StoreError, match="there is no store at"):
            stores.open_store(settings, creates=False)
    opened = stores.open_store(settings)
    opened.close()
    stores.open_store(settings, creates=False).close()


def test_an_empty_store_is_refused(ask: Ask[Any]) -> None:
    with pytest.raises(CopyError, match="is empty"):
        ask(copy(InMemoryStore(), InMemoryStore(), "nothing", shown))


def test_records_that_the_target_refuses_are_left_out_and_counted(full: Store, ask: Ask[Any]) -> None:
    def refuse(batches: Sequence[Batch]) -> None:
        refusals = [
            Refusal(batch.source_id, offset, "too old")
            for batch in batches
            for offset in batch.parsed.records.filter(status_code=404)["offset"]
        ]
        if refusals:
            raise RecordsRefused(refusals)

    failed = sum(row[3] == 404 for row in rows(full, ask))
    target = InMemoryStore(before_write=refuse)
    summary = ask(copy(full, target, "the old one", shown))
    assert (summary.records, summary.refused) == (SUMMARY.records - failed, failed)
    assert ask(target.status()).records == SUMMARY.records - failed
    assert ask(copy(full, target, "the old one", shown)).refused == failed > 0


def test_a_record_that_is_read_twice_ends_the_copy(full: Store, ask: Ask[Any]) -> None:
    class Torn(InMemoryStore):
        async def _page(self, query: Any, span: Any, limit: int) -> pl.DataFrame:
            page = await super()._page(query, span, limit)
            return pl.concat([page.head(1), page])

    torn = Torn(full._memory)  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="gave a record twice"):
        ask(copy(torn, InMemoryStore(), "torn", shown))


def test_a_commit_is_of_a_bounded_number_of_sources(ask: Ask[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_MOST_SOURCES", 3)
    origin = InMemoryStore()
    for number in range(10):
        source = origin.register(source_of(f"{number}.log", inode=number))
        origin.write([batch_of(source, [(NOON, "a", "/", 200, 0.5)] * 2)])
    commits: list[int] = []
    target = InMemoryStore(
        before_write=lambda batches: commits.append(len({each.source_id for each in batches}))
    )
    ask(copy(origin, target, "the old one", shown))
    assert ask(target.status()).records == 20
    assert max(commits) == 4
