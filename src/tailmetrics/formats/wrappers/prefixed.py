"""Lines with a name or a time in front, as commands that show logs and what supervises programs put it.

A name: https://docs.docker.com/reference/cli/docker/compose/logs/,
https://kubernetes.io/docs/reference/kubectl/generated/kubectl_logs/ (--prefix), and
https://pm2.keymetrics.io/docs/usage/log-management/. A time: `docker logs --timestamps`, `kubectl logs
--timestamps`, `ts` of moreutils, https://smarden.org/runit/svlogd.8, https://cr.yp.to/daemontools/tai64n.html,
and with labels https://grafana.com/docs/loki/latest/query/logcli/. Between tabs Fluentd's tag, or the id and
level of https://docs.aws.amazon.com/lambda/latest/dg/nodejs-logging.html. How urgent a line is: sd-daemon(3),
and HAProxy's `log … format short`. The logger: Python's logging.basicConfig.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from tailmetrics.formats.wrappers.wrapper import GOES_ON, INNER, PROBLEM, STREAM, TIME, Wrapper

_COLOURS = r"(?:\x1b\[[0-9;]*m)*"
_URGENCY = r"<[0-9]{1,3}>"
_OF_PYTHON = "(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):[A-Za-z_][A-Za-z0-9_.]*:"
_NAME = (
    r"(?:(?:[0-9:]{8} )?(?:[0-9]+\|)?[A-Za-z0-9][A-Za-z0-9_.@/-]* *\| |\[pod/[^\] ]+\] "
    rf"|{_URGENCY}|{_OF_PYTHON})"
)
_ZONE = r"(?: ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?"
_DATE = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T_ ][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:[.,][0-9]{{1,9}})?{_ZONE}"
_SINCE_1970 = r"[0-9]{10}\.[0-9]{6}"
_WITHOUT_YEAR = r"[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}"
_TAI64N = r"@[0-9a-f]{24}"  # is not used: daemontools and s6 differ by leap seconds
_BEHIND_TIME = r'(?::? {1,2}(?:\{(?:[A-Za-z_][A-Za-z0-9_]*="[^"]*"(?:, )?)*\} )?|\t[^\t ]*\t(?:[A-Z]+\t)?)'
_IN_BRACKETS = rf"\[({_DATE})\](?: \[[0-9]+\])? \[[A-Z]+\] "  # as Hypercorn and Gunicorn write it
_TIMED = rf"(?:({_DATE}|{_SINCE_1970}|{_WITHOUT_YEAR})|{_TAI64N}){_BEHIND_TIME}|{_IN_BRACKETS}"
# A time behind a name is a further wrapper, as it may be of the line itself.
_HEAD = rf"\A{_COLOURS}(?:{_NAME}{_COLOURS}|(?:{_TIMED}))"
# A word between the time and the address is that of who carried the line, and no site.
_STRANGE = rf"\A{_COLOURS}(?:{_TIMED})[^ .:{{\[]+ [0-9a-fA-F.:]+ - "
_SHAPE, _STRANGE_SHAPE = re.compile(_HEAD), re.compile(_STRANGE)


def unwrap(text: pl.Series) -> pl.DataFrame:
    fits = text.str.contains(_HEAD) & ~text.str.contains(_STRANGE)
    return pl.select(
        pl.when(fits).then(pl.lit(text).str.replace(_HEAD, "")).alias(INNER),
        pl.lit(None, pl.String()).alias(PROBLEM),
        pl.lit(None, pl.String()).alias(STREAM),
        pl.lit(value=False).alias(GOES_ON),
        pl.when(fits)
        .then(
            pl.coalesce(*(pl.lit(text).str.extract(_HEAD, group) for group in (1, 2))).str.replace("_", "T")
        )
        .alias(TIME),
    )


def _wraps(line: str) -> bool:
    # A time alone may be the first part of a line.
    head = _SHAPE.match(line)
    return head is not None and bool(line[head.end() :].strip()) and _STRANGE_SHAPE.match(line) is None


PREFIXED: Final = Wrapper(
    name="prefixed",
    expected="a time, the name of a container and a bar, or [pod/…] before the line, as docker compose logs "
    "and kubectl logs --timestamps or --prefix write them",
    wraps=_wraps,
    unwrap=unwrap,
    timed="docker compose logs --timestamps, or kubectl logs --timestamps",
)
