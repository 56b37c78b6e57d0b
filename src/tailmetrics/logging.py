"""The program's own log: how events are written."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from tailmetrics.masking import masked
from tailmetrics.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Log events to standard error, one line each, as key=value pairs."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.logging_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _without_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A step of logging: no URL is written with its password."""
    return {key: masked(value) if isinstance(value, str) else value for key, value in event.items()}
