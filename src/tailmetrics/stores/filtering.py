"""Which requests a filter is for, as each kind of store asks for them."""

from __future__ import annotations

import re

import polars as pl

from tailmetrics.stats import RequestFilter


def is_selected(only: RequestFilter) -> pl.Expr:
    """Whether a filter selects a row, from the columns that it names of path, status_code and duration."""
    conditions: list[pl.Expr] = []
    if only.paths:
        conditions.append(pl.col("path").str.contains(regex_of(only.paths)))
    if only.other_paths:
        conditions.append(~pl.col("path").str.contains(regex_of(only.other_paths)))
    if only.statuses:
        within = [pl.col("status_code").is_between(low, high) for low, high in only.statuses]
        conditions.append(pl.any_horizontal(within))
    if only.min_duration is not None:
        conditions.append(pl.col("duration") >= only.min_duration)
    if only.max_duration is not None:
        conditions.append(pl.col("duration") < only.max_duration)
    return pl.all_horizontal(conditions).fill_null(value=False) if conditions else pl.lit(value=True)


def regex_of(globs: tuple[str, ...]) -> str:
    """A pattern, for RE2 as well, that matches what one of the globs does, as a whole."""
    return f"(?s)^(?:{'|'.join(map(_regex, globs))})$"


def like_of(glob: str) -> str:
    """A pattern of LIKE, with `\\` to escape."""
    escaped = re.sub(r"([\\%_])", r"\\\1", glob)
    return escaped.replace("*", "%")


def _regex(glob: str) -> str:
    return ".*".join(re.escape(part) for part in glob.split("*"))
