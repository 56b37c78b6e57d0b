"""Which requests a filter is for, as a condition on records."""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlalchemy as sa

from tailmetrics.stats import RequestFilter
from tailmetrics.stores.filtering import like_of
from tailmetrics.stores.results import can_be_stored
from tailmetrics.stores.sql.schema import records


def is_selected(only: RequestFilter, dialect: sa.Dialect) -> sa.ColumnElement[bool]:
    """Whether a filter selects a record, in a database of this dialect."""
    where: sa.ColumnElement[bool] = sa.true()
    if only.paths:
        where &= _has_path_of(only.paths, dialect)
    if only.other_paths:
        where &= ~_has_path_of(only.other_paths, dialect)
    if only.statuses:
        # Of a range any number, of which the column holds small ones only.
        ranges = ((sa.literal(low, sa.Integer), sa.literal(high, sa.Integer)) for low, high in only.statuses)
        where &= sa.or_(*(records.c.status_code.between(low, high) for low, high in ranges))
    if only.min_duration is not None:
        where &= records.c.duration >= only.min_duration
    if only.max_duration is not None:
        where &= records.c.duration < only.max_duration
    return where


def _has_path_of(globs: Sequence[str], dialect: sa.Dialect) -> sa.ColumnElement[bool]:
    path = records.c.path
    globs = [glob for glob in globs if can_be_stored(glob)]  # no path has what cannot be
    conditions = [path.in_([glob for glob in globs if "*" not in glob])]
    for glob in globs:
        if "*" not in glob:
            continue
        if dialect.name == "sqlite":  # whose LIKE takes no notice of case
            conditions.append(path.op("GLOB", is_comparison=True)(re.sub(r"([?\[])", r"[\1]", glob)))
        else:
            conditions.append(path.like(like_of(glob), escape="\\"))
    return sa.or_(*conditions)
