"""Lines as commands show them, and as what supervises programs writes them."""

from __future__ import annotations

import polars as pl
import pytest

from tailmetrics.formats.detection import decided
from tailmetrics.formats.wrappers.prefixed import PREFIXED
from tailmetrics.formats.wrappers.wrapper import UNWRAPPED_SCHEMA
from tests.builders import format_options

REQUEST = '203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 0.123'
TIME = "2024-12-26T16:22:13.123456789Z"
LINES = [
    # docker compose logs, with colours too, docker service logs, and as it was before
    ("web-1  | a b", "a b", None),
    ("\x1b[36mweb-1  | \x1b[0ma", "a", None),
    ("web.1.abc@node1    | a", "a", None),
    ("web_1     | ", "", None),
    # Of two wrappers only the outer one
    (f"web-1  | {TIME} a", f"{TIME} a", None),
    ("[pod/web-1/nginx] a", "a", None),
    ("0|web  | a", "a", None),  # pm2
    ("16:22:13 web.1   | a", "a", None),  # foreman
    # docker logs --timestamps, kubectl logs --timestamps, CloudWatch, and ts
    (f"{TIME} a", "a", TIME),
    (f"{TIME} ", "", TIME),
    ("2024-12-26T16:22:13+01:00 a", "a", "2024-12-26T16:22:13+01:00"),
    ("2024-12-26T16:22:13: a", "a", "2024-12-26T16:22:13"),
    ("1735230133.123456 a", "a", "1735230133.123456"),
    ("Dec 26 16:22:13 a", "a", "Dec 26 16:22:13"),
    # svlogd, s6-log and multilog
    ("2024-12-26_16:22:13.12345 a", "a", "2024-12-26T16:22:13.12345"),
    ("2024-12-26 16:22:13.123456789  a", "a", "2024-12-26 16:22:13.123456789"),
    ("@40000000676d8285075bca00 a", "a", None),
    # logcli, Fluentd's out_file and AWS Lambda
    ('2024-12-26T16:22:13Z {app="web", pod="a"} b', "b", "2024-12-26T16:22:13Z"),
    ("2024-12-26T16:22:13Z {} b", "b", "2024-12-26T16:22:13Z"),
    ('2024-12-26T16:22:13+00:00\tnginx.access\t{"a":1}', '{"a":1}', "2024-12-26T16:22:13+00:00"),
    ("2024-12-26T16:22:13.123Z\t8f2c1a0b-1111-2222\tINFO\ta", "a", "2024-12-26T16:22:13.123Z"),
    # HAProxy's format short, Python's logging, Hypercorn and Gunicorn
    ("<6>a", "a", None),
    ("<134>2024-12-26T16:22:13Z a", "2024-12-26T16:22:13Z a", None),
    ("INFO:werkzeug:a", "a", None),
    ("[2024-12-26 16:22:13 +0100] [7] [INFO] a", "a", "2024-12-26 16:22:13 +0100"),
    ("[2024-12-26 16:22:13,123] [INFO] a", "a", "2024-12-26 16:22:13,123"),
]
OTHERS = [
    "<6666>a",
    "INFO: a",
    "[2024-12-26 16:22:13 +0100] a",
    "",
    "a b",
    REQUEST,
    "web-1 | ".replace(" ", ""),
    "1728568536.123    180 203.0.113.9 TCP_MISS/200",
    "2024-12-26 a",
    # Of aws logs tail, and of rsyslog without a tag: no site
    f"{TIME} i-0abc {REQUEST}",
    f"{TIME} web/nginx/abc {REQUEST}",
    f"Dec 26 16:22:13 web1 {REQUEST}",
]


@pytest.mark.parametrize(("line", "inner", "time"), LINES)
def test_a_line_is_what_is_behind_the_name_or_time(line: str, inner: str, time: str | None) -> None:
    assert PREFIXED.wraps(line) is bool(inner)
    assert PREFIXED.unwrap(pl.Series([line])).rows() == [(inner, None, None, False, time)]


@pytest.mark.parametrize("line", OTHERS)
def test_another_line_has_neither(line: str) -> None:
    unwrapped = PREFIXED.unwrap(pl.Series([line]))
    assert (unwrapped.rows(), unwrapped.schema) == ([(None, None, None, False, None)], UNWRAPPED_SCHEMA)
    assert not PREFIXED.wraps(line)


@pytest.mark.parametrize(
    "prefix", ["web-1  | ", f"{TIME} ", f"web-1  | {TIME} ", "[pod/web/nginx] ", "Dec 26 16:22:13 ", "<6>"]
)
def test_a_log_of_such_lines_is_detected(prefix: str) -> None:
    found = decided(f"{prefix}{REQUEST}\n".encode(), format_options("auto"), is_whole=True)
    assert found is not None
    assert found.name == "prefixed"
