from __future__ import annotations

import csv
import io
import itertools
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from structlog.testing import capture_logs

from tailmetrics.api.admission import MOST_STREAMS
from tailmetrics.api.app import create_app
from tailmetrics.errors import StoreUnavailable
from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import RecordsQuery
from tailmetrics.stores import record_pages
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics
from tests.api.conftest import settings_in
from tests.api.serving import serving
from tests.builders import at, batch_of, records_of, source_of
from tests.integration.running import await_that

Rows = list[dict[str, Any]]


def read(client: httpx.Client, form: str, **asked: str) -> Rows:
    response = client.get("/records", params={"format": form, **asked})
    assert response.status_code == 200
    assert response.headers["content-disposition"] == f'attachment; filename="records.{form}"'
    if form == "csv":
        return list(csv.DictReader(io.StringIO(response.text, newline="")))
    if form == "jsonl":
        return [json.loads(line) for line in response.text.splitlines()]
    return pl.read_ipc_stream(response.content).to_dicts()


def test_records_come_in_the_order_of_their_times(client: httpx.Client) -> None:
    found = read(client, "jsonl", customer="cust_1")
    assert found[0] == {
        "timestamp": "2024-10-10T08:00:00.000000Z",
        "customer_id": "cust_1",
        "path": "/api/v1/resource1",
        "status_code": 200,
        "duration": 0.1,
        "source": "requests.log",
        "offset": 0,
    }
    assert [row["status_code"] for row in found] == [200, 404, 500]


@pytest.mark.parametrize("page", [2, 100_000])
def test_each_format_has_the_same_rows(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(record_pages, "PAGE_RECORDS", page)
    arrow = read(client, "arrow")
    lines = read(client, "jsonl")
    assert len(arrow) > 20
    assert [{**row, "timestamp": f"{row['timestamp']:%Y-%m-%dT%H:%M:%S.%fZ}"} for row in arrow] == lines
    as_text = [{name: "" if value is None else str(value) for name, value in row.items()} for row in lines]
    assert read(client, "csv") == as_text


def test_a_range_is_half_open_and_read_in_its_zone(client: httpx.Client) -> None:
    asked = {"from": "2024-10-10T04:00:00", "to": "2024-10-10T05:30:00", "tz": "America/New_York"}
    assert [row["status_code"] for row in read(client, "jsonl", customer="cust_1", **asked)] == [200]


@pytest.mark.parametrize(("form", "expected"), [("csv", [list(STORED_SCHEMA)]), ("jsonl", []), ("arrow", [])])
def test_where_there_is_nothing_there_is_an_empty_answer(
    client: httpx.Client, form: str, expected: list[list[str]]
) -> None:
    response = client.get("/records", params={"format": form, "from": "2030-01-01"})
    if form == "arrow":
        frame = pl.read_ipc_stream(response.content)
        assert (dict(frame.schema), frame.height) == (STORED_SCHEMA, 0)
    else:
        assert list(csv.reader(response.text.splitlines())) == expected


def test_an_unknown_customer_is_404(client: httpx.Client) -> None:
    assert client.get("/records", params={"customer": "nobody"}).status_code == 404


@pytest.mark.parametrize(("name", "value"), [("format", "xml"), ("from", "noon"), ("customer_id", "a")])
def test_a_wrong_parameter_is_named(client: httpx.Client, name: str, value: str) -> None:
    response = client.get("/records", params={name: value})
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == name


def test_head_has_the_headers_alone(client: httpx.Client) -> None:
    response = client.head("/records", params={"format": "csv"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/csv")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> InMemoryStore:
    """A store with more records than a connection holds unread, in several pages."""
    monkeypatch.setattr(record_pages, "PAGE_RECORDS", 5_000)
    store = InMemoryStore()
    source = store.register(source_of())
    one = records_of([(at("2024-10-10T08:00:00"), "a", "/" + "x" * 500, 200, 0.1)])
    many = one.select(pl.all().repeat_by(50_000).explode()).with_columns(offset=pl.int_range(pl.len()))
    store.write([batch_of(source, many)])
    return store


def test_streams_beyond_a_few_are_refused_and_take_no_turn_from_questions(
    tmp_path: Path, large: InMemoryStore
) -> None:
    app = create_app(settings_in(tmp_path), large, None, Metrics())
    with serving(app) as client:
        with ExitStack() as streams:
            for _ in range(MOST_STREAMS):
                assert streams.enter_context(client.stream("GET", "/records")).status_code == 200
            meanwhile = {path: client.get(path).status_code for path in ("/records", "/stats", "/customers")}
        assert meanwhile == {"/records": 503, "/stats": 200, "/customers": 200}
        while (left := client.get("/records", params={"to": "1970-01-01"})).status_code == 503:
            pass
        assert left.status_code == 200


def test_a_stream_that_the_store_cannot_finish_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_pages, "PAGE_RECORDS", 10)
    questions = itertools.count()

    async def fail_later(query: object) -> None:
        if isinstance(query, RecordsQuery) and next(questions) >= 3:
            raise StoreUnavailable("the store went away")

    store = InMemoryStore(before_read=fail_later)
    moment = at("2024-10-10T08:00:00")
    store.write([batch_of(store.register(source_of()), [(moment, "a", "/", 200, 0.1)] * 100)])
    with serving(create_app(settings_in(tmp_path), store, None, Metrics())) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/records")
        assert client.get("/records").status_code == 503


def test_the_stream_of_a_removed_key_is_cut_off(tmp_path: Path, large: InMemoryStore) -> None:
    keys = tmp_path / "keys"
    keys.write_text("one a\ntwo b\n")
    app = create_app(settings_in(tmp_path, api_read_key_file=str(keys)), large, None, Metrics())
    with serving(app) as client, capture_logs() as logged:
        with (
            client.stream("GET", "/records", headers={"X-API-Key": "one"}) as first,
            client.stream("GET", "/records", headers={"X-API-Key": "two"}) as second,
        ):
            keys.write_text("two b\n")
            await_that(lambda: "a stream was cut off" in str(logged), 10)
            with pytest.raises(httpx.RemoteProtocolError):
                first.read()
            assert second.read().count(b"\n") == 50_000
        assert client.get("/records", headers={"X-API-Key": "one"}).status_code == 401
