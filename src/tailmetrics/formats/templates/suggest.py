"""A server's format string that reads a line of no known format, by what its words look like."""

from __future__ import annotations

import re
from typing import Final

from tailmetrics.errors import FormatError
from tailmetrics.formats.customers import is_behind_file
from tailmetrics.formats.templates.apache_directives import from_apache
from tailmetrics.formats.templates.nginx_variables import from_nginx
from tailmetrics.formats.templates.template import QUOTED_TEXT

_ISO = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[Zz]|[+-]\d\d:?\d\d)?"
_CLF = r"\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d[ ][+-]\d{4}"
_ADDRESS = r"(?:\d{1,3}\.){3}\d{1,3}|(?=[^ ]*::|(?:[^ :]*:){5})[0-9A-Fa-f:]+(?:\.\d{1,3}){0,3}"
_NAME = r'[^ "=:\[]+(?:=|:[ ]?)'
# The words of a line, each with what is told by its looks; in brackets or quotes, or behind a name, or alone.
_WORD = re.compile(
    rf"""(?P<name>{_NAME}(?=["0-9-]))?(?P<open>["\[]?)(?:
    (?P<time_local>{_CLF})|(?P<time_iso8601>{_ISO})|(?P<msec>1\d{{9}}\.\d{{3}})
    |(?P<dashed>\d{{4}}-\d\d-\d\d[ ]\d\d:\d\d:\d\d)|(?P<slashed>\d{{4}}/\d\d/\d\d[ ]\d\d:\d\d:\d\d)
    |(?P<request>[A-Z]+[ ][^ "]+[ ]HTTP/[0-9.]+)
    |(?P<remote_addr>{_ADDRESS})
    |(?P<status>[1-5]\d\d)
    |(?P<seconds>\d+\.\d{{3}})
    )(?P<close>["\]]?)(?=[ ]|\Z)
    |(?P<site>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z][A-Za-z0-9-]*)(?P<port>:\d+)?(?=[ ]|\Z)
    |(?P<label>{_NAME}(?=["]))?"(?P<quoted>{QUOTED_TEXT})"(?=[ ]|\Z)
    |\[(?P<bracketed>[^\]]*)\](?=[ ]|\Z)
    |(?P<word>[^ ]+)""",
    re.VERBOSE,
)
_TIMES: Final = ("time_local", "time_iso8601", "msec", "dashed", "slashed")
_ONCE: Final = (*_TIMES, "request", "remote_addr", "status", "seconds")
_FORWARDED = re.compile(rf"(?:{_ADDRESS}), ?(?:{_ADDRESS})")
_STARTS_WITH_TIME = re.compile(rf"\[?{_ISO}")
_RATIO = re.compile(r"[1-9]\d*\.\d\d")  # which no time of nginx is
_CACHE_STATE = re.compile("(?:HIT|MISS|BYPASS|EXPIRED|STALE|UPDATING|REVALIDATED|SCARCE)(?![^ ])")
_ANOTHER_ADDRESS = re.compile(rf" (?:{_ADDRESS}) ")
_STRFTIME = re.compile(r"\$(?:dashed|slashed)")  # times that only Apache's words describe
_OF_APACHE: Final = {
    "remote_addr": "%h",
    "ident": "%l",
    "remote_user": "%u",
    "request": "%r",
    "status": "%>s",
    "body_bytes_sent": "%b",
    "http_referer": "%{Referer}i",
    "http_user_agent": "%{User-Agent}i",
    "host": "%v",
    "http_x_forwarded_for": "%{X-Forwarded-For}i",
    "server_port": "%p",
    "request_time": "%T",
    "dashed": "%{%Y-%m-%d %H:%M:%S}t",
    "slashed": "%{%Y/%m/%d %H:%M:%S}t",
}
# Of php-fpm's default access.format, and of Nginx Proxy Manager.
_WELL_KNOWN: Final = (
    (
        re.compile(rf'[^ ]+ - [^ ]* {_CLF} "[A-Z]+ [^" ]*" \d{{3}}\Z'),
        "LOG_FORMAT='apache:%h - %u %{%d/%b/%Y:%H:%M:%S %z}t \"%m %U\" %>s'",
    ),
    (
        re.compile(
            r"\[[^\]]+\] [^ ]+ [^ ]+ [^ ]+ - [A-Z]+ [a-z]+ [^ ]+ \"[^\"]*\" \[Client [^\]]+\] \[Length "
        ),
        (
            "LOG_FORMAT='nginx:[$time_local] $upstream_cache_status $upstream_status $status - "
            '$request_method $scheme $host "$request_uri" [Client $remote_addr] [Length $body_bytes_sent] '
            '[Gzip $gzip_ratio] [Sent-to $http_x] "$http_user_agent" "$http_referer"\''
        ),
    ),
)
_CLOSE: Final = {"": "", '"': '"', "[": "]"}
# Parts up to the next word, the space between them with them.
_PARTS_OF_ADDRESS, _PARTS_OF_IDENT = 5, 2
_MICROSECONDS = 1_000_000
# Behind the rest: Apache's %T and %D in any dress, and Varnish's time to the first byte before %D.
_SECONDS_AND_MICROSECONDS = re.compile(r" (\**)(\d+)([ /])(\d+)(\**)\Z")
_FIRST_BYTE = re.compile(r" (\d+\.\d{6}) (\d+)\Z")


def suggested_template(line: str) -> str:
    """The setting with a format string that reads a line; empty where no time, request or status is seen."""
    for pattern, setting in _WELL_KNOWN:
        if pattern.match(line):
            return setting
    if is_behind_file(first := line.partition(" ")[0]) and not _STARTS_WITH_TIME.match(first):
        return ""
    if (match := _FIRST_BYTE.search(line)) and float(match[1]) * _MICROSECONDS <= int(match[2]):
        return _of_apache(line[: match.start()], " %{Varnish:time_firstbyte}x %D", line)
    if (match := _SECONDS_AND_MICROSECONDS.search(line)) and int(match[2]) == int(match[4]) // _MICROSECONDS:
        return _of_apache(line[: match.start()], f" {match[1]}%T{match[3]}%D{match[5]}", line)
    parts = _parts(line)
    text = "".join(parts)
    if _STRFTIME.search(text):
        return _of_apache(line, "", line)
    try:
        fits = bool(parts) and from_nginx(text).fits(line)
    except FormatError:
        return ""
    if not fits or "'" in text:
        return ""
    lacks_time = "$request_time" not in text and "$http_x" in text
    note = ", $request_time in place of what is its time in seconds, if it is logged" if lacks_time else ""
    return f"LOG_FORMAT='nginx:{text}'{note}"


def _of_apache(beginning: str, end: str, line: str) -> str:
    parts = _parts(beginning)
    text = "".join(parts).replace("[$time_local]", "%t")
    text = re.sub(r"\$(\w+)", lambda name: _OF_APACHE.get(name[1], f"%{{{name[1]}}}i"), text) + end
    try:
        fits = bool(parts) and from_apache(text).fits(line)
    except FormatError:
        return ""
    return f"LOG_FORMAT='apache:{text}'" if fits and "'" not in text else ""


def _parts(line: str) -> list[str]:
    """What the words are and what is between them, in turn; variables begin with a dollar."""
    parts: list[str] = []
    seen: dict[str, int] = {}  # what was told, and at which part
    at = 0
    longest = _longest(line)
    if "$" in line or "%" in re.sub(r'"[^"]*"', "", line):
        return []
    for match in _WORD.finditer(line):
        parts.append(line[at : match.start()])
        at = match.end()
        parts += _variable(match, seen, len(parts), is_longest=match.start("seconds") == longest)
    parts.append(line[at:])
    if not all(name in seen for name in ("request", "status", "remote_addr")) or not seen.keys() & set(
        _TIMES
    ):
        return []
    return parts


def _longest(line: str) -> int:
    """Where the time of the request is, which no other time is longer than; -1 where no word is a time."""
    times = [match for match in _WORD.finditer(line) if match["seconds"]]
    return max(times, key=lambda each: float(each["seconds"])).start("seconds") if times else -1


def _variable(match: re.Match[str], seen: dict[str, int], place: int, *, is_longest: bool) -> list[str]:
    """A word as a variable, with what is around it."""
    kind = next((name for name in _ONCE if match[name]), "")
    if kind == "remote_addr" and _ANOTHER_ADDRESS.match(match.string, match.end()):
        kind = ""  # of who handed the line on
    opened = match["open"] or ""
    if kind and match["close"] != _CLOSE[opened]:
        kind = ""
    is_again = kind in seen or (kind in _TIMES and bool(seen.keys() & set(_TIMES)))
    if (
        kind
        and not is_again
        and (kind != "seconds" or is_longest)
        and (kind != "status" or "request" in seen)
    ):
        seen[kind] = place
        name = "request_time" if kind == "seconds" else kind
        return [match["name"] or "", opened, f"${name}", match["close"]]
    if _CACHE_STATE.match(match[0]) and "cache" not in seen:
        seen["cache"] = place
        return ["$upstream_cache_status"]
    if (match["word"] or match["site"]) and place == seen.get("ident", place) + _PARTS_OF_IDENT:
        return ["$remote_user"]
    if match["site"] and "host" not in seen:
        seen["host"] = place
        return ["$host", *([":", "$server_port"] if match["port"] else [])]
    return _other(match, seen, place)


def _other(match: re.Match[str], seen: dict[str, int], place: int) -> list[str]:
    text = match[0]
    if text == "-" and _CACHE_STATE.match(match.string, match.end() + 1):
        return ["$upstream_response_time"]
    if text == "-" and place == seen.get("remote_addr", place) + _PARTS_OF_ADDRESS:
        if re.match(rf' (?:["\[]|{_ISO})', match.string[match.end() :]):
            return ["$remote_user"]  # no other word is there that may be one
        seen["ident"] = place
        return ["-"]
    if _is_bytes(text, seen):
        seen["bytes"] = place
        return ["$body_bytes_sent"]
    label = match["label"] or ""
    if match["quoted"] and _FORWARDED.match(match["quoted"]) and "forwarded" not in seen:
        seen["forwarded"] = place
        return [label, '"', "$http_x_forwarded_for", '"']
    if match["quoted"] is not None and "status" in seen and not label:
        for name in ("http_referer", "http_user_agent"):
            if name not in seen:
                seen[name] = place
                return ['"', f"${name}", '"']
    seen["other"] = seen.get("other", 0) + 1
    name = f"$http_x{seen['other']}"
    if match["quoted"] is not None:
        return [label, '"', name, '"']
    if match["bracketed"] is not None:
        return ["[", name, "]"]
    if _RATIO.fullmatch(text) and "gzip_ratio" not in seen:
        seen["gzip_ratio"] = place
        return ["$gzip_ratio"]
    label, is_named, _ = text.rpartition("=")
    return [f"{label}=", name] if is_named and label.isidentifier() else [name]


def _is_bytes(text: str, seen: dict[str, int]) -> bool:
    return "status" in seen and "bytes" not in seen and (text.isdigit() or text == "-")
