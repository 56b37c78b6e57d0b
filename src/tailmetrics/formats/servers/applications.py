"""The logs of application servers.

The definitions are those of the servers' documentation: Tomcat, "The Valve Component" (Access Log Valve);
Gunicorn, "Settings" (access_log_format); Uvicorn, "Settings" (Logging), and its LOGGING_CONFIG; Gin,
https://pkg.go.dev/github.com/gin-gonic/gin#Logger; chi, https://pkg.go.dev/github.com/go-chi/chi/v5/middleware#Logger;
uWSGI, https://uwsgi-docs.readthedocs.io/en/latest/LogFormat.html (uWSGI default logging).

Tomcat's %D is in milliseconds up to Tomcat 9 and in microseconds from Tomcat 10 on, which a line does not
tell; %T is in seconds with decimals, and %F, until the response begins, is passed over. Gunicorn's %(D)s is
in microseconds, %(M)s in milliseconds and %(L)s in seconds with decimals. Their lines are like those of other
servers, so both are read only when they are named.
"""

from __future__ import annotations

from typing import Final

from tailmetrics.formats import timestamps
from tailmetrics.formats.servers.pattern import CLF, QUOTED, ServerLog
from tailmetrics.formats.templates.columns import unescaped

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

_GIN = ServerLog(
    name="gin",
    title="Gin's logger",
    example='[GIN] 2024/10/10 - 13:55:36 | 200 |    1.234ms |     203.0.113.9 | GET      "/cart"',
    pattern=(
        r"(?:\[GIN\] )?(?P<timestamp>[0-9]{4}/[0-9]{2}/[0-9]{2} - [0-9:]{8}) \| *"
        r"(?P<status_code>[0-9]{3}) *\| *(?P<duration>[^ |]+) *\| *"
        r'(?P<address>[^ |]+) *\| *[^ "|]+ *"(?P<target>.*)"'
    ),
    expected='[GIN] time | status | duration | address | method "path"',
    unit="s",
    customer=("address",),
    unescaped=unescaped,
    times=(timestamps.by_strftime("%Y/%m/%d - %H:%M:%S"), "a real time as 2024/10/10 - 13:55:36"),
)

_CHI = ServerLog(
    name="chi",
    title="chi's middleware.Logger",
    example=(
        '2024/10/10 13:55:36 "GET http://shop.example/cart HTTP/1.1" from 203.0.113.9:51206 - 200 12B in '
        "1.234ms"
    ),
    pattern=(
        r"(?P<timestamp>[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:]{8}(?:\.[0-9]+)?) (?:\[[^\]]*\] )?"
        r'"(?P<request>.*)" from \[?(?P<address>[0-9.]+|[^ \]]+)\]?(?::[0-9]+)? - '
        r"(?P<status_code>[0-9]{3}) [0-9]+B in (?P<duration>[^ ]+)"
    ),
    expected='time "request" from address:port - status bytes in duration',
    unit="s",
    customer=("address",),
    times=(timestamps.by_strftime("%Y/%m/%d %H:%M:%S.%f"), "a real time as 2024/10/10 13:55:36"),
)

_UWSGI = ServerLog(
    name="uwsgi",
    title="uWSGI's request log",
    example=(
        "[pid: 7|app: 0|req: 1/1] 203.0.113.9 () {40 vars in 500 bytes} [Thu Oct 10 13:55:36 2024] "
        "GET /cart => generated 12 bytes in 3 msecs (HTTP/1.1 200) 2 headers in 70 bytes (1 switches on "
        "core 0)"
    ),
    pattern=(
        r"\[pid: [^\]]+\] (?P<address>[^ ]*) \((?P<user>[^)]*)\) \{[^}]*\} \[(?P<timestamp>[^\]]+)\] "
        r"(?P<request>[^ ]+ .*?) => generated [0-9-]+ bytes in (?P<duration>[0-9]+ (?:msec|micro))s "
        r"(?:via [^ ]+ )?\([^ ]+ (?P<status_code>[0-9]+)\) [0-9]+ headers .*"
    ),
    expected="[pid: …] address (user) {…} [time] method path => … bytes in … msecs (protocol status) …",
    unit="s",
    unit_names={"micro": "us"},
    times=(timestamps.by_strftime("%a %b %e %H:%M:%S %Y"), "a real time as Thu Oct 10 13:55:36 2024"),
)

LOGS: Final = (_TOMCAT, _GUNICORN, _UVICORN, _GIN, _CHI, _UWSGI)
