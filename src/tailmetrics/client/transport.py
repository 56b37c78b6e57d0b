"""How questions reach those who answer: a service over HTTP, or the API in this process, on a store.

So both give the same documents.
"""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import httpx

from tailmetrics.client.service_address import CONNECT_SECONDS, ServiceAddress
from tailmetrics.errors import (
    Overloaded,
    QueryError,
    ServiceError,
    StoreBusy,
    StoreRefused,
    StoreUnavailable,
    TailmetricsError,
    UnknownCustomer,
)
from tailmetrics.settings import Settings
from tailmetrics.settings.keys import Role, key_to_send

if TYPE_CHECKING:
    import polars as pl

    from tailmetrics.stats import RecordsQuery
    from tailmetrics.status import LoadProgress
    from tailmetrics.stores.base import Snapshot

_Answer = TypeVar("_Answer")

Parameters: TypeAlias = Mapping[str, str | Sequence[str]]  # several values are a parameter several times

_MORE_THAN_THE_SERVICE_TAKES = 5.0  # seconds; it ends a question, and its wait for a turn, by itself before
_BACKUP_SECONDS = 120.0  # a checkpoint comes first
_PROBLEM = "urn:tailmetrics:problem:"


class Transport(Protocol):
    """`origin` is the URL of the service or of the store that answers."""

    origin: str

    def get(self, path: str, parameters: Parameters) -> httpx.Response:
        """The whole answer, whatever its status.

        Raises ServiceError when none came, or a key is wanted, StoreError when the store cannot be read.
        """
        ...

    def records(self, query: RecordsQuery) -> Iterator[pl.DataFrame]:
        """Records as a store gives them, also for another thread than that which opened it.

        Raises what `get` raises, and what a refusal tells, also after the first frame.
        """
        ...

    def close(self) -> None: ...


class ChangingTransport(Transport, Protocol):
    """One that takes changes as well."""

    def change(self, method: str, path: str, content: object = None) -> httpx.Response:
        """The whole answer to a request that changes something, with `content` as JSON where it is given.

        Raises what `get` raises.
        """
        ...


class ServiceTransport:
    """Asks the service at a URL, with the key of the settings where that has one."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.origin = url
        seconds = 2 * settings.query_timeout_seconds + _MORE_THAN_THE_SERVICE_TAKES
        headers, self._key_said = _key_header(settings, Role.READER)
        self._client = _http(url, seconds, headers)
        self._settings = settings

    def get(self, path: str, parameters: Parameters) -> httpx.Response:
        try:
            response = self._client.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise _no_answer(self.origin, error) from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise _refusal(response, self._key_said)
        return response

    def change(self, method: str, path: str, content: object = None) -> httpx.Response:
        headers, key_said = _key_header(self._settings, Role.WRITER)
        try:
            response = self._client.request(method, path, json=content, headers=headers)
        except httpx.HTTPError as error:
            raise _no_answer(self.origin, error) from error
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise _refusal(response, key_said)
        return response

    def records(self, query: RecordsQuery) -> Iterator[pl.DataFrame]:
        from tailmetrics.api.filters import filter_document  # slow to import, and only an export needs it
        from tailmetrics.client.arrow import frames_of

        parameters: dict[str, Any] = {"format": "arrow", **filter_document(query.only)}
        if query.customer_id is not None:
            parameters["customer"] = query.customer_id
        for name, bound in (("from", query.start), ("to", query.end)):
            if bound is not None:
                parameters[name] = bound.isoformat()
        try:
            with self._client.stream("GET", "/records", params=parameters) as response:
                if not response.is_success:
                    response.read()
                    is_of_key = response.status_code == httpx.codes.UNAUTHORIZED
                    raise _refusal(response, self._key_said) if is_of_key else refusal(response)
                yield from frames_of(response.iter_bytes())
        except httpx.HTTPError as error:
            raise _no_answer(self.origin, error) from error

    def close(self) -> None:
        self._client.close()


class StoreTransport:
    """Asks a store that this process opens; works in a process that runs an event loop, too."""

    def __init__(self, settings: Settings) -> None:
        """Raises what opening a store raises, and StoreUnavailable when its file is not there yet.

        SettingsError where a file that a setting names cannot be used.
        """
        from tailmetrics.api.app import create_app  # slow, and not needed with a service
        from tailmetrics.objectives.file import ObjectivesFile
        from tailmetrics.stores import open_store
        from tailmetrics.stores.loop_thread import LoopThread
        from tailmetrics.telemetry.metrics import Metrics

        if settings.store.is_file and not settings.store.path.exists():
            address = ServiceAddress(settings.api_host, settings.api_port)
            raise StoreUnavailable(
                f"there is no store at {settings.store.path} yet, and no service answers at "
                f"{address.url}; `tailmetrics up` or `tailmetrics load FILE` makes one"
            )
        self.origin = str(settings.store)
        objectives_file = ObjectivesFile(settings)  # before the store is open
        self._store = open_store(settings)
        # Who may open the store may read it.
        app = create_app(settings.without_keys(), self._store, None, Metrics(), objectives_file)
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
        self._loop = LoopThread("tailmetrics-client", self.origin)

    def get(self, path: str, parameters: Parameters) -> httpx.Response:
        return self._answer(self._client.get(path, params=parameters))

    def change(self, method: str, path: str, content: object = None) -> httpx.Response:
        return self._answer(self._client.request(method, path, json=content))

    def records(self, query: RecordsQuery) -> Iterator[pl.DataFrame]:
        frames = self._store.records(query)

        async def following() -> pl.DataFrame | None:
            return await anext(frames, None)

        while (frame := self._answer(following())) is not None:
            yield frame

    def _answer(self, question: Coroutine[Any, Any, _Answer]) -> _Answer:
        asked = self._loop.run(question)
        try:
            return asked.result()
        except BaseException:  # Ctrl-C: nobody waits for the answer any more
            asked.cancel()
            raise

    def close(self) -> None:
        self._loop.end(self._client.aclose)
        self._store.close()


def connect(settings: Settings, *, store_first: bool = False) -> ChangingTransport:
    """The running service, and the store when none runs.

    With `store_first` it is the other way round: the service is asked only when it has the store open.
    """
    address = ServiceAddress(settings.api_host, settings.api_port)
    url = None if store_first else find_service(address)
    if url is None:
        try:
            return StoreTransport(settings)
        except StoreBusy:
            url = find_service(address) if store_first else None
            if url is None:
                raise
    return ServiceTransport(url, settings)


def find_service(address: ServiceAddress) -> str | None:
    """The URL of the service that answers there, None when nothing does or when it is another program."""
    return address.url if is_service(address.url) else None


def is_service(url: str) -> bool:
    """Whether a service of this program answers at a URL."""
    try:
        with _http(url, CONNECT_SECONDS) as client:
            return bool(client.get("/health").json()["status"] == "alive")
    except (httpx.HTTPError, ValueError, TypeError, LookupError):
        return False


@contextlib.contextmanager
def snapshot_of(settings: Settings, url: str) -> Iterator[Snapshot]:
    """The file of a running service's store. Raises ServiceError, also within the context."""
    from tailmetrics.stores.base import Snapshot  # slow to import, and only a backup needs it

    headers, key_said = _key_header(settings, Role.WRITER)
    with _http(url, _BACKUP_SECONDS, headers) as client:
        try:
            with client.stream("POST", "/backup") as response:
                if not response.is_success:
                    response.read()
                    raise _refusal(response, key_said)
                yield Snapshot(int(response.headers["Content-Length"]), response.iter_raw())
        except httpx.HTTPError as error:
            raise _no_answer(url, error) from error


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
    headers, key_said = _key_header(settings, Role.WRITER)
    headers["Content-Type"] = "text/plain"
    if size is not None:
        headers["Content-Length"] = str(size)
    # The answer comes when all lines are stored, however long that takes.
    with _http(url, None, headers) as client:
        try:
            response = client.post("/load", params=parameters, content=pieces)
        except httpx.HTTPError as error:
            raise _no_answer(url, error) from error
    if not response.is_success:
        raise _refusal(response, key_said)
    from tailmetrics.status import LoadProgress, RejectReason  # slow to import, and only a load needs it

    loaded = response.json()["files"][0]
    same = {name: loaded[name] for name in ("lines", "records", "rejects", "blanks", "already_loaded")}
    # A service of an older version says no reasons.
    reasons = tuple(RejectReason(each["reason"], each["lines"]) for each in loaded.get("reasons", ()))
    size = loaded["bytes"]
    return LoadProgress("done", bytes_total=size, bytes_done=size, reasons=reasons, **same)


def refusal(response: httpx.Response) -> TailmetricsError:
    """The error that a problem of the API stands for; ServiceError for any other answer."""
    detail = _detail(response)
    with contextlib.suppress(ValueError, TypeError, LookupError):
        problem = response.json()
        match str(problem["type"]).removeprefix(_PROBLEM):
            case "unknown-customer":
                asked = response.request.url.params
                return UnknownCustomer(asked.get("customer_id") or asked["customer"])
            case "invalid-parameter":
                first: dict[str, Any] = problem["errors"][0]
                wrong = QueryError(first["parameter"], first["value"], first["expected"])
                wrong.args = (detail,)  # which names the others, too
                return wrong
            case "store-unavailable":
                return StoreUnavailable(detail)
            case "store-refused":
                return StoreRefused(detail)
            case "overloaded":
                return Overloaded(detail)
    return ServiceError(detail, response.status_code)


def _refusal(response: httpx.Response, key_said: str) -> ServiceError:
    detail = _detail(response)
    if response.status_code == httpx.codes.UNAUTHORIZED and detail.startswith("X-API-Key"):
        detail = f"{detail}; {key_said}"
    return ServiceError(detail, response.status_code)


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, TypeError, LookupError):
        return f"{response.url}: found status {response.status_code}, expected an answer of tailmetrics"


def _key_header(settings: Settings, role: Role) -> tuple[httpx.Headers, str]:
    """The header with the key of the settings, if there is one, and what to say when it is refused."""
    key, said = key_to_send(settings, role)
    return httpx.Headers({} if key is None else {"X-API-Key": key.value}, encoding="utf-8"), said


def _http(url: str, seconds: float | None, headers: httpx.Headers | None = None) -> httpx.Client:
    # A proxy of the environment is for other machines, and must not learn what is asked here.
    return httpx.Client(
        base_url=url,
        trust_env=False,
        verify=not url.startswith("http:"),  # reading CAs that nobody needs takes longer than an answer
        timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
        headers=headers,
    )


def _no_answer(url: str, error: httpx.HTTPError) -> ServiceError:
    reason = str(error) or type(error).__name__
    return ServiceError(f"the service at {url} gave no answer ({reason}); its log says more")
