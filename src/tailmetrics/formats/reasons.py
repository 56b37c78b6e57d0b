"""The sentence that says why a line is a reject."""

from __future__ import annotations

import polars as pl

_SHOWN_CHARACTERS = 80


def found_instead(field: str, found: pl.Expr, expected: str) -> pl.Expr:
    """`field: found 'x', expected y`; a long `found` is cut, null is shown as `nothing`."""
    short = found.str.len_chars() <= _SHOWN_CHARACTERS
    shown = pl.when(short).then(found).otherwise(found.str.head(_SHOWN_CHARACTERS) + "…")
    quoted = ("'" + shown + "'").fill_null("nothing")
    return pl.lit(f"{field}: found ") + quoted + f", expected {expected}"
