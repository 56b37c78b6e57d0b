"""The sentence that says why a line is a reject."""

from __future__ import annotations

from typing import Final

import polars as pl

SHOWN_CHARACTERS: Final = 80
# Control characters (Unicode Cc) as they are shown: nobody sees them, and not every store can hold a NUL.
_VISIBLE = {chr(code): f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_VISIBLE |= {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def found_instead(field: str, found: pl.Expr, expected: str) -> pl.Expr:
    """`field: found 'x', expected y`; null is shown as `nothing`.

    A long `found` is cut, and its control characters are escaped.
    """
    short = found.str.len_chars() <= SHOWN_CHARACTERS
    shown = pl.when(short).then(found).otherwise(found.str.head(SHOWN_CHARACTERS) + "…")
    visible = shown.str.replace_many(_VISIBLE)
    quoted = ("'" + visible + "'").fill_null("nothing")
    return pl.lit(f"{field}: found ") + quoted + f", expected {expected}"
