"""Requests to the server: of what size, how long, and what it refuses."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tailmetrics.errors import StoreError, StoreRefused, StoreUnavailable
from tailmetrics.sources import Source
from tailmetrics.stores.influxdb import server
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import LINE_BYTES, batch_of, source_of
from tests.certificates import Certificates
from tests.stores.conftest import Ask
from tests.stores.influxdb.stub import STALL, Answer, Stub, settings_of_stub, stub_server
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


@pytest.mark.timeout(20)
def test_who_asks_for_access_is_told_soon_of_a_server_that_says_nothing(stub: Stub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        asked = server.Server(settings_of_stub(stub, influxdb_url=url))
        with pytest.raises(StoreUnavailable, match="does not answer"):
            asked.check_access(writes=True)
        asked.close()


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
    assert "bucket_days=7.0" in said
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
    assert [rule["everySeconds"] for rule in meta] == [0]


def test_shards_of_the_second_bucket_are_longer_than_a_week(stub: Stub) -> None:
    stub.has_buckets = False
    InfluxDBStore(settings_of_stub(stub)).close()
    [records], [meta] = (bucket["retentionRules"] for bucket in stub.made)
    assert "shardGroupDurationSeconds" not in records
    assert meta["shardGroupDurationSeconds"] == 90 * 86_400


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
    with pytest.raises(StoreRefused, match=r"INFLUXDB_BUCKET: found 'bucket', .* make the buckets"):
        store.sources("node")
    store.close()


def test_a_bucket_with_an_explicit_schema_is_refused_with_what_to_do(stub: Stub) -> None:
    stub.schema_type = "explicit"
    store = InfluxDBStore(settings_of_stub(stub))
    with pytest.raises(StoreRefused, match=r"'bucket' of 'org' with an explicit schema, .* another bucket"):
        store.sources("node")
    store.close()


def test_a_second_bucket_that_expires_is_refused_with_what_to_do(stub: Stub) -> None:
    stub.meta_retention_seconds = 7 * 86_400
    store = InfluxDBStore(settings_of_stub(stub))
    with pytest.raises(StoreRefused, match=r"'bucket_meta' of 'org' with a retention of 7 days, .* 0"):
        store.check_access(writes=False)
    store.close()


def test_an_address_that_answers_something_else_is_named(stub: Stub) -> None:
    stub.lookup = Answer(200, "<html>Log in</html>")
    store = InfluxDBStore(settings_of_stub(stub))
    with pytest.raises(StoreRefused, match=r"INFLUXDB_URL: found http.*, .* expected InfluxDB 2"):
        store.sources("node")
    store.close()


@pytest.mark.parametrize(
    ("lookup", "ping", "version"),
    [
        (Answer(404, "404 page not found", {"X-Influxdb-Version": "1.8.10"}), Answer(204), "1.8.10"),
        (Answer(404, "not found"), Answer(200, "", {"X-Influxdb-Version": "3.4.1"}), "3.4.1"),
        (Answer(405, ""), Answer(200, "", {"X-Influxdb-Version": "3.0.0"}), "3.0.0"),
    ],
)
def test_a_server_of_another_version_is_named_when_the_store_is_opened(
    stub: Stub, lookup: Answer, ping: Answer, version: str
) -> None:
    stub.lookup, stub.pings = lookup, ping
    with pytest.raises(
        StoreError, match=f"INFLUXDB_URL: found InfluxDB {version} at .* not supported"
    ) as named:
        InfluxDBStore(settings_of_stub(stub))
    assert not isinstance(named.value, StoreUnavailable)


def test_a_server_that_says_no_version_is_told_by_what_it_answers(stub: Stub) -> None:
    stub.lookup, stub.pings = Answer(401, "unauthorized access"), Answer(401, "unauthorized access")
    store = InfluxDBStore(settings_of_stub(stub))
    with pytest.raises(StoreRefused, match=r"INFLUXDB_TOKEN: .* does not accept it"):
        store.sources("node")
    store.close()


def test_a_token_that_may_not_write_is_named_without_a_write(stub: Stub, store: InfluxDBStore) -> None:
    stub.may_write = False
    store.check_access(writes=False)
    with pytest.raises(
        StoreRefused, match="INFLUXDB_TOKEN: it may not do that with bucket 'bucket' of 'org'"
    ):
        store.check_access(writes=True)


def test_a_token_that_may_not_write_the_second_bucket_is_told_of_that_one(
    stub: Stub, store: InfluxDBStore
) -> None:
    stub.meta_answers.append(Answer(403, "insufficient permissions for write"))
    with pytest.raises(StoreRefused, match="with bucket 'bucket_meta' of 'org'"):
        store.check_access(writes=True)


def test_a_look_at_the_token_writes_nothing(stub: Stub, store: InfluxDBStore) -> None:
    store.check_access(writes=True)
    assert ([bucket for bucket, *_ in stub.writes], stub.points) == (["bucket", "bucket_meta"], {})


@pytest.mark.parametrize("prefix", ["/influx", "/a/b%20c"])
def test_behind_a_proxy_every_request_has_the_path_of_the_url(stub: Stub, ask: Ask[Any], prefix: str) -> None:
    stub.prefix = prefix
    store = InfluxDBStore(settings_of_stub(stub, influxdb_url=f"{stub.url}{prefix}/"))
    source = store.register(source_of())
    store.write([batch_of(source, records(3))])
    ask(store.ping())
    store.close()
    assert paths(stub) == ["0", "1", "2"]


def accepted(stub: Stub) -> list[int]:
    """How many lines each request to the bucket of records had that was taken."""
    return [lines for bucket, status, lines in stub.writes if (bucket, status) == ("bucket", 204)]


def test_a_commit_above_the_limit_of_some_minutes_goes_on_where_it_was_refused(
    stub: Stub, store: InfluxDBStore, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each try would use up what may be written with the lines that are there already."""
    monkeypatch.setattr(server, "LINES_A_REQUEST", 10)
    limit = Answer(429, "limit", {"Retry-After": "0"})
    stub.answers.extend([Answer(204), limit, limit, Answer(204), limit, limit])
    committed(store, batch_of(source, records(60)))
    assert paths(stub) == [str(number) for number in range(60)]
    assert sum(accepted(stub)) == 60


def test_a_limit_on_the_position_does_not_have_the_records_sent_again(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    stub.meta_answers.append(Answer(429, "limit", {"Retry-After": "0"}))
    committed(store, batch_of(source, records(5)))
    assert (accepted(stub), store.position(source.source_id)) == ([5], 5 * LINE_BYTES)


def test_what_a_server_had_taken_before_it_was_lost_is_sent_again(
    stub: Stub, store: InfluxDBStore, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LINES_A_REQUEST", 10)
    stub.answers.extend([Answer(204), Answer(500, "restarting")])
    committed(store, batch_of(source, records(20)))
    assert sum(accepted(stub)) == 30


class TestTls:
    """A server whose certificate a private CA has signed."""

    @pytest.fixture
    def secure(self, certificates: Certificates) -> Iterator[Stub]:
        with stub_server(certificates.server) as started:
            yield started

    def test_it_is_trusted_by_the_file_of_its_ca(
        self, secure: Stub, certificates: Certificates, ask: Ask[Any]
    ) -> None:
        store = InfluxDBStore(settings_of_stub(secure, influxdb_ca_file=str(certificates.ca)))
        source = store.register(source_of())
        store.write([batch_of(source, records(3))])
        ask(store.ping())
        store.close()
        assert paths(secure) == ["0", "1", "2"]

    def test_it_is_trusted_when_the_machine_trusts_its_ca(
        self, secure: Stub, certificates: Certificates, ask: Ask[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        store = InfluxDBStore(settings_of_stub(secure))
        assert store.sources("node") == []
        ask(store.ping())
        store.close()

    @pytest.mark.parametrize("is_other", [False, True])
    def test_it_is_refused_by_any_other(
        self, secure: Stub, certificates: Certificates, ask: Ask[Any], is_other: bool
    ) -> None:
        file = str(certificates.other_ca) if is_other else ""
        store = InfluxDBStore(settings_of_stub(secure, influxdb_ca_file=file))
        said = r"INFLUXDB_CA_FILE: the certificate of https://.* is not trusted \(.*\); expected the file"
        with pytest.raises(StoreRefused, match=said):
            store.sources("node")
        with pytest.raises(StoreRefused, match=said):
            ask(store.ping())
        store.close()

    def test_it_is_refused_under_another_name(self, secure: Stub, certificates: Certificates) -> None:
        url = secure.url.replace("127.0.0.1", "localhost")
        store = InfluxDBStore(
            settings_of_stub(secure, influxdb_url=url, influxdb_ca_file=str(certificates.ca))
        )
        with pytest.raises(StoreRefused, match=r"INFLUXDB_CA_FILE: .*'localhost'"):
            store.sources("node")
        store.close()
