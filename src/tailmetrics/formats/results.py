"""The format `results`: a test's name, details, and whether it passed, in blocks of lines.

A line `Test: NAME` opens a block and the next `Result: PASS` or `Result: FAIL` closes it. Details and
comments make no record of their own; they are counted as blank lines are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import PurePath
from typing import Final

import polars as pl

from tailmetrics.formats import fields
from tailmetrics.formats.framing import MARK_PREFIX, RESULTS, opens_block
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.lines import Lines, split
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.text import LINES_AT_ONCE, kept_lines, text_of, too_long_line, unfit_lines
from tailmetrics.records import (
    MAX_CUSTOMER_ID_CHARACTERS,
    RECORD_SCHEMA,
    REJECT_SCHEMA,
    ParsedLines,
    no_records,
    no_rejects,
)

PASS_STATUS, FAIL_STATUS = 200, 500

_PREFIX = rf"\A\x{{FEFF}}?{MARK_PREFIX}"
_NAME = rf'{_PREFIX}Test:[ \t]*(?:"([^"]*)"|(\S+))'
_RESULT = rf"{_PREFIX}Result:[ \t]*(\S+)"
_COMMENT = r"\A(?:\s*\z|\x{FEFF}?[ \t]*#)"
_EXPECTED_NAME = f"a name of 1 to {MAX_CUSTOMER_ID_CHARACTERS} characters without control characters"
_EXPECTED_RESULT = "PASS or FAIL"
_TIME_IN_NAME = re.compile(r"(?<![A-Za-z0-9])test_([0-9]{1,11})(?![A-Za-z0-9])")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_TEST, _CLOSE = "test", "result"
_MARKS_SCHEMA: Final = {
    "offset": pl.Int64(),
    "kind": pl.String(),
    "name": pl.String(),
    "result": pl.String(),
    "unfit": pl.String(),  # why the line cannot be of any format; null where it can
    "line": pl.String(),
}


class ResultsFormat:
    """Reads blocks of one log, whose name is the path of its records, at the time that the log tells."""

    def __init__(
        self, max_line_bytes: int, max_block_bytes: int, path: str = "-", time: datetime = _EPOCH
    ) -> None:
        self._max_line_bytes = max_line_bytes
        self._max_block_bytes = max_block_bytes
        self._path = path
        self._time = time

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> ResultsFormat:  # noqa: ARG002  # no format of headers
        name = PurePath(path).name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
        time = time_of_log(name, written_ns)
        return ResultsFormat(self._max_line_bytes, self._max_block_bytes, name or "-", time)

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self.parse_lines(split(data, offset))

    def parse_lines(self, lines: Lines) -> ParsedLines:
        marks = [pl.DataFrame(schema=_MARKS_SCHEMA)]
        rejects = [no_rejects()]
        is_open = False
        for first in range(0, len(lines), LINES_AT_ONCE):
            part = self._look_at(lines.part(first, LINES_AT_ONCE), is_open=is_open)
            marks.append(part.marks)
            rejects.append(part.rejects)
            is_open = part.is_open
        blocks = _blocks(pl.concat(marks))
        good = blocks.filter(pl.col("reason").is_null())
        bad = blocks.filter(pl.col("reason").is_not_null()).select(REJECT_SCHEMA.keys())
        rejected = pl.concat([*rejects, bad]).sort("offset")
        return ParsedLines(self._records(good), rejected, len(lines) - good.height - rejected.height)

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        parsed = too_long_line(data, offset, self._max_line_bytes)
        if not opens_block(data):
            return parsed
        reason = (
            f"result: found none in {self._max_block_bytes} bytes (CHUNK_BYTES), expected {_EXPECTED_RESULT}"
        )
        return replace(parsed, rejects=parsed.rejects.with_columns(reason=pl.lit(reason)))

    def _look_at(self, lines: Lines, *, is_open: bool) -> _Part:
        text = text_of(lines)
        unfit = unfit_lines(lines, text, self._max_line_bytes)
        table = pl.DataFrame(
            {"offset": lines.offsets, "unfit": unfit, "line": kept_lines(lines, text, self._max_line_bytes)}
        ).with_columns(
            kind=pl.when(text.str.contains(rf"{_PREFIX}Test:"))
            .then(pl.lit(_TEST))
            .when(text.str.contains(rf"{_PREFIX}Result:"))
            .then(pl.lit(_CLOSE)),
            is_comment=text.str.contains(_COMMENT),
        )
        marks = table.filter(pl.col("kind").is_not_null()).with_columns(
            name=pl.coalesce(pl.col("line").str.extract(_NAME, 1), pl.col("line").str.extract(_NAME, 2)),
            result=pl.col("line").str.extract(_RESULT, 1),
        )
        before = pl.lit(_TEST if is_open else _CLOSE)
        others = table.with_columns(state=pl.col("kind").forward_fill().fill_null(before)).filter(
            pl.col("kind").is_null()
        )
        outside = (pl.col("state") == _CLOSE) & ~pl.col("is_comment")
        expected = "Test: NAME, the beginning of a block, or a comment with #"
        rejects = others.select(
            "offset",
            pl.coalesce(
                "unfit", pl.when(outside).then(found_instead("line", pl.col("line"), expected))
            ).alias("reason"),
            "line",
        ).filter(pl.col("reason").is_not_null())
        last = marks["kind"].last() if marks.height else None
        return _Part(marks.select(_MARKS_SCHEMA.keys()), rejects, is_open if last is None else last == _TEST)

    def _records(self, blocks: pl.DataFrame) -> pl.DataFrame:
        if blocks.is_empty():
            return no_records()
        return blocks.select(
            pl.lit(self._time.replace(tzinfo=None), pl.Datetime("us")).alias("timestamp"),
            pl.col("name").alias("customer_id"),
            pl.lit(self._path).alias("path"),
            pl.when(pl.col("closed_by") == "PASS")
            .then(PASS_STATUS)
            .otherwise(FAIL_STATUS)
            .cast(pl.Int16)
            .alias("status_code"),
            pl.lit(None, pl.Float64()).alias("duration"),
            "offset",
        ).cast(RECORD_SCHEMA)  # type: ignore[arg-type]  # a mapping of names to types


@dataclass(frozen=True, slots=True)
class _Part:
    """Some lines that follow each other; `is_open` tells whether a block is open after them."""

    marks: pl.DataFrame
    rejects: pl.DataFrame
    is_open: bool


def time_of_log(name: str, written_ns: int) -> datetime:
    """When the tests of a log ran: `test_<unix seconds>` in its name, else when it was last written to."""
    found = _TIME_IN_NAME.search(name)
    microseconds = int(found[1]) * 1_000_000 if found else written_ns // 1000
    return _EPOCH + timedelta(microseconds=microseconds)


def _blocks(marks: pl.DataFrame) -> pl.DataFrame:
    """One row a block, with the reason where it is no record: a half block is one too."""
    is_test = pl.col("kind") == _TEST
    follows_test = (pl.col("kind").shift(1) == _TEST).fill_null(value=False)
    is_closed = (pl.col("kind").shift(-1) == _CLOSE).fill_null(value=False)
    name = fields.customer_id(pl.col("name"))
    table = marks.with_columns(
        name=name,
        closed_by=pl.col("result").shift(-1),
        closing_offset=pl.col("offset").shift(-1),
        closing_line=pl.col("line").shift(-1),
        closing_unfit=pl.col("unfit").shift(-1),
        opened_unfit=pl.col("unfit"),
        shown_name=pl.col("name"),
    ).with_columns(
        at_opening=pl.coalesce(
            "unfit",
            pl.when(is_test & pl.col("name").is_null()).then(
                found_instead("test", pl.col("shown_name"), _EXPECTED_NAME)
            ),
            pl.when(is_test & ~is_closed).then(
                pl.lit("result: found none before the next test or the end, expected ")
                + pl.lit(_EXPECTED_RESULT)
            ),
            pl.when(~is_test).then(pl.lit("test: found a result without one, expected Test: NAME before it")),
        ),
        at_closing=pl.coalesce(
            "closing_unfit",
            pl.when(~pl.col("closed_by").is_in(["PASS", "FAIL"]).fill_null(value=False)).then(
                found_instead("result", pl.col("closed_by"), _EXPECTED_RESULT)
            ),
        ),
    )
    table = table.filter(is_test | ~follows_test)
    at_closing = pl.col("at_opening").is_null() & pl.col("at_closing").is_not_null()
    return table.select(
        "name",
        "closed_by",
        pl.when(at_closing).then("closing_offset").otherwise("offset").alias("offset"),
        pl.coalesce("at_opening", "at_closing").alias("reason"),
        pl.when(at_closing).then("closing_line").otherwise("line").alias("line"),
    )


KIND: Final = Kind(
    name=RESULTS,
    title="tests and whether they passed, in blocks of lines",
    example="# Test: apples Test\n# Result: PASS",
    claims=lambda line: opens_block(line.encode()),
    open=lambda options: ResultsFormat(options.max_line_bytes, options.chunk_bytes),
)
