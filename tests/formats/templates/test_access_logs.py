"""The kinds of access logs: told by their lines, and read by whichever of them is named."""

from __future__ import annotations

import pytest

from tailmetrics.errors import FormatError, UndecidedFormat
from tailmetrics.formats import KINDS, kind_of, open_format
from tailmetrics.formats.detection import decided, of_whole
from tailmetrics.formats.templates.access_logs import ambiguity
from tailmetrics.settings import load_settings
from tests.builders import format_options
from tests.paths import DATA

COMMON = '203.0.113.9 - bob [10/Oct/2024:13:55:36 +0000] "GET /a?b=1 HTTP/1.1" 200 612'
COMBINED = f'{COMMON} "-" "curl/8.5"'


def name_of(log: bytes, **settings: str) -> str:
    found = decided(log, format_options("auto", **settings), is_whole=True)
    assert found is not None
    return found.name


def claiming(line: str) -> list[str]:
    return [kind.name for kind in KINDS.values() if kind.claims(line)]


@pytest.mark.parametrize(
    ("log", "name"),
    [
        ("nginx_rt_up", "nginx"),
        ("nginx_xff_first", "nginx"),
        ("A_bots", "combined"),
        ("apache_common", "common"),
        ("vhost_combined", "vhost_combined"),
    ],
)
def test_a_log_is_told_by_its_lines(log: str, name: str) -> None:
    assert name_of((DATA / "logs" / f"{log}.log").read_bytes()) == name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (COMMON, "common"),
        (f"{COMMON} ", "common"),
        (f"{COMBINED} ", "combined"),
        (COMMON.replace("bob", "bob smith"), "common"),
        (COMBINED, "combined"),
        (COMBINED.replace(" 200 ", " 000 "), "combined"),
        (f"shop.example:443 {COMBINED}", "vhost_combined"),
        (f"shop.example:443 {COMBINED.replace('bob', '-')}", "vhost_combined"),
        (f'{COMBINED} "-"', "nginx"),
        (f'{COMBINED} "10.0.0.1, 10.0.0.2"', "nginx"),
        (f"{COMBINED} 0.5 -", "nginx"),
        (f"{COMBINED} 152340 0.5", "nginx"),
        (f"{COMBINED} 12ms", "nginx"),
        (f"{COMBINED} rt=5", "nginx"),
        (f'{COMBINED} request_time="0.5" urt="-"', "nginx"),
        (f"{COMBINED} took=12ms", "nginx"),
        (f"{COMBINED} urt=0.020 duration=0.031", "nginx"),
        (f"shop.example:443 {COMBINED} took=1.2s", "vhost_combined"),
        (f"10.0.0.2, {COMBINED}", "nginx"),
        (f"10.0.0.2,10.0.0.1,{COMBINED}", "nginx"),
        (f"{COMBINED} 0.45", "nginx"),
        (f"_ {COMBINED}", "vhost_combined"),
        (f"shop.example:443 198.51.100.7, {COMBINED}", "vhost_combined"),
        (f"shop.example 198.51.100.7, {COMBINED}", "vhost_combined"),
        (f'{COMBINED} kong_request_id: "5a1b"', "nginx"),
        (f"{COMMON} 0.0123", "common"),
        (f'shop.example {COMBINED} "10.0.0.1:80"', "vhost_combined"),
        (f'shop.example:443 {COMBINED} "-" 0.005', "vhost_combined"),
        (f"10.0.0.2, {COMBINED} 0.5", "nginx"),
        (COMBINED.replace("10/Oct/2024:13:55:36 +0000", "2024-10-10T13:55:36+00:00"), "combined"),
        (COMMON.replace("10/Oct/2024:13:55:36 +0000", "2024-10-10T13:55:36Z"), "common"),
        (f"\x1b[32m{COMMON}\x1b[0m", "common"),
    ],
)
def test_one_kind_claims_a_line_whatever_its_values_are(line: str, name: str) -> None:
    assert claiming(line) == [name]


@pytest.mark.parametrize(
    "line",
    [
        f"{COMMON} 152340",
        f"{COMBINED} 152340",
        f'{COMBINED} "-" 152340',
        f"{COMBINED} 340 5123",
        f"{COMBINED} 0.000123 15234",
        f"{COMBINED} urt=0.020",
        f'{COMBINED} urt="0.020"',
        f"{COMBINED} time=15234",
        f"{COMMON} 0.12",
        f"shop.example:443 {COMBINED} 152340",
        f"{COMBINED} 10.0.0.1:8080 5",
        f"web1 {COMBINED}",
        f"Oct 10 13:55:36 web1 nginx: {COMBINED}",
    ],
)
def test_what_may_be_read_in_several_ways_is_claimed_by_none(line: str) -> None:
    assert claiming(line) == []


@pytest.mark.parametrize("site", ["", "shop.example:443 "])
def test_two_decimals_that_may_be_a_ratio_are_refused_with_what_to_set(site: str) -> None:
    line = f"{site}{COMBINED} 3.98"
    assert claiming(line) == []
    name = "vhost_combined" if site else "combined"
    assert f"LOG_FORMAT={name} with LOG_DURATION_UNIT=s if it is a time, else LOG_F" in ambiguity(line)
    assert "$gzip_ratio'" in ambiguity(line)


@pytest.mark.parametrize("end", ['"2.50" (0.012)', '"2.50" urt=0.010', '"2.50" D=45123'])
def test_a_ratio_in_quotes_tells_no_time_of_the_words_beside_it(end: str) -> None:
    assert claiming(f"{COMBINED} {end}") == []


def test_a_whole_number_behind_the_agent_is_refused_with_what_to_set() -> None:
    log = (DATA / "logs" / "apache_D_us.log").read_bytes()
    expected = (
        "a whole number behind the combined format: Apache's %D is in µs, %T in s, Tomcat's and Jetty's in "
        "ms: LOG_FORMAT=combined with LOG_DURATION_UNIT=us, s or ms, or LOG_FORMAT='apache:…' with "
        "Apache's own LogFormat"
    )
    with pytest.raises(UndecidedFormat) as raised:
        name_of(log)
    assert str(raised.value).endswith(expected)


def test_of_several_whole_numbers_the_servers_own_format_is_asked_for() -> None:
    with pytest.raises(UndecidedFormat, match=r"several whole numbers behind .* LOG_FORMAT='apache:"):
        name_of(f"{COMBINED} 340 5123\n".encode(), log_duration_unit="us")


@pytest.mark.parametrize("site", ["shop.example:443", "shop.example"])
def test_a_whole_number_behind_a_site_is_refused_until_its_unit_is_set(site: str) -> None:
    line = f"{site} {COMBINED} 152340\n".encode()
    with pytest.raises(UndecidedFormat, match="LOG_FORMAT=vhost_combined with LOG_DURATION_UNIT="):
        name_of(line)
    name = name_of(line, log_duration_unit="us")
    assert name == "vhost_combined"
    parsed = open_format(format_options(name, log_duration_unit="us")).parse(line, 0)
    assert parsed.records["duration"].to_list() == [0.15234]


def test_words_with_names_behind_the_agent_are_no_duration() -> None:
    line = f'{COMBINED} kong_request_id: "5a1b"'.encode()
    assert open_format(format_options("nginx")).parse(line, 0).records["duration"].to_list() == [None]


def test_the_unit_that_is_set_makes_of_a_whole_number_a_duration() -> None:
    log = (DATA / "logs" / "apache_D_us.log").read_bytes()
    name = name_of(log, log_duration_unit="us")
    assert name == "combined"
    parsed = open_format(format_options(name, log_duration_unit="us")).parse(log, 0)
    assert parsed.records["duration"].to_list() == [0.15234, 0.001203]


@pytest.mark.parametrize("name", ["common", "combined", "nginx", "vhost_combined"])
def test_each_kind_reads_the_lines_of_the_others_when_it_is_named(name: str) -> None:
    lines = [COMMON, COMBINED, f"{COMBINED} 0.5", f"shop.example:443 {COMBINED}", f"10.0.0.2, {COMBINED}"]
    assert open_format(format_options(name)).parse("\n".join(lines).encode(), 0).records.height == len(lines)


def test_the_customer_of_many_sites_is_the_site_without_its_port() -> None:
    log = (DATA / "logs" / "vhost_combined.log").read_bytes()
    records = open_format(format_options("vhost_combined")).parse(log, 0).records
    assert records["customer_id"].to_list() == ["www.shop.example", "api.shop.example"]


@pytest.mark.parametrize("clean", [True, False])
def test_what_bots_send_is_left_out_and_counted_as_blank(clean: bool) -> None:
    bot = COMBINED.replace("curl/8.5", "Googlebot/2.1" if clean else r"Googlebot/2.1 \x22")
    parsed = open_format(format_options("combined", log_exclude="bots")).parse(
        f"{COMBINED}\n{bot}".encode(), 0
    )
    assert (parsed.records.height, parsed.rejects.height, parsed.blanks) == (1, 0, 1)


@pytest.mark.parametrize(
    ("name", "line", "customer"),
    [
        ('nginx:$http_x_tenant [$time_local] "$request" $status $request_time', "shop", "http_x_tenant"),
        ('apache:%{X-Tenant}i %t "%r" %>s %{s}T', "shop", "{X-Tenant}i"),
    ],
)
def test_a_format_string_of_the_server_tells_how_its_lines_are_read(
    name: str, line: str, customer: str
) -> None:
    line += ' [10/Oct/2024:13:55:36 +0000] "GET /a?b HTTP/1.1" 200 1'
    parsed = open_format(format_options(name, log_customer=customer)).parse(line.encode(), 0)
    assert parsed.records.select("customer_id", "path", "status_code", "duration").rows() == [
        ("shop", "/a", 200, 1.0)
    ]


def test_the_unit_of_a_directive_is_its_own() -> None:
    options = format_options('apache:%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D')
    parsed = open_format(options).parse((DATA / "logs" / "apache_D_us.log").read_bytes(), 0)
    assert parsed.records["duration"].to_list() == [0.15234, 0.001203]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nginx:$remote_addr $nonsense", r"log_format: found \$nonsense at column 14, expected one of "),
        ("apache:%h %y", "LogFormat: found %y at column 4, expected one of "),
        ("envoy:%NOPE%", "access log format: found %NOPE% at column 1, expected "),
        ("haproxy:%ci %yy", "log-format: found %yy at column 5, expected "),
        ("nginx:$remote_addr $status", "found a log format without time and request, expected "),
    ],
)
def test_what_is_wrong_with_a_format_string_is_told_with_its_place(name: str, error: str) -> None:
    with pytest.raises(FormatError, match=f"^LOG_FORMAT: {error}"):
        open_format(format_options(name))


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize(
    "name", ["auto", "vhost_combined", 'apache:%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"']
)
def test_a_site_that_is_an_address_of_ipv6_is_cut_behind_its_brackets(name: str, times: int) -> None:
    line = COMBINED.replace("203.0.113.9 - bob", "[2001:db8::2]:80 ::ffff:203.0.113.9 - -") + "\n"
    options = of_whole(line.encode(), format_options(name, log_customer="host"))
    log = f"shop.example:80 {COMBINED}\n{line * times}".encode()
    customers = open_format(options).parse(log, 0).records["customer_id"].to_list()
    assert customers == ["shop.example"] + ["[2001:db8::2]"] * times


@pytest.mark.parametrize("site", ["shop.example:443", "shop.example"])
@pytest.mark.parametrize("tail", ["", ' "-" "curl/8.5"'], ids=["common", "combined"])
def test_a_site_before_the_line_is_the_customer(site: str, tail: str) -> None:
    line = f'{site} 203.0.113.9 - bob [10/Oct/2024:13:55:36 +0000] "GET /a?x=1 HTTP/1.1" 200 5{tail}\n'
    log_format = of_whole(line.encode(), format_options("auto"))
    customer, path = open_format(log_format).parse(line.encode(), 0).records.row(0)[1:3]
    assert (log_format.name, customer, path) == ("vhost_combined", "shop.example", "/a")


BEHIND_FILES = [
    "access.log:203.0.113.9",
    "/var/log/nginx/access.log:123:203.0.113.9",
    "access.log-20241001.gz:203.0.113.9",
    "access.log:2001:db8::1",
    "access.log:::1",
    "access.log:localhost",
    "12:203.0.113.9",
    "a:12:203.0.113.9",
]
ADDRESSES = [
    "203.0.113.9",
    "2001:db8::1",
    "::1",
    "::ffff:203.0.113.9",
    "fe80::1%eth0",
    "crawl-66-249-66-1.googlebot.example",
    "localhost:8080",
    "unix:",
]


@pytest.mark.parametrize("word", BEHIND_FILES)
@pytest.mark.parametrize("behind", ["", ' "-" "curl/8.5"', ' "-" "curl/8.5" 0.123'])
def test_what_grep_writes_before_a_line_is_no_part_of_the_customer(word: str, behind: str) -> None:
    line = f"{COMMON}{behind}".replace("203.0.113.9 - bob", f"{word} - -")
    with pytest.raises(UndecidedFormat, match="as grep writes them: use grep -h"):
        name_of(line.encode())
    for name in ("nginx", "combined", 'nginx:$remote_addr - $remote_user [$time_local] "$request" $status'):
        text = line.partition(" 612")[0] if name.startswith("nginx:") else line
        parsed = open_format(format_options(name)).parse(text.encode(), 0)
        assert parsed.records.height == 0
        assert "use grep -h" in parsed.rejects["reason"][0]


@pytest.mark.parametrize("word", ["access.log:shop.example:443", "7:shop.example:443"])
def test_what_grep_writes_before_a_site_is_no_part_of_it(word: str) -> None:
    line = f"{word} {COMBINED.replace('bob', '-')}".encode()
    with pytest.raises(UndecidedFormat, match="use grep -h"):
        name_of(line)
    assert open_format(format_options("vhost_combined")).parse(line, 0).records["customer_id"].to_list() == []


@pytest.mark.parametrize("word", ADDRESSES)
def test_an_address_with_colons_is_the_customer(word: str) -> None:
    line = COMBINED.replace("203.0.113.9 - bob", f"{word} - -").encode()
    parsed = open_format(format_options(name_of(line))).parse(line, 0)
    assert parsed.records["customer_id"].to_list() == [word]


@pytest.mark.parametrize(
    ("word", "customer"),
    [("203.0.113.9:51206", "203.0.113.9"), ("[2001:db8::1]:51206", "2001:db8::1")],
)
def test_the_port_that_a_request_came_from_is_no_part_of_the_customer(word: str, customer: str) -> None:
    line = COMBINED.replace("203.0.113.9 - bob", f"{word} - -").encode()
    parsed = open_format(format_options(name_of(line))).parse(line, 0)
    assert parsed.records["customer_id"].to_list() == [customer]


def test_a_site_in_quotes_is_no_name_of_it() -> None:
    assert claiming(f'"shop.example" {COMBINED} 0.5') == []


def test_a_time_before_a_line_is_no_name_of_a_file() -> None:
    assert ambiguity(f"2024-10-10T13:55:36.123456789Z {COMBINED}") == ""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "syslog:haproxy:%ci:%cp [%tr] %{+Q}r %ST",
            'Oct 10 13:55:36 web1 haproxy[9]: 203.0.113.9:5 [10/Oct/2024:13:55:36.000] "GET /a HTTP/1.1" 200',
        ),
        (
            "cri:envoy:[%START_TIME%] %REQ(:AUTHORITY)% %PATH% %RESPONSE_CODE%\\n",
            "2024-10-10T13:55:37Z stdout F [2024-10-10T13:55:36.000Z] 203.0.113.9:80 /a 200",
        ),
    ],
)
def test_a_format_string_may_be_that_of_what_is_wrapped(name: str, line: str) -> None:
    (entry,) = load_settings(None, log_file_path=f"{name}=/var/log/a.log").log_entries
    parsed = open_format(entry.log_format).parse(f"{line}\n".encode(), 0)
    assert entry.pattern == "/var/log/a.log"
    assert parsed.records.select("customer_id", "path", "status_code").rows() == [("203.0.113.9", "/a", 200)]


@pytest.mark.parametrize(
    ("name", "customer", "unit"),
    [
        ("envoy:%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%", ("host", "address"), "us"),
        ("syslog:haproxy:%Ta", ("address",), "ms"),
        ("apache:%D", ("user", "address"), "us"),
        ("apache:%y", ("user", "address"), None),
    ],
)
def test_customer_and_unit_of_a_format_string_are_known(
    name: str, customer: tuple[str, ...], unit: str | None
) -> None:
    kind = kind_of(name)
    assert kind is not None
    assert (kind.customer, kind.unit) == (customer, unit)
