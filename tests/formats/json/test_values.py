from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from tailmetrics.formats.json.values import Values, records_of
from tailmetrics.formats.timestamps import reader

GOOD = {
    "timestamp": b'"2024-10-01T00:00:01Z"',
    "customer_id": b'"cust_1"',
    "path": b'"/a"',
    "status_code": b"200",
    "duration": b"0.5",
}
TIME = datetime.fromisoformat("2024-10-01 00:00:01")


def read(zone: str = "UTC", pattern: str = "", **changes: bytes) -> tuple[object, ...] | None:
    """The record of a line between two others that are right; None when it is none."""
    values = {name: Values.of([right, changes.get(name, right), right]) for name, right in GOOD.items()}
    records, proven = records_of(values, np.array([1, 2, 3]), reader(zone, pattern))
    assert proven[[0, 2]].all() or pattern
    return records.row(1)[:-1] if proven[1] else None


@pytest.mark.parametrize(
    ("column", "written", "value"),
    [
        ("timestamp", b'"2024-10-01 02:00:01.5+02:00"', datetime.fromisoformat("2024-10-01 00:00:01.500000")),
        ("timestamp", b'"01/Oct/2024:02:00:01 +0200"', TIME),
        ("timestamp", b"1727740801000", TIME),
        ("timestamp", b'"1727740801"', TIME),
        ("customer_id", b"42", "42"),
        ("customer_id", rb'"\u00e9\""', 'é"'),
        ("customer_id", b'"' + "客".encode() * 256 + b'"', "客" * 256),
        ("path", rb'"\/a\u0026"', "/a&"),
        ("path", b'"' + b"/" * 300 + b'"', "/" * 300),
        ("status_code", b'"404"', 404),
        ("status_code", b"404.0", 404),
        ("duration", b'"1.5"', 1.5),
        ("duration", b"1e-3", 0.001),
        ("duration", b"0.123456789", 0.123456789),
        ("duration", b"null", None),
        ("duration", b'""', None),
        ("duration", b'"-"', None),
    ],
)
def test_a_value_is_read_as_it_is_written(column: str, written: bytes, value: object) -> None:
    row = read(**{column: written})
    assert row is not None
    assert row[list(GOOD).index(column)] == value


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ("timestamp", b'"soon"'),
        ("timestamp", b"null"),
        ("timestamp", b'"0001-01-01T00:00:00+01:00"'),
        ("timestamp", b'"9999-12-31T23:59:59-00:01"'),
        ("customer_id", b'""'),
        ("customer_id", b"true"),
        ("customer_id", b'{"a":"b"}'),
        ("customer_id", rb'"a\u0000"'),
        ("customer_id", rb'"\ud800"'),
        ("customer_id", b'"' + b"x" * 257 + b'"'),
        ("path", b'""'),
        ("path", b"null"),
        ("status_code", b"99"),
        ("status_code", b"600"),
        ("status_code", b'"200 OK"'),
        ("status_code", b"null"),
        ("duration", b"-1.5"),
        ("duration", b"true"),
        ("duration", b"1e400"),
    ],
)
def test_what_is_not_sure_to_be_a_record_is_left_to_the_rules(column: str, written: bytes) -> None:
    assert read(**{column: written}) is None


def test_a_time_without_a_zone_is_local_and_one_with_a_zone_is_not() -> None:
    local = read("Asia/Tokyo", timestamp=b'"2024-10-01T09:00:01"')
    assert local is not None
    assert local[0] == TIME
    assert read("Europe/Berlin", timestamp=b'"2024-03-31T02:30:00"') is None


def test_a_pattern_of_ones_own_alone_says_what_a_time_is() -> None:
    found = read(pattern="%d.%m.%Y %H:%M:%S", timestamp=b'"01.10.2024 00:00:01"')
    assert found is not None
    assert found[0] == TIME
    assert read(pattern="%d.%m.%Y %H:%M:%S", timestamp=b'"2024-10-01T00:00:01Z"') is None
