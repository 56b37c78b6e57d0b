"""Which requests a filter is for, as each kind of store asks for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import polars as pl

from tailmetrics.stats import RequestFilter


def is_selected(only: RequestFilter) -> pl.Expr:
    """Whether a filter selects a row, from the columns that it names of path, status_code and duration."""
    conditions: list[pl.Expr] = []
    if only.paths:
        conditions.append(is_one_of(pl.col("path"), only.paths))
    if only.other_paths:
        conditions.append(~is_one_of(pl.col("path"), only.other_paths))
    if only.statuses:
        within = [pl.col("status_code").is_between(low, high) for low, high in only.statuses]
        conditions.append(pl.any_horizontal(within))
    if only.min_duration is not None:
        conditions.append(pl.col("duration") >= only.min_duration)
    if only.max_duration is not None:
        conditions.append(pl.col("duration") < only.max_duration)
    return pl.all_horizontal(conditions).fill_null(value=False) if conditions else pl.lit(value=True)


def is_one_of(text: pl.Expr, globs: Sequence[str]) -> pl.Expr:
    """Whether a text matches one of some globs; null where there is none."""
    # Thousands of names make a pattern that is larger than a regular expression may be.
    names = [glob for glob in globs if "*" not in glob]
    patterns = tuple(glob for glob in globs if "*" in glob)
    found = [text.is_in(names)] if names else []
    if patterns:
        found.append(text.str.contains(regex_of(patterns)))
    return pl.any_horizontal(found) if found else pl.lit(value=False)


def matches(globs: Iterable[str], text: str) -> bool:
    """Whether a text matches one of some globs, in a time that no glob makes long."""
    return any(_matches(glob.split("*"), text) for glob in globs)


def regex_of(globs: tuple[str, ...]) -> str:
    """A pattern, for RE2 as well, that matches what one of the globs does, as a whole."""
    return f"(?s)^(?:{'|'.join(map(_regex, globs))})$"


def like_of(glob: str) -> str:
    """A pattern of LIKE, with `\\` to escape."""
    escaped = re.sub(r"([\\%_])", r"\\\1", glob)
    return escaped.replace("*", "%")


def _matches(parts: Sequence[str], text: str) -> bool:
    """Whether a text consists of these parts with anything between them."""
    first, *middle = parts
    if not middle:
        return text == first
    last = middle.pop()
    if not text.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(last) and text.endswith(last)


def _regex(glob: str) -> str:
    return ".*".join(re.escape(part) for part in glob.split("*"))
