"""What the answers of the server mean: what is wrong, and how long to wait."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest
from influxdb_client.rest import ApiException
from urllib3.exceptions import LocationValueError

from tailmetrics.errors import StoreError, StoreRefused, StoreUnavailable
from tailmetrics.sources import Source
from tailmetrics.stores.influxdb.address import Address
from tailmetrics.stores.influxdb.errors import (
    errors_translated,
    retry_after_seconds,
    translate,
    unsupported,
    words_of,
)
from tailmetrics.stores.influxdb.store import InfluxDBStore
from tests.builders import batch_of
from tests.stores.conftest import Ask
from tests.stores.influxdb.stub import Answer, Stub
from tests.stores.influxdb.writing import records

ADDRESS = Address("http://host:8086", "org", "bucket", "secret")


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


def test_a_pause_until_a_date_counts_from_the_date_of_the_answer() -> None:
    moment = datetime(2024, 10, 10, 12, tzinfo=timezone.utc)
    until, answered = (
        format_datetime(time, usegmt=True) for time in (moment, moment - timedelta(seconds=60))
    )
    assert retry_after_seconds(until, answered) == 60


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
    with pytest.raises(StoreUnavailable, match=said) as away:
        store.write([batch_of(source, records(1))])
    assert isinstance(away.value, StoreRefused)
    assert store.position(source.source_id) == 0


def test_a_limit_of_the_server_says_how_long_it_asks_to_wait(
    stub: Stub, store: InfluxDBStore, source: Source
) -> None:
    stub.answers.append(Answer(429, "org has exceeded limited_write plan limit", {"Retry-After": "217"}))
    with pytest.raises(
        StoreUnavailable, match="exceeded limited_write plan limit; it asks to wait 217 s"
    ) as away:
        store.write([batch_of(source, records(1))])
    assert not isinstance(away.value, StoreRefused)


def test_a_question_that_a_limit_refuses_tells_how_long_to_wait(
    stub: Stub, store: InfluxDBStore, ask: Ask[Any]
) -> None:
    stub.queries.append(Answer(429, "too many queries", {"Retry-After": "7"}))
    with pytest.raises(StoreUnavailable, match="too many queries; it asks to wait 7 s") as away:
        ask(store.ping())
    assert away.value.retry_after_seconds == 7
    ask(store.ping())


@pytest.mark.parametrize("version", ["1.8.10", "v1.11.8", "3.4.1"])
def test_a_server_of_another_version_is_named_whatever_it_answers(
    stub: Stub, store: InfluxDBStore, source: Source, ask: Ask[Any], version: str
) -> None:
    stub.version = version
    stub.queries.append(Answer(403, "Flux query service disabled"))
    stub.answers.append(Answer(404, "not found"))
    said = rf"found InfluxDB {version.removeprefix('v')} at http://.*, which is not supported"
    with pytest.raises(StoreError, match=said) as asking:
        ask(store.ping())
    with pytest.raises(StoreError, match=said) as writing:
        store.write([batch_of(source, records(1))])
    assert not isinstance(asking.value, StoreUnavailable)
    assert not isinstance(writing.value, StoreUnavailable)


@pytest.mark.parametrize("version", [None, "", "dev", "v2.7.12", "2.0.9", "Cloud"])
def test_a_server_of_version_2_or_without_one_is_supported(version: str | None) -> None:
    assert unsupported(version, ADDRESS) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LocationValueError("no host"), "INFLUXDB_URL: found 'http://host:8086', expected http://host:8086"),
        (ApiException(status=0, reason="x: refused"), "does not answer: refused"),
        (OSError(), "does not answer: OSError"),
        (aiohttp.ClientConnectionError("reset"), "does not answer: reset"),
        (ApiException(status=302, reason="Found"), "which answers 302 (Found), expected InfluxDB 2"),
        (ApiException(status=500, reason="x"), "InfluxDB at http://host:8086 answers 500: x"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_after_which_waiting_may_help(error: Exception, said: str) -> None:
    with pytest.raises(StoreUnavailable) as away, errors_translated(ADDRESS):
        raise error
    assert said in str(away.value)
    assert "secret" not in str(away.value)


@pytest.mark.parametrize("status", [400, 422])
def test_a_request_that_is_wrong_is_no_reason_to_wait(status: int) -> None:
    wrong = translate(ApiException(status=status, reason="compilation failed"), ADDRESS)
    assert not isinstance(wrong, StoreUnavailable)
    assert f"answers {status}: compilation failed" in str(wrong)


def test_a_query_of_a_wrong_organisation_which_is_answered_with_400_is_waited_for() -> None:
    words = 'failed to decode request body: organization name "org" not found'
    wrong = translate(ApiException(status=400, reason=words), ADDRESS)
    assert isinstance(wrong, StoreUnavailable)
    assert "INFLUXDB_ORG: found 'org'" in str(wrong)


@pytest.mark.parametrize("value", [None, "", "soon", "nan", "inf", "Thu, 99 Oct 2024"])
def test_a_pause_that_is_not_told(value: str | None) -> None:
    assert retry_after_seconds(value) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"code": "any", "message": "in a message"}', "in a message"),
        (b"plain \xff", "plain \ufffd"),
        (b"[1]", "[1]"),
        (b"", "reason"),
    ],
)
def test_the_words_of_the_server_are_found_in_any_body(body: bytes, words: str) -> None:
    error = ApiException(status=500, reason="reason")
    error.body = body
    assert words_of(error) == words
