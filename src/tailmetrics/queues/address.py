"""Where a queue is: `amqp://user:password@host:5672/vhost?queue=NAME`."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tailmetrics.errors import SettingsError

EXAMPLE = "amqp://user:password@host:5672/vhost?queue=logs"
_PARAMETERS = ("queue", "first_line")
_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class QueueAddress:
    """A queue of a broker; `first_line_is_name` says that messages begin with the name of their log."""

    scheme: str
    host: str
    port: int
    vhost: str
    queue: str
    first_line_is_name: bool
    user: str = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def parse(cls, url: str, setting: str = "LOG_FILE_PATH") -> QueueAddress:
        """Raises SettingsError, which shows nothing of a URL that cannot be read."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _wrong(setting, "a URL that cannot be read") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise _wrong(setting, "a URL without host")
        parameters = parse_qs(parts.query, keep_blank_values=True)
        for name in parameters:
            if name not in _PARAMETERS:
                raise _wrong(setting, f"the parameter {name!r}")
        queue = parameters.get("queue", [""])[-1]
        if not queue:
            raise _wrong(setting, "no queue")
        first_line = parameters.get("first_line", ["log"])[-1]
        if first_line not in {"log", "name"}:
            raise _wrong(setting, f"first_line={first_line}")
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            vhost=unquote(parts.path[1:]) or "/",
            queue=queue,
            first_line_is_name=first_line == "name",
            user=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
        )

    def __str__(self) -> str:
        """The address as it may be shown: without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        vhost = quote(self.vhost, safe="") if self.vhost != "/" else ""
        return f"{self.scheme}://{host}:{self.port}/{vhost}?queue={quote(self.queue, safe='')}"


def _wrong(setting: str, found: str) -> SettingsError:
    problem = (
        f"{setting}: found {found}, expected {EXAMPLE}, with &first_line=name when messages begin with the "
        "name of their log; signs such as / , and @ are written as %2F, %2C and %40"
    )
    return SettingsError([problem])
