"""Questions of the commands: to the running service, or to the store when none runs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from tailmetrics.cli.documents import Breakdown, Customers, Readiness, Rejects, Stats
from tailmetrics.client.transport import connect, refusal
from tailmetrics.settings import Settings

Asked = TypeVar("Asked", Stats, Customers, Breakdown, Rejects, Readiness)


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

    def ask(self, kind: type[Asked], parameters: Mapping[str, str]) -> Answer[Asked]:
        """GET the document of that kind.

        Raises ServiceError when the service breaks off or refuses, or another error that tells why, and
        StoreError when the store cannot be read.
        """
        response, origin = self._get(kind.path, parameters)
        # A service that is not ready says so with an error's status.
        if response.is_success or kind is Readiness:
            try:
                return Answer(TypeAdapter(kind).validate_json(response.content), response.content, origin)
            except ValidationError:
                pass
        raise refusal(response)

    def ask_csv(self, path: str, parameters: Mapping[str, str]) -> tuple[bytes, str | None]:
        """GET a document as CSV, and the cursor of the page that follows. Raises what `ask` raises."""
        response, _ = self._get(path, {**parameters, "format": "csv"})
        if not response.is_success or not response.headers["Content-Type"].startswith("text/csv"):
            raise refusal(response)
        following = httpx.URL(response.links.get("next", {}).get("url", ""))
        return response.content, following.params.get("cursor")

    def _get(self, path: str, parameters: Mapping[str, str]) -> tuple[httpx.Response, str]:
        with contextlib.closing(connect(self._settings, store_first=self._store_first)) as transport:
            return transport.get(path, parameters), transport.origin
