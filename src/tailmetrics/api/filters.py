"""Filters of requests, as they stand in queries and answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tailmetrics.api.schemas import Filter
from tailmetrics.errors import QueryError
from tailmetrics.stats import Failures, RequestFilter
from tailmetrics.stores.results import FAILURE_RULES, can_be_stored

MOST_PATHS = 20
_LONGEST_PATH = 1024  # characters
_MOST_STARS = 10  # each may make a store look at a path again and again

_LAST_STATUS = 599
_ANY_STATUS = ((0, _LAST_STATUS),)
_NO_STATUS = ((1, 1),)  # which no request has
_STATUS = re.compile(r"(?P<class>[1-5])[xX]{2}|(?P<low>[1-5]\d\d)(?:-(?P<high>[1-5]\d\d))?|0")

_EXPECTED_PATH = (
    f"a path of 1 to {_LONGEST_PATH:,} characters, in which up to {_MOST_STARS} * stand for any others, such "
    "as /api/*; behind a ! what is left out, such as !/health"
)
_EXPECTED_STATUS = "a status such as 404, a class such as 5xx, a range such as 400-499, or 0 for no answer"

Ranges = tuple[tuple[int, int], ...]


def parse_paths(given: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The globs of which a path is to be one, and those of which it is to be none. Raises QueryError."""
    if len(given) > MOST_PATHS:
        raise QueryError("path", f"{len(given)} of them", f"at most {MOST_PATHS}")
    wanted: list[str] = []
    others: list[str] = []
    for text in given:
        glob = text.removeprefix("!")
        if not can_be_stored(glob) or len(glob) > _LONGEST_PATH or glob.count("*") > _MOST_STARS:
            raise QueryError("path", text, _EXPECTED_PATH)
        (others if text.startswith("!") else wanted).append(glob)
    return tuple(wanted), tuple(others)


def parse_statuses(given: Iterable[str]) -> Ranges:
    """Ranges of statuses, in ascending order and apart from each other. Raises QueryError."""
    ranges = [_parse_status(each.strip()) for text in given for each in text.split(",")]
    return _united(ranges)


def failing(failures: Failures, statuses: Ranges) -> Ranges:
    """Of ranges of statuses, all if there are none, those of requests that failed."""
    rule = FAILURE_RULES[failures]
    failed = [*((other, other) for other in rule.others), (rule.least, _LAST_STATUS)]
    both = [
        (max(low, least), min(high, most)) for low, high in statuses or _ANY_STATUS for least, most in failed
    ]
    return _united((low, high) for low, high in both if low <= high) or _NO_STATUS


def filter_document(only: RequestFilter) -> Filter:
    """What was asked for; empty without a filter."""
    document: Filter = {}
    if only.paths or only.other_paths:
        document["path"] = [*only.paths, *(f"!{glob}" for glob in only.other_paths)]
    if only.statuses:
        document["status"] = [_written(low, high) for low, high in only.statuses]
    if only.min_duration is not None:
        document["min_duration"] = only.min_duration
    if only.max_duration is not None:
        document["max_duration"] = only.max_duration
    return document


def _parse_status(text: str) -> tuple[int, int]:
    match = _STATUS.fullmatch(text)
    if match is None:
        raise QueryError("status", text, _EXPECTED_STATUS)
    if match["class"]:
        low = 100 * int(match["class"])
        return low, low + 99
    low = int(match["low"] or 0)
    high = int(match["high"] or low)
    if high < low:
        raise QueryError("status", text, f"the lower status first, {high}-{low}")
    return low, high


def _united(ranges: Iterable[tuple[int, int]]) -> Ranges:
    united: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if united and low <= united[-1][1] + 1:
            united[-1] = united[-1][0], max(high, united[-1][1])
        else:
            united.append((low, high))
    return tuple(united)


def _written(low: int, high: int) -> str:
    if low == high:
        return str(low)
    return f"{low // 100}xx" if low % 100 == 0 and high == low + 99 else f"{low}-{high}"
