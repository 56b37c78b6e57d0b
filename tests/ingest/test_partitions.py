"""What commits do for partitions: claims, conflicts, and shipped files that arrive twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tailmetrics.errors import PositionConflict
from tailmetrics.ingest.committer import Committer
from tailmetrics.ingest.partitions import Partitions
from tailmetrics.records import ParsedLines, no_lines
from tailmetrics.settings import load_settings
from tailmetrics.sources import Batch, Checkpoint, Partition, Source, packed
from tailmetrics.stores.in_memory import InMemoryStore, Memory
from tailmetrics.telemetry.metrics import Metrics
from tests.builders import at, records_of

CHECKPOINT = Checkpoint(0, 0, "", 0, "")
PARTITION = Partition(Source("p" * 32, "queue-x", 0, 0, 0, "kafka://b/t/0", CHECKPOINT), 1)


class Reader:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def claimed(self, partition: Partition, position: int) -> None:
        assert partition == PARTITION
        self.told.append(("claimed", position))

    def handed_over(self, partition: Partition) -> None:
        assert partition == PARTITION
        self.told.append(("handed over", 0))

    def conflicted(self, partition: Partition, error: PositionConflict) -> None:
        assert partition == PARTITION
        self.told.append(("conflicted", error.expected))


class LeasingStore(InMemoryStore):
    """Notes which sources others may go on with."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.released: list[str] = []

    def release(self, source_ids: Sequence[str]) -> None:
        self.released += source_ids


@pytest.fixture
def memory() -> Memory:
    return Memory()


def step(name: str) -> Batch:
    source = PARTITION.source
    batch = Batch(source.source_id, source.path, 0, CHECKPOINT, no_lines(), partition=PARTITION)
    return replace(batch, step=name)  # type: ignore[arg-type]  # one of two words


def batch(first: int, last: int, shipped: Sequence[Batch] = (), lines: int = 0) -> Batch:
    records = records_of([(at("2024-01-01"), "c", "/", 200, None)] * lines, packed(first))
    end = replace(CHECKPOINT, position=packed(last))
    source, parsed = PARTITION.source, ParsedLines(records, no_lines().rejects, 0)
    return Batch(
        source.source_id, source.path, packed(first), end, parsed, partition=PARTITION, shipped=tuple(shipped)
    )


def shipped(begin: int, end: int, name: str = "f") -> Batch:
    """Lines of ten bytes of one file."""
    records = records_of([(at("2024-01-01"), name, "/", 200, None)] * ((end - begin) // 10), 0)
    records = records.with_columns(offset=begin + 10 * records["offset"] // 54)
    first = replace(CHECKPOINT, position=begin)
    registers = Source(name * 32, "queue-shipped", 0, 0, 0, f"host:/{name}", first)
    parsed = ParsedLines(records, no_lines().rejects, 0)
    return Batch(name * 32, registers.path, begin, replace(first, position=end), parsed, registers=registers)


def committed(store: InMemoryStore, batches: Sequence[Batch]) -> tuple[Reader, int]:
    reader = Reader()
    committer = Committer(
        store, load_settings(None).commit_options, Metrics(), lambda _: None, partitions=reader
    )
    for each in batches:
        committer.put(each)
        committer.drain()
    committer.close()
    if committer.failure is not None:
        raise committer.failure
    return reader, committer.lost_bytes


def offsets(memory: Memory, name: str = "f") -> list[int]:
    return sorted(memory.records.filter(source_id=name * 32)["offset"])


def test_a_claim_registers_the_partition_and_tells_where_the_store_is(memory: Memory) -> None:
    reader, _ = committed(InMemoryStore(memory), [step("claim"), batch(0, 3), step("claim")])
    assert reader.told == [("claimed", 0), ("claimed", packed(3))]


def test_claims_that_come_together_are_registered_at_once(memory: Memory) -> None:
    registered: list[int] = []

    class Counting(InMemoryStore):
        def register_all(self, sources: Sequence[Source]) -> None:
            registered.append(len(sources))
            super().register_all(sources)

    reader = Reader()
    Partitions(Counting(memory), reader).step([step("claim"), step("claim"), step("handover"), step("claim")])
    assert registered == [2, 1]
    assert [word for word, _ in reader.told] == ["claimed", "claimed", "handed over", "claimed"]


def test_a_handover_lets_go_of_the_partition_and_its_files(memory: Memory) -> None:
    store = LeasingStore(memory)
    reader, _ = committed(store, [step("claim"), batch(0, 1, [shipped(0, 20)]), step("handover")])
    assert store.released == ["p" * 32, "f" * 32]
    assert reader.told[-1] == ("handed over", 0)


def test_a_batch_that_another_owner_has_written_is_dropped(memory: Memory) -> None:
    committed(InMemoryStore(memory), [step("claim"), batch(0, 2, lines=2)])
    reader, _ = committed(InMemoryStore(memory), [batch(0, 2, lines=2), batch(2, 3, lines=1)])
    assert reader.told == [("conflicted", 0)]
    assert memory.records.height == 3


def test_shipped_lines_that_arrive_twice_count_once(memory: Memory) -> None:
    store = InMemoryStore(memory)
    again = [step("claim"), batch(0, 1, [shipped(0, 30)]), batch(1, 2, [shipped(0, 30)])]
    committed(store, [*again, batch(2, 3, [shipped(20, 50)])])
    assert offsets(memory) == [0, 10, 20, 30, 40]
    assert store.position("f" * 32) == 50
    assert store.position("p" * 32) == packed(3)


def test_shipped_lines_that_are_missing_are_counted_as_lost(memory: Memory) -> None:
    _, lost = committed(
        InMemoryStore(memory), [step("claim"), batch(0, 1, [shipped(0, 10)]), batch(1, 2, [shipped(40, 60)])]
    )
    assert lost == 30
    assert offsets(memory) == [0, 40, 50]


def test_of_many_files_those_are_remembered_that_had_lines_last(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailmetrics.ingest.partitions._MOST_FILES", 4)
    store = LeasingStore(memory)
    sent = ["a", "b", "c", "d", "a", "e"]
    starts = [sent[:number].count(name) * 20 for number, name in enumerate(sent)]
    batches = [
        batch(number, number + 1, [shipped(start, start + 20, name)])
        for number, (name, start) in enumerate(zip(sent, starts, strict=True))
    ]
    again = batch(6, 7, [shipped(0, 20, "b"), shipped(0, 40, "a")])
    _, lost = committed(store, [step("claim"), *batches, again, step("handover")])
    assert store.released == ["b" * 32, "c" * 32, "d" * 32, "p" * 32, "e" * 32, "b" * 32, "a" * 32]
    assert (offsets(memory, "b"), offsets(memory, "a"), lost) == ([0, 10], [0, 10, 20, 30], 0)


def test_a_file_whose_position_was_moved_elsewhere_is_asked_for_anew(memory: Memory) -> None:
    class Moved(InMemoryStore):
        """Another consumer stores the first lines when this one is about to write the next."""

        def write(self, batches: Sequence[Batch]) -> None:
            if batches[0].start == 10 and self.position("f" * 32) == 10:
                InMemoryStore(memory).write([shipped(10, 30)])
            super().write(batches)

    committed(Moved(memory), [step("claim"), batch(0, 1, [shipped(0, 10)]), batch(1, 2, [shipped(10, 50)])])
    assert offsets(memory) == [0, 10, 20, 30, 40]
