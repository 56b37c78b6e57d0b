"""Asks a running service over HTTP; where none runs, the API is called in this process, on the store.

So both give the same documents.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import httpx
from pydantic import SecretStr, TypeAdapter, ValidationError

from tailmetrics.cli.documents import Customers, Readiness, Stats
from tailmetrics.cli.service_address import CONNECT_SECONDS, ServiceAddress
from tailmetrics.errors import ServiceError, StoreBusy, StoreUnavailable
from tailmetrics.settings import Settings

if TYPE_CHECKING:
    import polars as pl

    from tailmetrics.stats import RecordsQuery
    from tailmetrics.status import LoadProgress
    from tailmetrics.stores.base import Store

_MORE_THAN_THE_SERVICE_TAKES = 5.0  # seconds; it ends a question, and its wait for a turn, by itself before

Asked = TypeVar("Asked", Stats, Customers, Readiness)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Asked]):
    """A document, its JSON text, and its origin: the URL of the service or of the store."""

    document: Asked
    json: bytes
    origin: str


class Session(Protocol):
    """A service or a store that is asked several things."""

    def ask(self, kind: type[Asked], parameters: Mapping[str, str]) -> Answer[Asked]:
        """GET the document of that kind. Raises ServiceError and StoreError."""
        ...

    def records(self, query: RecordsQuery) -> Iterator[pl.DataFrame]:
        """Records as a store gives them. Raises ServiceError and StoreError, also after the first frame."""
        ...


class Client:
    """Asks the running service, and the store when none runs.

    With `store_first` it is the other way round: the service is asked only when it has the store open.
    """

    def __init__(self, settings: Settings, *, store_first: bool = False) -> None:
        self._settings = settings
        self._store_first = store_first
        self._address = ServiceAddress(settings.api_host, settings.api_port)

    def ask(self, kind: type[Asked], parameters: Mapping[str, str]) -> Answer[Asked]:
        """GET the document of that kind. Raises as `session`, and ServiceError when the service refuses."""
        with self.session() as session:
            return session.ask(kind, parameters)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Ask several things of the same one.

        Raises ServiceError when the service breaks off, StoreError when the store cannot be read.
        """
        url = None if self._store_first else find_service(self._address)
        if url is None:
            try:
                store = self._open_store()
            except StoreBusy:
                url = find_service(self._address) if self._store_first else None
                if url is None:
                    raise
            else:
                with (
                    contextlib.closing(store),
                    contextlib.closing(_StoreSession(self._settings, store)) as own,
                ):
                    yield own
                return
        seconds = 2 * self._settings.query_timeout_seconds + _MORE_THAN_THE_SERVICE_TAKES
        with _http(url, seconds) as client:
            yield _ServiceSession(url, client)

    def _open_store(self) -> Store:
        from tailmetrics.stores import open_store  # slow to import, and not needed with a service

        settings = self._settings
        if settings.store.is_file and not settings.store.path.exists():
            raise StoreUnavailable(
                f"there is no store at {settings.store.path} yet, and no service answers at "
                f"{self._address.url}; `tailmetrics up` or `tailmetrics load FILE` makes one"
            )
        return open_store(settings)


class _ServiceSession:
    def __init__(self, url: str, client: httpx.Client) -> None:
        self._url = url
        self._client = client

    def ask(self, kind: type[Asked], parameters: Mapping[str, str]) -> Answer[Asked]:
        try:
            response = self._client.get(kind.path, params=parameters)
        except httpx.HTTPError as error:
            raise _no_answer(self._url, error) from error
        return Answer(_document(kind, response), response.content, self._url)

    def records(self, query: RecordsQuery) -> Iterator[pl.DataFrame]:
        from tailmetrics.cli.export.arrow import frames_of  # likewise

        parameters = {"format": "arrow"}
        if query.customer_id is not None:
            parameters["customer"] = query.customer_id
        for name, bound in (("from", query.start), ("to", query.end)):
            if bound is not None:
                parameters[name] = bound.isoformat()
        try:
            with self._client.stream("GET", "/records", params=parameters) as response:
                if not response.is_success:
                    response.read()
                    raise _refusal(response)
                yield from frames_of(response.iter_bytes())
        except httpx.HTTPError as error:
            raise _no_answer(self._url, error) from error


class _StoreSession:
    def __init__(self, settings: Settings, store: Store) -> None:
        from tailmetrics.api.app import create_app  # likewise
        from tailmetrics.telemetry.metrics import Metrics

        self._app = create_app(settings, store, None, Metrics())
        self._origin = str(settings.store)
        self._store = store
        self._loop = asyncio.new_event_loop()

    def ask(self, kind: type[Asked], parameters: Mapping[str, str]) -> Answer[Asked]:
        async def get() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.get(kind.path, params=parameters)

        response = self._loop.run_until_complete(get())
        return Answer(_document(kind, response), response.content, self._origin)

    def records(self, query: RecordsQuery) -> Iterator[pl.DataFrame]:
        frames = self._store.records(query)

        async def following() -> pl.DataFrame | None:
            return await anext(frames, None)

        while (frame := self._loop.run_until_complete(following())) is not None:
            yield frame

    def close(self) -> None:
        if self._loop.is_running():  # in a thread of Polars, which an interrupt has left to itself
            return
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def find_service(address: ServiceAddress) -> str | None:
    """The URL of the service that answers there, None when nothing does or when it is another program."""
    try:
        with _http(address.url, CONNECT_SECONDS) as client:
            is_alive = client.get("/health").json()["status"] == "alive"
    except (httpx.HTTPError, ValueError, TypeError, LookupError):
        return None
    return address.url if is_alive else None


def send_log(
    url: str,
    name: str,
    pieces: Iterable[bytes],
    *,
    api_key: SecretStr | None = None,
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
    headers = {"Content-Type": "text/plain"}
    if size is not None:
        headers["Content-Length"] = str(size)
    if api_key is not None:
        headers["X-API-Key"] = api_key.get_secret_value()
    with _http(url, None) as client:  # the answer comes when all lines are stored, however long that takes
        try:
            response = client.post("/load", params=parameters, headers=headers, content=pieces)
        except httpx.HTTPError as error:
            raise _no_answer(url, error) from error
    if not response.is_success:
        raise _refusal(response)
    from tailmetrics.status import LoadProgress  # slow to import, and only a load needs it

    loaded = response.json()["files"][0]
    same = {name: loaded[name] for name in ("lines", "records", "rejects", "blanks", "already_loaded")}
    return LoadProgress("done", bytes_total=loaded["bytes"], bytes_done=loaded["bytes"], **same)


def _http(url: str, seconds: float | None) -> httpx.Client:
    # A proxy of the environment is for other machines, and must not learn what is asked here.
    return httpx.Client(
        base_url=url, trust_env=False, timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS)
    )


def _document(kind: type[Asked], response: httpx.Response) -> Asked:
    # A service that is not ready says so with an error's status.
    if response.is_success or kind is Readiness:
        try:
            return TypeAdapter(kind).validate_json(response.content)
        except ValidationError:
            pass
    raise _refusal(response)


def _refusal(response: httpx.Response) -> ServiceError:
    try:
        detail = str(response.json()["detail"])
    except (ValueError, TypeError, LookupError):
        detail = f"{response.url}: found status {response.status_code}, expected an answer of tailmetrics"
    return ServiceError(detail, response.status_code)


def _no_answer(url: str, error: httpx.HTTPError) -> ServiceError:
    reason = str(error) or type(error).__name__
    return ServiceError(f"the service at {url} gave no answer ({reason}); its log says more")
