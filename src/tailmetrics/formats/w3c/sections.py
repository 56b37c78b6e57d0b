"""What a header says of the lines behind it: the columns, and whose habits they follow."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

from tailmetrics.formats.w3c.directives import DATE, FIELDS, SOFTWARE, parts

_DATES: Final = ("%Y-%m-%d", "%d-%b-%Y")  # the latter in the examples of the draft
_EDGE = "x-edge-location"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How values are written by one kind of server.

    `separator` is empty where it may be spaces or a tab, and a value with spaces in quotes. `escapes` are
    those of a URL, or a plus sign that is a space in a user agent. `unit` is that of `time-taken`; None: as
    LOG_DURATION_UNIT says, else seconds.
    """

    separator: Literal["", " ", "\t"] = ""
    escapes: Literal["", "url", "plus"] = ""
    unit: str | None = None
    customer: tuple[str, ...] = ("user", "address")


PLAIN: Final = Dialect()
IIS: Final = Dialect(separator=" ", escapes="plus", unit="ms")
PROXYSG: Final = Dialect(unit="ms")
CLOUDFRONT: Final = Dialect(separator="\t", escapes="url", unit="s", customer=("host", "address"))
_BY_SOFTWARE: Final = {b"Microsoft ": IIS, b"SGOS ": PROXYSG}
# Columns that only IIS has, and what takes after it, as ASP.NET Core's W3CLogger, which names no software.
OF_IIS: Final = ("s-sitename", "s-computername", "sc-substatus", "sc-win32-status")


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under one header. `columns` are names in lower case with their places, empty without #Fields;
    `count` is how many there are, and `date` that of #Date, as YYYY-MM-DD, where no column has one."""

    dialect: Dialect
    columns: dict[str, int]
    count: int
    date: str

    def place(self, name: str) -> int | None:
        return self.columns.get(name.lower())


@lru_cache(maxsize=256)
def section_of(header: bytes, dialect: Dialect | None) -> Section:
    """The section under a header; without a dialect the one that the header tells."""
    values = {name: line[len(name) + 1 :].strip() for name, line in parts(header).items()}
    names = values.get(FIELDS, b"").decode("utf-8", "backslashreplace").lower().split()
    columns = {name: place for place, name in reversed(list(enumerate(names)))}
    date = "" if "date" in columns else _date(values.get(DATE, b""))
    return Section(dialect or _told(values.get(SOFTWARE, b""), columns), columns, len(names), date)


def _told(software: bytes, columns: dict[str, int]) -> Dialect:
    if _EDGE in columns:
        return CLOUDFRONT
    unnamed = PLAIN if software or columns.keys().isdisjoint(OF_IIS) else IIS
    return next((each for name, each in _BY_SOFTWARE.items() if software.startswith(name)), unnamed)


def _date(text: bytes) -> str:
    first = text.decode("utf-8", "backslashreplace").partition(" ")[0]
    for pattern in _DATES:
        with contextlib.suppress(ValueError):
            return datetime.strptime(first, pattern).date().isoformat()  # noqa: DTZ007  # only the date
    return ""
