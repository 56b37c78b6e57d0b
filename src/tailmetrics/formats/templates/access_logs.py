"""The kinds of access logs of web servers, by which one's lines are told from another's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import polars as pl

from tailmetrics.errors import FormatError
from tailmetrics.formats import regex
from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.customers import EXPECTED_ADDRESS, is_behind_file
from tailmetrics.formats.kinds import Kind, never_claims
from tailmetrics.formats.nginx import FIRST_BYTE, RATIO_OR_TIME, TIME_NAMES, nginx_format
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.templates.apache_directives import from_apache
from tailmetrics.formats.templates.columns import CUSTOMER
from tailmetrics.formats.templates.envoy_operators import from_envoy
from tailmetrics.formats.templates.format import template_format
from tailmetrics.formats.templates.haproxy_variables import from_haproxy
from tailmetrics.formats.templates.nginx_variables import from_nginx
from tailmetrics.formats.templates.suggest import suggested_template
from tailmetrics.formats.templates.template import QUOTED_TEXT, Role, Template
from tailmetrics.formats.text import TextFormat, uncoloured, uncoloured_line
from tailmetrics.settings import FormatOptions

_SITE_CUSTOMER: Final = ("host", "address")
# Whose own format strings are read, by what, and which fields tell the customer then.
_SERVERS: Final[dict[str, tuple[Callable[[str], Template], tuple[str, ...]]]] = {
    "nginx": (from_nginx, CUSTOMER),
    "apache": (from_apache, CUSTOMER),
    "envoy": (from_envoy, _SITE_CUSTOMER),
    "haproxy": (from_haproxy, ("address",)),
}
_QUOTED = f'"{QUOTED_TEXT}"'
# A user may have spaces only where it is sure where he begins.
_USER = r"(?P<user>[^ ]+|(?<= - )[^ -][^\[]*?)"
_ADDRESS = r"(?P<address>[^ ,<][^ ,]*)"
_CLIENT = rf"{_ADDRESS} (?P<ident>[^ ]+) {_USER}"
_FORWARDED = rf"{_ADDRESS}(?:, ?[^ ,]+)+ (?P<ident>-) {_USER}"
_MORE = "(?:, ?[^ ,]+)*"
_SITE = (
    rf"(?P<host>\[[^] ,]+\]|[^ :,\[][^ :,]*):(?P<port>\d+) (?P<address>[^ ,-][^ ,]*){_MORE} "
    rf"(?P<ident>[^ ]+) {_USER}"
)
_REQUEST = (
    rf' \[(?P<timestamp>(?:\d{{1,2}}/|\d{{4}}-)[^\]]*)\] "(?P<request>{QUOTED_TEXT})" '
    r'(?P<status_code>[^ "]+) (?P<bytes>[^ "]+)'
)
_AGENT = rf' "(?P<referer>{QUOTED_TEXT})" "(?P<agent>{QUOTED_TEXT})"'
_COMMON = rf"\A{_CLIENT}{_REQUEST}(?: (?P<duration>\d+\.\d{{3,}}))? ?\Z"
_COMBINED = rf"\A{_CLIENT}{_REQUEST}{_AGENT} ?\Z"
_TRAILER = rf'(?P<duration>(?: (?:[^ "]+: )?(?:[^ "\[]*{_QUOTED}|[^ "\[]+))*)'
_VHOST_COMBINED = rf"\A{_SITE}{_REQUEST}(?:{_AGENT}{_TRAILER})?\Z"
# Without a port a name with dots, or of nginx's default site, and an address of numbers behind it, tell the
# site from other words.
_NO_PORT = (
    r'(?P<host>[^ :,"]*\.[^ :,"]*[A-Za-z][^ :,"]*|_|localhost) (?P<address>[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*)'
    rf"{_MORE} (?P<ident>[^ ]+) "
)
_VHOST_WITHOUT_PORT = re.compile(rf"\A{_NO_PORT}{_USER}{_REQUEST}(?:{_AGENT}{_TRAILER})?\Z")
# What stands before the bracket of the time, in the syntax of Polars.
_WITH_SITE = (
    r"\A(?:(?:\[[^\] ,]+\]|[^ :,\[][^ :,]*):[0-9]+ [^ ,-][^ ,]*"
    r'|(?:[^ :,"]*\.[^ :,"]*[A-Za-z][^ :,"]*|_|localhost) [0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*)'
    rf"{_MORE} [^ ]+ [^ \[][^\[]*\["
)
_NGINX = rf"\A{_CLIENT}{_REQUEST}{_AGENT}{_TRAILER}\Z"
_TRAILED = re.compile(_NGINX)
_WITH_PORT = re.compile(_VHOST_COMBINED)
_OF_CLIENT = re.compile(rf"\A{_CLIENT}{_REQUEST}")
_FORWARDED_FIRST = re.compile(rf"\A{_FORWARDED}{_REQUEST}{_AGENT}{_TRAILER}\Z")
_NUMBERS = rf"{_REQUEST}(?:{_AGENT}(?: {_QUOTED})*)? (?P<numbers>\d+(?: \d+)*)\Z"
_WHO = (("vhost_combined", _SITE), ("combined", _CLIENT), ("vhost_combined", f"{_NO_PORT}{_USER}"))
_NUMBERED = tuple((name, re.compile(rf"\A{who}{_NUMBERS}")) for name, who in _WHO)
_FIRST_BYTE = re.compile(FIRST_BYTE.replace(r"\z", r"\Z"))
_OF_TRAEFIK = re.compile(rf" \d+ {_QUOTED} {_QUOTED} \d+ms\Z")
_WORDS = re.compile(rf' ((?:[^ "]+: )?[^ "]*{_QUOTED}|[^ "]+)')
_AMOUNT = r"(?:(?:\d+\.\d*|\.\d+)(?:[mnuµμ]?s)?|\d+[mnuµμ]?s)"
# Two decimals are a ratio in quotes, and may be one from 1.00 on.
_BARE_TIME = rf'(?!{RATIO_OR_TIME}\Z)(?!"\d+\.\d\d"\Z)"?{_AMOUNT}"?\Z'
_TIME = re.compile(rf'{_BARE_TIME}|(?:{TIME_NAMES})="?(?:{_AMOUNT}|-)"?\Z|(?:rt|request_time)=')
_LONE_RATIO = tuple(
    (name, re.compile(rf"\A{who}{_REQUEST}(?:{_AGENT}(?: {_QUOTED})*)? (?P<ratio>{RATIO_OR_TIME})\Z"))
    for name, who in _WHO
)
_OTHER_TIME = re.compile(rf'[^ "]*[=:] ?"{_AMOUNT}"\Z')
_TIME_OF_DAY = re.compile(r"T\d\d:\d\d:\d\d")
_SHOWN_CHARACTERS = 40


def ambiguity(line: str) -> str:
    """Why a line that is nearly of these formats is of none of them; empty when it is not."""
    if _is_behind_file(line):
        return f"found {line[:_SHOWN_CHARACTERS]!r}, expected {EXPECTED_ADDRESS}"
    name, numbers = _numbers(line)
    found = f"found {line[-_SHOWN_CHARACTERS:]!r}, "
    if of_ratio := next((each for each, pattern in _LONE_RATIO if pattern.match(line)), ""):
        template = suggested_template(line) or "LOG_FORMAT='nginx:…' with the server's own log_format"
        return (
            f"{found}two decimals behind the {of_ratio} format, which nginx's $gzip_ratio has and times may "
            f"have: LOG_FORMAT={of_ratio} with LOG_DURATION_UNIT=s if it is a time, else {template}"
        )
    if len(numbers) > 1:
        template = suggested_template(line)
        likely = f"{template} if they are seconds and microseconds, else " if "%T" in template else ""
        return (
            f"{found}several whole numbers behind the {name} format, of which nobody can tell what they are: "
            f"{likely}LOG_FORMAT='apache:…' with the server's own LogFormat, as '… %I %O' or '… %T %D'"
        )
    if numbers:
        return (
            f"{found}a whole number behind the {name} format: Apache's %D is in µs, %T in s, Tomcat's and "
            f"Jetty's in ms: LOG_FORMAT={name} with LOG_DURATION_UNIT=us, s or ms, or LOG_FORMAT='apache:…' "
            "with Apache's own LogFormat"
        )
    return ""


def _is_behind_file(line: str) -> bool:
    """Whether a line is of these formats but for what grep wrote before it."""
    first = line.partition(" ")[0]
    if _TIME_OF_DAY.search(first):
        return False
    colons = [match.end() for match in re.finditer(":", first)]
    return any(kind.claims(line[end:]) for end in colons for kind in KINDS)


def numbered_format(line: str) -> str:
    """The format of a line with one whole number behind it, whose unit it does not tell; else empty."""
    name, numbers = _numbers(line)
    return name if len(numbers) == 1 else ""


def _numbers(line: str) -> tuple[str, list[str]]:
    for name, pattern in _NUMBERED:
        if match := pattern.match(line):
            return name, match["numbers"].split()
    return "", []


def template_kind(name: str) -> Kind | None:
    """The kind that a server's own format string is, behind its name and a colon; None for other names."""
    server, _, text = name.partition(":")
    if server not in _SERVERS or not text:
        return None
    read, customer = _SERVERS[server]

    def opened(options: FormatOptions) -> LineFormat:
        try:
            return template_format(read(text), options, customer)
        except FormatError as error:
            raise FormatError(f"LOG_FORMAT: {error}") from None

    title = f"what {server} writes by a format string of your own"
    return Kind(name, title, "", never_claims, opened, customer, _unit(read, text))


def _unit(read: Callable[[str], Template], text: str) -> str | None:
    """The unit of durations by a format string; None where it tells none, or is wrong."""
    try:
        duration = read(text).first(Role.DURATION)
    except FormatError:
        return None
    return duration.unit if duration else None


def _claims(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda line: _is_asked_for(compiled.match(uncoloured_line(line)))


def _is_asked_for(match: re.Match[str] | None) -> bool:
    """Whether a line matches, and has an address that grep put nothing before."""
    return match is not None and not is_behind_file(match["address"])


def _claims_nginx(line: str) -> bool:
    """Behind the combined format are texts in quotes or a time that is told as such, or both."""
    line = uncoloured_line(line)
    if match := _TRAILED.match(line):
        return bool(match["duration"]) and _is_told(match["duration"]) and _is_asked_for(match)
    return _is_asked_for(_FORWARDED_FIRST.match(line))


def _claims_vhost(line: str) -> bool:
    line = uncoloured_line(line)
    match = _WITH_PORT.match(line)
    if match is None and not _OF_CLIENT.match(line):
        match = _VHOST_WITHOUT_PORT.match(line)
    return match is not None and (not match["duration"] or _is_told(match["duration"]))


def _have_site(text: pl.Series) -> pl.Series:
    return uncoloured(text).str.contains(_WITH_SITE)


def _have_no_site(text: pl.Series) -> pl.Series:
    return ~_have_site(text)


def _is_told(trailer: str) -> bool:
    """Whether what is behind the agent tells which of its words is a time, or that none is."""
    words = _WORDS.findall(trailer)
    if _OF_TRAEFIK.match(trailer) or _FIRST_BYTE.search(trailer):
        return False
    if any(map(_TIME.match, words)):
        return True
    return all(word == "-" or (word.endswith('"') and not _OTHER_TIME.match(word)) for word in words)


def _open_nginx(options: FormatOptions) -> LineFormat:
    if not options.nginx_regex:
        return nginx_format(options)
    extract = regex.extract_by("LOG_NGINX_REGEX", options.nginx_regex)
    return TextFormat(extract, Rules(options), options.max_line_bytes)


def _open_vhost_combined(options: FormatOptions) -> LineFormat:
    return nginx_format(options, _SITE_CUSTOMER, is_behind_site=True)


_EXAMPLE = '203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612'
_COMBINED_EXAMPLE = f'{_EXAMPLE} "-" "curl/8.5"'

KINDS: Final = (
    Kind(
        name="combined",
        title="the combined log format of Apache, nginx and others",
        example=_COMBINED_EXAMPLE,
        claims=_claims(_COMBINED),
        open=nginx_format,
        customer=CUSTOMER,
        pattern=_COMBINED,
        are_own=_have_no_site,
    ),
    Kind(
        name="common",
        title="the common log format, without referer and agent, which Tomcat writes too",
        example=_EXAMPLE,
        claims=_claims(_COMMON),
        open=nginx_format,
        customer=CUSTOMER,
        pattern=_COMMON,
        are_own=_have_no_site,
    ),
    Kind(
        name="vhost_combined",
        title="Apache's vhost_combined and vhost_common: behind the site, with its port or without",
        example=f"shop.example:443 {_COMBINED_EXAMPLE}",
        claims=_claims_vhost,
        open=_open_vhost_combined,
        customer=_SITE_CUSTOMER,
        pattern=_VHOST_COMBINED,
        are_own=_have_site,
    ),
    Kind(
        name="nginx",
        title="nginx's combined format with the request time or X-Forwarded-For around it",
        example=f"{_COMBINED_EXAMPLE} 0.123",
        claims=_claims_nginx,
        open=_open_nginx,
        customer=CUSTOMER,
        pattern=_NGINX,
        are_own=_have_no_site,
    ),
)
