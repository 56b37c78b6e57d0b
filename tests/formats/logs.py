"""Strategies for the bytes of logs: right lines, wrong ones, and what no one would call a line."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

# How long one example takes says nothing: what reads it starts threads on a machine that may be busy.
unhurried = settings(deadline=None, max_examples=50)

# Of what is asked of each of many formats, which share most of their code: many more at night.
few_of_each = settings(deadline=None, max_examples=20)
many_of_each = settings(deadline=None, max_examples=500)

GOOD = "2024-10-01 00:00:01 cust_39 /api/v1/resource3 200 0.388"

_dates = st.sampled_from(
    [
        "2024-10-01",
        "2024-02-29",
        "2023-02-29",
        "0000-01-01",
        "0001-01-01",
        "9999-12-31",
        "2024-13-01",
        "2024-1-01",
        "+024-10-01",
        "2024-10-32",
        "2024-00-10",
        "2024-10-00",
        "2024/10/01",
        "2O24-10-01",
        "1969-12-31",
        "",
    ]
)
_clocks = st.sampled_from(
    [
        "00:00:01",
        "23:59:59",
        "24:00:00",
        "12:60:00",
        "12:00:60",
        "1:02:03",
        "12:00:0:",
        "12-00-00",
        "12:00:00.5",
        "12:00:00.123456789",
        "12:00:00.1234567890",
        "12:00:00.",
        "12:00:00Z",
        "",
    ]
)
_customers = st.one_of(
    st.sampled_from(
        ["cust_1", "c", "", "x" * 256, "x" * 257, "客" * 256, "客" * 257, "é", 'a"b', "\x7f", "a\x80"]
    )
    | st.sampled_from(["a\xa0", "a\x9f", "a\tb", "\ufeff", "#", "''", "\\", "null"]),
    st.text(st.characters(exclude_characters=" \n", exclude_categories=["Cs"]), max_size=20),
)
_paths = st.sampled_from(
    ["/", "/api/v1/resource3", "", '/"', "/é\x7f", "/a\tb", "/" * 300, "/\x01", "/a\rb", "null"]
)
_statuses = st.sampled_from(
    [
        "200",
        "100",
        "0",
        "-1",
        "000",
        "-",
        "00",
        "-0",
        "599",
        "600",
        "099",
        "99",
        "2000",
        "0200",
        "+20",
        "-20",
        "2.0",
        "abc",
        "",
        "٢٠٠",
        "1e2",
        "5xx",
    ]
)
_durations = st.one_of(
    st.sampled_from(
        ["0", "1.", ".5", "-0", "+1", "1e3", "1E-3", "1e400", "1e", "nan", "inf", "1,5", "0x1", "1_0"]
    )
    | st.sampled_from(
        ["", "1.5.5", "1e5e5", "00.5", "1٣", "infinity", "1" * 400, "0." + "1" * 60, "1\x0b", "1\t"]
    ),
    st.sampled_from(["-", "-1", "-1.0", "-1.000", "-1.", "-1.01", "-2", "--"]),
    st.floats(min_value=0, allow_infinity=False, allow_nan=False).map(repr),
)
_fields = st.tuples(
    st.just("2024-10-01") | _dates,
    st.just("00:00:01") | _clocks,
    st.just("cust_39") | _customers,
    st.just("/api/v1/resource3") | _paths,
    st.just("200") | _statuses,
    st.just("0.388") | _durations,
)
_separators = st.sampled_from([" ", " ", " ", "  ", "\t", "\xa0", ""])


@st.composite
def _near_misses(draw: st.DrawFn) -> bytes:
    """Lines whose fields, or one separator, may be wrong."""
    fields = draw(_fields)
    separators = [" "] * 5
    separators[draw(st.integers(0, 4))] = draw(_separators)
    return "".join(a + b for a, b in zip(fields, [*separators, ""], strict=True)).encode()


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A right line with some bytes replaced."""
    line = bytearray(GOOD.encode())
    for _ in range(draw(st.integers(0, 2))):
        line[draw(st.integers(0, len(line) - 1))] = draw(st.integers(0, 255))
    return bytes(line)


request_lines = st.one_of(
    st.just(GOOD.encode()),
    _near_misses(),
    _damaged(),
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b" ", b"\t \x0b", "\u2003\x85".encode(), b"\r", b"\x1c", b"2024-10-01", b"x" * 400]
    ),
)


def logs_of(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Lines with ends of either kind, the last one perhaps without, perhaps after a byte order mark."""
    ended = st.tuples(lines, st.sampled_from([b"\n", b"\n", b"\r\n"])).map(b"".join)
    whole = st.lists(ended, max_size=12).map(b"".join)
    return st.tuples(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf"]), whole, st.just(b"") | lines).map(
        b"".join
    )
