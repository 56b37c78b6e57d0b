"""Lines that were wrapped on their way: by Docker, Kubernetes, syslog, systemd, a shipper or a command."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import polars as pl

from tailmetrics.formats.wrappers.cri import CRI
from tailmetrics.formats.wrappers.docker import DOCKER
from tailmetrics.formats.wrappers.envelope import ENVELOPE
from tailmetrics.formats.wrappers.journald import JOURNALD
from tailmetrics.formats.wrappers.prefixed import PREFIXED
from tailmetrics.formats.wrappers.syslog import SYSLOG
from tailmetrics.formats.wrappers.wrapper import INNER, Wrapper

WRAPPERS: Final[dict[str, Wrapper]] = {
    wrapper.name: wrapper for wrapper in (DOCKER, CRI, SYSLOG, JOURNALD, ENVELOPE, PREFIXED)
}
# Wrappers whose lines may also be of a format: what that claims is not taken out of them.
LIKE_FORMATS: Final = frozenset((ENVELOPE.name, PREFIXED.name))


@lru_cache(maxsize=2)  # one line is asked of, and then what is inside of it
def wrapper_of(line: str) -> str | None:
    """The name of the wrapper that a line is in; None when it is in none."""
    return next((name for name, wrapper in WRAPPERS.items() if wrapper.wraps(line)), None)


def unwrapped(line: str) -> str:
    """What is inside of a line that is in a wrapper; of a damaged one all of it.

    Terminals have a CR before the end of each line, which is part of that.
    """
    inner: str | None = WRAPPERS[wrapper_of(line) or ""].unwrap(pl.Series([line]))[INNER][0]
    return line if inner is None else inner.removesuffix("\r")
