"""What LOG_JSON_FIELDS could be for an object of no known format, by how its keys are called.

Only suggested: what a key holds, and in which unit, is known to who wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tailmetrics.formats.json.kinds import object_in
from tailmetrics.formats.json.reading import OPTIONAL

_DEEPEST = 4  # keys, one in the other
_TIMES = (
    "timestamp @timestamp time ts datetime timelocal timeiso8601 edgestarttimestamp requesttime starttime "
    "startedat t @t date"
)
_PATHS = "requesturi clientrequesturi uri path requestpath url requesturl urlpath target request requestline"
_STATUSES = (
    "status statuscode responsestatus edgeresponsestatus responsecode responsestatuscode httpstatus "
    "httpstatuscode code"
)
_DURATIONS = (
    "requesttime duration latency elapsed responsetime timetaken took edgetimetofirstbyte responselatency "
    "totaltime"
)
_USERS = "customerid customer tenant username user remoteuser clientusername"
_HOSTS = "host httphost clientrequesthost requesthost authority vhost domain"
_ADDRESSES = (
    "remoteaddr clientip remoteip clientaddr remoteaddress clientaddress ip sourceip downstreamremoteaddress"
)
_UNIT = re.compile(
    r"(?:[_-]|(?<=[a-z0-9])(?=[A-Z]))((?i:ms|msec|millis|us|usec|micros|ns|nanos|s|sec|secs|seconds))\Z"
)
_UNITS: Final = {
    **dict.fromkeys(("ms", "msec", "millis"), "ms"),
    **dict.fromkeys(("us", "usec", "micros"), "us"),
    **dict.fromkeys(("ns", "nanos"), "ns"),
    **dict.fromkeys(("s", "sec", "secs", "seconds"), "s"),
}
# What else is in the objects of programs that name no unit, and which theirs is.
_UNITS_OF_PROGRAMS: Final = (
    ("latency_human", "latency", "ns"),  # Echo
    ("response_flags", "duration", "ms"),  # Istio
    ("controller", "duration", "ms"),  # lograge
    ("res", "responseTime", "ms"),  # pino-http
    ("requestTime", "responseLatency", "ms"),  # Amazon API Gateway
)
_SECONDS = ("request_time", "properties.timeTaken")  # of nginx, and of Azure's Application Gateway
_REQUEST_LINE = re.compile(r"[A-Z]+ \S.* HTTP/[0-9.]+\Z")
_WITH_UNIT = re.compile(r"[0-9.]+ ?[a-zµ]+\Z")


def suggested(line: str) -> tuple[str, ...]:
    """Settings that may read the object of a line; none where no keys are like all that a request needs."""
    found = object_in(line)
    if found is None:
        return ()
    values = dict(_values(found))
    keys = {
        "timestamp": _first(values, _TIMES, _is_time),
        "customer_id": _customer(values),
        "path": _first(values, _PATHS, _is_path),
        "status_code": _first(values, _STATUSES, _is_status),
        "duration": _first(values, _DURATIONS, _is_number),
    }
    if not all(key for column, key in keys.items() if column not in OPTIONAL):
        return ()
    fields = ",".join(f"{column}={key}" for column, key in keys.items() if key)
    return (f"LOG_JSON_FIELDS={fields}", *_unit(keys["duration"], values, found))


def _values(found: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for key, value in found.items():
        if isinstance(value, dict):
            if depth < _DEEPEST:
                yield from _values(value, f"{before}{key}.", depth + 1)
        elif not isinstance(value, list):
            yield before + key, value


def _first(values: Mapping[str, Any], names: str, fits: Callable[[Any], bool]) -> str:
    """The first of the names under which a value fits, as its key is written; empty where none is."""
    fitting = {_name_of(key): key for key in reversed(list(values)) if fits(values[key])}
    return next((fitting[name] for name in names.split() if name in fitting), "")


def _name_of(key: str) -> str:
    """The last part of a key, as anyone may write it."""
    last = key.rpartition(".")[2]
    return re.sub(r"[^a-z0-9@]", "", _UNIT.sub("", last).lower())


def _customer(values: Mapping[str, Any]) -> str:
    user = _first(values, _USERS, _is_name)
    address = _first(values, _ADDRESSES, _is_name)
    host = "" if user else _first(values, _HOSTS, _is_name)
    return "|".join(filter(None, (user, host, address)))


def _unit(key: str, values: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    if not key or _WITH_UNIT.match(str(values[key])):
        return ()
    if named := _UNIT.search(key):
        unit = _UNITS[named[1].lower()]
    else:
        of_programs = (unit for mark, name, unit in _UNITS_OF_PROGRAMS if mark in found and name == key)
        unit = next(of_programs, "s" if key in _SECONDS else "")
    if not unit:
        return (f"LOG_DURATION_UNIT=ms, us or ns, unless {key} is in seconds",)
    return () if unit == "s" else (f"LOG_DURATION_UNIT={unit}",)


def _is_name(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_time(value: Any) -> bool:
    if isinstance(value, str):
        return re.search(r"[0-9]:[0-9]{2}", value) is not None or value.replace(".", "").isdecimal()
    return isinstance(value, int | float) and value > 10**9  # seconds since 1970


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and (
        value.startswith(("/", "http://", "https://")) or _REQUEST_LINE.match(value) is not None
    )


def _is_status(value: Any) -> bool:
    try:
        return int(value) in range(600)
    except (TypeError, ValueError):
        return False


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("", "-") or re.match(r"[0-9.]+ ?[a-zµ]*\Z", value) is not None
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
