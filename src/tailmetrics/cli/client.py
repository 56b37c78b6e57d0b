"""Asks a running service over HTTP; where none runs, the API is called in this process, on the store.

So both give the same documents.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from tailmetrics.cli.documents import Customers, Readiness, Stats
from tailmetrics.cli.service_address import CONNECT_SECONDS, ServiceAddress
from tailmetrics.errors import ServiceError, StoreBusy, StoreUnavailable
from tailmetrics.settings import Settings
from tailmetrics.settings.keys import Role, key_to_send

if TYPE_CHECKING:
    from tailmetrics.status import LoadProgress

_MORE_THAN_THE_SERVICE_TAKES = 5.0  # seconds; it ends a question, and its wait for a turn, by itself before

Asked = TypeVar("Asked", Stats, Customers, Readiness)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Asked]):
    """A document, its JSON text, and its origin: the URL of the service or of the store."""

    document: Asked
    json: bytes
    origin: str


class Client:
    """Asks the running service, and the store when none runs.

    With `store_first` it is the other way round: the service is asked only when it has the store open.
    """

    def __init__(self, settings: Settings, *, store_first: bool = False) -> None:
        self._settings = settings
        self._store_first = store_first
        self._address = ServiceAddress(settings.api_host, settings.api_port)

    def ask(self, kind: type[Asked], parameters: Mapping[str, str]) -> Answer[Asked]:
        """GET the document of that kind.

        Raises ServiceError when the service refuses or breaks off, StoreError when the store cannot be read.
        """
        url = None if self._store_first else find_service(self._address)
        if url is None:
            try:
                return self._ask_store(kind, parameters)
            except StoreBusy:
                url = find_service(self._address) if self._store_first else None
                if url is None:
                    raise
        seconds = 2 * self._settings.query_timeout_seconds + _MORE_THAN_THE_SERVICE_TAKES
        headers, said = _key_header(self._settings, Role.READER)
        with _http(url, seconds) as client:
            try:
                response = client.get(kind.path, params=parameters, headers=headers)
            except httpx.HTTPError as error:
                raise _no_answer(url, error) from error
        return Answer(_document(kind, response, said), response.content, url)

    def _ask_store(self, kind: type[Asked], parameters: Mapping[str, str]) -> Answer[Asked]:
        from tailmetrics.api.app import create_app  # slow to import, and not needed with a service
        from tailmetrics.stores import open_store
        from tailmetrics.telemetry.metrics import Metrics

        settings = self._settings.without_keys()  # who may open the store may read it
        if settings.store.is_file and not settings.store.path.exists():
            raise StoreUnavailable(
                f"there is no store at {settings.store.path} yet, and no service answers at "
                f"{self._address.url}; `tailmetrics up` or `tailmetrics load FILE` makes one"
            )
        with contextlib.closing(open_store(settings)) as store:
            transport = httpx.ASGITransport(create_app(settings, store, None, Metrics()))

            async def get() -> httpx.Response:
                async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                    return await client.get(kind.path, params=parameters)

            response = asyncio.run(get())
        return Answer(_document(kind, response), response.content, str(settings.store))


def find_service(address: ServiceAddress) -> str | None:
    """The URL of the service that answers there, None when nothing does or when it is another program."""
    try:
        with _http(address.url, CONNECT_SECONDS) as client:
            is_alive = client.get("/health").json()["status"] == "alive"
    except (httpx.HTTPError, ValueError, TypeError, LookupError):
        return None
    return address.url if is_alive else None


def send_log(
    settings: Settings,
    url: str,
    name: str,
    pieces: Iterable[bytes],
    *,
    size: int | None = None,
    log_format: str | None = None,
    origin: str | None = None,
) -> LoadProgress:
    """Load a finished log through a running service; returns when all of it is stored.

    Without a format the service reads it as its settings say for the path `origin`. `size` in bytes is told
    beforehand when it is known. There must be something to send: without a body the service would load its
    own logs. Raises ServiceError, and what reading the pieces raises.
    """
    parameters = {"name": name, "wait": "true"}
    if log_format is not None:
        parameters["format"] = log_format
    elif origin is not None:
        parameters["origin"] = origin
    headers, said = _key_header(settings, Role.WRITER)
    headers["Content-Type"] = "text/plain"
    if size is not None:
        headers["Content-Length"] = str(size)
    with _http(url, None) as client:  # the answer comes when all lines are stored, however long that takes
        try:
            response = client.post("/load", params=parameters, headers=headers, content=pieces)
        except httpx.HTTPError as error:
            raise _no_answer(url, error) from error
    if not response.is_success:
        raise _refusal(response, said)
    from tailmetrics.status import LoadProgress  # slow to import, and only a load needs it

    loaded = response.json()["files"][0]
    same = {name: loaded[name] for name in ("lines", "records", "rejects", "blanks", "already_loaded")}
    return LoadProgress("done", bytes_total=loaded["bytes"], bytes_done=loaded["bytes"], **same)


def _http(url: str, seconds: float | None) -> httpx.Client:
    # A proxy of the environment is for other machines, and must not learn what is asked here.
    return httpx.Client(
        base_url=url, trust_env=False, timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS)
    )


def _key_header(settings: Settings, role: Role) -> tuple[httpx.Headers, str]:
    """The header with the key of the settings, if there is one, and what to say when it is refused."""
    key, said = key_to_send(settings, role)
    return httpx.Headers({} if key is None else {"X-API-Key": key.value}, encoding="utf-8"), said


def _document(kind: type[Asked], response: httpx.Response, key_said: str = "") -> Asked:
    # A service that is not ready says so with an error's status.
    if response.is_success or kind is Readiness:
        try:
            return TypeAdapter(kind).validate_json(response.content)
        except ValidationError:
            pass
    raise _refusal(response, key_said)


def _refusal(response: httpx.Response, key_said: str) -> ServiceError:
    try:
        detail = str(response.json()["detail"])
    except (ValueError, TypeError, LookupError):
        detail = f"{response.url}: found status {response.status_code}, expected an answer of tailmetrics"
    if response.status_code == httpx.codes.UNAUTHORIZED and detail.startswith("X-API-Key"):
        detail = f"{detail}; {key_said}"
    return ServiceError(detail, response.status_code)


def _no_answer(url: str, error: httpx.HTTPError) -> ServiceError:
    reason = str(error) or type(error).__name__
    return ServiceError(f"the service at {url} gave no answer ({reason}); its log says more")
