"""Who the customer of a request is: the first field of a list that says something."""

from __future__ import annotations

import polars as pl

from tailmetrics.formats.fields import MISSING
from tailmetrics.formats.paths import customer_regex


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
            field = pl.col(name)
            choices.append(pl.when(~field.is_in(MISSING)).then(field))
    customer = pl.coalesce(*choices, pl.lit(None, pl.String())).alias("customer_id")
    return fields.with_columns(customer)["customer_id"]
