"""Writing to InfluxDB while it is well, busy, away or refuses: nothing lost, nothing twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from tailmetrics.errors import RecordsRefused, SettingsError, SourceHeld, StoreUnavailable
from tailmetrics.ingest.committer import Committer
from tailmetrics.settings import load_settings
from tailmetrics.sources import Batch, Source
from tailmetrics.stores.influxdb import leases, server
from tailmetrics.stores.influxdb.server import Address, retry_after_seconds
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tailmetrics.telemetry.metrics import Metrics
from tests.builders import LINE_BYTES, Record, at, batch_of, moved, source_of
from tests.stores.influxdb.stub import RESET, STALL, Answer, Stub, settings_of_stub, stub_server

NOON = at("2024-10-10T12:00:00")


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as started:
        yield started


@pytest.fixture
def store(stub: Stub) -> Iterator[InfluxDBStore]:
    opened = InfluxDBStore(settings_of_stub(stub))
    yield opened
    stub.answers.clear()
    opened.close()


@pytest.fixture
def source(store: InfluxDBStore) -> Source:
    return store.register(source_of())


def records(number: int, customer_id: str = "a") -> list[Record]:
    return [(NOON, customer_id, f"/{place}", 200, 0.1) for place in range(number)]


def paths(stub: Stub) -> list[str]:
    """The paths of the records that are stored, sorted by their numbers."""
    found = [line.rpartition('path="/')[2].rstrip('"') for line in stub.lines("bucket", "requests_")]
    return sorted(found, key=int)


def committed(store: InfluxDBStore, *batches: Batch) -> list[Batch]:
    """What a committer says it has committed of the batches, which it tries until they are."""
    done: list[Batch] = []
    committer = Committer(store, load_settings(None), Metrics(), done.append)
    for batch in batches:
        committer.put(batch)
    committer.close()
    assert committer.failure is None
    return done


@pytest.mark.parametrize(
    "answer",
    [
        Answer(429, "too many writes", {"Retry-After": "0"}),
        Answer(
            429, "too many writes", {"Retry-After": format_datetime(datetime.now(timezone.utc), usegmt=True)}
        ),
        Answer(503, "busy", {"Retry-After": "0.01"}),
        Answer(503, "busy"),
        Answer(500, "internal error"),
        Answer(500, "timeout", keeps=True),
        Answer(RESET),
        Answer(RESET, keeps=True),
        Answer(401, "unauthorized access"),
        Answer(403, "insufficient permissions for write"),
        Answer(404, 'bucket "bucket" not found'),
    ],
    ids=lambda answer: (
        f"{answer.status}{'-kept' if answer.keeps else ''}-{answer.headers.get('Retry-After', 'soon')[:4]}"
    ),
)
def test_what_could_not_be_written_is_written_again(
    stub: Stub, store: InfluxDBStore, source: Source, answer: Answer
) -> None:
    stub.answers.extend([answer] * 2)
    committed(store, batch_of(source, records(5)))
    assert paths(stub) == list("01234")
    assert store.position(source.source_id) == 5 * LINE_BYTES


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(429, "x", {"Retry-After": "7"}), 7),
        (Answer(503, "x", {"Retry-After": "0.5"}), 0.5),
        (Answer(503, "x", {"Retry-After": "3600000"}), 300),
        (Answer(503, "x", {"Retry-After": "soon"}), None),
        (Answer(503, "x"), None),
    ],
)
def test_the_pause_is_the_one_that_was_asked_for(
    stub: Stub, store: InfluxDBStore, source: Source, answer: Answer, seconds: float | None
) -> None:
    stub.answers.append(answer)
    with pytest.raises(StoreUnavailable) as away:
        store.write([batch_of(source, records(1))])
    assert away.value.retry_after_seconds == seconds


def test_a_pause_until_a_date_is_the_time_until_then() -> None:
    moment = datetime.now(timezone.utc) + timedelta(seconds=60)
    assert 55 < retry_after_seconds(format_datetime(moment, usegmt=True)) <= 60
    assert retry_after_seconds("Thu, 10 Oct 2024 12:00:00 GMT") == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(401, "unauthorized access"), "INFLUXDB_TOKEN: .* does not accept it"),
        (
            Answer(403, "insufficient permissions for write"),
            "INFLUXDB_TOKEN: it may not .* 'bucket' of 'org'",
        ),
        (Answer(404, 'bucket "bucket" not found'), "INFLUXDB_BUCKET: found 'bucket'"),
        (Answer(404, 'organization name "org" not found'), "INFLUXDB_ORG: found 'org'"),
        (Answer(404, "page not found"), "INFLUXDB_URL: found http.* expected InfluxDB 2"),
    ],
)
def test_a_wrong_setting_is_named_and_waited_for(
    stub: Stub, store: InfluxDBStore, source: Source, answer: Answer, said: str
) -> None:
    stub.answers.append(answer)
    with pytest.raises(StoreUnavailable, match=said):
        store.write([batch_of(source, records(1))])
    assert store.position(source.source_id) == 0


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


def test_a_poison_record_leaves_the_places_of_the_others_as_they_were(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    """Or those written before it was found would be there twice."""
    stub.poison = {'path="/1"': "no"}
    committed(store, batch_of(source, records(4)))
    assert len(stub.lines("bucket", "requests_")) == 3


def test_records_that_are_too_old_for_the_bucket_are_rejects_that_say_so(stub: Stub) -> None:
    stub.retention_seconds = 7 * 86_400
    store = InfluxDBStore(settings_of_stub(stub, retention_days=7))
    source = store.register(source_of())
    fresh = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=6)
    [done] = committed(store, batch_of(source, [(fresh, "a", "/0", 200, 0.1), *records(1)]))
    store.close()
    assert len(paths(stub)) == 1
    [reason] = done.parsed.rejects["reason"]
    assert reason.startswith("timestamp: found 2024-10-10 12:00:00, expected the last 7 days")


def test_a_bucket_with_another_retention_is_reported(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    stub.retention_seconds = 7 * 86_400
    InfluxDBStore(settings_of_stub(stub, retention_days=30)).close()
    said = capsys.readouterr().out
    assert "bucket_days=7" in said
    assert "retention_days=30" in said


def test_a_commit_that_failed_midway_and_is_cut_otherwise_gives_the_same_points(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    rows = [(NOON + timedelta(microseconds=place % 3), "a", f"/{place}", 200, 0.1) for place in range(30)]
    whole = batch_of(source, rows, rejects=[("reason", "line")])
    stub.poison = {"source,": "the position cannot be written"}
    with pytest.raises(Exception, match="the position cannot be written"):
        store.write([whole])
    stub.poison = {}
    assert store.position(source.source_id) == 0
    first = batch_of(source, rows[:11])
    second = batch_of(moved(source, first), rows[11:], rejects=[("reason", "line")])
    store.write([first])
    store.write([second])
    assert paths(stub) == [str(place) for place in range(30)]
    assert len(stub.lines("bucket_meta", "reject,")) == 1


def test_records_are_written_before_their_position(stub: Stub, store: InfluxDBStore, source: Source) -> None:
    stub.writes.clear()
    store.write([batch_of(source, records(1), rejects=[("r", "l")])])
    assert [bucket for bucket, *_ in stub.writes] == ["bucket", "bucket_meta", "bucket_meta"]


def test_a_server_that_is_away_is_no_error_before_it_is_asked(stub: Stub) -> None:
    away = InfluxDBStore(settings_of_stub(stub, influxdb_url="http://127.0.0.1:9"))
    with pytest.raises(StoreUnavailable, match="does not answer"):
        away.sources("node")
    away.close()


@pytest.mark.parametrize("missing", ["influxdb_token", "influxdb_org", "influxdb_bucket"])
def test_a_setting_that_is_missing_is_named(stub: Stub, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"{missing.upper()}: found nothing"):
        InfluxDBStore(settings_of_stub(stub, **{missing: ""}))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("influxdb://host/b?org=o", ("http://host:8086", "o", "b")),
        ("influxdb://host:1/b%20c?org=o%26p&tls=true", ("https://host:1", "o&p", "b c")),
        ("influxdb://[::1]:1/b?org=o", ("http://[::1]:1", "o", "b")),
        ("influxdb://", ("http://named:8086", "org", "bucket")),
        ("influxdb://host:1", ("http://host:1", "org", "bucket")),
    ],
)
def test_the_url_of_the_store_wins_over_the_other_settings(url: str, expected: tuple[str, ...]) -> None:
    settings = load_settings(
        None,
        store_url=url,
        influxdb_url="http://named:8086/",
        influxdb_org="org",
        influxdb_bucket="bucket",
        influxdb_token="secret",  # noqa: S106  # none
    )
    address = Address.of(settings)
    assert (address.url, address.org, address.bucket) == expected
    assert "secret" not in repr(address) + repr(settings)


def test_a_refusal_names_the_line_of_the_record(stub: Stub, store: InfluxDBStore, source: Source) -> None:
    stub.poison = {"/0": "no"}
    with pytest.raises(RecordsRefused) as refused:
        store.write([batch_of(source, records(2))])
    [refusal] = refused.value.refusals
    assert (refusal.source_id, refusal.offset) == (source.source_id, 0)


def test_a_second_processor_of_a_source_is_refused_with_the_name_of_the_first(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    second = InfluxDBStore(settings_of_stub(stub))
    with pytest.raises(SourceHeld, match=r"is read by process \d+ on .*, which is alive"):
        second.write([batch_of(source, records(1))])
    second.close()
    assert paths(stub) == []


def test_what_a_processor_held_that_has_ended_is_taken_over(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    store.close()
    second = InfluxDBStore(settings_of_stub(stub))
    second.write([batch_of(source, records(1))])
    second.close()
    assert paths(stub) == ["0"]


def test_of_a_processor_on_another_machine_it_is_waited_whether_it_says_something(
    stub: Stub, store: InfluxDBStore, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases.Holder, "has_ended", lambda _: None)
    second = InfluxDBStore(settings_of_stub(stub))
    with pytest.raises(StoreUnavailable, match="to see whether it lives"):
        second.write([batch_of(source, records(1))])
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.0)
    second.write([batch_of(source, records(1))])
    second.close()
    assert paths(stub) == ["0"]
