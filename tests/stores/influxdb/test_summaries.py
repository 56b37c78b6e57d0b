"""Where manifests and blocks lie in a bucket."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.server import Server
from tailmetrics.stores.influxdb.summaries import InfluxDBSummaries
from tailmetrics.stores.summaries.block import LEVELS, Level
from tailmetrics.stores.summaries.manifest import GENERATIONS, BlockRef, Manifest


class EmptyBucket:
    """A server that has nothing yet, and notes what is written."""

    meta_bucket = "meta"

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.deleted: list[tuple[str, int, int]] = []

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


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_the_last_piece_of_the_last_generation_is_before_the_next_block(level: Level) -> None:
    bucket = EmptyBucket()
    ref = BlockRef(level, -level.length_us, GENERATIONS - 1, 1, 0, 0, {"series": 180_000_000})
    asyncio.run(summaries_in(bucket).keep_block(ref, {"series": bytes(180_000_000)}))
    assert len(bucket.times) == len(set(bucket.times)) == 4_000
    assert -level.length_us * 1_000 < min(bucket.times) < max(bucket.times) < 0
