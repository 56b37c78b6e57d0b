"""Where the service of these settings answers, told without a client for HTTP."""

from __future__ import annotations

import socket

from tailmetrics.settings import Settings

_CONNECT_SECONDS = 2.0
# What is listened on for all addresses of a machine, and the one that is asked for it.
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # not bound to here


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
