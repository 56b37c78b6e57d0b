"""The address of a service, without importing a client for HTTP."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailmetrics.urls import ANY_ADDRESS

if TYPE_CHECKING:
    from tailmetrics.settings import Settings

CONNECT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """The host and port on which a service listens; 0.0.0.0 and :: stand for all addresses of a machine."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The URL at which this machine reaches the service."""
        return (
            f"http://[{self._host}]:{self.port}" if ":" in self._host else f"http://{self._host}:{self.port}"
        )

    def is_listened_at(self) -> bool:
        """Whether a program accepts connections there."""
        try:
            socket.create_connection((self._host, self.port), CONNECT_SECONDS).close()
        except OSError:
            return False
        return True

    @property
    def _host(self) -> str:
        return ANY_ADDRESS.get(self.host, self.host)


def running_service(settings: Settings) -> str | None:
    """The URL of the service at the address of the settings, None when none runs there."""
    address = ServiceAddress(settings.api_host, settings.api_port)
    if not address.is_listened_at():
        return None  # and no client is needed, which takes time and memory
    from tailmetrics.client.transport import find_service

    return find_service(address)
