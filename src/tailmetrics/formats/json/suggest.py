"""What LOG_JSON_FIELDS could be for an object of no known format, by how its keys are called.

Only suggested: what a key holds, and in which unit, is known to who wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Final

import polars as pl

from tailmetrics.formats import timestamps
from tailmetrics.formats.json.keys import object_in
from tailmetrics.formats.json.reading import OPTIONAL
from tailmetrics.formats.units import NAMES, PER_SECOND, is_of_request, seconds, unit_of, without_unit

_DEEPEST = 4  # keys, one in the other
# Names in order of preference: of keys, or with a dot of keys and what they are in.
_TIMES = (
    "timestamp @timestamp time ts datetime timelocal timeiso8601 edgestarttimestamp requesttime "
    "requesttimeepoch starttime startedat timeunixnano observedtimeunixnano t @t date"
)
_PATHS = (
    "originalurl requesturi requesteduri clientrequesturi uri path requestpath url requesturl urlpath target "
    "request requestline httprequest csuristem xenvoyoriginpath requestedurl resourcepath"
)
_STATUSES = (
    "status statuscode responsestatus edgeresponsestatus responsecode responsestatuscode httpstatus "
    "httpstatuscode elbstatuscode scstatus code"
)
# The order of keys that units.is_of_request knows; those in _OTHER_DURATIONS it does not.
_OTHER_DURATIONS = ("latencies.request", "edgetimetofirstbyte")
_DURATIONS: Final = (
    *(*_OTHER_DURATIONS, "requesttime"),
    *(name.replace("_", "") for name in NAMES),
)
_USERS = "customerid customer tenant username user userid remoteuser clientusername csusername"
_HOSTS = (
    "headers.host httphost clientrequesthost requesthost authority xhostheader originalhost "
    "properties.hostname host vhost domain domainname cshost"
)
_ADDRESSES = (
    "remoteaddr clientip remoteip clientaddr remoteaddress clientaddress ip sourceip downstreamremoteaddress "
    "remotehost cip client.host client.address source.address"
)
# What else is in the objects of programs that name no unit, and which theirs is.
_UNITS_OF_PROGRAMS: Final = (
    ("latency_human", "latency", "ns"),  # Echo
    ("response_flags", "duration", "ms"),  # Istio
    ("controller", "duration", "ms"),  # lograge
    ("res", "responseTime", "ms"),  # pino-http
    ("meta.res", "meta.responseTime", "ms"),  # express-winston
    ("_audit", "latency", "ms"),  # restify
    ("requestTime", "responseLatency", "ms"),  # Amazon API Gateway
    ("requestTimeEpoch", "responseLatency", "ms"),
    ("apisix_latency", "latency", "ms"),  # APISIX
    ("latencies", "latencies.request", "ms"),  # Kong
    ("@mt", "Elapsed", "ms"),  # Serilog
    ("MessageTemplate", "Properties.Elapsed", "ms"),
    ("requested_uri", "elapsed_time", "ms"),  # logstash-logback-encoder
    ("properties.CsUriStem", "properties.TimeTaken", "ms"),  # Azure's App Service
    ("attributes", "attributes.event.duration", "ns"),  # as Elastic Common Schema has it
    ("attributes", "attributes.http.server.duration", "ms"),  # OpenTelemetry's metric up to 1.20
)
# In seconds where they have a point: nginx's, and those of Azure's Front Door and Application Gateway v2.
_OF_SECONDS = ("request_time", "timeTaken")
# Times that are no timestamps by their shape: HAProxy's.
_TIME_FORMATS = ("%d/%b/%Y:%H:%M:%S.%f",)
# What is in these is told of others than the client.
_OF_OTHERS = re.compile(r"(?:^|[._])(?:upstream|backend|origin|service)[^.]*\.", re.IGNORECASE)
_OF_CARRIERS = ("short_message", "@version")  # beside which `host` is the machine that wrote the line
_REQUEST_LINE = re.compile(r"[A-Z]+ \S.* HTTP/[0-9.]+\Z|[A-Z]+ /\S*\Z")
_LONGEST_SECONDS = 1e6  # else it is a time since 1970
_PLAIN_NUMBER = re.compile(r"[0-9.eE+-]*\Z")
_NO_KEY = re.compile(r'[,|="\\\x00-\x1f]|\A[ .]|[ .]\Z|\.\.')  # of LOG_JSON_FIELDS


def suggested(line: str) -> tuple[str, ...]:
    """Settings that may read the object of a line; none where no keys are like all that a request needs."""
    found = object_in(line)
    if found is None:
        return ()
    values = dict(sorted(_values(found), key=lambda each: each[0].count(".")))
    time, time_format = _time(values)
    keys = {
        "timestamp": time,
        "customer_id": _customer(values),
        "path": _first(values, _PATHS, _is_request_line) or _first(values, _PATHS, _is_path),
        "status_code": _first(values, _STATUSES, _is_status),
        "duration": _duration({key: value for key, value in values.items() if key != time}),
    }
    if not all(key for column, key in keys.items() if column not in OPTIONAL):
        return ()
    fields = ",".join(f"{column}={key}" for column, key in keys.items() if key)
    return (f"LOG_JSON_FIELDS={fields}", *time_format, *_unit(keys["duration"], values))


def time_called(found: Mapping[str, Any]) -> str:
    """The key of an object, and of none that is in it, that is called as its time is; empty where none is."""
    return _first(found, _TIMES, _is_time)


def duration_called(found: Mapping[str, Any]) -> str:
    """The key of an object, or of one that is in it, that is called as the time that the request took."""
    return _duration(dict(_values(found)))


def _values(found: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for key, value in found.items():
        if isinstance(value, dict):
            if depth < _DEEPEST:
                yield from _values(value, f"{before}{key}.", depth + 1)
        elif not isinstance(value, list) and not _NO_KEY.search(key):
            yield before + key, value


def _first(values: Mapping[str, Any], names: str, fits: Callable[[Any], bool]) -> str:
    """The first of the names under which a value fits, as its key is written; empty where none is."""
    called: dict[str, list[str]] = {}
    for key in values:
        for name in _names_of(key):
            called.setdefault(name, []).append(key)
    keys = (key for name in names.split() for key in called.get(name, ()))
    return next((key for key in keys if fits(values[key])), "")


@lru_cache(maxsize=1024)
def _names_of(key: str) -> tuple[str, ...]:
    """What a key may be called, as anyone may write it: with the unit and without, and what it is in."""
    before, _, last = key.rpartition(".")
    whole, name = _letters(last), _letters(without_unit(last))
    return (name, whole, f"{_letters(before.rpartition('.')[2])}.{name}")


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9@]", "", name.lower())


def _time(values: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The key of the time, and the setting that it needs to be read."""
    if key := _first(values, _TIMES, _is_time):
        return key, ()
    for written in _TIME_FORMATS:
        read = timestamps.reader(timestamps.UTC, written).read
        if key := _first(values, _TIMES, partial(_is_read, read)):
            return key, (f"LOG_TIMESTAMP_FORMAT={written}",)
    return "", ()


def _duration(values: Mapping[str, Any]) -> str:
    """The outermost key, of these the most usual one, and of these one that tells its unit."""
    keys = [
        key
        for key, value in values.items()
        if (is_of_request(key) or not set(_OTHER_DURATIONS).isdisjoint(_names_of(key)))
        and _is_duration(value, unit_of(key))
    ]

    def rank(key: str) -> tuple[int, int, bool]:
        names = _names_of(key)
        usual = (place for place, name in enumerate(_DURATIONS) if name in names)
        return key.count("."), next(usual, len(_DURATIONS)), not unit_of(key)

    return min(keys, key=rank, default="")


def _customer(values: Mapping[str, Any]) -> str:
    is_carried = any(mark in values for mark in _OF_CARRIERS)
    values = {
        key: value
        for key, value in values.items()
        if not _OF_OTHERS.search(key) and not (key == "host" and is_carried)
    }
    user = _first(values, _USERS, _is_name)
    address = _first(values, _ADDRESSES, _is_name)
    host = "" if user else _first(values, _HOSTS, _is_name)
    return "|".join(filter(None, (user, host, address)))


def _unit(key: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    if not key or unit_of(key) or not _PLAIN_NUMBER.match(str(values[key])):
        return ()
    there = {".".join(parts[:end]) for parts in (each.split(".") for each in values) for end in (1, 2)}
    unit = next((unit for mark, name, unit in _UNITS_OF_PROGRAMS if mark in there and name == key), "")
    if key.rpartition(".")[2] in _OF_SECONDS and "." in str(values[key]):
        unit = "s"
    if not unit:
        return (f"LOG_DURATION_UNIT=ms, us or ns, unless {key} is in seconds",)
    return () if unit == "s" else (f"LOG_DURATION_UNIT={unit}",)


def _is_name(value: Any) -> bool:
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))


def _is_time(value: Any) -> bool:
    if isinstance(value, int | float):
        return value > 10**9  # seconds since 1970
    return _is_read(timestamps.reader(timestamps.UTC, "").read, value)


def _is_read(read: Callable[[pl.Series], pl.Series], value: Any) -> bool:
    return isinstance(value, str) and read(pl.Series([value])).item() is not None


def _is_request_line(value: Any) -> bool:
    return isinstance(value, str) and _REQUEST_LINE.match(value) is not None


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("/", "http://", "https://"))


def _is_status(value: Any) -> bool:
    try:
        return int(value) in range(600)
    except (TypeError, ValueError):
        return False


def _is_duration(value: Any, unit: str) -> bool:
    if value is None or value in ("", "-"):
        return True
    if isinstance(value, int | float):
        found = value / PER_SECOND[unit or "s"] if value >= 0 and not isinstance(value, bool) else None
    else:
        found = pl.select(seconds(pl.lit(str(value)), unit or "s")).item()
    return found is not None and found < (_LONGEST_SECONDS if unit else _LONGEST_SECONDS * PER_SECOND["us"])
