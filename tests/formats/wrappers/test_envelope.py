"""Envelopes as shippers send them: the line inside, and what they tell of where it is from."""

from __future__ import annotations

import json

import polars as pl
import pytest

from tailmetrics.formats import detection, open_by_line, open_format
from tailmetrics.formats.wrappers.envelope import ENVELOPE, told
from tailmetrics.settings import load_settings
from tests.builders import format_options

LINE = "2024-11-06 06:33:33 cust_1 /a 200 0.5"
FILEBEAT = {
    "@timestamp": "2024-11-06T06:33:34.000Z",
    "@metadata": {"beat": "filebeat", "type": "_doc", "version": "8.15.0"},
    "message": LINE,
    "log": {"offset": 0, "file": {"path": "/var/log/shop.log"}},
    "input": {"type": "filestream"},
    "host": {"name": "web1"},
    "agent": {"type": "filebeat", "hostname": "web1"},
    "ecs": {"version": "8.0.0"},
    "fields": {"tenant": "acme"},
}
FLUENT_BIT = {
    "@timestamp": 1730874814.123,
    "log": LINE + "\n",
    "filename": "/var/log/shop.log",
    "hostname": "web1",
}
VECTOR = {
    "file": "/var/log/shop.log",
    "host": "web1",
    "message": LINE,
    "source_type": "file",
    "timestamp": "2024-11-06T06:33:34.000Z",
}
RSYSLOG = {
    "timestamp": "2024-11-06T06:33:34+00:00",
    "host": "web1",
    "message": LINE,
    "file": "/var/log/shop.log",
}
RSYSLOG_ALL = {"msg": LINE, "hostname": "web1", "$!": {"metadata": {"filename": "/var/log/shop.log"}}}
ALL = (FILEBEAT, FLUENT_BIT, VECTOR, RSYSLOG, RSYSLOG_ALL)
WITHOUT_FILE = (
    {"container_id": "a1", "container_name": "/web", "source": "stdout", "log": LINE},  # FireLens
    {"insertId": "x", "textPayload": LINE, "timestamp": "2024-11-06T06:33:34Z", "logName": "a"},
    {"insertId": "x", "jsonPayload": {"message": LINE}, "timestamp": "2024-11-06T06:33:34Z"},
    {"labels": {"app": "web"}, "line": LINE, "timestamp": "2024-11-06T06:33:34Z"},  # logcli
    {"timestamp": 1730874814123, "message": LINE, "ingestionTime": 1730874815000},  # CloudWatch
    {"version": "1.1", "host": "web1", "short_message": LINE, "timestamp": 1730874814.1},  # GELF
    {"event": {"line": LINE, "source": "stdout"}, "time": "1730874814.1", "host": "web1"},  # Splunk
    {"message": LINE},
)
OTHERS = [
    "",
    "x",
    "{}",
    "[]",
    '{"message":"x","level":"info"}',
    '{"message":1,"host":"h"}',
    '{"host":"h"}',
    '{"message":"half \\ud800","host":"h"}',
    '{"message":"x","host":"h"',
]


@pytest.mark.parametrize("envelope", ALL)
def test_the_line_host_and_file_of_an_envelope_are_found(envelope: dict[str, object]) -> None:
    line = json.dumps(envelope)
    assert ENVELOPE.wraps(line)
    assert ENVELOPE.unwrap(pl.Series([line]))["inner"].to_list() == [LINE]
    names = ["envelope:host", "user", "envelope:file"]
    assert told(pl.Series([line, "x"]), names).rows() == [("web1", "/var/log/shop.log"), (None, None)]


@pytest.mark.parametrize("line", OTHERS)
def test_another_line_is_no_envelope(line: str) -> None:
    assert not ENVELOPE.wraps(line)


@pytest.mark.parametrize("envelope", ALL + WITHOUT_FILE)
def test_a_log_of_envelopes_is_detected(envelope: dict[str, object]) -> None:
    found = detection.decided(json.dumps(envelope).encode() + b"\n", format_options("auto"), is_whole=True)
    assert found is not None
    assert found.name == "envelope"


def test_an_object_that_tells_a_request_itself_is_no_envelope() -> None:
    ecs = {
        "@timestamp": "2024-11-06T06:33:34.000Z",
        "message": "GET /a",
        "host": {"name": "web1"},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
        "url": {"path": "/a"},
        "user": {"name": "ann"},
        "event": {"duration": 5},
    }
    line = json.dumps(ecs).encode() + b"\n"
    found = detection.decided(line, format_options("auto"), is_whole=True)
    assert found is not None
    assert found.name == "ecs"
    assert open_by_line(format_options("auto")).parse(line, 0).records["customer_id"].to_list() == ["ann"]


def test_lines_of_all_shippers_are_read_and_others_are_rejects_as_they_are() -> None:
    data = "\n".join(
        [*map(json.dumps, ALL), '{"message":"x\\ny","host":"h"}', "{}", '{"message":"?","host":"h"}']
    )
    parsed = open_format(format_options("envelope")).parse(data.encode(), 0)
    assert parsed.records["customer_id"].to_list() == ["cust_1"] * len(ALL)
    assert [reason.partition(":")[0] for reason in parsed.rejects["reason"]] == ["line"] * 3
    assert parsed.rejects["line"].to_list()[1:] == ["{}", '{"message":"?","host":"h"}']


def test_an_envelope_may_hold_a_line_that_is_wrapped() -> None:
    cri = {"message": f"2024-12-26T16:22:13.1Z stdout F {LINE}", "host": "web1"}
    for name in ("envelope", "envelope:cri:requests", "auto"):
        parsed = open_by_line(format_options(name)).parse(json.dumps(cri).encode(), 0)
        assert parsed.records["customer_id"].to_list() == ["cust_1"]


def test_a_line_without_a_time_was_written_when_its_envelope_says() -> None:
    logged = "level=info msg=request method=GET path=/a status=200 duration=5ms user=ann"
    line = json.dumps({"message": logged, "host": "h", "@timestamp": "2024-11-06T06:33:34.000Z"})
    parsed = open_format(load_settings(None, log_customer="user").format_options("envelope:logfmt")).parse(
        line.encode(), 0
    )
    assert [str(time) for time in parsed.records["timestamp"]] == ["2024-11-06 06:33:34"]


@pytest.mark.parametrize(
    ("customer", "found"),
    [
        ("envelope:host", "web1"),
        ("envelope:file", "/var/log/shop.log"),
        ("envelope:fields.tenant,envelope:host", "acme"),
        ("envelope:nothing,customer_id", "cust_1"),
    ],
)
def test_the_customer_may_be_told_by_the_envelope(customer: str, found: str) -> None:
    options = load_settings(None, log_customer=customer).format_options("envelope")
    parsed = open_format(options).parse(json.dumps(FILEBEAT).encode(), 0)
    assert parsed.records["customer_id"].to_list() == [found]
