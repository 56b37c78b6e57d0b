"""Which objects with a message are of Caddy, and which of another program that writes to the same log.

https://caddyserver.com/docs/logging: its loggers are named by its modules, as in `http.log.error`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from tailmetrics.formats.json.keys import NULL, JsonFields, Objects
from tailmetrics.formats.lines import lines_of

_KEYS = {
    "time": ("ts",),
    "logger": ("logger",),
    # As others call them; Caddy's are in an object `request`.
    "path": ("path", "uri", "url", "request_uri", "request_path", "requestPath", "originalUrl"),
    "status": ("status", "status_code", "statusCode", "code", "http_status", "response_status"),
}
_OF_MODULES = (b'"http.', b'"tls.')


class OtherMessages:
    """Tells of messages that are no requests of Caddy whether Caddy wrote them."""

    EXPECTED: Final = "a request or message of Caddy"

    def __init__(self) -> None:
        self._objects = Objects(JsonFields(_KEYS))

    def are_of_caddy(self, text: pl.Series, chosen: pl.Series) -> pl.Series:
        """Which of the chosen texts, of objects, have its time, and do not tell a request as others do."""
        objects, _ = self._objects.decode(lines_of(text.filter(chosen)))
        values = zip(*(map(bytes, self._objects.values(name, objects)) for name in _KEYS), strict=True)
        null = bytes(NULL)
        are = [
            time != null and (logger.startswith(_OF_MODULES) or null in (path, status))
            for time, logger, path, status in values
        ]
        found = pl.repeat(value=False, n=len(text), eager=True, dtype=pl.Boolean())
        return found.scatter(chosen.arg_true(), pl.Series(are, dtype=pl.Boolean()))
