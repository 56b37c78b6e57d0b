"""Who the customer of a request is: the first field of a list that says something."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from tailmetrics.formats.fields import MISSING
from tailmetrics.formats.paths import customer_regex

# What fields begin with that no line has, but what carried it: a message of Kafka, or an envelope.
_OF_CARRIERS = ("kafka:", "envelope:")
# What logs write for nobody; Apache writes quotes for who gave an empty name.
_FIRST = r"\A([^,]*)"
NOBODY: Final = (*MISSING, '""')


_FORWARDED = re.compile(r"x[_-]forwarded[_-]for(?:\}i)?\Z", re.IGNORECASE)  # as servers name the header


def is_forwarded(name: str) -> bool:
    """Whether a field holds the addresses that a request came by, of which the first is the client's."""
    return _FORWARDED.search(name) is not None


def is_told(name: str) -> bool:
    """Whether a field of LOG_CUSTOMER is told by what carried a line, and not by the line."""
    return name.startswith(_OF_CARRIERS)


def told_names(preference: tuple[str, ...]) -> list[str]:
    """Those of the fields that are told by what carried the lines."""
    return [name for name in preference if is_told(name)]


def chosen(fields: pl.DataFrame, preference: tuple[str, ...]) -> pl.Series:
    """The customer of each row, null where no field says who it is.

    `fields` has a column for each field that the log has, among them `path`, whose parts a preference that
    begins with a slash is about.
    """
    choices = []
    for name in preference:
        if name.startswith("/"):
            choices.append(pl.col("path").str.extract(customer_regex(name), 1))
        elif name in fields.columns:
            field = pl.col(name).str.extract(_FIRST, 1) if is_forwarded(name) else pl.col(name)
            choices.append(pl.when(~field.is_in(NOBODY)).then(field))
    customer = pl.coalesce(*choices, pl.lit(None, pl.String())).alias("customer_id")
    return fields.with_columns(customer)["customer_id"]
