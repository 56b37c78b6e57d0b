"""How far a partition is read: what is accepted, and what is left for another look."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tailmetrics.queues.kafka.fetched import Fetched
from tailmetrics.queues.kafka.inbox import Inbox
from tailmetrics.queues.kafka.partition import AssignedPartition
from tailmetrics.sources import Checkpoint, Partition, Source, packed
from tests.builders import format_options

SOURCE = Source("id", "queue-x", 0, 0, 0, "kafka://b/t/0", Checkpoint(0, 0, "", 0, ""))


def fetched(*offsets: int) -> Fetched:
    return Fetched(("t", 0), np.array(offsets, np.int64), [b"x"] * len(offsets), None, None, 1)


def begun(position: int, ends: tuple[int, int] = (0, 100)) -> AssignedPartition:
    assigned = AssignedPartition(("t", 0), SOURCE.path, format_options("requests"))
    assigned.claim(SOURCE, ends)
    assert assigned.begin(packed(position))
    return assigned


def accepted(assigned: AssignedPartition, offsets: Sequence[int]) -> tuple[int, int] | None:
    chunk = assigned.accept(fetched(*offsets))
    return None if chunk is None else (chunk.start, chunk.end)


def test_chunks_follow_each_other_over_gaps() -> None:
    assigned = begun(5)
    assert accepted(assigned, [5, 6]) == (packed(5), 7)
    assert accepted(assigned, [9]) == (packed(7), 10)
    assert accepted(assigned, [8, 9]) is None
    assert accepted(assigned, [9, 10]) == (packed(10), 11)


def test_a_gap_at_the_beginning_counts_when_it_shows_again() -> None:
    assigned = begun(5)
    assert accepted(assigned, [50, 51]) is None
    assert assigned.is_to_be_sought
    assert accepted(assigned, [52]) is None
    assert accepted(assigned, [5, 6]) == (packed(5), 7)
    assert not assigned.is_to_be_sought
    compacted = begun(5)
    assert accepted(compacted, [8]) is None
    assert accepted(compacted, [8, 9]) == (packed(5), 10)


def test_nothing_is_accepted_before_the_store_has_said_where_it_is() -> None:
    assigned = begun(5)
    assigned.again()
    assert accepted(assigned, [5]) is None
    assigned.claim(SOURCE, (0, 100))
    assert accepted(assigned, [5]) is None


def test_what_retention_took_is_lost_and_what_is_behind_the_end_refused() -> None:
    assigned = begun(5, (20, 100))
    assigned.again()
    assigned.claim(SOURCE, (20, 100))
    assert assigned.begin(packed(5))
    assert assigned.lost_messages == 15
    assert accepted(assigned, [20]) == (packed(5), 21)
    assigned.claim(SOURCE, (0, 3))
    assert not assigned.begin(packed(5))
    assert assigned.state == "claiming"


def test_markers_behind_the_last_message_are_no_lag() -> None:
    assigned = begun(5, (0, 8))
    assert accepted(assigned, [5, 6]) == (packed(5), 7)
    assigned.committed = packed(7)
    assert assigned.status().lag_messages == 1
    assigned.note_end(8)
    assert (assigned.status().lag_messages, assigned.status().position) == (0, 8)


def test_before_the_store_has_said_where_it_is_there_is_no_lag() -> None:
    assigned = AssignedPartition(("t", 0), SOURCE.path, format_options("requests"))
    assigned.claim(SOURCE, (0, 10**10))
    assert (assigned.status().lag_messages, assigned.status().size) == (0, 0)
    assert assigned.begin(packed(10**10 - 3))
    assert assigned.status().lag_messages == 3


def test_what_was_written_in_place_of_lost_messages_is_counted() -> None:
    assigned = begun(1000, (0, 1000))
    for end in (900, 950):
        assigned.claim(SOURCE, (0, end))
        assert not assigned.begin(packed(1000))
    assert assigned.lost_messages == 0
    for _ in range(2):
        assigned.claim(SOURCE, (0, 1001))
        assert assigned.begin(packed(1000))
        assert assigned.status().lost_messages == 100


def test_messages_without_values_fill_the_inbox_by_their_number_keys_and_headers() -> None:
    def is_full(count: int, key: bytes | None, headers: list[tuple[str, bytes]] | None) -> bool:
        one = Fetched(("t", 0), np.arange(count), [b""] * count, [headers] * count, [key] * count, 1)
        chunk = begun(0, (0, count)).accept(one)
        assert chunk is not None
        inbox = Inbox(threading.Condition(), 1, 4096)
        chunk = replace(chunk, partition=Partition(replace(SOURCE, source_id="0" * 32), 1))
        inbox.put(chunk)
        full = inbox.is_full
        assert inbox.take(0) == chunk
        assert inbox._bytes == 0
        return full

    assert is_full(500_000, None, None)
    assert not is_full(1000, None, None)
    assert is_full(1000, b"k" * 10_000, None)
    assert is_full(1000, None, [("h", b"v" * 10_000)])
