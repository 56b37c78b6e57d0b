"""Kinds of values that several settings take."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from tailmetrics.urls import entries

_LIKE_A_QUEUE = re.compile(r"amqps?:|kafka:|[^/]+:[^/]+@")


def is_queue(pattern: str) -> bool:
    """Whether a pattern of logs is the URL of a queue or topic."""
    # URLs of other schemes too, and what is no URL for a sign left out: to take one for a file would show its
    # password.
    return "://" in pattern or _LIKE_A_QUEUE.match(pattern) is not None


def _parts(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _log_entries(value: Any) -> Any:
    return entries(value) if isinstance(value, str) else value


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError("an IANA time zone such as UTC or Europe/Berlin") from error
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for each in value:
            ipaddress.ip_network(each, strict=False)
    except ValueError:
        raise ValueError("addresses or networks such as 127.0.0.1,10.0.0.0/8") from None
    return value


def _header_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]*", value):
        raise ValueError("the name of a header, such as X-Forwarded-User")
    return value


LogEntries = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_log_entries)]
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts)]
TimeZone = Annotated[str, AfterValidator(_known_zone)]
DurationUnit = Literal["", "s", "ms", "us", "ns"]
Networks = Annotated[CommaSeparated, AfterValidator(_networks)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
