"""The program's own log: how events are written, of itself and of its libraries, and how many at most."""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
import threading
import time
import traceback
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, cast

from tailmetrics.urls import masked

if TYPE_CHECKING:
    from tailmetrics.settings import Settings

_MOST_OF_A_KIND = 50  # lines in a window; the rest is counted
_WINDOW_SECONDS = 60.0
_MOST_KINDS = 256

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
    """Log events to standard error, one line each, as key=value pairs; those of libraries too."""
    logging.basicConfig(handlers=[_OfLibraries()])
    with _lock:
        if "structlog" in sys.modules:
            _configure(settings)
        else:
            _wanted[:] = [settings]


def configure_events(settings: Settings) -> None:
    """Log the events of this package alone, in a process that is another's and has not said how already."""
    with _lock:
        structlog = sys.modules.get("structlog")
        if structlog is None:
            _wanted[:] = _wanted or [settings]
        elif not structlog.is_configured():
            _configure(settings)


def _configure(settings: Settings) -> None:
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _Repeats(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.logging_level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )


class _Lossy:
    """Text of which is lost what cannot be written, as on a full disk: who logs is to go on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _without_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A step of logging: no URL is written with its password."""
    return {key: masked(value) if isinstance(value, str) else value for key, value in event.items()}


class _OfLibraries(logging.Handler):
    """Has what libraries log written as an event, the trace of an error in the same line."""

    def emit(self, record: logging.LogRecord) -> None:
        values: dict[str, str] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            values["error"] = repr(record.exc_info[1])
            values["trace"] = "".join(traceback.format_exception(record.exc_info[1]))
        getattr(EventLog(), record.levelname.lower())(record.getMessage(), **values)


@dataclass(slots=True)
class _Window:
    began: float
    seen: int = 0


class _Repeats:
    """A step of logging: of each kind of event some are written in a minute, and how many more there were.

    A kind is a level and a text, or a level and a library, whose texts are as many as its values.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], _Window] = {}
        atexit.register(self._end_all)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        import structlog

        kind = (event["level"], event.get("logger", event["event"]))
        with self._lock:
            window = self._window(kind)
            window.seen += 1
            if window.seen <= _MOST_OF_A_KIND:
                return event
            if window.seen == _MOST_OF_A_KIND + 1:
                timer = threading.Timer(window.began + _WINDOW_SECONDS - time.monotonic(), self._end, (kind,))
                timer.daemon = True
                timer.start()
        raise structlog.DropEvent

    def _window(self, kind: tuple[str, str]) -> _Window:
        now = time.monotonic()
        window = self._windows.get(kind)
        if window is None and len(self._windows) >= _MOST_KINDS:
            kind = ("warning", "others")
            window = self._windows.get(kind)
        if window is None or (window.seen <= _MOST_OF_A_KIND and now - window.began >= _WINDOW_SECONDS):
            self._windows = {
                each: known
                for each, known in self._windows.items()
                if known.seen > _MOST_OF_A_KIND or now - known.began < _WINDOW_SECONDS
            }
            window = self._windows[kind] = _Window(now)
        return window

    def _end(self, kind: tuple[str, str]) -> None:
        """Say how many events were left out, and begin to write them again."""
        with self._lock:
            window = self._windows.pop(kind, None)
        left_out = 0 if window is None else window.seen - _MOST_OF_A_KIND
        if left_out > 0:
            level, text = kind
            getattr(EventLog(), level)(text, repeated=f"{left_out} times")

    def _end_all(self) -> None:
        for kind in list(self._windows):
            self._end(kind)
