"""A reading has one state, and reads each block once."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tailmetrics.stores.summaries.block import MINUTE, MINUTE_US, Part
from tailmetrics.stores.summaries.durations import Durations
from tailmetrics.stores.summaries.manifest import BlockRef, Manifest
from tailmetrics.stores.summaries.reading import BlockCache, KeptSums, Reading
from tests.stores.summaries.fake import FakeKeeps, finished


class Noting(FakeKeeps):
    def __init__(self) -> None:
        super().__init__()
        self.read: list[BlockRef] = []

    async def parts(self, refs: Sequence[BlockRef], part: Part) -> Sequence[bytes]:
        self.read += refs
        return await super().parts(refs, part)


def block(store: FakeKeeps, minute: int, data: bytes, generation: int = 1) -> BlockRef:
    start = minute * MINUTE_US
    ref = BlockRef(MINUTE, start, generation, 1, start, start, {"series": len(data)})
    store.blocks[ref.key] = {"series": data}
    return ref


def test_a_block_is_read_once_and_those_that_are_missing_are_read_together() -> None:
    store, cache = Noting(), BlockCache(1_000)
    refs = [block(store, minute, b"%d" % minute) for minute in range(3)]
    assert finished(Reading(store, cache).parts(refs[1:2], "series")) == [b"1"]
    assert finished(Reading(store, cache).parts(refs, "series")) == [b"0", b"1", b"2"]
    assert store.read == [refs[1], refs[0], refs[2]]


def test_blocks_that_were_read_longest_ago_are_read_again() -> None:
    store, cache = Noting(), BlockCache(100)
    refs = [block(store, minute, bytes(25)) for minute in range(5)]
    reading = Reading(store, cache)
    for place in (0, 1, 2, 3, 0, 4, 0, 2):
        finished(reading.parts([refs[place]], "series"))
    assert store.read == refs
    finished(reading.parts([refs[1]], "series"))
    assert store.read == [*refs, refs[1]]


def test_a_block_that_would_leave_no_room_for_others_is_read_each_time() -> None:
    store = Noting()
    ref = block(store, 0, bytes(26))
    reading = Reading(store, BlockCache(100))
    for _ in range(2):
        assert finished(reading.parts([ref], "series")) == [bytes(26)]
    assert store.read == [ref, ref]


def test_a_generation_that_comes_again_is_another_block() -> None:
    store, cache = FakeKeeps(), BlockCache(1_000)
    finished(Reading(store, cache).parts([block(store, 0, b"before")], "series"))
    assert finished(Reading(store, cache).parts([block(store, 0, b"later on")], "series")) == [b"later on"]


def test_all_questions_of_a_reading_are_of_one_state() -> None:
    store = FakeKeeps()
    reading = Reading(store, BlockCache())
    assert finished(reading.state()).manifest.number == 0
    finished(store.keep_manifest(Manifest(7)))
    assert finished(reading.state()).manifest.number == 0
    assert finished(Reading(store, BlockCache()).state()).manifest.number == 7


class Sums:
    """Sums of so many rows as are asked for, of twice as many, and what was asked for."""

    def __init__(self, most_rows: int) -> None:
        self.kept = KeptSums(most_rows)
        self.made: list[int] = []

    def of(self, rows: int) -> int:
        def make() -> Durations:
            self.made.append(rows)
            return Durations(pl.DataFrame({"code": 0, "value": [*range(rows)] * 2, "count": 1}), 1_000)

        return self.kept.of(rows, make).frame.height


def test_a_sum_is_made_once() -> None:
    sums = Sums(10)
    assert [sums.of(rows) for rows in (3, 4, 3)] == [3, 4, 3]
    assert sums.made == [3, 4]


def test_the_sum_that_was_asked_for_longest_ago_makes_room() -> None:
    sums = Sums(10)
    for rows in (3, 4, 3, 5, 3, 4):
        sums.of(rows)
    assert sums.made == [3, 4, 5, 4]


def test_what_is_too_large_is_read_each_time_and_added_up_once() -> None:
    sums = Sums(10)
    assert [sums.of(rows) for rows in (3, 11, 11, 3)] == [3, 11, 22, 3]
    assert sums.made == [3, 11, 11]
