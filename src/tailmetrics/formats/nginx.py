"""The format `nginx`: the combined log format, with the request time after it when it is logged."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from tailmetrics.formats import regex
from tailmetrics.formats.fields import PROBLEM
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.text import TextFormat
from tailmetrics.settings import FormatOptions

NAME: Final = "nginx"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
# The fields are taken from the head alone, where each next character leaves one way to go on: the regular
# expression engine is several times as fast for that as for the whole line, which it only has to check.
_HEAD = (
    r"\A(?P<address>[^ ]+) [^ ]+ (?P<user>(?:[^ \[][^ ]* )+)\[(?P<timestamp>[^\]]*)\] "
    rf"(?P<request>{_QUOTED}) (?P<status_code>[^ ]+) "
)
_LINE = (
    rf"{_HEAD}[^ ]+ {_QUOTED} {_QUOTED}"
    rf"(?: {_QUOTED})?"  # many add X-Forwarded-For
    r'(?: [^ "]+)?\z'
)
_DURATION = r'" ([^ "]+)\z'
_EXPECTED = (
    'address - user [time] "request" status bytes "referer" "agent", and the request time if it is logged'
)
_REQUEST = r"\A[A-Za-z-]+ (\S+)(?: HTTP/[0-9.]+)?\z"


def extract(text: pl.Series) -> pl.DataFrame:
    """The fields of each line as text.

    The customer is the user, or the address where there is none. The path is the target of the request
    without its query; of what is no HTTP request it is all that was logged.
    """
    fits = text.str.contains(_LINE)
    found = text.str.extract_groups(_HEAD).struct.unnest().with_columns(line=text)
    user = pl.col("user").str.strip_suffix(" ")
    request = pl.col("request").str.strip_prefix('"').str.strip_suffix('"')
    path = request.str.extract(_REQUEST, 1).str.replace(r"\?.*\z", "")
    duration = pl.col("line").str.extract(_DURATION, 1)
    raw = found.select(
        "timestamp",
        pl.when(user == "-").then("address").otherwise(user).alias("customer_id"),
        pl.coalesce(path.replace("", None), request.replace("", "-")).alias("path"),
        "status_code",
        duration.alias("duration"),
        pl.when(~fits).then(found_instead("line", pl.col("line"), _EXPECTED)).alias(PROBLEM),
    )
    return raw.with_columns(unescaped(raw["customer_id"]), unescaped(raw["path"]))


def unescaped(text: pl.Series) -> pl.Series:
    """The texts as they were before nginx wrote quotes, backslashes and bytes over 127 as \\xNN."""
    escaped = text.filter(text.str.contains("\\", literal=True)).unique()
    if escaped.is_empty():
        return text
    return text.replace(escaped, pl.Series([_unescape(value) for value in escaped], dtype=pl.String()))


def _unescape(text: str) -> str:
    """Control characters stay escaped, and so does everything when the bytes are not UTF-8."""
    raw = re.sub(rb'\\(?:x([0-9A-Fa-f]{2})|(["\\]))', _byte, text.encode())
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return text


def _byte(escape: re.Match[bytes]) -> bytes:
    if escape[2]:
        return escape[2]
    byte = bytes.fromhex(escape[1].decode())
    return byte if byte in b'"\\' or byte > b"\x7f" else escape[0]


def _open(options: FormatOptions) -> TextFormat:
    pattern = options.nginx_regex
    by = regex.extract_by("LOG_NGINX_REGEX", pattern) if pattern else extract
    return TextFormat(by, Rules(options), options.max_line_bytes)


_CLAIMED = re.compile(_LINE.replace(r"\z", r"\Z"))

KIND: Final = Kind(
    name=NAME,
    title="nginx's combined, with the request time after it when it is logged",
    example='203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 0.123',
    claims=lambda line: _CLAIMED.match(line) is not None,
    open=_open,
)
