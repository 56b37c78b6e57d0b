"""The format `nginx`: the common and the combined log format, and what is often logged behind these."""

from __future__ import annotations

from typing import Final

import polars as pl

from tailmetrics.formats import timestamps
from tailmetrics.formats.fields import PROBLEM
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.templates.clean_records import CleanRecords
from tailmetrics.formats.templates.columns import MISSING, or_else, path_of, seconds, unescaped, unknown_unit
from tailmetrics.formats.templates.format import TemplateFormat
from tailmetrics.formats.templates.template import QUOTED_TEXT, Field, Kind, Literal, Part, Role, Template
from tailmetrics.formats.text import Extract, TextFormat

NAME: Final = "nginx"
_EXPECTED = (
    'address - user [time] "request" status bytes "referer" "agent", and the request time if it is logged'
)
_QUOTED = f'"{QUOTED_TEXT}"'
_SPACED_USER = r"(?P<user>-|[^ -][^ ]*(?: [^ ]+)*|-[^ ]+(?: [^ ]+)*)"
# Who asks: an address, `-` and a user, who may have spaces. Before them may be the addresses that
# X-Forwarded-For told, of which the first is the client's, or the name of a server and its port.
_WHO = (
    r"(?P<address>[^ ]*) [^ ]* (?P<user>[^ ]*)",
    rf"(?P<address>[^ ]*) - {_SPACED_USER}",
    rf"(?P<address>[^ ,]+)(?:, [^ ,]+)+ - {_SPACED_USER}",
    rf"[^ :]+:[^ ]+ (?P<address>[^ ,]+) [^ ]+ {_SPACED_USER}",
)
_WHAT = rf' \[(?P<timestamp>[^\]]*)\] "(?P<request>{QUOTED_TEXT})" (?P<status_code>[^ ]*)(?P<rest>(?: .*)?)\z'
_COLUMNS = ("address", "user", "timestamp", "request", "status_code", "rest")
# Behind the status: bytes, perhaps referer and agent, and words or quoted texts, which may have names.
_WORD = rf' (?:[^ "]*{_QUOTED}|[^ "]*)'
_TRAILER = rf"\A [^ ]*(?: {_QUOTED} {_QUOTED})?((?:{_WORD})*)\z"
_DOTTED = r"(?:[0-9]+\.[0-9]*|\.[0-9]+)"
_DECIMAL = rf"(?:{_DOTTED}|[0-9]+[eE])[0-9eE+-]*(?: ?[mnuµ]?s)?|[0-9]+[mnuµ]?s"


def nginx_format(zone: str, max_line_bytes: int, unit: str = "") -> TemplateFormat:
    """The format; `unit` is that of the duration (s, ms, us, ns), without one whole numbers are refused."""
    reader = timestamps.reader(zone, "")
    rules = TextFormat(extract_by(unit), reader, max_line_bytes)
    return TemplateFormat(
        rules, [CleanRecords(template, reader, max_line_bytes) for template in _templates(unit)]
    )


def extract_by(unit: str) -> Extract:
    """The fields of each line as text, a duration in `unit`.

    The customer is the user, or the address where there is none. The path is the target of the request
    without its query; of what is no HTTP request it is all that was logged.
    """

    def extract(text: pl.Series) -> pl.DataFrame:
        found = _found(text)
        duration = _duration(found["rest"], unit)
        problem = found_instead("line", pl.lit(text), _EXPECTED)
        users = [pl.when(~pl.col(name).is_in(MISSING)).then(name) for name in ("user", "address")]
        raw = found.with_columns(number=duration).select(
            "timestamp",
            pl.coalesce(users).alias("customer_id"),
            path_of(found["request"], Role.REQUEST).alias("path"),
            "status_code",
            seconds(pl.col("number"), unit or "s").alias("duration"),
            pl.coalesce(
                pl.when(pl.col("timestamp").is_null()).then(problem),
                pl.lit(None) if unit else unknown_unit(pl.col("number")),
            ).alias(PROBLEM),
        )
        return raw.with_columns(unescaped(raw["customer_id"]), unescaped(raw["path"]))

    return extract


def _found(text: pl.Series) -> pl.DataFrame:
    """The texts by the first of the ways to tell who asks that fits each line; null where none does."""
    found = text.str.extract_groups(rf"\A{_WHO[0]}{_WHAT}").struct.unnest().select(_COLUMNS)
    for who in _WHO[1:]:
        others = found["timestamp"].is_null()
        if not others.any():
            break
        more = text.filter(others).str.extract_groups(rf"\A{who}{_WHAT}").struct.unnest().select(_COLUMNS)
        places = others.arg_true()
        found = found.with_columns(found[name].scatter(places, more[name]) for name in _COLUMNS)
    return found


def _duration(rest: pl.Series, unit: str) -> pl.Series:
    """The text that is most likely the request time.

    It is the first bare word that is a decimal, else what is called rt, else the first whole number, and
    where no bare word is, the first decimal in quotes. A single bare word has to be a duration.
    """
    trailer = rest.str.extract(_TRAILER)
    trailer = trailer.set(trailer == "", None)
    return or_else(trailer.str.extract(rf"\A ({_DOTTED})\z"), trailer, lambda text: _odd_duration(text, unit))


def _odd_duration(trailer: pl.Series, unit: str) -> pl.Series:
    bare = trailer.str.replace_all(rf' [^ "]*{_QUOTED}', "")
    decimal = rf"(?:{_DECIMAL}|[0-9]+)" if unit else rf"(?:{_DECIMAL})"
    lone = bare.str.extract(r"\A ([^ =]+)\z")
    quoted = trailer.str.extract(rf'\A(?:{_WORD})*? "({_DOTTED})"(?: |\z)')
    return pl.select(
        pl.coalesce(
            bare.str.extract(rf" ({decimal})(?: |\z)"),
            trailer.str.extract(rf'\A(?:{_WORD})*? (?:rt|request_time)="?([^ "]+)'),
            bare.str.extract(r" ([0-9]+)(?: |\z)"),
            pl.when(bare == "").then(quoted),
            pl.when(~lone.is_in(["-", ".", "p"])).then(lone),
        ).replace("-", None)
    ).to_series()


def _templates(unit: str) -> list[Template]:
    """The shapes that most logs have, those with more quotes first: else a word might take what is quoted."""
    common: tuple[Part, ...] = (
        Field("remote_addr", Kind.WORD, Role.ADDRESS),
        Literal(" "),
        Field("ident", Kind.WORD),
        Literal(" "),
        Field("remote_user", Kind.WORD, Role.USER),
        Literal(" ["),
        Field("time_local", Kind.TIME, Role.TIMESTAMP),
        Literal('] "'),
        Field("request", Kind.QUOTED, Role.REQUEST),
        Literal('" '),
        Field("status", Kind.WORD, Role.STATUS),
        Literal(" "),
        Field("body_bytes_sent", Kind.WORD),
    )
    combined: tuple[Part, ...] = (
        *common,
        Literal(' "'),
        Field("http_referer", Kind.QUOTED),
        Literal('" "'),
        Field("http_user_agent", Kind.QUOTED),
    )
    forwarded: tuple[Part, ...] = (*combined, Literal('" "'), Field("http_x_forwarded_for", Kind.QUOTED))
    request_time = Field("request_time", Kind.WORD, Role.TRAILING, unit)
    quoted_time = Field("request_time", Kind.QUOTED, Role.TRAILING, unit)
    upstream: tuple[Part, ...] = tuple(
        part
        for name in ("uct", "uht", "urt")
        for part in (Literal(f'{" " if name == "uct" else chr(34) + " "}{name}="'), Field(name, Kind.QUOTED))
    )
    bare = Literal(" "), Field("upstream_response_time", Kind.WORD)
    return [
        Template((*combined, Literal('" rt='), request_time, *upstream, Literal('"'))),
        Template(
            (*forwarded, Literal('" '), request_time, Literal(' "'), Field("host", Kind.QUOTED), Literal('"'))
        ),
        Template((*combined, Literal('" "'), quoted_time, Literal('"'))),
        Template((*forwarded, Literal('" '), request_time)),
        Template((*forwarded, Literal('" '), request_time, *bare)),
        Template((*combined, Literal('"'))),
        Template((*combined, Literal('" '), request_time)),
        Template((*combined, Literal('" '), request_time, *bare)),
        Template(common),
    ]
