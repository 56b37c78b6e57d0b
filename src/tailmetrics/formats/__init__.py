"""Line formats: bytes of whole lines in, records and rejects out, vectorised."""

from __future__ import annotations

from tailmetrics.errors import FormatError
from tailmetrics.formats import json_lines, nginx, regex, requests, results, timestamps
from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.framing import RESULTS
from tailmetrics.formats.text import Extract, TextFormat
from tailmetrics.settings import FORMAT_NAMES, FormatOptions

__all__ = ["LineFormat", "open_format"]


def open_format(name: str, options: FormatOptions) -> LineFormat:
    """The format of that name (one of FORMAT_NAMES), as the options describe it.

    Raises FormatError when there is no such format, or when its options cannot be used.
    """
    if name == requests.NAME:
        return requests.RequestsFormat(options.zone, options.max_line_bytes)
    if name == RESULTS:
        return results.ResultsFormat(options.max_line_bytes, options.chunk_bytes)
    extract: Extract
    own_timestamps = ""
    if name == nginx.NAME:
        pattern = options.nginx_regex
        extract = regex.extract_by("LOG_NGINX_REGEX", pattern) if pattern else nginx.extract
    elif name == json_lines.NAME:
        keys = json_lines.fields_by(options.json_fields)
        reader = timestamps.reader(options.zone, options.timestamp_format)
        return json_lines.JsonFormat(keys, reader, options.max_line_bytes)
    elif name == regex.NAME:
        extract = regex.extract_by("LOG_REGEX", options.regex)
        own_timestamps = options.timestamp_format
    else:
        raise FormatError(f"LOG_FORMAT: found {name!r}, expected one of {', '.join(FORMAT_NAMES)}")
    reader = timestamps.reader(options.zone, own_timestamps)
    return TextFormat(extract, reader, options.max_line_bytes)
