"""Requests to the server: of what size, how long, and what it refuses."""

from __future__ import annotations

import time

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.sources import Source
from tailmetrics.stores.influxdb import server
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import LINE_BYTES, batch_of, source_of
from tests.stores.influxdb.stub import STALL, Answer, Stub, settings_of_stub
from tests.stores.influxdb.writing import NOON, committed, paths, records


def test_a_server_that_hangs_is_given_up_after_a_while(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TIMEOUT_SECONDS", 0.3)
    store = InfluxDBStore(settings_of_stub(stub))
    source = store.register(source_of())
    stub.answers.append(Answer(STALL))
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        store.write([batch_of(source, records(1))])
    assert time.monotonic() - began < 5
    stub.released.set()
    store.write([batch_of(source, records(1))])
    store.close()
    assert paths(stub) == ["0"]


def test_what_is_too_large_is_written_by_halves(stub: Stub, store: InfluxDBStore, source: Source) -> None:
    stub.most_lines = 3
    committed(store, batch_of(source, records(20)))
    assert paths(stub) == [str(number) for number in range(20)]
    assert max(lines for _, status, lines in stub.writes if status == 204) <= 3


def test_no_request_is_larger_than_ten_megabytes(stub: Stub, store: InfluxDBStore, source: Source) -> None:
    long = [(NOON, "a", f"/{number}{'x' * 60_000}", 200, 0.1) for number in range(400)]
    store.write([batch_of(source, long)])
    assert len(stub.lines("bucket", "requests_")) == 400
    assert max(stub.sizes) <= 10_000_000
    assert sum(bucket == "bucket" for bucket, *_ in stub.writes) == 3


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("poisoned", [[0], [7], [3, 4], list(range(8))])
def test_a_poison_record_becomes_a_reject_with_the_servers_words(
    stub: Stub, store: InfluxDBStore, source: Source, poisoned: list[int], status: int
) -> None:
    stub.poison = {f'path="/{place}"': "field type conflict" for place in poisoned}
    stub.answers.append(Answer(status, "one of them is wrong"))
    [done] = committed(store, batch_of(source, records(8)))
    assert paths(stub) == [str(place) for place in range(8) if place not in poisoned]
    assert done.parsed.rejects["offset"].to_list() == [place * LINE_BYTES for place in poisoned]
    assert set(done.parsed.rejects["reason"]) == {"refused by InfluxDB: field type conflict"}
    assert len(stub.lines("bucket_meta", "reject,")) == len(poisoned)
    assert store.position(source.source_id) == 8 * LINE_BYTES


def test_a_bucket_with_another_retention_is_reported(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    stub.retention_seconds = 7 * 86_400
    InfluxDBStore(settings_of_stub(stub, retention_days=30)).close()
    said = capsys.readouterr().out
    assert "bucket_days=7" in said
    assert "retention_days=30" in said


@pytest.mark.parametrize(("days", "times"), [(30, 1), (0, 0)])
def test_that_the_bucket_deletes_by_itself_is_said_once(
    stub: Stub, capsys: pytest.CaptureFixture[str], days: int, times: int
) -> None:
    stub.retention_seconds = days * 86_400
    store = InfluxDBStore(settings_of_stub(stub, retention_days=days))
    for _ in range(2):
        store.sources("node")
    store.close()
    assert capsys.readouterr().out.count("the bucket deletes by itself what is older") == times


def test_a_server_that_is_away_is_no_error_before_it_is_asked(stub: Stub) -> None:
    away = InfluxDBStore(settings_of_stub(stub, influxdb_url="http://127.0.0.1:9"))
    with pytest.raises(StoreUnavailable, match="does not answer"):
        away.sources("node")
    away.close()


def test_buckets_that_are_missing_are_made(stub: Stub) -> None:
    stub.has_buckets = False
    InfluxDBStore(settings_of_stub(stub, retention_days=7)).close()
    assert [(bucket["name"], bucket["orgID"]) for bucket in stub.made] == [
        ("bucket", "0123456789abcdef"),
        ("bucket_meta", "0123456789abcdef"),
    ]
    records, meta = (bucket["retentionRules"] for bucket in stub.made)
    assert [rule["everySeconds"] for rule in records] == [7 * 86_400]
    assert meta == []


def test_a_bucket_that_another_process_makes_meanwhile_is_no_error(stub: Stub) -> None:
    stub.has_buckets, stub.makes = False, Answer(422, "bucket with name bucket already exists")
    store = InfluxDBStore(settings_of_stub(stub))
    assert store.sources("node") == []
    store.close()


@pytest.mark.parametrize(("orgs", "status"), [([], 201), (None, 401), (None, 403)])
def test_a_bucket_that_cannot_be_made_is_named_with_what_to_do(
    stub: Stub, orgs: list[dict[str, str]] | None, status: int
) -> None:
    stub.has_buckets, stub.makes = False, Answer(status, "no")
    stub.orgs = stub.orgs if orgs is None else orgs
    store = InfluxDBStore(settings_of_stub(stub))
    with pytest.raises(StoreUnavailable, match=r"INFLUXDB_BUCKET: found 'bucket', .* make the buckets"):
        store.sources("node")
    store.close()
