"""The common and the combined log format of web servers, and what is often logged around these."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tailmetrics.formats import timestamps
from tailmetrics.formats.fields import PROBLEM
from tailmetrics.formats.paths import AGENT
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.templates.columns import CUSTOMER, all_unescaped, bare_name, or_else, target_of
from tailmetrics.formats.templates.format import TemplateFormat
from tailmetrics.formats.templates.template import QUOTED_TEXT, Field, Kind, Literal, Part, Role, Template
from tailmetrics.formats.text import PASSED_OVER, Extract, uncoloured
from tailmetrics.records import MAX_DURATION_SECONDS
from tailmetrics.settings import FormatOptions

_EXPECTED = (
    'address - user [time] "request" status bytes "referer" "agent", and the request time if it is logged'
)
_QUOTED = f'"{QUOTED_TEXT}"'
_SPACED_USER = r"(?P<user>-|[^ -][^ ]*(?: [^ ]+)*|-[^ ]+(?: [^ ]+)*)"
_BY_NUMBERS = "(?P<address>[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*)"
_MORE = r'(?:, ?[^ ,"]+)*'
# Who asks: an address, `-` and a user, who may have spaces. Before them may be the addresses that
# X-Forwarded-For told, of which the first is the client's, or the name of a server and its port.
_WHO = (
    r"(?P<address>[^ ,]*) [^ ]* (?P<user>[^ ]*)",
    rf"(?P<address>[^ ,]*) - {_SPACED_USER}",
    rf"(?P<address>[^ ,]+)(?:, ?[^ ,]+)+ - {_SPACED_USER}",
    rf'(?P<host>\[[^] ,"]+\]|[^ :,"\[][^ :,"]*):[^ :,"]+ (?P<address>[^ ,"]+){_MORE} [^ "]+ {_SPACED_USER}',
    rf'(?P<host>[^ :,"]*\.[^ :,"]*[A-Za-z][^ :,"]*) {_BY_NUMBERS}{_MORE} [^ ]+ {_SPACED_USER}',
)
# A site of any name, as `_` or an address.
_BEHIND_SITE = rf'(?P<host>[^ :,"]+) {_BY_NUMBERS}{_MORE} [^ ]+ {_SPACED_USER}'
_WHAT = rf' \[(?P<timestamp>[^\]]*)\] "(?P<request>{QUOTED_TEXT})" (?P<status_code>[^ ]*)(?P<rest>(?: .*)?)\z'
_COLUMNS = ("host", "address", "user", "timestamp", "request", "status_code", "rest")
# Behind the status: bytes, perhaps referer and agent, and words or quoted texts, which may have names.
_WORD = rf' (?:[^ "]*{_QUOTED}|[^ "]*)'
_AGENT = rf'\A [^ ]* {_QUOTED} "({QUOTED_TEXT})"'
_TRAILER = rf"\A [^ ]*(?: {_QUOTED} {_QUOTED})?((?:{_WORD})*)\z"
_WITH_NAME = rf'(?: [^ "]+:)? [^ "]*{_QUOTED}'
_UNIT = "[mnuµμ]?s"
# Alone it may be nginx's $gzip_ratio, as GitLab logs it, or a time; below 1.00 it is no ratio.
RATIO_OR_TIME = r"[1-9][0-9]*\.[0-9]{2}"
_DOTTED = r"(?:[0-9]+\.[0-9]*|\.[0-9]+)"
# Two decimals are nginx's $gzip_ratio in quotes, as its documentation logs it, and from 1.00 on beside other
# words: its times have three, those of other servers more.
_NO_RATIO_IN_QUOTES = r"[0-9]*\.(?:[0-9]?|[0-9]{3,})"
_NO_RATIO = r"(?:[0-9]+\.(?:[0-9]?|[0-9]{3,})|0*\.[0-9]+)"
_OF_NGINX = "rt|request_time"
# What plainly is called the time of the request; its times since 1970 have more digits.
TIME_NAMES = f"{_OF_NGINX}|response_time|total_time|duration|latency|elapsed|took|total|time"
_NAMED_TIME = rf'\A(?:{_WORD})*? (?:{_OF_NGINX})[=: ]"?([0-9][^ "]*)'
_NAMED_UNKNOWN = rf'\A(?:{_WORD})*? (?:{_OF_NGINX})="?([^ "]+)'
_CALLED_TIME = (
    rf'\A(?:{_WORD})*? (?:{TIME_NAMES})="?'
    rf"""((?:[0-9]{{1,9}}\.[0-9]*|\.[0-9]+|[0-9]+{_UNIT})(?:[eE][0-9+-]+)?(?:{_UNIT})?)(?:[" ]|\z)"""
)
_CALLED_WHOLE = rf'\A(?:{_WORD})*? (?:{TIME_NAMES})="?([0-9]{{1,9}})(?:[" ]|\z)'
# As nginx's modules for GeoIP write a latitude and a longitude; its times have three decimals.
_COORDINATES = "|".join(
    rf' "?-?[0-9]{{1,2}}\.[0-9]{{{n}}}"? "?-?[0-9]{{1,3}}\.[0-9]{{{n}}}(?:" | |"?\z)' for n in (4, 5)
)
# Varnish's time to the first byte, before the microseconds of the whole request, or any other number.
FIRST_BYTE = r" [0-9]+\.[0-9]{6} +[0-9]+(?: |\z)"
_NAMED_RATIO = rf'(?:{TIME_NAMES})[=: ]"?{RATIO_OR_TIME}(?:[" ]|\z)'
_OF_SOCKET = r"\AWS(?:CONNECTING|CONNECT|DISCONNECT) "  # what Daphne logs of WebSockets beside requests
_SLACK_SECONDS = 0.0015  # by which rounding may make the time of servers behind longer than the request's
_NEEDS_UNIT = "a whole number of an unknown unit, expected LOG_DURATION_UNIT (us for Apache's %D)"
_NEEDS_EITHER = (
    "two decimals, which nginx's $gzip_ratio has and times may have, expected LOG_DURATION_UNIT=s if it is a "
    "time, else LOG_FORMAT='nginx:…' with the server's own log_format"
)
_NEEDS_FORMAT = "seconds before a whole number, expected LOG_FORMAT='apache:…' with the server's own format"
_NEEDS_NAMES = "several whole numbers, expected LOG_FORMAT='apache:…' with the server's own LogFormat"


def nginx_format(
    options: FormatOptions, customer: tuple[str, ...] = CUSTOMER, *, is_behind_site: bool = False
) -> TemplateFormat:
    """The format; without the unit of durations in the options, whole numbers are refused.

    `is_behind_site` says that a word before the address is the name of a site, whatever it looks like.
    """
    rules = Rules(options, customer=customer, reader=timestamps.reader(options.zone, ""))
    unit = options.duration_unit
    who = (*_WHO, _BEHIND_SITE) if is_behind_site else _WHO
    return TemplateFormat(
        _extract_by(unit, rules.fields, who), rules, _templates(unit), options.max_line_bytes
    )


def _extract_by(unit: str, wanted: Sequence[str], who: Sequence[str]) -> Extract:
    """The fields of each line as text, and those of host, address, user and agent that are wanted.

    `who` are the ways to tell who asks, in order of preference.

    The path is the target of the request; of what is no HTTP request it is all that was logged.
    """

    def extract(text: pl.Series) -> pl.DataFrame:
        text = uncoloured(text)
        found = _found(text, who)
        problem = found_instead("line", pl.lit(text), _EXPECTED)
        agent = [pl.col("rest").str.extract(_AGENT).alias(AGENT)] if AGENT in wanted else []
        problem_of_duration = _unknown_unit(pl.col("duration"), pl.col("rest"), unit)
        raw = found.with_columns(_duration(found["rest"], unit).alias("duration")).select(
            "timestamp",
            target_of(found["request"], Role.REQUEST).alias("path"),
            "status_code",
            "duration",
            pl.coalesce(pl.when(pl.col("timestamp").is_null()).then(problem), problem_of_duration).alias(
                PROBLEM
            ),
            pl.col("request").str.contains(_OF_SOCKET).fill_null(value=False).alias(PASSED_OVER),
            *(bare_name(pl.col(name)) for name in ("host", "address", "user") if name in wanted),
            *agent,
        )
        return all_unescaped(raw, wanted)

    return extract


def _unknown_unit(text: pl.Expr, rest: pl.Expr, unit: str) -> pl.Expr:
    """The reason of those that are numbers of which nobody can tell what they are; null for others."""
    several = pl.when(text.str.contains(r"\A[0-9]+ ")).then(_problem_of(text, _NEEDS_NAMES))
    first_byte = pl.when(text.str.contains(r"\A[0-9]+\.[0-9]+ ")).then(_problem_of(text, _NEEDS_FORMAT))
    if unit:
        return several
    is_either = text.str.contains(rf"\A{RATIO_OR_TIME}\z") & ~rest.str.contains(_NAMED_RATIO)
    return pl.coalesce(
        several,
        first_byte,
        pl.when(text.str.contains(r"\A[0-9]+\z")).then(_problem_of(text, _NEEDS_UNIT)),
        pl.when(is_either).then(_problem_of(text, _NEEDS_EITHER)),
    )


def _problem_of(text: pl.Expr, problem: str) -> pl.Expr:
    return pl.format(f"duration: found '{{}}', {problem}", text)


def _found(text: pl.Series, ways: Sequence[str]) -> pl.DataFrame:
    """The texts by the first of the ways to tell who asks that fits each line; null where none does."""
    found = _by(ways[0], text)
    for who in ways[1:]:
        others = found["timestamp"].is_null()
        if not others.any():
            break
        more, places = _by(who, text.filter(others)), others.arg_true()
        found = found.with_columns(found[name].scatter(places, more[name]) for name in _COLUMNS)
    return found


def _by(who: str, text: pl.Series) -> pl.DataFrame:
    found = text.str.extract_groups(rf"\A{who}{_WHAT}").struct.unnest()
    if "host" not in found.columns:
        found = found.with_columns(host=pl.lit(None, pl.String()))
    return found.select(_COLUMNS)


def _duration(rest: pl.Series, unit: str) -> pl.Series:
    """The text that is most likely the request time.

    It is what is called so, else the first bare word that is a decimal, else the whole number, and where no
    bare word is, the first decimal in quotes. A single bare word has to be a duration.
    """
    trailer = rest.str.extract(_TRAILER)
    trailer = trailer.set(trailer == "", None)
    only = trailer.str.extract(rf"\A ({_DOTTED})\z")
    return or_else(only, trailer, lambda text: _odd_duration(text, unit))


def _odd_duration(trailer: pl.Series, unit: str) -> pl.Series:
    is_lone = ~trailer.str.strip_chars(" ").str.contains(" ", literal=True)
    if not unit:
        trailer = trailer.str.replace_all(_COORDINATES, " ").str.strip_chars_end(" ")
    # Each word with its unit, and with its spaces.
    trailer = trailer.str.replace_all(rf"([0-9]) ({_UNIT})( |\z)", "$1$2$3")
    bare = trailer.str.replace_all(_WITH_NAME, "").str.replace_all(" ", "  ", literal=True)
    dotted, in_quotes = (_DOTTED, _DOTTED) if unit else (_NO_RATIO, _NO_RATIO_IN_QUOTES)
    decimal = rf"(?:(?:{_DOTTED}|[0-9]+)(?:[eE][0-9+-]*(?:{_UNIT})?|{_UNIT})|{dotted})"
    lone = bare.str.extract(r"\A  ([^ =]+)\z")
    numbers = bare.str.extract_all(r" [0-9]+(?: |\z)").list.eval(pl.element().str.strip_chars(" "))
    return pl.select(
        pl.coalesce(
            trailer.str.extract(_NAMED_TIME),
            trailer.str.extract(_NAMED_UNKNOWN),
            trailer.str.extract(_CALLED_TIME),
            None if unit else bare.str.extract(f"({FIRST_BYTE})").str.strip_chars(" ").str.replace("  ", " "),
            _of_request(bare.str.extract_all(rf" {decimal}(?: |\z)"), unit),
            trailer.str.extract(_CALLED_WHOLE),
            pl.when(numbers.list.len() > 0).then(numbers.list.join(" ")),
            pl.when(bare == "").then(_of_request(trailer.str.extract_all(rf' "{in_quotes}"'), unit)),
            bare.str.extract(rf"\A  ({RATIO_OR_TIME})\z"),
            pl.when(pl.lit(is_lone) & ~lone.is_in(["-", ".", "p"])).then(lone),
        ).replace("-", None)
    ).to_series()


def _of_request(times: pl.Series, unit: str) -> pl.Series:
    """The first of the times, or a longer one: servers behind take no longer than the request does."""
    first = times.list.first().str.strip_chars(' "')
    if unit or not (several := (times.list.len() > 1).arg_true()).len():
        return first
    texts = times.gather(several).list.eval(pl.element().str.strip_chars(' "'))
    number = pl.element().cast(pl.Float64, strict=False)
    # Since 1970 no request takes.
    numbers = texts.list.eval(pl.when(number <= MAX_DURATION_SECONDS).then(number))
    longest = texts.list.get(numbers.list.arg_max(), null_on_oob=True)
    is_longer = numbers.list.max() > numbers.list.first().fill_null(-1) + _SLACK_SECONDS
    return first.scatter(several, longest.zip_with(is_longer & longest.is_not_null(), texts.list.first()))


_COMMON: tuple[Part, ...] = (
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
_COMBINED: tuple[Part, ...] = (
    *_COMMON,
    Literal(' "'),
    Field("http_referer", Kind.QUOTED),
    Literal('" "'),
    Field("http_user_agent", Kind.QUOTED, Role.AGENT),
)
_SITE: tuple[Part, ...] = (
    Field("host", Kind.NAME, Role.HOST),
    Literal(":"),
    Field("port", Kind.NAME),
    Literal(" "),
)


def _templates(unit: str) -> list[Template]:
    """The shapes that most logs have, those with more quotes first: else a word might take what is quoted."""
    forwarded: tuple[Part, ...] = (*_COMBINED, Literal('" "'), Field("http_x_forwarded_for", Kind.QUOTED))
    request_time = Field("request_time", Kind.WORD, Role.TRAILING, unit)
    quoted_time = Field("request_time", Kind.QUOTED, Role.TRAILING, unit)
    upstream: tuple[Part, ...] = tuple(
        part
        for name in ("uct", "uht", "urt")
        for part in (Literal(f'{" " if name == "uct" else chr(34) + " "}{name}="'), Field(name, Kind.QUOTED))
    )
    bare = Literal(" "), Field("upstream_response_time", Kind.WORD, Role.BEHIND)
    return [
        Template((*_COMBINED, Literal('" rt='), request_time, *upstream, Literal('"'))),
        Template(
            (*forwarded, Literal('" '), request_time, Literal(' "'), Field("host", Kind.QUOTED), Literal('"'))
        ),
        Template((*_COMBINED, Literal('" "'), quoted_time, Literal('"'))),
        Template((*forwarded, Literal('" '), request_time)),
        Template((*forwarded, Literal('" '), request_time, *bare)),
        Template((*_COMBINED, Literal('"'))),
        Template((*_COMBINED, Literal('" '), request_time)),
        Template((*_COMBINED, Literal('" '), request_time, *bare)),
        Template((*_SITE, *_COMBINED, Literal('"'))),
        Template((*_SITE, *_COMBINED, Literal('" '), request_time)),
        Template(_COMMON),
    ]
