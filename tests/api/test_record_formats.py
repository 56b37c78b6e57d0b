"""What a spreadsheet would compute is text in the CSV of records, as in any other CSV of this service."""

from __future__ import annotations

import csv
import io
import json

import polars as pl
import pytest

from tailmetrics.api.csv import cell
from tailmetrics.api.record_formats import RECORD_TEXTS
from tailmetrics.records import STORED_SCHEMA
from tests.builders import at

TEXTS = [
    "=1+1",
    "'=1",
    "\u200b@SUM(A1)",
    "\uff1dA1",
    "-1",
    "+1",
    '/a,"b"',
    "\ttab",
    "two\nlines",
    "'plain",
    "cust_1",
    "ü",
    "\x0b=",
]


def records() -> pl.DataFrame:
    rows = [(at("0001-01-01"), text, text, 0, None, "=source", place) for place, text in enumerate(TEXTS)]
    return pl.DataFrame(rows, STORED_SCHEMA, orient="row")


def test_cells_are_protected_as_in_the_csv_of_statistics() -> None:
    text = RECORD_TEXTS["csv"].frame(records()).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[1] for row in rows] == [str(cell(text)) for text in TEXTS]
    assert [row[2] for row in rows] == [row[1] for row in rows]
    assert {(row[0], row[3], row[4], row[5]) for row in rows} == {
        ("0001-01-01T00:00:00.000000Z", "0", "", "'=source")
    }


def test_json_lines_hold_texts_as_they_are() -> None:
    lines = RECORD_TEXTS["jsonl"].frame(records()).decode().split("\n")[:-1]
    assert [json.loads(line)["path"] for line in lines] == TEXTS


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_frames_make_one_arrow_stream(frames: int) -> None:
    text = RECORD_TEXTS["arrow"]
    stream = text.begin + b"".join(text.frame(records()) for _ in range(frames)) + text.end
    expected = pl.concat([records()] * frames) if frames else pl.DataFrame(schema=STORED_SCHEMA)
    assert pl.read_ipc_stream(stream).equals(expected)
