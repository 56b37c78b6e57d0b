"""Lines of syslog: RFC 3164, RFC 5424, and with other times as rsyslog and journalctl write them.

https://www.rfc-editor.org/rfc/rfc3164#section-4, https://www.rfc-editor.org/rfc/rfc5424#section-6,
https://www.freedesktop.org/software/systemd/man/latest/journalctl.html#-o. As BusyBox writes them:
https://git.busybox.net/busybox/tree/sysklogd/syslogd.c. A cookie before JSON:
https://www.rsyslog.com/doc/configuration/modules/mmjsonparse.html.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from tailmetrics.formats.wrappers.wrapper import GOES_ON, INNER, PROBLEM, STREAM, TIME, Wrapper

_PRIORITY = r"<[0-9]{1,3}>"
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_SINCE_1970 = r"[0-9]{10}\.[0-9]{6}"
_BSD = r"[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?"
# journalctl's short-full, whose zone is an abbreviation, short-monotonic and short-delta; OpenWrt's logread.
_OTHER_TIMES = (
    r"[A-Z][a-z]{2} [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} [A-Z0-9+-]+"
    r"|\[ *[0-9]+\.[0-9]{6}(?: <[ 0-9.]*>)?\]"
    rf"|[A-Z][a-z]{{2}} {_BSD} [0-9]{{4}}"
)
# nginx can be told to leave out the host. No name has a brace or quotes, as the first key of an object has.
# BusyBox writes facility and level between host and program.
_HOST_AND_TAG = r"""(?:[^ {]+ )??(?:[a-z0-9]+\.[a-z]+ )?[^ :\[\]{"]+(?:\[[^\] ]*\])?:(?: {1,2}|\z)"""
_ELEMENT = r'\[[^ =\]"]+(?: [^ =\]"]+="(?:[^"\\\]]|\\.)*")*\]'
_HEAD = (
    rf"\A(?:(?:{_PRIORITY})?(?:{_BSD}|{_ISO}|{_SINCE_1970}|{_OTHER_TIMES}) {_HOST_AND_TAG}"
    rf"|{_PRIORITY}1 (?:-|{_ISO}) [^ ]+ [^ ]+ [^ ]+ [^ ]+ (?:-|(?:{_ELEMENT})+)(?: (?:\x{{FEFF}})?|\z))"
    "(?:@cee: ?)?"  # before JSON
)
# What logging of Python and others puts there is no name of a program.
_LEVEL = (
    rf"\A(?:{_BSD}|{_ISO}|{_SINCE_1970}|{_OTHER_TIMES}) (?:[^ ]*[^ :] )?"
    "(?:DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL):"
)
_TIME = rf"\A(?:{_PRIORITY}(?:1 )?)?({_BSD}|{_ISO}|{_SINCE_1970}) "
_LEVEL_SHAPE = re.compile(_LEVEL)
_SHAPE = re.compile(_HEAD.replace(r"\z", r"\Z").replace(r"\x{FEFF}", "\ufeff"))
_REPEATED = (
    "line: found a message that stands for several, expected each ($RepeatedMsgReduction off in rsyslog)"
)


def unwrap(text: pl.Series) -> pl.DataFrame:
    whole = pl.lit(text)
    fits = pl.lit(text.str.contains(_HEAD) & ~text.str.contains(_LEVEL))
    inner = pl.select(pl.when(fits).then(whole.str.replace(_HEAD, ""))).to_series()
    return pl.select(
        pl.lit(inner).alias(INNER),
        pl.when(inner.str.starts_with("message repeated ")).then(pl.lit(_REPEATED)).alias(PROBLEM),
        pl.lit(None, pl.String()).alias(STREAM),
        pl.lit(value=False).alias(GOES_ON),
        pl.when(fits).then(whole.str.extract(_TIME, 1)).alias(TIME),
    )


SYSLOG: Final = Wrapper(
    name="syslog",
    expected="a line of syslog: time, host, program and a colon (RFC 3164), or <priority>1, time, host, "
    "program and four more fields (RFC 5424)",
    wraps=lambda line: _SHAPE.match(line) is not None and _LEVEL_SHAPE.match(line) is None,
    timed="journalctl -o short-iso, or rsyslog's RSYSLOG_FileFormat",
    unwrap=unwrap,
)
