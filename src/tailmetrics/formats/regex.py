"""The format `regex`: a pattern of the user's own, with a named group for each field."""

from __future__ import annotations

from typing import Final

import polars as pl

from tailmetrics.errors import FormatError
from tailmetrics.formats.fields import PROBLEM
from tailmetrics.formats.kinds import Kind, never_claims
from tailmetrics.formats.paths import asked_for
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.text import Extract, TextFormat
from tailmetrics.settings import FormatOptions

NAME: Final = "regex"
_REQUIRED = ("timestamp", "customer_id", "path", "status_code")
_DURATION = "duration"


def extract_by(setting: str, pattern: str) -> Extract:
    """Fields as the named groups of a pattern that has to match the whole line, from `setting`.

    Raises FormatError when it is no pattern, or a group is missing.
    """
    whole = rf"\A(?:{pattern})\z"
    groups = _groups(setting, pattern, whole)
    missing = [name for name in _REQUIRED if name not in groups]
    if missing:
        raise FormatError(
            f"{setting}: found {pattern!r}, expected the named groups {', '.join(_REQUIRED)} and, if there "
            f"is one, {_DURATION}; missing: {', '.join(missing)}"
        )

    def extract(text: pl.Series) -> pl.DataFrame:
        found = text.str.extract_groups(whole).struct.unnest()
        matched = pl.any_horizontal(pl.col(groups).is_not_null())
        duration = pl.col(_DURATION) if _DURATION in groups else pl.lit(None, pl.String())
        problem = found_instead("line", pl.lit(text), f"a match of {setting}")
        found = found.with_columns(asked_for(found["path"]))
        return found.select(
            *_REQUIRED,
            duration.alias(_DURATION),
            pl.when(~matched).then(problem).alias(PROBLEM),
        )

    return extract


def _groups(setting: str, pattern: str, whole: str) -> list[str]:
    try:
        # The pattern alone, too: a parenthesis too many would go unseen with the others around it.
        for part in (pattern, whole):
            schema = pl.select(pl.lit("").str.extract_groups(part).struct.unnest()).schema
    except pl.exceptions.PolarsError as error:
        detail = str(error).strip().splitlines()
        raise FormatError(
            f"{setting}: found {pattern!r}, expected a regular expression in Rust's syntax ({detail[-1]})"
        ) from None
    return schema.names()


def _open(options: FormatOptions) -> TextFormat:
    return TextFormat(extract_by("LOG_REGEX", options.regex), Rules(options), options.max_line_bytes)


KIND: Final = Kind(
    name=NAME, title="a pattern of your own, LOG_REGEX", example="", claims=never_claims, open=_open
)
