"""What is made of the lines of one chunk, and of records that a store refuses."""

from __future__ import annotations

from tailmetrics.records import RECORD_SCHEMA, REJECT_SCHEMA, ParsedLines, no_lines, no_rejects, refused
from tests.builders import LINE_BYTES, at, batch_of, records_of, source_of

NOON = at("2024-10-10T12:00:00")
ROWS = [(NOON, "a", "/", 200, 0.1), (NOON, "b", "/x", 500, None)]


def test_every_line_is_a_record_a_reject_or_blank() -> None:
    assert batch_of(source_of(), ROWS, rejects=[("bad", "line")], blanks=3).parsed.lines == 6


def test_no_lines_have_the_columns_of_records_and_rejects() -> None:
    nothing = no_lines()
    assert (nothing.lines, nothing.records.schema, nothing.rejects.schema) == (
        0,
        RECORD_SCHEMA,
        REJECT_SCHEMA,
    )


def test_a_refused_record_is_a_reject_with_its_columns_as_its_line() -> None:
    parsed = refused(ParsedLines(records_of(ROWS), no_rejects(), 2), {LINE_BYTES: "too old"})
    assert parsed.records["customer_id"].to_list() == ["a"]
    assert parsed.rejects.rows() == [(LINE_BYTES, "too old", "2024-10-10 12:00:00.000000 b /x 500 ")]
    assert parsed.blanks == 2


def test_offsets_of_no_record_change_nothing() -> None:
    parsed = refused(ParsedLines(records_of(ROWS), no_rejects(), 0), {7: "too old"})
    assert (parsed.records.height, parsed.rejects.height) == (2, 0)
