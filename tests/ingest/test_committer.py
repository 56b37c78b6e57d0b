"""How batches are grouped and committed while the store is well, slow, away or broken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import structlog

from tailmetrics.errors import PositionConflict, RecordsRefused, Refusal, StoreRefused, StoreUnavailable
from tailmetrics.ingest.committer import Committer
from tailmetrics.records import ParsedLines, no_records, no_rejects
from tailmetrics.settings import load_settings
from tailmetrics.sources import CHUNK_LINES, Batch, Checkpoint
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics
from tests.builders import LINE_BYTES, at, batch_of, source_of

WAIT_SECONDS = 10.0


class ScriptedStore(InMemoryStore):
    """A store that is slow or away at command, and keeps which sources were written together.

    Each write waits for `allowed`, and raises the next of `errors` if there is one.
    """

    commit_lines = 1000

    def __init__(self) -> None:
        super().__init__()
        self.allowed = threading.Event()
        self.allowed.set()
        self.begun = threading.Semaphore(0)
        self.errors: list[Exception] = []
        self.commits: list[list[str]] = []

    def write(self, batches: Sequence[Batch]) -> None:
        self.begun.release()
        assert self.allowed.wait(WAIT_SECONDS)
        if self.errors:
            raise self.errors.pop(0)
        self.register_all([replace(source_of(), source_id=batch.source_id) for batch in batches])
        super().write(batches)
        self.commits.append([batch.source_id for batch in batches])


def batch(name: str, *, more: bool = False, lines: int = 1) -> Batch:
    point = Checkpoint(0, 0, "", 0, "")
    parsed = ParsedLines(no_records(), no_rejects(), lines)
    return Batch(name, "x.log", 0, point, parsed, more=more)


@pytest.fixture
def store() -> ScriptedStore:
    return ScriptedStore()


@pytest.fixture
def start(store: ScriptedStore) -> Iterator[Callable[..., Committer]]:
    started: list[Committer] = []

    def make(on_commit: Callable[[Batch], None] = lambda _: None, **settings: Any) -> Committer:
        committer = Committer(store, load_settings(None, **settings).commit_options, Metrics(), on_commit)
        started.append(committer)
        return committer

    yield make
    store.allowed.set()
    for committer in started:
        committer.abandon()
        committer.close()


def test_a_quiet_stream_is_committed_at_once(store, start):
    committed = threading.Event()
    start(lambda _: committed.set(), stream_max_wait_time_in_seconds=3600).put(batch("a"))
    assert committed.wait(WAIT_SECONDS)


def test_the_next_group_grows_while_a_commit_is_under_way(store, start):
    committer = start()
    store.allowed.clear()
    committer.put(batch("a"))
    assert store.begun.acquire(timeout=WAIT_SECONDS)
    committer.put(batch("b"))
    committer.put(batch("c"))
    store.allowed.set()
    committer.close()
    assert store.commits == [["a"], ["b", "c"]]


def test_a_group_waits_for_the_rest_of_a_source_that_has_more(store, start):
    committer = start(stream_max_wait_time_in_seconds=3600)
    committer.put(batch("a", more=True))
    committer.put(batch("b", more=False))
    committer.close()
    assert store.commits == [["a", "b"]]


def test_no_group_waits_longer_than_the_setting(store, start):
    committed = threading.Event()
    start(lambda _: committed.set(), stream_max_wait_time_in_seconds=0.01).put(batch("a", more=True))
    assert committed.wait(WAIT_SECONDS)


def test_no_group_is_larger_than_the_setting(store, start):
    committer = start(stream_max_size=10)
    store.allowed.clear()
    committer.put(batch("a"))
    assert store.begun.acquire(timeout=WAIT_SECONDS)
    for name in "bc":
        committer.put(batch(name, lines=4))
    last = threading.Thread(target=committer.put, args=[batch("d", lines=4)], daemon=True)
    last.start()
    store.allowed.set()
    last.join(WAIT_SECONDS)
    committer.close()
    assert store.commits == [["a"], ["b", "c"], ["d"]]


def test_no_group_is_larger_than_is_worth_a_commit(store, start):
    committer = start()
    store.allowed.clear()
    committer.put(batch("a"))
    assert store.begun.acquire(timeout=WAIT_SECONDS)
    for name, part in {"b": 2, "c": 2, "d": 8}.items():
        committer.put(batch(name, lines=store.commit_lines // part))
    store.allowed.set()
    committer.close()
    assert store.commits == [["a"], ["b", "c"], ["d"]]


def test_groups_of_a_bulk_double_from_one_chunk_to_what_is_worth_a_commit(store, start):
    store.commit_lines = 4 * CHUNK_LINES
    committer = start(stream_max_wait_time_in_seconds=WAIT_SECONDS)
    for number in range(15):
        committer.put(batch(f"{number}", more=number < 14, lines=CHUNK_LINES))
    committer.close()
    assert [len(commit) for commit in store.commits] == [1, 2, 4, 4, 4]


@pytest.mark.parametrize(("stream_max_size", "enough"), [(10, 13), (10_000_000, 1250)])
def test_whoever_puts_is_held_up_while_too_much_is_queued(store, start, stream_max_size, enough):
    committer = start(stream_max_size=stream_max_size)
    store.allowed.clear()
    committer.put(batch("a", lines=10))
    assert store.begun.acquire(timeout=WAIT_SECONDS)
    done = threading.Event()
    threading.Thread(
        target=lambda: (committer.put(batch("b", lines=enough)), done.set()), daemon=True
    ).start()
    assert not done.wait(0.1)
    store.allowed.set()
    assert done.wait(WAIT_SECONDS)


def test_a_store_that_is_away_is_tried_again_until_it_is_back(store, start):
    committed = threading.Event()
    store.errors = [StoreUnavailable("away", retry_after_seconds=0.001) for _ in range(5)]
    start(lambda _: committed.set()).put(batch("a"))
    assert committed.wait(WAIT_SECONDS)
    assert store.commits == [["a"]]


def test_the_end_of_an_outage_is_told(store, start):
    committed = threading.Event()
    store.errors = [StoreUnavailable("away", retry_after_seconds=0.001) for _ in range(5)]
    with structlog.testing.capture_logs() as events:
        start(lambda _: committed.set()).put(batch("a"))
        assert committed.wait(WAIT_SECONDS)
    told = [event["event"] for event in events]
    assert told == ["the store is away, trying again", "the store answers again"]


def test_while_the_store_is_away_the_reason_is_told(store, start):
    committer = start()
    store.errors = [StoreUnavailable("no space left", retry_after_seconds=3600)]
    committer.put(batch("a"))
    assert store.begun.acquire(timeout=WAIT_SECONDS)
    deadline = threading.Event()
    while committer.store_error is None:
        assert not deadline.wait(0.001)
    assert committer.store_error == "no space left"


def test_it_can_be_ended_while_the_store_is_away(store, start):
    committer = start()
    store.errors = [StoreUnavailable("away", retry_after_seconds=3600)] * 2  # it is tried a last time
    committer.put(batch("a"))
    assert store.begun.acquire(timeout=WAIT_SECONDS)
    committer.abandon()
    committer.close()
    assert store.commits == []


def test_after_the_end_nothing_is_prepared():
    prepared: list[Batch] = []

    class PreparingStore(ScriptedStore):
        def prepare(self, batch: Batch) -> Batch:
            prepared.append(batch)
            return batch

    committer = Committer(PreparingStore(), load_settings(None).commit_options, Metrics(), lambda _: None)
    committer.abandon()
    committer.close()
    committer.put(batch("a"))
    assert prepared == []


def test_another_error_ends_it_and_is_told(store):
    failed = threading.Event()
    store.errors = [PositionConflict("a", 5, 7)]
    committer = Committer(store, load_settings(None).commit_options, Metrics(), lambda _: None, failed.set)
    committer.put(batch("a"))
    assert failed.wait(WAIT_SECONDS)
    committer.close()
    assert isinstance(committer.failure, PositionConflict)


def test_reported_counts_are_those_of_what_was_committed(store, start):
    committed: list[Batch] = []
    committer = start(committed.append)
    committer.put(batch("a"))
    committer.close()
    assert [each.source_id for each in committed] == ["a"]


NOON = at("2024-10-10T12:00:00")


def test_records_that_the_store_refuses_are_committed_as_rejects_and_the_others_as_records(store, start):
    committed: list[Batch] = []
    refusing = batch_of(source_of(), [(NOON, "a", "/", 200, 0.1), (NOON, "b", "/x", 200, None)])
    store.errors = [RecordsRefused([Refusal(refusing.source_id, LINE_BYTES, "too old")])]
    committer = start(committed.append)
    committer.put(refusing)
    committer.close()
    [parsed] = [each.parsed for each in committed]
    assert parsed.records["customer_id"].to_list() == ["a"]
    assert parsed.rejects.rows() == [(LINE_BYTES, "too old", "2024-10-10 12:00:00.000000 b /x 200 ")]


def test_rejects_keep_the_order_of_their_lines_when_one_is_added(store, start):
    committed: list[Batch] = []
    refusing = batch_of(source_of(), [(NOON, "a", "/", 200, 0.1)], rejects=[("bad", "line")])
    store.errors = [RecordsRefused([Refusal(refusing.source_id, 0, "too old")])]
    committer = start(committed.append)
    committer.put(refusing)
    committer.close()
    assert committed[0].parsed.rejects["offset"].to_list() == [0, LINE_BYTES]


def test_batches_without_a_refused_record_stay_as_they_are(store, start):
    committed: list[Batch] = []
    store.allowed.clear()
    refusing = batch_of(source_of("one", inode=1), [(NOON, "a", "/", 200, 0.1)])
    other = batch_of(source_of("two", inode=2), [(NOON, "a", "/", 200, 0.1)])
    store.errors = [RecordsRefused([Refusal(refusing.source_id, 0, "too old")])]
    committer = start(committed.append)
    committer.put(refusing)
    committer.put(other)
    store.allowed.set()
    committer.close()
    assert [each.parsed.records.height for each in committed] == [0, 1]


def test_a_refusal_of_records_that_were_not_written_ends_it(store):
    failed = threading.Event()
    store.errors = [RecordsRefused([Refusal("a", 99, "too old")])]
    committer = Committer(store, load_settings(None).commit_options, Metrics(), lambda _: None, failed.set)
    committer.put(batch("a"))
    assert failed.wait(WAIT_SECONDS)
    committer.close()
    assert isinstance(committer.failure, RecordsRefused)


def test_a_store_that_refuses_is_waited_for_loudly(store, start):
    store.errors = [StoreRefused("the token may not write", 0.0)]
    with structlog.testing.capture_logs() as said:
        start().put(batch("a"))
        assert store.begun.acquire(timeout=WAIT_SECONDS)
        assert store.begun.acquire(timeout=WAIT_SECONDS)
    [event] = [each for each in said if each["log_level"] == "error"]
    assert (event["event"], event["error"]) == (
        "the store refuses this service, trying again until it is mended",
        "the token may not write",
    )


def test_a_store_that_refuses_is_the_end_where_nobody_waits_for_it(store):
    store.errors = [StoreUnavailable("away", 0.0), StoreRefused("the token may not write")]
    ended = threading.Event()
    committer = Committer(
        store,
        load_settings(None).commit_options,
        Metrics(),
        lambda _: None,
        ended.set,
        ends_when_refused=True,
    )
    committer.put(batch("a"))
    assert ended.wait(WAIT_SECONDS)
    committer.close()
    assert (type(committer.failure), store.commits) == (StoreRefused, [])
