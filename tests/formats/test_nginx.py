from __future__ import annotations

from datetime import datetime

import pytest

from tailmetrics.formats import LineFormat, open_format
from tailmetrics.formats.nginx import nginx_format
from tailmetrics.settings import Settings
from tests.builders import format_options
from tests.paths import DATA

TIME = "[10/Oct/2024:13:55:36 +0000]"
A_TIME = (
    "a real time in ISO 8601, as 10/Oct/2024:13:55:36 +0000, as Tue, 01 Oct 2024 00:00:01 GMT, or in "
    "seconds, ms, µs or ns since 1970"
)
A_LINE = (
    'address - user [time] "request" status bytes "referer" "agent", and the request time if it is logged'
)
COMBINED = f'203.0.113.9 - bob {TIME} "GET /a/b?q=1 HTTP/1.1" 200 612 "https://e.org/" "curl/8.5"'


def nginx(**settings: object) -> LineFormat:
    return open_format(Settings(_env_file=None, **settings).format_options("nginx"))  # type: ignore[arg-type, call-arg]


def record(line: str, **settings: object) -> tuple[object, ...]:
    return nginx(**settings).parse(line.encode(), 0).records.row(0)


def test_a_combined_line_is_a_record_without_a_duration() -> None:
    time = datetime.fromisoformat("2024-10-10 13:55:36")
    assert record(COMBINED) == (time, "bob", "/a/b", 200, None, 0)


@pytest.mark.parametrize(
    ("end", "duration"),
    [(" 0.123", 0.123), (' "198.51.100.7" 0.123', 0.123), (' "-"', None), (" -", None), (" -1", None)],
)
def test_the_request_time_is_read_where_it_is_logged(end: str, duration: float | None) -> None:
    assert record(COMBINED + end)[4] == duration


@pytest.mark.parametrize("status", ["0", "-1", "000", "-"])
def test_a_request_without_an_answer_is_a_record_with_status_0(status: str) -> None:
    assert record(COMBINED.replace(" 200 ", f" {status} "))[3] == 0


@pytest.mark.parametrize(
    ("user", "customer"),
    [
        ("-", "203.0.113.9"),
        ("bob", "bob"),
        ("bob smith", "bob smith"),
        (r"\x22b\x5C\xE5\xAE\xA2", '"b\\客'),
        (r"caf\xE9", r"caf\xE9"),
        (r"a\x09b", r"a\x09b"),
    ],
)
def test_the_customer_is_the_user_as_he_is_called_or_else_the_address(user: str, customer: str) -> None:
    assert record(COMBINED.replace("bob", user))[1] == customer


@pytest.mark.parametrize(
    ("request_line", "path"),
    [
        ("GET / HTTP/1.1", "/"),
        ("POST /a/b?x=1&y=?2 HTTP/2.0", "/a/b"),
        (r"GET /\x22a\x22 HTTP/1.1", '/"a"'),
        (r"GET /\"a\" HTTP/1.1", '/"a"'),
        ("OPTIONS * HTTP/1.1", "*"),
        ("GET /a 2", "/a"),
        ("GET /a?q=1 1.1", "/a"),
        ("GET http://e.org/x?y HTTP/1.1", "/x"),
        ("GET https://bob:secret@e.org:443/x HTTP/1.1", "/x"),
        ("GET http://e.org HTTP/1.1", "/"),
        ("GET http://e.org?y HTTP/1.1", "/"),
        ("GET /a?u=http://e.org/x HTTP/1.1", "/a"),
        ("GET /http://e.org/x HTTP/1.1", "/http://e.org/x"),
        ("CONNECT e.org:443 HTTP/1.1", "e.org:443"),
        ("GET /old", "/old"),
        ("GET ?x HTTP/1.1", "/"),
        (r"\x16\x03\x01\x00", r"\x16\x03\x01\x00"),
        ("-", "-"),
        ("", "-"),
        ("GET /a b?key=1 HTTP/1.1", "/a b"),
        ("GET  /a?key=1  HTTP/1.1", "/a"),
        ("PROP_FIND /a?key=1 HTTP/1.1", "/a"),
        ("M-SEARCH /a?key=1 HTTP/1.1", "/a"),
        (r"GET /a?key=1 HTTP/1.1\n", "/a"),
        (r"GET /a HTTP/1.1\r\n", "/a"),
        ("GET /old?key=1", "/old"),
        ("/a?key=1", "/a"),
        ("User User", "User User"),
        ("MGLNDD_192.0.2.1_443", "MGLNDD_192.0.2.1_443"),
    ],
)
def test_the_path_is_the_target_without_its_query_or_all_that_was_sent(request_line: str, path: str) -> None:
    assert record(COMBINED.replace("GET /a/b?q=1 HTTP/1.1", request_line))[2] == path


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            COMBINED.replace("Oct", "Okt"),
            f"timestamp: found '10/Okt/2024:13:55:36 +0000', expected {A_TIME}",
        ),
        (
            COMBINED.replace(" 200 ", " 099 "),
            "status_code: found '099', expected 100 to 599, or 0, -1, 000 or - for no answer",
        ),
        (
            COMBINED + " fast",
            "duration: found 'fast', expected a finite decimal number, not negative, with or without a unit",
        ),
        (
            "garbage",
            f"line: found 'garbage', expected {A_LINE}",
        ),
    ],
)
def test_a_bad_line_is_rejected_with_the_field_what_was_found_and_what_was_expected(
    line: str, reason: str
) -> None:
    assert nginx().parse(line.encode(), 0).rejects["reason"].to_list() == [reason]


def test_a_pattern_of_ones_own_takes_the_place_of_the_combined_format() -> None:
    pattern = r"(?<timestamp>\S+) (?<customer_id>\S+) (?<path>\S+) (?<status_code>\d+) (?<duration>\S+)"
    line = "2024-10-10T13:55:36+02:00 shop.example /cart 404 0.25"
    time = datetime.fromisoformat("2024-10-10 11:55:36")
    assert record(line, log_nginx_regex=pattern) == (time, "shop.example", "/cart", 404, 0.25, 0)


Found = tuple[list[tuple[object, ...]], list[str]]


def log(name: str) -> Found:
    parsed = nginx_format(format_options("nginx")).parse((DATA / "logs" / name).read_bytes(), 0)
    return parsed.records.drop("timestamp", "offset").rows(), parsed.rejects["reason"].to_list()


def test_the_request_time_is_found_among_what_is_often_logged_behind_the_agent() -> None:
    assert log("nginx_rt_up.log") == ([("198.51.100.7", "/p", 200, 0.12)] * 5, [])


def test_of_addresses_that_were_forwarded_the_first_is_the_client() -> None:
    records = [("10.0.0.2", "/ocelot", 200, None), ("127.0.0.1", "-", 400, None)]
    assert log("nginx_xff_first.log") == (records, [])


def test_the_common_format_is_read_too() -> None:
    records = [("198.51.100.7", "/favicon.ico", 404, None), ("::1", "-", 408, None)]
    assert log("apache_common.log") == (records, [])


def test_the_name_of_a_server_before_the_address_is_no_customer() -> None:
    records = [("198.51.100.7", "/a", 200, None), ("bob", "/b", 500, None)]
    assert log("vhost_combined.log") == (records, [])


def test_what_bots_send_is_counted_by_what_was_logged_of_it() -> None:
    records, reasons = log("A_bots.log")
    paths = ["MGLNDD_192.0.2.1_443", "-", "User User", r"\x16\x03\x01\x02\x00\x01", "/index.html", "/a b/c d"]
    paths += ["/x", "//x/%2e%2e/", "/m", '/q"x', "/m", "/m", "/m"]
    assert [record[1] for record in records] == [*paths, "/m"]
    assert [record[0] for record in records] == ["192.0.2.9"] * 11 + [r"CORP\bob", "192.0.2.9", "192.0.2.9"]
    assert records[-1][2] == 0  # which had no answer
    assert reasons == [
        f"timestamp: found '8/Sep/2024:10:03:52 +0200', expected {A_TIME}",
    ]


@pytest.mark.parametrize(
    "words", ["Oct 10 13:55:36 web1 nginx: ", "<190>Oct 10 13:55:36 web1 nginx: ", "web1 ", "a b "]
)
def test_words_before_the_address_are_rejects_rather_than_a_customer(words: str) -> None:
    line = words + COMBINED.replace("bob", "-")
    assert nginx().parse(line.encode(), 0).rejects["reason"].to_list()[0].startswith("line: found ")


@pytest.mark.parametrize(
    ("end", "unit", "duration"),
    [
        (" 152340", "us", 0.15234),
        (" 152", "ms", 0.152),
        (" 3", "s", 3.0),
        (" 12ms", "", 0.012),
        (" 1.2s", "", 1.2),
        (" 152us", "", 0.000152),
        (" 0.120", "", 0.12),
        (" 0.120 152340", "", 0.12),
        (" 152340 0.120", "", 0.12),
        (" 12.5", "ms", 0.0125),
        (" rt=0.25", "", 0.25),
        (' rt="0.25" urt="0.2"', "", 0.25),
        (" request_time=152", "ms", 0.152),
        (' "10.0.0.1, 10.0.0.2"', "", None),
        (" TLSv1.3 0.5", "", 0.5),
        (" .", "", None),
        (' "', "", None),
    ],
)
def test_a_duration_is_in_the_unit_behind_it_or_else_in_the_unit_that_is_set(
    end: str, unit: str, duration: float | None
) -> None:
    parsed = nginx_format(format_options("nginx", log_duration_unit=unit)).parse((COMBINED + end).encode(), 0)
    assert parsed.records["duration"].to_list() == [duration]


@pytest.mark.parametrize("end", [" 152340", ' "-" 152340', " rt=3"])
def test_a_whole_number_is_no_duration_unless_its_unit_is_known(end: str) -> None:
    found = end.rpartition(" ")[2].rpartition("=")[2]
    expected = "a whole number of an unknown unit, expected LOG_DURATION_UNIT (us for Apache's %D)"
    assert nginx_format(format_options("nginx")).parse((COMBINED + end).encode(), 0).rejects[
        "reason"
    ].to_list() == [f"duration: found '{found}', {expected}"]


@pytest.mark.parametrize(
    "cut", [' "curl/8.5"', '8.5"', ' "https://e.org/" "curl/8.5"', ' 612 "https://e.org/" "curl/8.5"']
)
def test_a_line_that_ends_early_behind_its_status_is_a_record(cut: str) -> None:
    assert record(COMBINED.removesuffix(cut))[1:5] == ("bob", "/a/b", 200, None)


@pytest.mark.parametrize("end", [' "1.45"', ' "0.98"', ' "-" "1.45"', " -"])
def test_two_decimals_in_quotes_are_the_gzip_ratio_and_no_duration(end: str) -> None:
    assert record(COMBINED + end)[4] is None


@pytest.mark.parametrize(
    ("end", "duration"),
    [(" 0.25", 0.25), (' "-" 0.25', 0.25), (" rt=1.45", 1.45), (' time=1.45 "-"', 1.45), (" 1.4", 1.4)],
)
def test_two_decimals_are_a_duration_below_one_or_behind_a_name(end: str, duration: float) -> None:
    assert record(COMBINED + end)[4] == duration


@pytest.mark.parametrize("end", [" 1.45", ' "-" 1.45'])
def test_two_decimals_alone_may_be_a_ratio_or_a_duration(end: str) -> None:
    [reason] = nginx().parse((COMBINED + end).encode(), 0).rejects["reason"].to_list()
    assert reason.startswith("duration: found '1.45', two decimals, which nginx's $gzip_ratio has and times")
    assert record(COMBINED + end, log_duration_unit="s")[4] == 1.45


@pytest.mark.parametrize(
    ("address", "user", "customer"),
    [('"203.0.113.9"', "-", "203.0.113.9"), ('"203.0.113.9"', '"bob"', "bob"), ("::1", '"-"', "::1")],
)
def test_quotes_around_who_asks_are_no_part_of_the_customer(address: str, user: str, customer: str) -> None:
    assert record(COMBINED.replace("203.0.113.9 - bob", f"{address} - {user}"))[1] == customer


def behind_site(line: str, **settings: str) -> tuple[object, ...]:
    return open_format(format_options("vhost_combined", **settings)).parse(line.encode(), 0).records.row(0)


@pytest.mark.parametrize("site", ["192.0.2.1", "_", "localhost", "shop", "shop.example", "shop.example:443"])
def test_any_word_before_the_address_is_the_site_where_the_format_says_so(site: str) -> None:
    assert behind_site(f"{site} {COMBINED}")[1] == site.partition(":")[0]


@pytest.mark.parametrize("site", ["shop.example:443", "shop.example"])
def test_behind_the_site_may_be_forwarded_addresses(site: str) -> None:
    line = f"{site} 198.51.100.7, 10.0.0.1 - - {COMBINED.partition(' - bob ')[2]}"
    assert behind_site(line)[1] == "shop.example"
    assert behind_site(line, log_customer="address")[1] == "198.51.100.7"


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        ("10/Oct/2024:13:55:36", "2024-10-10 11:55:36"),
        ("10/Oct/2024 13:55:36", "2024-10-10 11:55:36"),
        ("10/Oct/2024:13:55:36 UTC", "2024-10-10 13:55:36"),
        ("10/Oct/2024:13:55:36 EST", "2024-10-10 18:55:36"),
    ],
)
def test_a_time_without_an_offset_is_in_the_zone_of_its_name_or_of_the_log(time: str, utc: str) -> None:
    line = COMBINED.replace("10/Oct/2024:13:55:36 +0000", time)
    assert record(line, log_timezone="Europe/Berlin")[0] == datetime.fromisoformat(utc)


@pytest.mark.parametrize("method", ["WSCONNECTING", "WSCONNECT", "WSDISCONNECT"])
def test_what_daphne_logs_of_web_sockets_is_no_request(method: str) -> None:
    parsed = nginx().parse(f'203.0.113.9 - - {TIME} "{method} /ws/" - -\n'.encode(), 0)
    assert (parsed.records.height, parsed.rejects.height, parsed.blanks) == (0, 0, 1)


def test_a_request_time_that_is_unknown_is_not_that_of_the_servers_behind() -> None:
    assert record(f'{COMBINED} rt=- urt="-" 0.005')[4] is None


def test_two_decimals_are_a_duration_where_its_unit_is_set() -> None:
    assert record(f'{COMBINED} "1.45"', log_duration_unit="s")[4] == 1.45


def test_the_request_time_is_found_behind_the_gzip_ratio() -> None:
    assert record(f"{COMBINED} 1.45 0.009")[4] == 0.009


@pytest.mark.parametrize("end", [" 3.125 ms", ' "-" 3.125 ms', " - 3.125 ms"])
def test_a_unit_may_be_a_word_of_its_own(end: str) -> None:
    assert record(COMBINED + end)[4] == 0.003125


@pytest.mark.parametrize(
    "end",
    [
        " 0.006 0.009",
        ' "10.0.0.1:80" 200 0.006 0.009',
        ' "10.0.0.1:80" "200" "0.006" "0.009"',
        " -, 0.006 0.009",
        " 0.009 0.009 1709619917.123",
        " upstream_response_time 0.006 msec 1709619917.123 request_time 0.009",
        ' 0.006 rt="0.009"',
    ],
)
def test_the_request_time_is_told_from_that_of_the_servers_behind(end: str) -> None:
    assert record(COMBINED + end)[4] == 0.009


@pytest.mark.parametrize("end", [" 0.009 0.010", ' "0.009" "0.010"', " 0.009 0.006, 0.002"])
def test_of_times_that_are_alike_the_first_is_that_of_the_request(end: str) -> None:
    assert record(COMBINED + end)[4] == 0.009


@pytest.mark.parametrize("unit", ["", "us"])
@pytest.mark.parametrize("end", [" 340 5123", ' "-" 340 5123'])
def test_of_several_whole_numbers_nobody_can_tell_the_duration(end: str, unit: str) -> None:
    [reason] = nginx(log_duration_unit=unit).parse((COMBINED + end).encode(), 0).rejects["reason"].to_list()
    assert reason.startswith("duration: found '340 5123', several whole numbers, expected LOG_FORMAT=")


def test_what_syslog_says_of_urgency_is_no_part_of_the_address() -> None:
    assert record(f"<6>{COMBINED}".replace("bob", "-"))[1] == "203.0.113.9"


def test_who_has_an_empty_name_is_told_by_the_address() -> None:
    assert record(COMBINED.replace("bob", '""'))[1] == "203.0.113.9"


@pytest.mark.parametrize("addresses", ["198.51.100.1, 10.0.0.1", "198.51.100.1,10.0.0.1"])
def test_of_forwarded_addresses_the_first_is_the_client(addresses: str) -> None:
    assert record(COMBINED.replace("203.0.113.9 - bob", f"{addresses} - -"))[1] == "198.51.100.1"


def test_quoted_words_before_the_address_are_no_customer() -> None:
    line = f'shop.example:80 "10.5.1.2, 10.5.1.3, 10.5.1.4" {COMBINED}'
    assert nginx().parse(line.encode(), 0).records.is_empty()


@pytest.mark.parametrize(
    ("end", "duration"),
    [
        (" duration=0.031", 0.031),
        (" took=12ms", 0.012),
        (" took=3.5 ms", 0.0035),
        (" elapsed=152us", 0.000152),
        (' response_time="0.25"', 0.25),
        (" urt=0.020 total=0.031", 0.031),
        (" urt=0.020 total_time=0.031 pipe=p", 0.031),
        (" total=612 request_time=0.031", 0.031),
        (" time=1728568536.123 latency=0.031", 0.031),
        (" 0.031 total=612", 0.031),
        (" duration=-", None),
        (" urt=0.020", None),
    ],
)
def test_what_is_called_the_time_of_the_request_is_the_duration(end: str, duration: float | None) -> None:
    assert record(COMBINED + end)[4] == duration


@pytest.mark.parametrize("end", [" time=15234", ' duration="15234"'])
def test_a_whole_number_that_is_called_a_time_needs_a_unit(end: str) -> None:
    assert "expected LOG_DURATION_UNIT" in nginx().parse((COMBINED + end).encode(), 0).rejects["reason"][0]
    assert record(COMBINED + end, LOG_DURATION_UNIT="us")[4] == 0.015234


@pytest.mark.parametrize("times", [1, 100])
def test_of_urls_the_path_is_what_is_behind_the_host(times: int) -> None:
    line = COMBINED.replace("GET /a", "GET http://e.org:8080/a") + "\n"
    assert nginx().parse(line.encode() * times, 0).records["path"].to_list() == ["/a/b"] * times


@pytest.mark.parametrize(
    "request_line", ["\x1b[33mGET /a?b HTTP/1.1\x1b[0m", "\x1b[31m\x1b[1mGET /a HTTP/1.1\x1b[0m"]
)
def test_codes_of_colours_are_no_part_of_a_path(request_line: str) -> None:
    line = f'127.0.0.1 - - [10/Oct/2024 13:55:36] "{request_line}" 404 -'
    assert record(line)[1:4] == ("127.0.0.1", "/a", 404)
    assert record(f"\x1b[32m{line}\x1b[0m")[1:4] == ("127.0.0.1", "/a", 404)


@pytest.mark.parametrize(
    ("end", "unit", "duration"),
    [
        (" 52.5200 13.4050", "", None),
        (" 52.5200 -13.4050", "", None),
        (" DE 52.5200 13.4050", "", None),
        (" 52.52000 13.40500", "", None),
        (" 0.1276 0.1276", "", None),
        (' "52.5200" "13.4050"', "", None),
        (" 52.5200 13.4050 0.123", "", 0.123),
        (" 0.123 52.5200 13.4050", "", 0.123),
        (' "-" 0.123 "52.5200" "13.4050"', "", 0.123),
        (" 0.5200 0.4050", "s", 0.52),
    ],
)
def test_latitude_and_longitude_are_no_durations(end: str, unit: str, duration: float | None) -> None:
    lines = "\n".join([COMBINED + " 0.009 0.008", COMBINED + end]).encode()
    parsed = nginx(log_duration_unit=unit).parse(lines, 0)
    assert parsed.records["duration"].to_list() == [0.009, duration]


@pytest.mark.parametrize("end", [" 0.000123 15234", ' "-" 0.000123 15234', " 1.000000 1"])
def test_seconds_to_the_first_byte_are_not_those_of_the_request(end: str) -> None:
    [reason] = nginx().parse((COMBINED + end).encode(), 0).rejects["reason"].to_list()
    found = end.removeprefix(' "-"').strip()
    assert reason.startswith(
        f"duration: found '{found}', seconds before a whole number, expected LOG_FORMAT="
    )
