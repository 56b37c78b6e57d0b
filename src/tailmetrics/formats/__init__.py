"""Line formats: bytes of whole lines in, records and rejects out, vectorised."""

from __future__ import annotations

from tailmetrics.errors import FormatError
from tailmetrics.formats import json_lines, nginx, regex, requests, results, servers
from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.kinds import Kind
from tailmetrics.settings import FormatOptions
from tailmetrics.settings.names import EXPECTED_FORMAT

__all__ = ["KINDS", "Kind", "LineFormat", "open_format"]

# In this order they are asked whose lines they are.
KINDS = {
    kind.name: kind
    for kind in (requests.KIND, nginx.KIND, *servers.KINDS, json_lines.KIND, results.KIND, regex.KIND)
}


def open_format(options: FormatOptions) -> LineFormat:
    """The format that the options name, as they describe it.

    Raises FormatError when there is no such format, or when its options cannot be used.
    """
    kind = KINDS.get(options.name)
    if kind is None:
        raise FormatError(f"LOG_FORMAT: found {options.name!r}, expected {EXPECTED_FORMAT}")
    return kind.open(options)
