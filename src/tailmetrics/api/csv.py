"""Answers as CSV (RFC 4180): one row for each entry, with the names that JSON has."""

from __future__ import annotations

import csv
import io
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tailmetrics.api.objectives import ObjectiveBudget, Objectives
from tailmetrics.api.schemas import (
    Breakdown,
    Figures,
    LoggedRequest,
    PathRequests,
    RejectedLine,
    Rejects,
    Stats,
    StatusRequests,
)

MEDIA_TYPE = "text/csv"

DOCUMENTED: dict[str, Any] = {MEDIA_TYPE: {"schema": {"type": "string"}}}

_ROWS_AT_ONCE = 1000
_FIGURES = tuple(Figures.__annotations__)

# What a spreadsheet takes for the beginning of a formula, full width, small and behind what is not seen, too:
# white space, and characters that control or format.
_FORMULA = frozenset("=+-@")
_UNSEEN = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})
_LINE_BEGINS = ("\t", "\r", "\n")


def wants_csv(given: str | None, accept: str | None) -> bool:
    """Whether to answer with CSV: as the parameter `format` says, else what the header Accept prefers."""
    if given is not None:
        return given == "csv"
    qualities = _qualities(accept or "")
    csv_quality = qualities.get(MEDIA_TYPE, 0.0)
    return csv_quality > 0 and csv_quality >= qualities.get("application/json", 0.0)


def customers_csv(customers: Iterable[Mapping[str, Any]]) -> Response:
    """One row a customer; a further page is in the header Link."""
    return _csv(("customer_id", *_FIGURES), customers, "customers.csv")


def stats_csv(answer: Stats) -> Response:
    """One row a window; the customer stands in each, empty for all together."""
    rows = ({"customer_id": answer["customer_id"], **window} for window in answer["windows"])
    return _csv(("customer_id", "start", "end", *_FIGURES), rows, "stats.csv")


def breakdown_csv(answer: Breakdown, by: Literal["path", "status"], *, latencies: bool) -> Response:
    """One row a path, or one a status."""
    shown = None if latencies else -1
    if by == "path":
        return _csv(tuple(PathRequests.__annotations__)[:shown], answer["paths"], "paths.csv")
    return _csv(tuple(StatusRequests.__annotations__)[:shown], answer["statuses"], "statuses.csv")


def requests_csv(rows: Sequence[LoggedRequest], *, with_lines: bool) -> Response:
    """One row a request; a further page is in the header Link."""
    left_out = () if with_lines else ("line", "line_missing")
    columns = tuple(name for name in LoggedRequest.__annotations__ if name not in left_out)
    return _csv(columns, rows, "requests.csv")


def rejects_csv(answer: Rejects) -> Response:
    """One row a rejected line."""
    return _csv(tuple(RejectedLine.__annotations__), answer["rejects"], "rejects.csv")


def objectives_csv(answer: Objectives) -> Response:
    """One row an objective and customer; a further page is in the header Link."""
    return _csv(tuple(ObjectiveBudget.__annotations__), answer["objectives"], "objectives.csv")


def linked(response: Response, request: Request, cursor: str | None) -> Response:
    """The response with the page that follows, if there is one, in the header Link."""
    if cursor is not None:
        following = request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return response


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], name: str) -> Response:
    pieces = _pieces(columns, rows)
    first, second = next(pieces), next(pieces, b"")
    media_type = f"{MEDIA_TYPE}; charset=utf-8; header=present"
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{name}"',
        "Vary": "Accept",
    }
    if not second:  # which can be kept, and asked for again
        return Response(first, media_type=media_type, headers=headers)
    return StreamingResponse(itertools.chain((first, second), pieces), media_type=media_type, headers=headers)


def _pieces(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The text, some rows at a time."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for number, row in enumerate(rows, 1):
        writer.writerow([cell(row[column]) for column in columns])
        if not number % _ROWS_AT_ONCE:
            yield text.getvalue().encode("utf-8", "backslashreplace")
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode("utf-8", "backslashreplace")


def cell(value: object) -> object:
    """The value; text that a spreadsheet would compute stands after an apostrophe, which makes it text.

    So does what looks like such text already, or both would look alike.
    """
    if isinstance(value, str) and (_is_formula(value) or value.lstrip("' ").startswith(_LINE_BEGINS)):
        return f"'{value}"
    return value


def _is_formula(text: str) -> bool:
    seen = (sign for sign in text if sign != "'" and unicodedata.category(sign) not in _UNSEEN)
    return unicodedata.normalize("NFKC", next(seen, "")) in _FORMULA


def _qualities(accept: str) -> dict[str, float]:
    """The quality of each media type that a header Accept names."""
    found = {}
    for part in accept.lower().split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        matches = (re.fullmatch(r"q=([01](\.\d{0,3})?)", each) for each in parameters)
        quality = next(filter(None, matches), None)
        found[media_type] = 1.0 if quality is None else float(quality[1])
    return found
