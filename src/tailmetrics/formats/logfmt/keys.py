"""Which keys of a line hold which field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tailmetrics.formats.json.keys import choices_of
from tailmetrics.formats.paths import AGENT
from tailmetrics.formats.units import NAMES, PER_SECOND, camel_case, named_with
from tailmetrics.settings import FormatOptions

_COLUMNS: Final = ("timestamp", "customer_id", "path", "status_code", "duration")
IN_SECONDS: Final = ("duration", "latency", "elapsed", "took", "response_time", "request_time")
# A name that no line has costs next to nothing. One that tells its unit comes before the same without.
_DURATIONS: Final = tuple(
    dict.fromkeys(
        key
        for name in NAMES
        for key in (
            *(key for unit in PER_SECOND for key in named_with(name, unit)),
            *(name, camel_case(name)),
        )
    )
)
_SELDOM_DURATIONS: Final = tuple(
    key for name in ("response", "request", "total", "time") for key in named_with(name, "ms")
)
# What logs usually call each field, in order of preference.
USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "timestamp": ("ts", "time", "timestamp", "t", "@timestamp"),
    "path": ("path", "uri", "url", "request_uri", "request", "request_path", "requestPath", "requestUri"),
    "status_code": (
        *("status", "status_code", "code", "statusCode", "http_status", "httpStatus"),
        *("response_status", "responseStatus", "response_code", "responseCode"),
    ),
    "duration": (*_DURATIONS, *_SELDOM_DURATIONS),
    "customer_id": ("customer_id",),
    "user": ("user", "user_id", "username", "remote_user"),
    "host": ("host", "vhost"),
    "address": ("remote_addr", "client_ip", "remote_ip", "ip", "addr"),
    AGENT: ("user_agent", "agent"),
}
CUSTOMER: Final = ("customer_id", "customer", "tenant", "user", "host", "address")


def is_mapped(options: FormatOptions) -> bool:
    """Whether LOG_JSON_FIELDS says which keys hold which columns."""
    return bool(options.json_fields)


def keys_of(options: FormatOptions, fields: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Field to its keys in order of preference, of the columns and of `fields`.

    Raises FormatError when LOG_JSON_FIELDS is no map of columns to keys.
    """
    usual = {name: USUAL.get(name, (name,)) for name in (*_COLUMNS, *fields)}
    return usual | choices_of(options.json_fields, _COLUMNS) if is_mapped(options) else usual
