"""What lines become, in short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tailmetrics.formats import open_format
from tailmetrics.records import ParsedLines
from tests.builders import format_options
from tests.paths import ROOT

LOGS = ROOT / "tests" / "data" / "logs"
Row = tuple[str, str, int, float | None, str]  # customer, path, status, seconds, UTC time


def parsed(name: str, *lines: str, **settings: Any) -> ParsedLines:
    return open_format(format_options(name, **settings)).parse("\n".join(lines).encode(), 0)


def rows(name: str, *lines: str, **settings: Any) -> list[Row]:
    """The records of lines that are records without exception."""
    done = parsed(name, *lines, **settings)
    assert done.rejects["reason"].to_list() == []
    assert done.records.height == len(lines)
    return [
        (customer, path, status, duration, time.isoformat(" "))
        for time, customer, path, status, duration, _ in done.records.rows()
    ]


def row(name: str, line: str, **settings: Any) -> Row:
    return rows(name, line, **settings)[0]


def reasons(name: str, *lines: str, **settings: Any) -> list[str]:
    """Why lines that are no records without exception are none."""
    done = parsed(name, *lines, **settings)
    assert done.records.height == 0
    return done.rejects["reason"].to_list()


def lines_of(log: str) -> list[str]:
    path: Path = LOGS / log
    return path.read_text().splitlines()
