"""The program's own log: how events are written."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from tailmetrics.urls import masked

if TYPE_CHECKING:
    from tailmetrics.settings import Settings

_lock = threading.Lock()
_wanted: list[Settings] = []  # what structlog is still to be told


class EventLog:
    """A logger of structlog, with its methods.

    It is imported with the first event that is written, as that takes a tenth of the start of a command, and
    most commands write none.
    """

    def __getattr__(self, method: str) -> Any:
        with _lock:
            if _wanted and _level_of(method) < logging.getLevelName(_wanted[0].logging_level):
                return _write_nothing
            import structlog

            while _wanted:  # before anybody writes an event: passwords are masked then
                _configure(_wanted.pop())
        return getattr(structlog.get_logger(), method)


def _level_of(method: str) -> int:
    return logging.ERROR if method == "exception" else int(logging.getLevelName(method.upper()))


def _write_nothing(event: str, **values: object) -> None:
    pass


def configure_logging(settings: Settings) -> None:
    """Log events to standard error, one line each, as key=value pairs."""
    with _lock:
        if "structlog" in sys.modules:
            _configure(settings)
        else:
            _wanted[:] = [settings]


def _configure(settings: Settings) -> None:
    import structlog

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
