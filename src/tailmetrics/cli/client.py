"""Questions of the commands: to the running service, or to the store when none runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from tailmetrics.cli.documents import (
    AlertHistory,
    Alerts,
    Breakdown,
    Customers,
    Objectives,
    Readiness,
    Rejects,
    Requests,
    Silence,
    Silences,
    Stats,
)
from tailmetrics.client.transport import ChangingTransport, Parameters, connect, refusal
from tailmetrics.settings import Settings

if TYPE_CHECKING:
    import polars as pl

    from tailmetrics.stats import RecordsQuery

Asked = TypeVar(
    "Asked",
    Stats,
    Customers,
    Breakdown,
    Requests,
    Rejects,
    Objectives,
    Alerts,
    AlertHistory,
    Silences,
    Silence,
    Readiness,
)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Asked]):
    """A document, its JSON text, and its origin: the URL of the service or of the store."""

    document: Asked
    json: bytes
    origin: str


class Session:
    """A service or a store that is asked several things; every method raises ServiceError and StoreError."""

    def __init__(self, transport: ChangingTransport) -> None:
        self._transport = transport

    def ask(self, kind: type[Asked], parameters: Parameters) -> Answer[Asked]:
        """GET the document of that kind. Raises also what a refusal tells: QueryError, UnknownCustomer."""
        response = self._transport.get(kind.path, parameters)
        # A service that is not ready says so with an error's status.
        if response.is_success or kind is Readiness:
            try:
                document = TypeAdapter(kind).validate_json(response.content)
                return Answer(document, response.content, self._transport.origin)
            except ValidationError:
                pass
        raise refusal(response)

    def change(self, kind: type[Asked], method: str, path: str, content: object = None) -> Answer[Asked]:
        """Change something; returns the document of that kind that comes of it. Raises what `ask` raises."""
        response = self._transport.change(method, path, content)
        if response.is_success:
            document = TypeAdapter(kind).validate_json(response.content)
            return Answer(document, response.content, self._transport.origin)
        raise refusal(response)

    def ask_csv(self, path: str, parameters: Parameters) -> tuple[bytes, str | None]:
        """GET a document as CSV, and the cursor of the page that follows. Raises what `ask` raises."""
        response = self._transport.get(path, {**parameters, "format": "csv"})
        if not response.is_success or not response.headers["Content-Type"].startswith("text/csv"):
            raise refusal(response)
        following = httpx.URL(response.links.get("next", {}).get("url", ""))
        return response.content, following.params.get("cursor")

    def records(self, query: RecordsQuery) -> Iterator[pl.DataFrame]:
        """Records as a store gives them. Raises what `ask` raises, also after the first frame."""
        return self._transport.records(query)


class Client:
    """Asks the running service, and the store when none runs.

    With `store_first` it is the other way round: the service is asked only when it has the store open.
    """

    def __init__(self, settings: Settings, *, store_first: bool = False) -> None:
        self._settings = settings
        self._store_first = store_first

    def ask(self, kind: type[Asked], parameters: Parameters) -> Answer[Asked]:
        """GET the document of that kind. Raises what a session raises."""
        with self.session() as session:
            return session.ask(kind, parameters)

    def ask_csv(self, path: str, parameters: Parameters) -> tuple[bytes, str | None]:
        """GET a document as CSV, and the cursor of the page that follows. Raises what a session raises."""
        with self.session() as session:
            return session.ask_csv(path, parameters)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Ask several things of the same one. Raises StoreError when the store cannot be opened."""
        with contextlib.closing(connect(self._settings, store_first=self._store_first)) as transport:
            yield Session(transport)
