from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats import KINDS
from tailmetrics.formats.servers import applications, clouds, proxies
from tailmetrics.formats.servers.pattern import ServerLog
from tests.formats.logs import unhurried
from tests.paths import ROOT

from .hostile import HOSTILE_LINES
from .rows import parsed, row

LOGS = {log.name: log for log in (*proxies.LOGS, *clouds.LOGS, *applications.LOGS)}
ALIKE = [name for name, log in LOGS.items() if not log.is_like_no_other]

of_every_server = pytest.mark.parametrize("log", LOGS.values(), ids=LOGS)


@pytest.mark.parametrize("name", sorted(set(KINDS) - set(ALIKE)))
def test_no_kind_claims_the_example_of_another(name: str) -> None:
    claimed = [kind.name for kind in KINDS.values() if kind.claims(KINDS[name].example)]
    assert claimed in ([name], [])


@pytest.mark.parametrize("name", sorted(set(LOGS) - set(ALIKE)))
def test_a_kind_claims_its_example_whatever_its_values_are(name: str) -> None:
    example = KINDS[name].example
    assert KINDS[name].claims(example)
    assert KINDS[name].claims(example.replace("/cart", "/" + "é" * 500))
    assert not KINDS[name].claims(example[: len(example) // 2])


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_like_the_log_of_another_server_is_read_only_when_it_is_named(name: str) -> None:
    assert not KINDS[name].claims(KINDS[name].example)
    assert row(name, KINDS[name].example)[1] == "/cart"


@of_every_server
def test_a_line_of_another_kind_is_refused_with_what_was_expected(log: ServerLog) -> None:
    line = KINDS["requests"].example
    assert parsed(log.name, line).rejects["reason"].to_list() == [
        f"line: found '{line}', expected {log.expected}; it is of the format requests"
    ]


def test_a_line_that_is_too_long_to_be_matched_at_ease_is_not_claimed() -> None:
    line = KINDS["traefik"].example
    assert not KINDS["traefik"].claims(line.replace("/cart", "/" * 8192))


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        ("http://e.org/a?b", "e.org", "/a"),
        ("https://e.org:443/a", "e.org", "/a"),
        ("http://[::1]:80/a", "[::1]", "/a"),
        ("http://bob:secret@e.org:80/a", "e.org", "/a"),
        ("http://e.org:80", "e.org", "/"),
        ("http://e.org?b", "e.org", "/"),
        ("/a:http://e.org/b", "203.0.113.9", "/a:http://e.org/b"),
        ("*", "203.0.113.9", "*"),
    ],
)
def test_of_a_url_the_path_is_taken_and_the_host(target: str, host: str, path: str) -> None:
    line = KINDS["elb"].example.replace("http://shop.example:80/cart", target)
    assert row("elb", line)[:2] == (host, path)


def test_a_time_is_read_by_a_format_of_ones_own() -> None:
    line = KINDS["haproxy"].example.replace("10/Oct/2024:13:55:36.123", "2024-10-10T13_55_36")
    assert row("haproxy", line, log_timestamp_format="%Y-%m-%dT%H_%M_%S")[4] == "2024-10-10 13:55:36"


# Each line once more, with Python's regular expressions and plain arithmetic.

Brute = tuple[str | None, str, str, float | None, datetime | None]
_WRITTEN = {"m": 1 / 60, "s": 1, "ms": 1000, "msec": 1000, "µs": 1_000_000, "micro": 1_000_000}
_UNITS = {"s": 1, "ms": 1000, "us": 1_000_000}


def brute_force(log: ServerLog, line: str) -> Brute | None:
    """Customer, path, status as it is written, seconds and UTC time; None when the line is not of the log."""
    found = re.match(rf"\A{log.pattern}\Z", line)
    if found is None:
        return None
    groups = found.groupdict()
    target: str = groups.get("target") or ""
    if "target" not in groups:
        request = groups["request"]
        asked = re.fullmatch(r"[A-Za-z-]+ ([^ ]+)( (HTTP/[0-9.]+|-)?)?", request or "")
        asked = asked or re.fullmatch(r"[A-Za-z]+ ([^ ].*) HTTP/[0-9.]+", request or "")
        target = asked[1] if asked and asked[1] != "-" else (groups[log.path_otherwise] or "-")
    url = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?@]*@)?(\[[^\]]*\]|[^/?:]*)(:[0-9]*)?(.*)", target)
    if url:
        target = url[4] or "/"
        if groups.get("host") in (None, "", "-"):
            groups["host"] = url[2]
    if "host" in groups:
        groups["host"] = re.sub(r"\A([^:\[]+|\[[^\]]*\]):[0-9]+\Z", r"\1", groups["host"] or "")
    texts = [groups.get(name) or "" for name in log.customer]
    if log.name in ("ingress-nginx", "tomcat", "gin"):
        target, *texts = map(unescaped, (target, *texts))
    elif log.name == "gunicorn":
        target, *texts = (text.replace('\\"', '"') for text in (target, *texts))
    customer = next((text for text in texts if text not in ("", "-", '""')), None)
    path = target.split("?")[0] or ("/" if target else "")
    status = log.status_names.get(groups["status_code"], groups["status_code"])
    parts = [value for name, value in groups.items() if name.startswith("duration")]
    return customer, path, status, seconds(log, parts), time_of(groups["timestamp"])


def seconds(log: ServerLog, parts: list[str | None]) -> float | None:
    told = [part for part in parts if part not in (None, "")]
    if not told or any(part in ("-", "-1") for part in told):
        return None
    unit = log.unit
    if log.unit_of_whole_numbers and "." not in str(told[0]):
        unit = log.unit_of_whole_numbers
    if written := re.findall(r"([0-9.]+) ?(micro|msec|ms|µs|m|s)", str(told[0])):
        return sum(float(number) / _WRITTEN[each] for number, each in written)
    if len(told) == 1:
        return float(str(told[0])) / _UNITS[unit]
    return round(sum(float(str(part)) for part in told), 6) / _UNITS[unit]


def unescaped(text: str) -> str:
    def byte(escape: re.Match[bytes]) -> bytes:
        if escape[1]:
            value = bytes([int(escape[1], 16)])
            return value if value in b'"\\' or value > b"\x7f" else escape[0]
        return escape[2]

    raw = re.sub(rb'\\(?:x([0-9A-Fa-f]{2})|(["\\]))', byte, text.encode())
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return text


def time_of(text: str | None) -> datetime | None:
    if text is None:
        return None
    if re.fullmatch(r"[0-9]+\.[0-9]+", text):
        whole, _, milliseconds = text.partition(".")
        time = datetime.fromtimestamp(int(whole), timezone.utc) + timedelta(milliseconds=int(milliseconds))
    elif re.match(r"[0-9]{4}/|[A-Z]", text):
        layout = "%a %b %d %H:%M:%S %Y" if text[0].isalpha() else "%Y/%m/%d %H:%M:%S"
        time = datetime.strptime(text.replace(" - ", " "), layout)  # noqa: DTZ007  # in UTC here
    elif "/" in text:
        layout = "%d/%b/%Y:%H:%M:%S" + (".%f" if "." in text else " %z")
        time = datetime.strptime(text, layout)  # noqa: DTZ007  # a time without a zone is in UTC here
    else:
        time = datetime.fromisoformat(text)
    return time.astimezone(timezone.utc).replace(tzinfo=None) if time.tzinfo else time


@of_every_server
@unhurried
@given(data=st.data())
def test_hostile_fields_are_read_as_one_line_at_a_time_says(log: ServerLog, data: st.DataObject) -> None:
    lines = data.draw(st.lists(HOSTILE_LINES[log.name], min_size=1, max_size=5))
    done = parsed(log.name, *lines, log_duration_unit="ms" if log.name == "tomcat" else "")
    offsets = [sum(len(line.encode()) + 1 for line in lines[:place]) for place in range(len(lines))]
    records = {row[-1]: row for row in done.records.rows()}
    rejects = dict(done.rejects.select("offset", "reason").rows())
    for line, offset in zip(lines, offsets, strict=True):
        expected = brute_force(log, line)
        if expected is None:
            assert rejects[offset].startswith("line: found")
        elif offset in records:
            time, customer, path, status, duration, _ = records[offset]
            told = int(expected[2]) if expected[2] not in ("-", "-1") else 0
            assert (customer, path, status, duration, time) == (*expected[:2], told, *expected[3:])
        else:
            assert is_refused(log, expected, rejects[offset])


def is_refused(log: ServerLog, expected: Brute, reason: str) -> bool:
    """Whether the reason is right of a line that has the shape of the log."""
    customer, path, _, _, time = expected
    if reason.startswith("line: found"):
        return any(reason.endswith(f"expected {refused}") for _, refused in log.refused)
    return {
        "timestamp": time is None,
        "customer_id": customer is None or len(customer) > 256,
        "path": path == "",
    }[reason.partition(":")[0]]


def test_the_page_on_formats_has_a_row_and_a_line_of_each() -> None:
    page = (ROOT / "docs" / "formats.md").read_text().split("\n## Servers by name\n")[1].split("\n## ")[0]
    rows_shown = [
        line.split(" | ")[:3] for line in page.splitlines() if line.startswith("| `") and "LOG_F" not in line
    ]
    assert rows_shown == [[f"| `{log.name}`", log.title, ", ".join(log.customer)] for log in LOGS.values()]
    assert page.split("```\n")[1].splitlines() == [log.example for log in LOGS.values()]
