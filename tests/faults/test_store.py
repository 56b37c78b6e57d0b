"""A store that is away, slow, refuses, or is shared; and records that are hard to store."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from tailmetrics.errors import PositionConflict, StoreError, StoreUnavailable
from tailmetrics.ingest.committer import Committer
from tailmetrics.ingest.supervisor import Supervisor
from tailmetrics.settings import load_settings
from tailmetrics.sources import Batch
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tailmetrics.telemetry.metrics import Metrics
from tests.builders import at, batch_of, source_of
from tests.faults.living import Living, RejectRow
from tests.faults.stores import AfterWrite, Passing
from tests.integration.running import await_that
from tests.tailing.following import append, numbered


class Faulty(Living):
    """`fault` is called before each write of lines that are no markers, and may raise what it likes."""

    attempts: list[float]

    def __init__(self, *arguments, **settings) -> None:
        super().__init__(*arguments, **settings)
        self.attempts = []
        self.error: Exception | None = None

    def wrap(self, store):
        return Passing(store, self._before_write)

    def _before_write(self, batches: Sequence[Batch]) -> None:
        if self.error is not None:
            self.attempts.append(time.monotonic())
            raise self.error


def test_case_19_the_store_is_away_at_start(follow, log):
    append(log, *numbered(0, 100))
    living = follow(log, kind=Faulty, start=False)
    living.error = StoreUnavailable("no connection")
    living.start()
    await_that(lambda: living.running.state().store_error == "no connection", 20.0)
    living.error = None
    living.must_have(range(100))


def test_case_19_what_the_store_knows_cannot_be_asked_at_start(follow, log):
    append(log, *numbered(0, 100))
    living = follow(log, kind=UnreadableAtFirst)
    living.must_have(range(100))
    assert living.asked >= 3


class UnreadableAtFirst(Living):
    """The first two questions for the known sources find no connection."""

    asked = 0

    def wrap(self, store):
        sources = store.sources

        def ask(node_id):
            self.asked += 1
            if self.asked <= 2:
                raise StoreUnavailable("no connection", retry_after_seconds=0.01)
            return sources(node_id)

        store.sources = ask
        return store


def test_case_19_the_store_goes_away_under_load_and_comes_back(follow, log):
    living = follow(log, kind=Faulty, stream_max_size=1000)
    append(log, *numbered(0, 1000))
    living.await_count(1000)
    for turn in range(1, 21):
        if turn == 3:
            living.error = StoreUnavailable("no connection")
        append(log, *numbered(turn * 1000, turn * 1000 + 1000))
        living.await_size(log) if turn < 3 else None
    await_that(lambda: len(living.attempts) >= 3, 60.0)
    living.error = None
    living.must_have(range(21_000))


def test_case_19_it_is_restarted_and_the_logs_rotate_while_the_store_is_away(follow, log):
    living = follow(log, kind=Faulty)
    append(log, *numbered(0, 100))
    living.await_count(100)
    living.error = StoreUnavailable("no connection")
    for turn in range(1, 4):
        append(log, *numbered(turn * 100, turn * 100 + 100))
        await_that(lambda: living.attempts != [], 20.0)
        living.restart()
        log.rename(log.with_name(f"x.log.{turn}"))
    living.error = None
    living.must_have(range(400))


def test_case_19_an_answer_429_with_retry_after_is_waited_for(follow, log):
    living = follow(log, kind=Faulty)
    living.error = StoreUnavailable("429", retry_after_seconds=0.3)
    append(log, *numbered(0, 100))
    await_that(lambda: len(living.attempts) == 4, 20.0)
    living.error = None
    pauses = [later - earlier for earlier, later in zip(living.attempts, living.attempts[1:], strict=False)]
    assert min(pauses) >= 0.3
    living.must_have(range(100))


def test_case_19_a_connection_is_reset_after_the_commit_was_made(follow, log):
    append(log, *numbered(0, 100))
    living = follow(log, kind=ResetAfterCommit)
    living.await_count(100)
    append(log, *numbered(100, 200))
    living.must_have(range(200))
    assert (living.resets, living.gave_up) == (0, False)


class ResetAfterCommit(Living):
    """The first commits are made, but their answers are lost."""

    resets = 2

    def wrap(self, store):
        return AfterWrite(store, self._lose_answer)

    def _lose_answer(self) -> None:
        if self.resets:
            self.resets -= 1
            raise StoreUnavailable("connection reset", retry_after_seconds=0.01)


def test_case_19_a_store_that_hangs_for_a_while(follow, log):
    living = follow(log, kind=Hanging)
    append(log, *numbered(0, 100))
    await_that(living.hangs.is_set, 20.0)
    append(log, *numbered(100, 1000))
    log.rename(log.with_name("x.log.1"))
    append(log, *numbered(1000, 1100))
    living.await_size(log)
    living.answers.set()
    living.must_have(range(1100))


class Hanging(Living):
    """Writes wait until `answers` is set."""

    def __init__(self, *arguments, **settings) -> None:
        super().__init__(*arguments, **settings)
        self.hangs = threading.Event()
        self.answers = threading.Event()

    def wrap(self, store):
        return Passing(store, self._wait)

    def _wait(self, batches: Sequence[Batch]) -> None:
        self.hangs.set()
        assert self.answers.wait(60.0)


def test_case_19_no_more_is_read_ahead_than_two_commits_while_the_store_is_away(tmp_path):
    class Away(InMemoryStore):
        commit_lines = 1000
        read_ahead = 0.25

        def write(self, batches):
            raise StoreUnavailable("no connection")

        def position(self, source_id):
            raise StoreUnavailable("no connection")

    settings = load_settings(None, stream_max_size=10)
    committer = Committer(Away(Memory()), settings.commit_options, Metrics(), lambda batch: None)
    source = source_of()
    record = (at("2024-10-01T00:00:00"), "c", "/", 200, 0.1)
    taken = []

    def put() -> None:
        for _ in range(100):
            committer.put(batch_of(source, [record] * 5))
            taken.append(1)

    putting = threading.Thread(target=put)
    putting.start()
    await_that(lambda: len(taken) >= 3, 10.0)
    putting.join(0.3)
    # One group of at most two batches is being tried, three more wait, and whoever put the last is held up.
    assert (putting.is_alive(), len(taken) <= 6) == (True, True)
    committer.abandon()
    putting.join()
    committer.close()


def test_case_20_an_error_that_waiting_does_not_mend_ends_it_and_loses_nothing(follow, log):
    living = follow(log, kind=Faulty)
    append(log, *numbered(0, 100))
    living.await_count(100)
    living.error = StoreError("the bucket has another type of field")
    append(log, *numbered(100, 200))
    await_that(lambda: living.gave_up, 20.0)
    assert living.running.failure is living.error
    living.error = None
    living.restart()
    living.must_have(range(200))


EXTREMES = [
    "0001-01-01 00:00:00 c / 200 0",
    "9999-12-31 23:59:59 c / 200 0",
    f"2024-11-06 06:33:33 {'客' * 256} / 100 1e9",
    "2024-11-06 06:33:33 \U0010ffff /\U0010ffff 599 5e-324",
    "2024-11-06 06:33:33 ' /'; DROP TABLE records; -- 200 0.1".replace("'; DROP TABLE records; --", "';DROP"),
    f"2024-11-06 06:33:33 c /{'p' * 900_000} 200 0.1",
    '2024-11-06 06:33:33 "c" /" 200 0.1',
    "2024-11-06 06:33:33 \ufeff /\u2028 200 0.1",
    "2024-11-06 06:33:33 c / 000 -",
]


@pytest.mark.parametrize("line", EXTREMES, ids=range(len(EXTREMES)))
def test_case_20_whatever_the_parser_lets_through_the_store_takes(follow, log, line):
    append(log, *numbered(0, 10), line, *numbered(10, 20))
    rows, rejects = follow(log).content(21)
    customer, path = line.split(" ")[2:4]
    assert ([(row.customer_id, row.path) for row in rows][10], len(rows), rejects) == (
        (customer, path),
        21,
        [],
    )


def test_case_20_lines_that_cannot_be_records_do_not_block_those_behind_them(follow, log):
    append(log, *numbered(0, 10))
    offset = log.stat().st_size
    poison = ["2024-11-06 06:33:33 c / 200 -2", "2024-11-06 06:33:33 c / 999 0.1", "x" * 60_000, '{"a": 1}']
    offsets = [offset + sum(len(line) + 1 for line in poison[:place]) for place in range(len(poison))]
    append(log, *poison, *numbered(10, 20))
    fields = ["duration", "status_code", "line", "line"]
    expected = [RejectRow(*each) for each in zip(offsets, fields, poison, strict=True)]
    follow(log).must_have(range(20), expected)


def test_case_24_two_processors_on_one_file_of_a_shared_store(follow, log):
    append(log, *numbered(0, 100))
    living = follow(log)
    living.await_count(100)
    ended = threading.Event()
    second = Supervisor(living.settings, living.store, Metrics(), on_give_up=ended.set)
    second.start()
    try:
        number = 100

        def one_has_ended() -> bool:
            nonlocal number
            append(log, *numbered(number, number + 10))
            number += 10
            return ended.is_set() or living.gave_up

        await_that(one_has_ended, 20.0)
        failure = second.failure or living.running.failure
        assert isinstance(failure, PositionConflict)
        assert "another processor reads this source: stop one of them" in str(failure)
    finally:
        second.stop()
    living.restart()
    living.must_have(range(number))
