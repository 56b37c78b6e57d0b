"""The formats w3c, iis and cloudfront, by lines of their documentation and against plain Python."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.errors import FormatError
from tailmetrics.formats import KINDS, open_format
from tailmetrics.formats.w3c.directives import header_after
from tailmetrics.records import ParsedLines
from tests.builders import format_options
from tests.formats.logs import unhurried
from tests.formats.reference import lines_of
from tests.paths import ROOT

LOGS = ROOT / "tests" / "data" / "logs"
IIS_LOG = (LOGS / "iis.log").read_bytes()
IIS_ROWS = [
    (datetime.fromisoformat("2024-01-13 00:32:17"), "157.55.39.146", "/robots.txt", 404, 0.242, 261),
    (datetime.fromisoformat("2024-01-13 00:32:18"), r"CORP\bob", "/a", 200, 1.242, 362),
    (datetime.fromisoformat("2024-01-13 00:32:19"), "157.55.39.146", "/b", 200, 0.1, 693),
]
CLOUDFRONT_FIELDS = (
    "#Fields: date time c-ip cs(Host) cs-uri-stem sc-status x-host-header time-taken x-edge-location"
)


def parse(log: str | bytes, name: str = "w3c", **settings: object) -> ParsedLines:
    data = log.encode() if isinstance(log, str) else log
    return open_format(format_options(name, **settings)).parse(data, 0)


def row(fields: str, line: str, name: str = "w3c", **settings: object) -> tuple[object, ...]:
    return parse(f"#Fields: {fields}\n{line}\n", name, **settings).records.drop("offset").row(0)


def test_every_line_of_an_iis_log_is_read_by_the_header_before_it() -> None:
    parsed = parse(IIS_LOG, "iis")
    assert (parsed.records.rows(), parsed.rejects.rows(), parsed.blanks) == (IIS_ROWS, [], 6)


def test_w3c_knows_iis_by_its_header() -> None:
    assert parse(IIS_LOG).records.rows() == IIS_ROWS


@pytest.mark.parametrize("name", ["cloudfront", "w3c"])
def test_a_cloudfront_log_has_tabs_and_seconds_and_the_host_is_the_customer(name: str) -> None:
    parsed = parse((LOGS / "cloudfront.log").read_bytes(), name)
    assert parsed.records.row(0) == (
        datetime.fromisoformat("2024-12-04 21:02:31"),
        "shop.example",
        "/index.html",
        200,
        0.001,
        254,
    )
    assert (parsed.blanks, parsed.lines) == (2, 4)


# From the documentation of IIS 6, of the Log Parser (IIS 5, where the time has no date), of IIS 10, the draft
# of the format, AWS's reference, and Symantec's of ProxySG. What IIS leaves out is `-`.
DOCUMENTED = [
    (
        (
            "#Software: Microsoft Internet Information Services 6.0\n#Version: 1.0\n"
            "#Date: 2002-05-02 17:42:15\n"
            "#Fields: date time c-ip cs-username s-ip s-port cs-method cs-uri-stem cs-uri-query sc-status "
            "cs(User-Agent)\n"
            "2002-05-02 17:42:15 172.22.255.255 - 172.30.255.255 80 GET /images/picture.jpg - 200 "
            "Mozilla/4.0+(compatible;MSIE+5.5;+Windows+2000+Server)\n"
        ),
        (datetime.fromisoformat("2002-05-02 17:42:15"), "172.22.255.255", "/images/picture.jpg", 200, None),
    ),
    (
        (
            "#Software: Microsoft Internet Information Services 5.0\n#Date: 2001-12-16 16:07:49\n"
            "#Fields: time c-ip cs-method cs-uri-stem sc-status\n16:07:49 192.168.1.2 GET /index1.asp 200\n"
        ),
        (datetime.fromisoformat("2001-12-16 16:07:49"), "192.168.1.2", "/index1.asp", 200, None),
    ),
    (
        (
            "#Software: Microsoft Internet Information Services 10.0\n"
            "#Fields: date time s-sitename cs-method cs-uri-stem cs-uri-query s-port cs-username "
            "c-ip cs-host "
            "sc-status sc-substatus sc-win32-status sc-bytes cs-bytes time-taken\n"
            "2023-01-15 08:23:45 W3SVC1 GET /default.aspx id=1 443 alice 10.0.0.1 shop.example 500 "
            "19 2148005259 "
            "1 2 46\n"
        ),
        (datetime.fromisoformat("2023-01-15 08:23:45"), "alice", "/default.aspx", 500, 0.046),
    ),
    (
        (
            "#Version: 1.0\n#Date: 12-Jan-1996 00:00:00\n"
            "#Fields: time cs-method cs-uri c-ip sc-status time-taken\n"
            "00:34:23 GET /foo/bar.html 192.0.2.1 200 2\n"
        ),
        (datetime.fromisoformat("1996-01-12 00:34:23"), "192.0.2.1", "/foo/bar.html", 200, 2.0),
    ),
    (
        (
            "#Version: 1.0\n#Fields: date time cs-method cs-uri c-ip sc-status cs(User-Agent) time-taken\n"
            '1996-01-12 12:21:16.25 GET /a 192.0.2.1 404 "a ""quoted"" agent" 0.5\n'
        ),
        (datetime.fromisoformat("1996-01-12 12:21:16.250000"), "192.0.2.1", "/a", 404, 0.5),
    ),
    (
        (
            "#Software: SGOS 6.7.4.141\n#Version: 1.0\n"
            "#Fields: date time time-taken c-ip cs-username sc-status s-action cs-method cs-uri-path "
            "cs(User-Agent)\n"
            '2024-10-10 13:55:37 1500 203.0.113.9 - 503 TCP_MISS GET /b "Mozilla/5.0 (X11)"\n'
        ),
        (datetime.fromisoformat("2024-10-10 13:55:37"), "203.0.113.9", "/b", 503, 1.5),
    ),
    (
        (
            "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem "
            "sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type "
            "x-edge-request-id "
            "x-host-header cs-protocol cs-bytes time-taken\n"
            "2019-12-04\t21:02:31\tLAX1\t392\t192.0.2.100\tGET\td111111abcdef8.cloudfront.net\t/index.html\t200\t"
            "-\tMozilla/5.0%20(Windows%20NT%2010.0)\t-\t-\tHit\tSOX4xwn4XV6Q==\td111111abcdef8.cloudfront.net\t"
            "https\t23\t0.001\n"
        ),
        (
            datetime.fromisoformat("2019-12-04 21:02:31"),
            "d111111abcdef8.cloudfront.net",
            "/index.html",
            200,
            0.001,
        ),
    ),
]


@pytest.mark.parametrize(("log", "expected"), DOCUMENTED)
def test_lines_of_the_documentation(log: str, expected: tuple[object, ...]) -> None:
    parsed = parse(log)
    assert (parsed.records.drop("offset").rows(), parsed.rejects.rows()) == ([expected], [])


def test_a_request_that_cloudfront_could_not_answer_has_failed() -> None:
    parsed = parse((LOGS / "cloudfront.log").read_bytes(), "cloudfront")
    expected = (datetime.fromisoformat("2024-12-04 21:02:32"), "shop.example", "/x", 0, 0.001, 400)
    assert parsed.records.row(1) == expected


def test_a_line_before_any_fields_line_is_a_reject_that_says_so() -> None:
    parsed = parse("#Version: 1.0\n2024-01-13 00:32:17 a\n\n#Fields:\nb\n")
    assert (
        parsed.rejects["reason"].to_list()
        == ["line: found no #Fields line before it, expected one; LOG_FORMAT=regex reads lines without"] * 2
    )
    assert parsed.blanks == 3


def test_a_line_with_other_columns_than_named_is_a_reject() -> None:
    parsed = parse("#Fields: date time\na b c\n")
    assert parsed.rejects["reason"].to_list() == [
        "line: found 3 fields, expected 2 as the #Fields line before it names"
    ]


def test_a_time_without_any_date_is_a_reject() -> None:
    parsed = parse("#Fields: time c-ip cs-uri-stem sc-status\n00:34:23 a /b 200\n")
    assert parsed.rejects["reason"].to_list() == [
        "timestamp: found nothing, expected a real date and time as YYYY-MM-DD HH:MM:SS"
    ]


FIELDS = "date time c-ip cs-username cs-uri-stem cs-uri-query sc-status time-taken cs(User-Agent)"
LINE = "2024-01-13 00:32:17 a - /p x=1 200 2 Mozilla/5.0+(X)"


@pytest.mark.parametrize(("unit", "seconds"), [("", 2.0), ("ms", 0.002), ("us", 0.000002)])
def test_time_taken_is_in_seconds_unless_the_setting_says_otherwise(unit: str, seconds: float) -> None:
    assert row(FIELDS, LINE, log_duration_unit=unit)[4] == seconds


def test_time_taken_of_iis_is_in_milliseconds() -> None:
    assert row(FIELDS, LINE, "iis", log_duration_unit="s")[4] == 0.002


def test_a_header_without_a_software_is_known_by_columns_that_only_iis_has() -> None:
    fields, line = f"{FIELDS} s-computername", f"{LINE} PC"
    assert row(fields, line)[4] == 0.002
    assert row(f"{fields}\n#Software: Apache Tomcat/9.0.85", line)[4] == 2


def test_the_address_of_the_server_tells_no_dialect() -> None:
    header = "#Fields: date time c-ip s-ip cs-method cs-uri-stem sc-status time-taken"
    assert [name for name, kind in KINDS.items() if kind.claims(header)] == ["w3c"]


@pytest.mark.parametrize("name", ["cs-host", "host"])
def test_the_port_of_a_host_is_left_out(name: str) -> None:
    found = row(f"{FIELDS} cs-host", f"{LINE} shop.example:8443", log_customer=name)
    assert found[1] == "shop.example"


def test_times_are_utc_whatever_the_zone_of_other_logs_is() -> None:
    assert row(FIELDS, LINE, log_timezone="Asia/Tokyo")[0] == datetime.fromisoformat("2024-01-13 00:32:17")


def test_the_query_is_kept_where_it_is_wanted() -> None:
    assert row(FIELDS, LINE, log_keep_query=True)[2] == "/p?x=1"
    assert row(FIELDS, LINE.replace("x=1", "?x=1"), log_keep_query=True)[2] == "/p?x=1"
    assert row(FIELDS, LINE.replace("x=1", "-"), log_keep_query=True)[2] == "/p"


@pytest.mark.parametrize(
    ("customer", "found"),
    [
        ("agent", "Mozilla/5.0 (X)"),
        ("cs-uri-query", "x=1"),
        ("CS-USERNAME,sc-status", "200"),
        ("/{customer}", "p"),
    ],
)
def test_any_column_may_tell_the_customer(customer: str, found: str) -> None:
    assert row(FIELDS, LINE, "iis", log_customer=customer)[1] == found


def test_agents_of_iis_have_plus_signs_for_spaces_when_bots_are_left_out() -> None:
    parsed = parse(
        f"#Fields: {FIELDS}\n{LINE}\n{LINE.replace('(X)', 'bot+x')}\n", "iis", log_exclude="agent:*bot x"
    )
    assert (parsed.records.height, parsed.blanks) == (1, 2)


@pytest.mark.parametrize(
    ("logged", "path"),
    [
        ("/a%2520b", "/a%20b"),
        ("/%C3%A9", "/é"),
        ("/%E9", "/%E9"),
        ("/a%3Fb", "/a%3Fb"),
        ("/%00%0a", "/%00%0a"),
    ],
)
def test_urls_of_cloudfront_are_decoded_once(logged: str, path: str) -> None:
    line = f"2024-12-04\t21:02:31\t::1\td1\t{logged}\t200\tshop\t0.1\tLAX"
    assert parse(f"{CLOUDFRONT_FIELDS}\n{line}\n").records.row(0)[1:5] == ("shop", path, 200, 0.1)


def test_the_host_of_cloudfront_is_that_of_the_request_where_the_other_is_missing() -> None:
    line = "2024-12-04\t21:02:31\t::1\td1\t/\t200\t-\t-\tLAX"
    assert parse(f"{CLOUDFRONT_FIELDS}\n{line}\n").records.row(0)[1:5] == ("d1", "/", 200, None)


def test_a_directive_that_is_too_long_is_a_reject_and_not_in_force() -> None:
    long = f"#Fields: {'x' * 200}"
    parsed = parse(f"#Fields: {FIELDS}\n{long}\n{LINE}\n", max_line_bytes=150)
    assert (parsed.records.height, parsed.rejects["line"].to_list()) == (1, [long[:150]])


def test_options_that_cannot_be_used_are_told_when_it_is_opened() -> None:
    with pytest.raises(FormatError, match="LOG_CUSTOMER"):
        open_format(format_options("iis", log_customer="/a"))


@pytest.mark.parametrize("name", ["w3c", "iis", "cloudfront"])
def test_a_header_line_is_claimed_by_one_kind_and_a_line_behind_it_by_none(name: str) -> None:
    *header, line = KINDS[name].example.split("\n")
    claimed = [each for text in header for each in ("w3c", "iis", "cloudfront") if KINDS[each].claims(text)]
    assert set(claimed) == {name}
    assert [each for each in KINDS if KINDS[each].claims(line) and KINDS[each].has_header] == []


@pytest.mark.parametrize(
    "line", ["#Version: 1.0", "# Fields: date time", "#Fields: name price", "#Remark: date"]
)
def test_no_comment_of_another_kind_is_claimed(line: str) -> None:
    assert [name for name, kind in KINDS.items() if kind.claims(line)] == []


# The same in plain Python.

# No column tells the host, which is CloudFront's customer.
_CUSTOMERS = {"w3c": ("cs-username", "c-ip"), "iis": ("cs-username", "c-ip"), "cloudfront": ("c-ip",)}
_COLUMNS = ["date", "time", "c-ip", "cs-username", "cs-uri-stem", "sc-status", "time-taken", "x"]
_values = st.sampled_from(
    [
        "2024-01-13",
        "00:32:17",
        "200",
        "404",
        "0.25",
        "/a",
        "/é%20b",
        "a+b",
        "-",
        '"',
        '"a b"',
        "%41",
        "#",
        "\x85",
        "é",
    ]
)
_fields_lines = st.lists(st.sampled_from(_COLUMNS), max_size=9).map(
    lambda names: "#Fields: " + " ".join(names)
)
_good_names = st.permutations(_COLUMNS)


@st.composite
def _sections(draw: st.DrawFn) -> str:
    names = draw(_good_names)
    separator = draw(st.sampled_from([" ", "\t"]))
    good = dict(zip(_COLUMNS, ["2024-01-13", "00:32:17", "::1", "-", "/p", "200", "0.5", "z"], strict=True))
    lines = ["#Fields: " + " ".join(names)]
    for _ in range(draw(st.integers(0, 3))):
        odd = draw(st.dictionaries(st.sampled_from(_COLUMNS), _values, max_size=2))
        if odd.get("sc-status") != "-":  # what no answer is, is for the rules of fields
            lines.append(separator.join((good | odd)[name] for name in names))
    return "\n".join(lines)


_logs = st.lists(
    _sections() | _fields_lines | st.sampled_from(["#Software: Microsoft x", "#Software: y", "", " ", "a b"])
).map(lambda parts: "\n".join(parts).encode())


def expected_of(log: bytes, name: str) -> tuple[list[tuple[object, ...]], list[int], int]:
    """Records, offsets of rejects, and blank lines, a line at a time."""
    records: list[tuple[object, ...]] = []
    rejects, blanks = [], 0
    names: list[str] = []
    software = ""
    for offset, raw in lines_of(log, 0):
        line = raw.decode()
        if line.startswith("#"):
            blanks += 1
            if line.startswith("#Fields:"):
                names = line[8:].lower().split()
            if line.startswith("#Software:"):
                software = line[10:].strip()
        elif not line.strip():
            blanks += 1
        else:
            is_iis = name == "iis" or (name == "w3c" and software.startswith("Microsoft "))
            found = _record(_cells(line, name, is_iis=is_iis), names, name, is_iis=is_iis)
            if found is None:
                rejects.append(offset)
            else:
                records.append((*found, offset))
    return records, rejects, blanks


def _cells(line: str, name: str, *, is_iis: bool) -> list[str]:
    if is_iis or name == "cloudfront":
        return line.split(" " if is_iis else "\t")
    line = line.rstrip(" \t")
    if "\t" in line:
        return line.split("\t")
    return (
        re.findall(r'"(?:[^"]|"")*"|[^ ]+', line)
        if '"' in line or "  " in line or line[0] == " "
        else line.split(" ")
    )


def _record(cells: list[str], names: list[str], name: str, *, is_iis: bool) -> tuple[object, ...] | None:
    if not names or len(cells) != len(names):
        return None
    of = dict(reversed(list(zip(names, cells, strict=True))))
    try:
        time = datetime.fromisoformat(f"{of['date']} {of['time']}")
    except (KeyError, ValueError):
        return None
    customer = next((of[each] for each in _CUSTOMERS[name] if of.get(each, "-") != "-"), "")
    texts = [customer, of.get("cs-uri-stem", "")]
    if name == "cloudfront":
        texts = [unquote(text) for text in texts]
    elif not is_iis:
        quoted = [len(text) > 1 and text[0] == text[-1] == '"' for text in texts]
        texts = [
            text[1:-1].replace('""', '"') if has else text for text, has in zip(texts, quoted, strict=True)
        ]
    status, duration = of.get("sc-status", ""), of.get("time-taken", "-")
    wrong = status not in ("200", "404") or duration not in ("200", "404", "0.5", "0.25", "-")
    if wrong or "\x85" in texts[0] or not all(texts):
        return None
    seconds = None if duration == "-" else float(duration) / (1000 if is_iis else 1)
    return time, *texts, int(status), seconds


@pytest.mark.parametrize("name", ["w3c", "iis", "cloudfront"])
@unhurried
@given(log=_logs)
def test_the_same_as_a_line_at_a_time_in_plain_python(name: str, log: bytes) -> None:
    parsed = parse(log, name)
    records, rejects, blanks = expected_of(log, name)
    found = (parsed.records.rows(), parsed.rejects["offset"].to_list(), parsed.blanks)
    assert found == (records, rejects, blanks)


@pytest.mark.parametrize("name", ["w3c", "iis"])
@unhurried
@given(log=_logs, data=st.data())
def test_a_log_in_two_pieces_with_the_header_between_is_the_same(
    name: str, log: bytes, data: st.DataObject
) -> None:
    read = open_format(format_options(name))
    cut = log[: data.draw(st.integers(0, len(log)))].rfind(b"\n") + 1
    first = read.parse(log[:cut], 0)
    header = header_after(log[:cut], 0, b"", 1000)
    second = read.of_source("x", 0, header).parse(log[cut:], cut)
    whole = read.parse(log, 0)
    assert first.records.rows() + second.records.rows() == whole.records.rows()
    assert first.rejects.rows() + second.rejects.rows() == whole.rejects.rows()
    assert first.blanks + second.blanks == whole.blanks


def test_of_forwarded_addresses_that_tell_the_customer_the_first_counts() -> None:
    log = (
        "#Fields: date time c-ip cs-uri-stem sc-status X-Forwarded-For\n"
        "2024-03-05 22:00:34 10.0.0.9 /a 200 198.51.100.1,+10.0.0.2\n"
        "2024-03-05 22:00:34 10.0.0.9 /a 200 -\n"
    )
    options = format_options("iis", log_customer=("X-Forwarded-For", "c-ip"))
    records = open_format(options).of_source("/x", 0).parse(log.encode(), 0).records
    assert records["customer_id"].to_list() == ["198.51.100.1", "10.0.0.9"]


def test_of_a_url_the_path_is_what_is_behind_the_host() -> None:
    parsed = parse(
        "#Fields: date time c-ip cs-uri sc-status\n2024-01-13 00:34:23 a http://e.org:80/b?c 200\n"
    )
    assert parsed.records["path"].to_list() == ["/b"]


HTTPERR = """\
#Software: Microsoft HTTP API 2.0
#Version: 1.0
#Date: 2024-10-01 00:00:00
#Fields: date time c-ip c-port s-ip s-port cs-version cs-method cs-uri streamid sc-status s-siteid s-reason s-queuename
2024-10-01 00:00:01 203.0.113.9 51206 10.0.0.1 80 - - - - - - Timer_ConnectionIdle -
2024-10-01 00:00:02 203.0.113.9 51206 10.0.0.1 80 HTTP/1.1 GET /cart?x=1 - 503 1 AppOffline DefaultAppPool
2024-10-01 00:00:03 203.0.113.9 51206 10.0.0.1 80 HTTP/1.1 GET / - - 1 Connection_Abandoned_By_ReqQueue DefaultAppPool
2024-10-01 00:00:04 203.0.113.9 51206 10.0.0.1 80 HTTP/1.1 - - - 400 - Hostname -
"""  # noqa: E501  # as http.sys writes it


@pytest.mark.parametrize("name", ["iis", "w3c"])
def test_connections_that_http_sys_closed_are_no_requests(name: str) -> None:
    parsed = parse(HTTPERR, name)
    assert parsed.records.select("path", "status_code").rows() == [("/cart", 503), ("/", 0), ("-", 400)]
    assert (parsed.rejects.height, parsed.blanks) == (0, 5)
