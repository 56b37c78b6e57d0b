from __future__ import annotations

import pytest

from .rows import Row, lines_of, parsed, reasons, row, rows

TIME = "[10/Oct/2024:15:55:36 +0200]"
UTC = "2024-10-10 13:55:36"
TOMCAT = f'192.0.2.1 - - {TIME} "GET /a;jsessionid=1?b HTTP/1.1" 200 11'
GUNICORN = f'192.0.2.1 - bob {TIME} "GET /a?b HTTP/1.1" 200 11 "-" "curl/8"'


@pytest.mark.parametrize(
    ("line", "unit", "expected"),
    [
        (TOMCAT, "", ("192.0.2.1", "/a;jsessionid=1", 200, None, UTC)),
        (f'{TOMCAT} "-" "curl/8"', "", ("192.0.2.1", "/a;jsessionid=1", 200, None, UTC)),
        (f"{TOMCAT} 12", "ms", ("192.0.2.1", "/a;jsessionid=1", 200, 0.012, UTC)),
        (f"{TOMCAT} 12345 9", "us", ("192.0.2.1", "/a;jsessionid=1", 200, 0.012345, UTC)),
        (f'{TOMCAT} "-" "curl/8" 12 -1', "ms", ("192.0.2.1", "/a;jsessionid=1", 200, 0.012, UTC)),
        (f"{TOMCAT} 0.012", "", ("192.0.2.1", "/a;jsessionid=1", 200, 0.012, UTC)),
        (f"{TOMCAT} 0.012", "ms", ("192.0.2.1", "/a;jsessionid=1", 200, 0.012, UTC)),
        (f"{TOMCAT} -", "", ("192.0.2.1", "/a;jsessionid=1", 200, None, UTC)),
        (
            f'0:0:0:0:0:0:0:1 - b\\"ob {TIME} "GET /\\"a\\\\b HTTP/1.1" 404 -',
            "",
            ('b"ob', '/"a\\b', 404, None, UTC),
        ),
        (f'192.0.2.1 - - {TIME} "-" 400 -', "", ("192.0.2.1", "-", 400, None, UTC)),
    ],
)
def test_lines_of_tomcat(line: str, unit: str, expected: Row) -> None:
    assert row("tomcat", line, log_duration_unit=unit) == expected


def test_a_whole_number_of_tomcat_is_refused_unless_its_unit_is_told() -> None:
    assert reasons("tomcat", f"{TOMCAT} 12") == [
        "duration: found '12', expected a unit: set LOG_DURATION_UNIT"
    ]


@pytest.mark.parametrize(
    ("line", "unit", "expected"),
    [
        (GUNICORN, "", ("bob", "/a", 200, None, UTC)),
        (f"{GUNICORN} 0.012345", "", ("bob", "/a", 200, 0.012345, UTC)),
        (f"{GUNICORN} 12345", "", ("bob", "/a", 200, 0.012345, UTC)),
        (f"{GUNICORN} 12", "ms", ("bob", "/a", 200, 0.012, UTC)),
        (f"{GUNICORN} 0.012345", "ms", ("bob", "/a", 200, 0.012345, UTC)),
        (
            GUNICORN.replace("bob", "-").replace("/a?b", r"/\"a\"").replace("curl/8", 'a \\"b\\" \\'),
            "",
            ("192.0.2.1", '/"a"', 200, None, UTC),
        ),
    ],
)
def test_lines_of_gunicorn(line: str, unit: str, expected: Row) -> None:
    assert row("gunicorn", line, log_duration_unit=unit) == expected


def test_behind_a_unix_socket_gunicorn_does_not_tell_who_asks() -> None:
    line = GUNICORN.replace("192.0.2.1 - bob", " - -")
    assert reasons("gunicorn", line)[0].startswith("customer_id: found nothing")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '2024-03-12 09:44:22,123 INFO:     127.0.0.1:52044 - "GET /items?x=1 HTTP/1.1" 200 OK',
            ("127.0.0.1", "/items", 200, None, "2024-03-12 09:44:22.123000"),
        ),
        (
            '2024-03-12 09:44:22,123 - INFO - 127.0.0.1:52044 - "GET / HTTP/1.1" 500 Internal Server Error',
            ("127.0.0.1", "/", 500, None, "2024-03-12 09:44:22.123000"),
        ),
        (
            '2024-03-12 09:44:22,123 - uvicorn.access - INFO - ::1:52044 - "GET / HTTP/1.1" 404',
            ("::1", "/", 404, None, "2024-03-12 09:44:22.123000"),
        ),
        (
            '[2024-03-12T09:44:22.123+02:00] [INFO] 127.0.0.1:52044 - "POST /a HTTP/2" 201 Created',
            ("127.0.0.1", "/a", 201, None, "2024-03-12 07:44:22.123000"),
        ),
        (
            '2024-03-12 09:44:22 INFO:     127.0.0.1:52044 - "WebSocket /ws?t=1" [accepted]',
            ("127.0.0.1", "/ws", 101, None, "2024-03-12 09:44:22"),
        ),
        (
            '2024-03-12 09:44:22 INFO:     127.0.0.1:52044 - "WebSocket /ws" 403',
            ("127.0.0.1", "/ws", 403, None, "2024-03-12 09:44:22"),
        ),
    ],
)
def test_lines_of_uvicorn(line: str, expected: Row) -> None:
    assert row("uvicorn", line) == expected


def test_times_of_uvicorn_are_local() -> None:
    line = '2024-03-12 09:44:22,123 INFO:     127.0.0.1:52044 - "GET / HTTP/1.1" 200 OK'
    assert row("uvicorn", line, log_timezone="Europe/Paris")[4] == "2024-03-12 08:44:22.123000"


def test_the_log_of_a_uvicorn() -> None:
    timeless, line = lines_of("uvicorn.log")
    assert rows("uvicorn", line) == [("127.0.0.1", "/items", 404, None, "2024-03-12 09:44:22.123000")]
    assert parsed("uvicorn", timeless, line).rejects["offset"].to_list() == [0]


def test_a_line_of_uvicorn_without_a_time_is_refused_with_what_to_do() -> None:
    line = lines_of("uvicorn.log")[0]
    assert reasons("uvicorn", line) == [
        (
            "timestamp: found nothing, expected a time before INFO, which uvicorn leaves out by default: put "
            "%(asctime)s before %(levelprefix)s in the access format of its --log-config"
        )
    ]


@pytest.mark.parametrize("name", ["gunicorn", "tomcat"])
def test_of_forwarded_addresses_the_first_is_the_client(name: str) -> None:
    line = GUNICORN.replace("192.0.2.1 - bob", "198.51.100.1, 10.0.0.1 - -")
    assert row(name, line)[0] == "198.51.100.1"


@pytest.mark.parametrize("name", ["gunicorn", "tomcat"])
def test_words_too_many_before_the_time_are_no_customer(name: str) -> None:
    assert reasons(name, f"shop.example 10.0.0.1 {GUNICORN}")[0].startswith("line: found ")


GIN = '[GIN] 2024/10/10 - 13:55:36 | 200 |    1.234ms |     192.0.2.1 | GET      "/a?b"'
CHI = '2024/10/10 13:55:36 "GET http://e.org/a?b HTTP/1.1" from 192.0.2.1:51206 - 200 12B in 1.234ms'
UWSGI = (
    "[pid: 7|app: 0|req: 1/1] 192.0.2.1 () {40 vars in 500 bytes} [Thu Oct 10 13:55:36 2024] GET /a?b => "
    "generated 12 bytes in 3 msecs (HTTP/1.1 200) 2 headers in 70 bytes (1 switches on core 0)"
)


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("gin", GIN, ("192.0.2.1", "/a", 200, 0.001234, UTC)),
        (
            "gin",
            GIN.replace("| 200 |", "|\x1b[97;42m 404 \x1b[0m|").replace("1.234ms", "45.1µs"),
            ("192.0.2.1", "/a", 404, 0.0000451, UTC),
        ),
        ("gin", GIN.replace("1.234ms", "1m2.5s").replace("192.0.2.1", "::1"), ("::1", "/a", 200, 62.5, UTC)),
        (
            "gin",
            GIN.removeprefix("[GIN] ").replace("/a?b", r"/\"a"),
            ("192.0.2.1", '/"a', 200, 0.001234, UTC),
        ),
        ("chi", CHI, ("192.0.2.1", "/a", 200, 0.001234, UTC)),
        ("chi", CHI.replace("192.0.2.1", "[::1]"), ("::1", "/a", 200, 0.001234, UTC)),
        ("chi", CHI.replace("192.0.2.1:51206", "2001:db8::1"), ("2001:db8::1", "/a", 200, 0.001234, UTC)),
        ("chi", CHI.replace(' "GET', ' [web/AbC-000001] "GET'), ("192.0.2.1", "/a", 200, 0.001234, UTC)),
        ("uwsgi", UWSGI, ("192.0.2.1", "/a", 200, 0.003, UTC)),
        ("uwsgi", UWSGI.replace("3 msecs", "3012 micros"), ("192.0.2.1", "/a", 200, 0.003012, UTC)),
        ("uwsgi", UWSGI.replace("3 msecs", "3 msecs via sendfile()"), ("192.0.2.1", "/a", 200, 0.003, UTC)),
        ("uwsgi", UWSGI.replace("()", "(bob)", 1), ("bob", "/a", 200, 0.003, UTC)),
    ],
)
def test_lines_of_gin_chi_and_uwsgi(name: str, line: str, expected: Row) -> None:
    assert row(name, line) == expected


@pytest.mark.parametrize(("name", "line"), [("gin", GIN), ("chi", CHI), ("uwsgi", UWSGI)])
def test_their_times_are_in_the_zone_that_is_set(name: str, line: str) -> None:
    assert row(name, line, log_timezone="Europe/Berlin")[4] == "2024-10-10 11:55:36"


def test_lines_in_colours_are_read_as_those_without() -> None:
    request = '"\x1b[1mGET / HTTP/1.1\x1b[0m" \x1b[32m200 OK\x1b[0m'
    line = f"2024-03-12 09:44:22 \x1b[32mINFO\x1b[0m:     ::1:52044 - {request}"
    assert row("uvicorn", line) == ("::1", "/", 200, None, "2024-03-12 09:44:22")
