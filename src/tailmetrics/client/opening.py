"""Which service or store a connection is to, by its URL or path."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import polars as pl
from pydantic import SecretStr

from tailmetrics.client.connection import Connection
from tailmetrics.client.service_address import ServiceAddress
from tailmetrics.client.transport import (
    Parameters,
    ServiceTransport,
    StoreTransport,
    Transport,
    find_service,
    is_service,
)
from tailmetrics.errors import ServiceError, StoreBusy, StoreError, StoreUnavailable
from tailmetrics.settings import Settings, load_settings
from tailmetrics.stats import RecordsQuery
from tailmetrics.stores.backup import scheme_of
from tailmetrics.telemetry.log import configure_events

_SERVICE_SCHEMES = ("http://", "https://")


def open(target: str | os.PathLike[str] | None = None, *, key: str | None = None) -> Connection:  # noqa: A001  # of tailmetrics
    """Connect to a service, or open a store, to ask it for frames.

    `target` is the URL of a service (http://127.0.0.1:8000), the URL of a store (postgresql://…) or the path
    of a DuckDB or SQLite file of tailmetrics; without it, what the commands ask: the service at API_HOST and
    API_PORT when one runs there, else the store at STORE_URL. `key` is what the service wants in X-API-Key;
    without it that of API_READ_KEY or API_KEY is sent, or of their files. Settings are those of .env.local
    and of the environment.

    A DuckDB file is open in one process at a time: until `close`, or the end of a `with` block. Opened twice
    in one process it is the same store.

    Raises ServiceError when no service answers at a URL, StoreUnavailable when there is no such file,
    StoreBusy when another process has it open (it names the service to ask instead, if one runs),
    SettingsError for another URL, and StoreError for a file that is no store, or cannot be opened.
    """
    text = None if target is None else os.fspath(target)
    if text is not None and text.startswith(_SERVICE_SCHEMES):
        return Connection(_service(text.rstrip("/"), key))
    if text is not None and "://" not in text:
        text = _store_at(Path(text))
    settings = load_settings(store_url=text)
    configure_events(settings.model_copy(update={"logging_level": "WARNING"}))
    address = ServiceAddress(settings.api_host, settings.api_port)
    if text is None and (url := find_service(address)):
        return Connection(_service(url, key))
    try:
        return Connection(_SharedStore.of(settings))
    except StoreBusy as error:
        if url := find_service(address):
            raise StoreBusy(f"{error}. A service answers at {url}: tailmetrics.open({url!r})") from error
        raise


class _SharedStore:
    """A store that this process has open, as long as somebody asks it: a cell of a notebook is run again."""

    _opened: ClassVar[dict[str, _SharedStore]] = {}
    _lock: ClassVar = threading.RLock()  # a garbage collection while it is held may close another one

    def __init__(self, name: str, transport: Transport) -> None:
        self.origin = transport.origin
        self._name = name
        self._transport = transport
        self._users = 0

    @classmethod
    def of(cls, settings: Settings) -> _SharedStore:
        store = settings.store
        name = str(store.path.resolve()) if store.is_file else settings.store_url
        with cls._lock:
            if name not in cls._opened:
                cls._opened[name] = cls(name, StoreTransport(settings))
            shared = cls._opened[name]
            shared._users += 1
            return shared

    def get(self, path: str, parameters: Parameters) -> httpx.Response:
        return self._transport.get(path, parameters)

    def records(self, query: RecordsQuery) -> Iterator[pl.DataFrame]:
        return self._transport.records(query)

    def close(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                del self._opened[self._name]
                self._transport.close()


def _service(url: str, key: str | None) -> Transport:
    if not is_service(url):
        raise ServiceError(f"no service of tailmetrics answers at {url}; `tailmetrics up` starts one")
    settings = load_settings()
    if key is not None:
        settings = settings.without_keys().model_copy(update={"api_read_key": SecretStr(key)})
    return ServiceTransport(url, settings)


def _store_at(path: Path) -> str:
    """The URL of the store in a file, whose first bytes tell the kind."""
    try:
        with path.open("rb") as file:
            beginning = file.read(16)
    except OSError as error:
        raise StoreUnavailable(
            f"{path} cannot be opened: {error.strerror}; expected the path of a store's file, the URL of a "
            "store, or that of a service such as http://127.0.0.1:8000"
        ) from error
    if (scheme := scheme_of(beginning)) is not None:
        return f"{scheme}:///{path.absolute()}"
    raise StoreError(
        f"{path}: found no store, expected a DuckDB or SQLite file of tailmetrics; logs are read by "
        "tailmetrics.read_log"
    )
