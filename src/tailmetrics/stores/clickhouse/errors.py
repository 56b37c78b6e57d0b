"""Errors of ClickHouse and of its client as this package's, with what can be done about them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

import polars as pl
import urllib3
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from tailmetrics.errors import StoreError, StoreGone, StoreRefused, StoreUnavailable
from tailmetrics.stores.clickhouse.address import Address

UNKNOWN_TABLE: Final = 60
SYNTAX_ERROR: Final = 62
_TIMED_OUT = {159, 160}
_FULL_SECONDS = 5.0  # after which parts may have been merged

_NOT_GRANTED = 497
_READONLY = 164
_REFUSALS = {
    81: "create it (CREATE DATABASE {database}), or name another one in STORE_URL",
    **dict.fromkeys(
        (192, 193, 194, 516),
        "the user or the password is wrong; STORE_URL must hold both, signs such as / and @ written as %2F "
        "and %40",
    ),
    195: "this user may not connect from here; its HOST at the server must allow it",
    _NOT_GRANTED: "to read, GRANT SELECT ON {database}.* TO user; to write, GRANT SELECT, INSERT, ALTER "
    "DELETE, CREATE TABLE, CREATE VIEW ON {database}.* TO user, and on a cluster also GRANT CLUSTER, REMOTE "
    "ON *.* and SELECT ON system.clusters",
    _READONLY: "this user may only read; name one in STORE_URL whose profile has readonly = 0",
    701: "no cluster of the name in STORE_URL is in the server's remote_servers; SELECT cluster FROM "
    "system.clusters lists them",
}
_PASSING = {
    202: "it runs as many queries as it may (max_concurrent_queries); waiting helps",
    203: "it has no connection to spare (max_connections)",
    241: "its memory is used up (max_memory_usage, max_server_memory_usage); ask for a shorter range, or "
    "give it more",
    242: "its table takes no writes now; has Keeper gone? SELECT * FROM system.replicas tells",
    243: "its disk is full; RETENTION_DAYS deletes what is old",
    252: "it has more parts than it merges: it takes no more until some are merged; commits of more lines "
    "(STREAM_MAX_SIZE, STREAM_MAX_WAIT_TIME_IN_SECONDS) make fewer",
    **dict.fromkeys(
        (198, 209, 210, 279, 415),
        "a shard or replica of the cluster does not answer; no answer is given without it, as it would be of "
        "a part of the requests",
    ),
    **dict.fromkeys((225, 999), "Keeper does not answer, without which its cluster takes no writes"),
    **dict.fromkeys(
        (285, 286, 289, 319), "too few replicas answer, a majority of which must have what is written"
    ),
    236: "it is ending",
}
_MOST_TEXT = 1000
_AROUND = re.compile(r"^Received ClickHouse exception, code: \d+, server response: (Code: \d+\. )?")
_BEHIND = re.compile(r"( \(version [^()]*(\([^()]*\))?[^()]*\))?( \(for url [^()]*\))?$")
_ANSWERS = re.compile(r"HTTP status (\d{3})")
_MISSING = (
    "{name}: {text}; its tables were removed while they were in use, so nothing more is written; put them "
    "back, or drop what is left of them and restart to begin with empty ones"
)


@contextlib.contextmanager
def errors_translated(address: Address) -> Iterator[None]:
    """Errors of the client, of what is below it, and of Polars as this package's."""
    try:
        yield
    except ClickHouseError as error:
        raise translate(error, address) from error
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"{address}: {error}") from error
    except (OSError, urllib3.exceptions.HTTPError) as error:
        raise StoreUnavailable(f"{address} does not answer: {error}") from error


def code_of(error: BaseException) -> int | None:
    """The number that the server gave an error, if it comes from there."""
    return getattr(error, "code", None)


def not_granted(address: Address, text: str) -> StoreRefused:
    """The error of somebody who lacks a right, before the server has to say so."""
    return StoreRefused(f"{address}: {text}; {_REFUSALS[_NOT_GRANTED].format(database=address.database)}")


def translate(error: ClickHouseError, address: Address) -> StoreError:
    """One error of the client."""
    code, text = code_of(error), _text(error)
    if code in _REFUSALS:
        remedy = _REFUSALS[code].format(database=address.database)
        return StoreRefused(f"{address}: {text}; {remedy}")
    if code == UNKNOWN_TABLE:
        return StoreGone(_MISSING.format(name=address, text=text))
    if code in _TIMED_OUT:
        return StoreUnavailable(f"{address} was not done in time: {text}")
    if code in _PASSING:
        retry = _FULL_SECONDS if code == 252 else None
        return StoreUnavailable(f"{address}: {text}; {_PASSING[code]}", retry)
    if code is None:
        return _of_connection(error, address, text)
    return StoreError(f"{address}: {text}")


def _of_connection(error: ClickHouseError, address: Address, text: str) -> StoreError:
    """An error that did not come from ClickHouse itself."""
    if "is readonly" in text:  # which its client knows before it asks
        return StoreRefused(f"{address}: {text}; {_REFUSALS[_READONLY]}")
    status = _ANSWERS.search(str(error))
    if status and status[1] in {"401", "403"}:
        return StoreRefused(f"{address}: {text}; the user or the password in STORE_URL is wrong")
    if status and status[1] not in {"429", "502", "503", "504"}:
        return StoreError(f"{address}: {text}; is it ClickHouse's port for HTTP (8123, 8443 with tls=true)?")
    if status or isinstance(error, OperationalError):
        return StoreUnavailable(f"{address} does not answer: {_innermost(error)}; is it running there?")
    return StoreError(f"{address}: {text}")


def _innermost(error: BaseException) -> str:
    """What it all began with, without what each layer of a client says around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return _text(error) or type(error).__name__


def _text(error: BaseException) -> str:
    """What the server says, on one line, without what its client says around it."""
    text = _AROUND.sub("", " ".join(str(error).split()))
    return _BEHIND.sub("", text)[:_MOST_TEXT]
