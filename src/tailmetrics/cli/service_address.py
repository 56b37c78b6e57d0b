"""Where the service of these settings answers, told without a client for HTTP."""

from __future__ import annotations

import socket

from tailmetrics.settings import Settings
from tailmetrics.urls import ANY_ADDRESS

_CONNECT_SECONDS = 2.0


def service_url(settings: Settings) -> str:
    """The address at which a service with these settings answers."""
    host = _host(settings)
    return f"http://[{host}]:{settings.api_port}" if ":" in host else f"http://{host}:{settings.api_port}"


def is_listened_at(settings: Settings) -> bool:
    """Whether some program takes connections there."""
    try:
        socket.create_connection((_host(settings), settings.api_port), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _host(settings: Settings) -> str:
    return ANY_ADDRESS.get(settings.api_host, settings.api_host)
