"""Line formats: bytes of whole lines in, records and rejects out, vectorised."""

from __future__ import annotations

from tailmetrics.errors import FormatError
from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.requests import RequestsFormat
from tailmetrics.settings import FORMAT_NAMES, Settings

__all__ = ["LineFormat", "open_format"]


def open_format(name: str, settings: Settings) -> LineFormat:
    """The format of that name (one of FORMAT_NAMES), as the settings describe it.

    Raises FormatError when there is no such format, or when its settings cannot be used.
    """
    if name == "requests":
        return RequestsFormat(settings.log_timezone, settings.max_line_bytes)
    raise FormatError(f"LOG_FORMAT: found {name!r}, expected one of {', '.join(FORMAT_NAMES)}")
