"""Questions of the commands: to a running service over HTTP, or to the store by way of the same API.

Both give the same documents, since without a service its API is asked within this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tailmetrics.cli.service_address import service_url
from tailmetrics.errors import ServiceError, StoreBusy, StoreUnavailable
from tailmetrics.settings import Settings

_CONNECT_SECONDS = 2.0
_MORE_THAN_THE_SERVICE_TAKES = 5.0  # seconds; it ends a question by itself before


@dataclass(frozen=True, slots=True)
class Answer:
    """A document of the API, and who gave it: an address, or the URL of the store."""

    document: dict[str, Any]
    origin: str


def find_service(settings: Settings) -> str | None:
    """The address of the service that answers there, None when nothing does or when it is another program."""
    url = service_url(settings)
    try:
        with _http(settings, url) as client:
            document = client.get("/health", timeout=_CONNECT_SECONDS).json()
    except (httpx.HTTPError, ValueError):
        return None
    return url if isinstance(document, dict) and document.get("status") == "alive" else None


def ask(settings: Settings, path: str, parameters: Mapping[str, str], *, store_first: bool = False) -> Answer:
    """The answer to GET `path`: of the running service, else of the store.

    With `store_first` the store is asked, and the service only when it holds the store. Raises ServiceError
    for a refused question, and StoreError when neither can be asked.
    """
    if store_first:
        try:
            return _ask_store(settings, path, parameters)
        except StoreBusy:
            url = find_service(settings)
            if url is None:
                raise
            return _ask_service(settings, url, path, parameters)
    url = find_service(settings)
    if url is not None:
        return _ask_service(settings, url, path, parameters)
    return _ask_store(settings, path, parameters)


def readiness(settings: Settings) -> Answer:
    """What /ready says, ready or not: of the running service, else of the store."""
    try:
        return ask(settings, "/ready", {})
    except ServiceError as error:
        if error.document is None or "sources" not in error.document:
            raise
        return Answer(error.document, service_url(settings))


def send_log(
    settings: Settings,
    url: str,
    name: str,
    pieces: Iterable[bytes],
    *,
    size: int | None = None,
    log_format: str | None = None,
) -> dict[str, Any]:
    """Load a finished log through a running service; returns the answer of POST /load when all is stored.

    `size` in bytes is told beforehand when it is known. There must be something to send: without a body the
    service would load its own logs. Raises ServiceError, and what reading the pieces raises.
    """
    parameters = {"name": name, "wait": "true"}
    if log_format is not None:
        parameters["format"] = log_format
    headers = {"Content-Type": "text/plain"}
    if size is not None:
        headers["Content-Length"] = str(size)
    if settings.api_key is not None:
        headers["X-API-Key"] = settings.api_key.get_secret_value()
    # The answer comes when all lines are stored, however long that takes.
    timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
    with _http(settings, url) as client:
        try:
            response = client.post(
                "/load", params=parameters, headers=headers, content=pieces, timeout=timeout
            )
        except httpx.HTTPError as error:
            raise _no_answer(url, error) from error
    return _document(response)


def _http(settings: Settings, url: str) -> httpx.Client:
    # A proxy of the environment is for other machines, and must not learn what is asked here.
    seconds = settings.query_timeout_seconds + _MORE_THAN_THE_SERVICE_TAKES
    return httpx.Client(
        base_url=url, trust_env=False, timeout=httpx.Timeout(seconds, connect=_CONNECT_SECONDS)
    )


def _ask_service(settings: Settings, url: str, path: str, parameters: Mapping[str, str]) -> Answer:
    with _http(settings, url) as client:
        try:
            response = client.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise _no_answer(url, error) from error
    return Answer(_document(response), url)


def _ask_store(settings: Settings, path: str, parameters: Mapping[str, str]) -> Answer:
    from tailmetrics.api.app import create_app  # slow to import, and not needed with a service
    from tailmetrics.stores import open_store
    from tailmetrics.telemetry.metrics import Metrics

    if settings.store.is_file and not settings.store.path.exists():
        raise StoreUnavailable(
            f"there is no store at {settings.store.path} yet, and no service answers at "
            f"{service_url(settings)}; `tailmetrics up` or `tailmetrics load FILE` makes one"
        )
    store = open_store(settings)
    try:
        transport = httpx.ASGITransport(create_app(settings, store, None, Metrics()))

        async def get() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.get(path, params=parameters)

        return Answer(_document(asyncio.run(get())), str(settings.store))
    finally:
        store.close()


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if response.is_success and isinstance(document, dict):
        return document
    detail = document.get("detail") if isinstance(document, dict) else None
    if detail is None:
        detail = f"{response.url}: found status {response.status_code}, expected an answer of tailmetrics"
    raise ServiceError(detail, response.status_code, document if isinstance(document, dict) else None)


def _no_answer(url: str, error: httpx.HTTPError) -> ServiceError:
    reason = str(error) or type(error).__name__
    return ServiceError(f"the service at {url} gave no answer ({reason}); its log says more")
