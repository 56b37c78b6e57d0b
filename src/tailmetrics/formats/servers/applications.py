"""The logs of application servers.

The definitions are those of the servers' documentation: Tomcat, "The Valve Component" (Access Log Valve);
Gunicorn, "Settings" (access_log_format); Uvicorn, "Settings" (Logging), and its LOGGING_CONFIG.

Tomcat's %D is in milliseconds up to Tomcat 9 and in microseconds from Tomcat 10 on, which a line does not
tell; %T is in seconds with decimals, and %F, until the response begins, is passed over. Gunicorn's %(D)s is
in microseconds, %(M)s in milliseconds and %(L)s in seconds with decimals. Their lines are like those of other
servers, so both are read only when they are named.
"""

from __future__ import annotations

from typing import Final

from tailmetrics.formats import timestamps
from tailmetrics.formats.nginx import unescaped
from tailmetrics.formats.servers.pattern import CLF, QUOTED, ServerLog

_NO_TIME = (
    "a time before INFO, which uvicorn leaves out by default: put %(asctime)s before %(levelprefix)s in the "
    "access format of its --log-config"
)

_TOMCAT = ServerLog(
    name="tomcat",
    title="Tomcat's Access Log Valve, patterns common and combined, with %D or %T behind",
    example='203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612',
    pattern=(
        rf'{CLF}"(?P<request>{QUOTED})" (?P<status_code>[0-9]{{3}}|-) (?:[0-9]+|-)'
        rf'(?: "{QUOTED}" "(?P<agent>{QUOTED})")?(?: (?P<duration>[0-9]+(?:\.[0-9]+)?|-)(?: -?[0-9]+| -)?)?'
    ),
    expected='address - user [time] "request" status bytes, perhaps "referer" "agent", perhaps %D and %F',
    unit="s",
    unit_of_whole_numbers="",
    is_like_no_other=False,
    unescaped=unescaped,
)

_GUNICORN = ServerLog(
    name="gunicorn",
    title="Gunicorn's access_log_format, with %(L)s or %(D)s behind",
    example=(
        '203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 0.012345'
    ),
    pattern=(
        rf'{CLF}"(?P<request>{QUOTED})" (?P<status_code>[0-9]{{3}}) (?:[0-9]+|-) "{QUOTED}" "(?P<agent>.*)"'
        r"(?: (?P<duration>[0-9]+(?:\.[0-9]+)?|-))?"
    ),
    expected='address - user [time] "request" status bytes "referer" "agent", perhaps %(L)s or %(D)s',
    unit="s",
    unit_of_whole_numbers="us",
    is_like_no_other=False,
    unescaped=lambda text: text.str.replace_all(r"\"", '"', literal=True),
)

_UVICORN = ServerLog(
    name="uvicorn",
    title="Uvicorn's access log, with a time before it",
    example='2024-10-10 13:55:36,123 INFO:     203.0.113.9:52044 - "GET /cart HTTP/1.1" 200 OK',
    pattern=(
        r"(?:\[?(?P<timestamp>[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}[0-9.,:Z+-]*)\]? *[:|-]? +)?"
        r"(?:\[?(?:INFO|uvicorn\.access)\]? *[:|-]? +)+"
        r'(?P<address>[^ "]*?)(?::[0-9]+)? - "(?P<request>.*)" '
        r"(?P<status_code>[0-9]{3}|\[accepted\])(?: [A-Za-z' -]*)?"
    ),
    expected='time INFO: address:port - "request" status',
    unit="s",
    customer=("address",),
    status_names={"[accepted]": "101"},
    times=(
        timestamps.of_known_shape,
        _NO_TIME,
    ),
)

LOGS: Final = (_TOMCAT, _GUNICORN, _UVICORN)
