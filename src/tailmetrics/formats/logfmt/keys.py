"""Which keys of a line hold which field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tailmetrics.formats.json.keys import choices_of
from tailmetrics.formats.paths import AGENT
from tailmetrics.formats.units import NAMES, NAMES_WITH_UNIT
from tailmetrics.settings import FormatOptions
from tailmetrics.settings.logs import DEFAULT_JSON_FIELDS

_COLUMNS: Final = ("timestamp", "customer_id", "path", "status_code", "duration")
# What logs usually call each field, in order of preference.
USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "timestamp": ("ts", "time", "timestamp", "t", "@timestamp"),
    "path": ("path", "uri", "url", "request_uri", "request"),
    "status_code": ("status", "status_code", "code"),
    "duration": (*NAMES, *NAMES_WITH_UNIT),
    "customer_id": ("customer_id",),
    "user": ("user", "user_id", "username", "remote_user"),
    "host": ("host", "vhost"),
    "address": ("remote_addr", "client_ip", "remote_ip", "ip", "addr"),
    AGENT: ("user_agent", "agent"),
}
CUSTOMER: Final = ("customer_id", "customer", "tenant", "user", "host", "address")


def is_mapped(options: FormatOptions) -> bool:
    """Whether LOG_JSON_FIELDS says which keys hold which columns."""
    return options.json_fields not in ("", DEFAULT_JSON_FIELDS)


def keys_of(options: FormatOptions, fields: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Field to its keys in order of preference, of the columns and of `fields`.

    Raises FormatError when LOG_JSON_FIELDS is no map of columns to keys.
    """
    usual = {name: USUAL.get(name, (name,)) for name in (*_COLUMNS, *fields)}
    return usual | choices_of(options.json_fields, _COLUMNS) if is_mapped(options) else usual
