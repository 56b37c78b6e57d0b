from __future__ import annotations

import pytest

from tailmetrics.formats import open_format
from tests.builders import format_options

LINES = b"""2024-10-01 00:00:01 a /api/acme/1?token=x 200 12
2024-10-01 00:00:02 b /health 200 12.5
2024-10-01 00:00:03 c /api/other/2 500 7ms
"""


def rows(**settings: object) -> list[tuple[object, ...]]:
    read = open_format(format_options("requests", **settings)).parse(LINES, 0)
    return read.records.select("customer_id", "path", "duration").rows()


def test_durations_without_a_unit_are_in_that_of_the_setting() -> None:
    assert [row[2] for row in rows(log_duration_unit="ms")] == [0.012, 0.0125, 0.007]


def test_the_customer_is_a_part_of_the_path_when_the_setting_says_so() -> None:
    assert [row[0] for row in rows(log_customer="/api/{customer}/,customer_id")] == ["acme", "b", "other"]


def test_paths_are_those_of_the_patterns() -> None:
    assert [row[1] for row in rows(log_path_patterns="/api/{customer}/{id}")] == [
        "/api/{customer}/{id}",
        "/health",
        "/api/{customer}/{id}",
    ]


@pytest.mark.parametrize("clean", [True, False])
def test_excluded_requests_are_neither_records_nor_rejects(clean: bool) -> None:
    line = b"2024-10-01 00:00:01 a /health 200 0.5\n" if clean else b"2024-10-01 00:00:01 a /health 200 5ms\n"
    read = open_format(format_options("requests", log_exclude="/health")).parse(line, 0)
    assert (read.records.height, read.rejects.height, read.lines) == (0, 0, 1)
