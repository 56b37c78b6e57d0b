"""Lines of RFC 3164 and RFC 5424, of nginx's and rsyslog's documentation."""

from __future__ import annotations

import re

import polars as pl
import pytest

from tailmetrics.formats import open_format
from tailmetrics.formats.wrappers.syslog import SYSLOG
from tailmetrics.formats.wrappers.wrapper import UNWRAPPED_SCHEMA
from tests.builders import format_options
from tests.paths import ROOT

SU = "'su root' failed for lonvick on /dev/pts/8"
DATA = '[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]'
LINES = [
    # https://www.rfc-editor.org/rfc/rfc3164#section-5.4
    (f"<34>Oct 11 22:14:15 mymachine su: {SU}", SU),
    ("Dec 26 16:22:13 web1 nginx[123]: a: b", "a: b"),
    ("Dec  6 16:22:13 2001:db8::1 docker/web.1[1]: a", "a"),
    # https://nginx.org/en/docs/syslog.html, with and without nohostname
    ("<190>Dec 26 16:22:13 web1 nginx: 192.0.2.1 - -", "192.0.2.1 - -"),
    ("<190>Dec 26 16:22:13 nginx: 192.0.2.1 a: b", "192.0.2.1 a: b"),
    # https://www.rfc-editor.org/rfc/rfc5424#section-6.5
    (f"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff{SU}", SU),
    ("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time.", "%% It's time."),
    (
        f"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 {DATA} \ufeffAn event",
        "An event",
    ),
    ('<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [a@1 b="3"][c@1 d="high"]', ""),
    (r'<165>1 - - - - - [a b="\"c\" \] \\"] [no data] here', "[no data] here"),
    # https://www.rsyslog.com/doc/configuration/templates.html: RSYSLOG_FileFormat, RSYSLOG_ForwardFormat
    ("2024-12-26T16:22:13.123456+01:00 web1 nginx: a", "a"),
    ("<190>2024-12-26T16:22:13.123456+01:00 web1 nginx[7]: a", "a"),
    # https://www.freedesktop.org/software/systemd/man/latest/journalctl.html#-o
    ("Dec 26 16:22:13.123456 web1 nginx[7]: a", "a"),
    ("2024-12-26T16:22:13+0100 web1 nginx[7]: a", "a"),
    ("1735230133.123456 web1 nginx[7]: a", "a"),
    ("Thu 2024-12-26 16:22:13 UTC web1 nginx[7]: a", "a"),
    ("[    7.123456] web1 nginx[7]: a", "a"),
    ("[    7.123456 <    0.000200 >] web1 nginx[7]: a", "a"),
    ("[    7.123456 <             >] web1 nginx[7]: a", "a"),
    # https://git.busybox.net/busybox/tree/sysklogd/syslogd.c, with facility and level; OpenWrt's logread
    ("Dec 26 16:22:13 web1 local7.info nginx: 192.0.2.1 a: b", "192.0.2.1 a: b"),
    ("Dec  6 16:22:13 web1 daemon.err nginx[7]: a", "a"),
    ("Thu Dec 26 16:22:13 2024 daemon.info nginx[7]: a", "a"),
    # JSON over syslog: https://www.rsyslog.com/doc/configuration/modules/mmjsonparse.html
    ('Dec 26 16:22:13 web1 app[7]: @cee: {"a": 1}', '{"a": 1}'),
    ('<190>1 2024-12-26T16:22:13Z web1 app 7 - - @cee:{"a": 1}', '{"a": 1}'),
    ('2024-12-26T16:22:13+01:00 web1 app: @cee: {"a": 1}', '{"a": 1}'),
    # As Papertrail shows it
    ("Dec 26 16:22:13 web1 nginx:  a", "a"),
]
OTHERS = [
    "",
    "x",
    "Dec 26 16:22:13 web1",
    "Dec 26 16:22:13 web1 nginx a",
    "Dec 26 web1 nginx: a",
    "<190>2 2024-12-26T16:22:13.1Z web1 nginx 123 - - a",
    "<190>1 2024-12-26T16:22:13.1Z web1 nginx 123 - a",
    '<190>1 2024-12-26T16:22:13.1Z web1 nginx 123 - [a b="c] a',
    '192.0.2.1 - - [26/Dec/2024:16:22:13 +0000] "GET / HTTP/1.1" 200 1 "-" "a: b"',
    "2024-12-26T16:22:13.123Z stdout F a: b",
    '2024-12-26T16:22:13Z {"customer_id": "c", "path": "/"}',
    "2024-12-26T16:22:13Z INFO:     203.0.113.9:52044",
    "Dec 26 16:22:13 {} INFO: a",
    "Dec 26 16:22:13 web1 local7.info a",
]


@pytest.mark.parametrize(("line", "inner"), LINES)
def test_a_line_of_syslog_is_its_message(line: str, inner: str) -> None:
    time = re.match(
        r"(?:<[0-9]+>(?:1 )?)?([0-9]{4}-[^ ]+T[^ ]+|[0-9]{10}[.][0-9]+|[A-Z][a-z]{2} .[0-9] [^ ]+)", line
    )
    assert SYSLOG.wraps(line)
    assert SYSLOG.unwrap(pl.Series([line])).rows() == [(inner, None, None, False, time and time[1])]


def test_a_message_that_stands_for_several_is_a_reject_that_tells_how_each_is_had() -> None:
    line = "Dec 26 16:22:13 web1 nginx: message repeated 3 times: [ 192.0.2.1 - -]"
    parsed = open_format(format_options("syslog")).parse(line.encode(), 0)
    assert "$RepeatedMsgReduction off" in parsed.rejects["reason"].item()


@pytest.mark.parametrize("line", OTHERS)
def test_another_line_is_none_of_syslog(line: str) -> None:
    unwrapped = SYSLOG.unwrap(pl.Series([line]))
    assert (unwrapped.rows(), unwrapped.schema) == ([(None, None, None, False, None)], UNWRAPPED_SCHEMA)
    assert not SYSLOG.wraps(line)


@pytest.mark.parametrize("name", ["syslog", "syslog:nginx"])
def test_a_log_of_a_host_is_read_by_what_is_inside(name: str) -> None:
    log = (ROOT / "tests/data/logs/syslog.log").read_bytes()
    parsed = open_format(format_options(name)).parse(log, 0)
    fields = parsed.records.select("customer_id", "path", "status_code", "duration")
    assert fields.rows() == [("198.51.100.7", "/hello", 404, None)] * 3
    assert (parsed.rejects.height, parsed.blanks) == (0, 0)
