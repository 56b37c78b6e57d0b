"""Where manifests and blocks lie in a bucket."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, cast

import polars as pl
import pytest

from tailmetrics.stores.base import Changes
from tailmetrics.stores.influxdb.influxql import Shortcut
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.server import Server
from tailmetrics.stores.influxdb.summaries import InfluxDBSummaries
from tailmetrics.stores.summaries.block import DAY, LEVELS, Level
from tailmetrics.stores.summaries.manifest import GENERATIONS, BlockRef, Manifest
from tailmetrics.windows import to_us


class EmptyBucket:
    """A server that has nothing yet, and notes what is written."""

    meta_bucket = "meta"

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.deleted: list[tuple[str, int, int]] = []
        self.shortcut = Shortcut()
        self.shortcut.refused()

    async def run(self, text: str, params: Any) -> dict[str, Any]:
        return {}

    def oldest_us(self) -> None:
        return None

    def prepare(self) -> None:
        pass

    def write_meta(self, lines: list[str]) -> None:
        self.lines += lines

    def delete_meta(self, predicate: str, first: int, stop: int) -> None:
        self.deleted.append((predicate, first, stop))

    @property
    def times(self) -> list[int]:
        return [int(line.rpartition(" ")[2]) for line in self.lines]


def summaries_in(bucket: EmptyBucket) -> InfluxDBSummaries:
    return InfluxDBSummaries(cast(InfluxDBReader, bucket), cast(Server, bucket))


def test_manifests_of_one_number_do_not_take_the_place_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, turns = EmptyBucket(), iter((0, 999, 0))
    monkeypatch.setattr("secrets.randbelow", lambda _: next(turns))
    for number in (41, 41, 42):
        assert asyncio.run(summaries_in(bucket).keep_manifest(Manifest(number)))
    assert len(set(bucket.times)) == 3
    assert sorted(bucket.times) == bucket.times
    asyncio.run(summaries_in(bucket).sweep(Manifest(43), set()))
    [(_, first, stop)] = [each for each in bucket.deleted if "manifest" in each[0]]
    assert [first <= time < stop for time in bucket.times] == [True, True, False]


class QuickBucket(EmptyBucket):
    """A bucket whose server answers InfluxQL."""

    def __init__(self, *pieces: str) -> None:
        super().__init__()
        self.shortcut.compared(same=True)
        self.pieces = pieces

    async def run_influxql(self, text: str) -> Any:
        columns = ["time", "_value"]
        series = [
            {
                "name": "manifest",
                "tags": {"piece": str(place)},
                "columns": columns,
                "values": [[7_000, piece]],
            }
            for place, piece in enumerate(self.pieces)
        ]
        columns = ["time", "_value", "journal"]
        entries = {"name": "journal", "columns": columns, "values": [[3, "[[3,4]]", "one"]]}
        return {"results": [{"series": series}, {"series": [entries]}]}


def test_a_state_that_is_asked_for_in_influxql() -> None:
    text = Manifest(7, (), ((1, 2),), {"one": 2}).as_text()
    state = asyncio.run(summaries_in(QuickBucket(text[:20], text[20:])).state())
    assert (state.manifest.number, state.stale, state.included) == (7, [(1, 2), (3, 4)], {"one": 3})


def test_a_state_that_is_asked_for_first_looks_whether_influxql_is_to_be_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = QuickBucket(Manifest(7).as_text())
    bucket.shortcut = Shortcut()

    async def counted(reader: InfluxDBReader) -> None:
        reader.shortcut.compared(same=True)

    monkeypatch.setattr("tailmetrics.stores.influxdb.summaries.counted", counted)
    assert asyncio.run(summaries_in(bucket).state()).manifest.number == 7


class Journals(EmptyBucket):
    """A bucket with a manifest, and entries of journals by name and place."""

    def __init__(self, manifest: Manifest, *entries: tuple[str, int]) -> None:
        super().__init__()
        self.found = {
            "manifest": pl.DataFrame({"_time": [1], "piece": ["0"], "_value": [manifest.as_text()]}),
            "journal": pl.DataFrame(
                [(place, name, f"[[{place},{place + 1}]]") for name, place in entries],
                schema=["_time", "journal", "_value"],
                orient="row",
            ),
        }

    async def run(self, text: str, params: Any) -> dict[str, Any]:
        return self.found


def changes_in(manifest: Manifest, *entries: tuple[str, int], mark: str | None = None) -> Changes:
    return asyncio.run(summaries_in(Journals(manifest, *entries)).changes(mark))


def test_changes_are_what_journals_say_behind_a_mark() -> None:
    mark = changes_in(Manifest(5, included={"a": 2}), ("a", 3), ("b", 1)).mark
    entries = [("a", 3), ("a", 4), ("b", 1), ("c", 1), ("c", 2)]
    assert changes_in(Manifest(5, included={"a": 2}), *entries, mark=mark).spans == ((1, 3), (4, 5))
    assert changes_in(Manifest(6, included={"a": 4, "c": 1}), *entries, mark=mark).spans == ((1, 3), (4, 5))
    assert changes_in(Manifest(6, included={"a": 3, "b": 1}), mark=mark).spans == ()


@pytest.mark.parametrize(
    ("manifest", "entries"),
    [
        (Manifest(6, included={"a": 4}), [("a", 4)]),
        (Manifest(6, included={"a": 3, "c": 1}), [("c", 2)]),
        (Manifest(3005), [("a", 4)]),
    ],
    ids=["an entry", "the first of a new journal", "whole journals, for all that is known"],
)
def test_nobody_knows_changes_of_which_entries_have_been_deleted(
    manifest: Manifest, entries: list[tuple[str, int]]
) -> None:
    mark = changes_in(Manifest(5, included={"a": 2})).mark
    assert changes_in(manifest, *entries, mark=mark).spans is None


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_the_last_piece_of_the_last_generation_is_before_the_next_block(level: Level) -> None:
    bucket = EmptyBucket()
    ref = BlockRef(level, -level.length_us, GENERATIONS - 1, 1, 0, 0, {"series": 180_000_000})
    asyncio.run(summaries_in(bucket).keep_block(ref, {"series": bytes(180_000_000)}))
    assert len(bucket.times) == len(set(bucket.times)) == 4_000
    assert -level.length_us * 1_000 < min(bucket.times) < max(bucket.times) < 0


class Kept(EmptyBucket):
    """A bucket with blocks of days, whose only part is their own number."""

    def __init__(self, days: int) -> None:
        super().__init__()
        self.refs = [
            BlockRef(DAY, day * DAY.length_us, 5, 1, 0, 0, {"series": len(str(day))}) for day in range(days)
        ]
        self.read: list[int] = []

    async def run(self, text: str, params: dict[str, Any]) -> dict[str, Any]:
        low, high = (to_us(params[name]) // DAY.length_us for name in ("start_0", "stop_0"))
        self.read.append(high - low)
        times = [ref.start_us * 1_000 + ref.generation * 4096 for ref in self.refs[low:high]]
        texts = [base64.b64encode(str(day).encode()).decode() for day in range(low, high)]
        return {"0": pl.DataFrame({"_time": times, "_value": texts})}


def test_blocks_of_many_bytes_are_not_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailmetrics.stores.influxdb.summaries._BYTES_A_QUERY", 8)
    bucket = Kept(14)
    found = asyncio.run(summaries_in(bucket).parts(bucket.refs, "series"))
    assert list(found) == [str(day).encode() for day in range(14)]
    assert bucket.read == [8, 5, 1]  # days of two digits take two bytes
