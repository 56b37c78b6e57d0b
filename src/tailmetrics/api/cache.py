"""Repeated requests, answered without asking the store again.

The first thing that a request meets: what is kept is sent before any other part of the API has looked at the
request, but for whether its client may read. Requests that ask the same at the same time are answered
together. A response is right until the version of its customer's records changes, or, where other processes
write to the store as well, that of all records, which is asked for each CACHE_SECONDS at most.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailmetrics.api.admission import Admission
from tailmetrics.api.http.access import Access
from tailmetrics.api.http.middleware import SECURITY_HEADERS, UNKNOWN_ENDPOINT
from tailmetrics.api.http.problems import overloaded_response
from tailmetrics.api.versions import Versions
from tailmetrics.errors import Overloaded
from tailmetrics.telemetry.metrics import Metrics

_MOST_RESPONSES = 4096
_MOST_BYTES = 16 * 1024 * 1024
_LARGEST_BYTES = 1024 * 1024  # of one response

_CUSTOMER = "/customers/"
_ENDINGS_OF_CUSTOMER = ("/stats", "/breakdown")
_ENDINGS = (*_ENDINGS_OF_CUSTOMER, "/customers")
_BOUNDS = frozenset({"from", "to", "from_date", "to_date"})
_SHAPING = (b"host", b"accept")  # request headers on which a response depends


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A complete response of status 200, ready to be sent; `endpoint` is the path template of its route."""

    start: Message
    body: Message
    etag: bytes
    endpoint: str

    @property
    def size(self) -> int:
        return len(self.body["body"]) + sum(len(name) + len(value) for name, value in self.start["headers"])


@dataclass(frozen=True, slots=True)
class State:
    """What is read before the store is asked: whose records a response is about, and their version."""

    customer_id: str | None
    version: int | str | None


@dataclass(frozen=True, slots=True)
class _Entry:
    response: CachedResponse
    state: State
    until: float


class ResponseCache:
    """The newest responses, by keys that hold everything on which a response depends but the data."""

    def __init__(self, versions: Versions) -> None:
        self._version_of = versions.of
        self._seconds = versions.lasting_seconds
        self._entries: dict[Hashable, _Entry] = {}
        self._size = 0

    def get(self, key: Hashable) -> CachedResponse | None:
        """The response to a request, None when the store has to be asked."""
        entry = self._entries.get(key)
        if (
            entry is None
            or self._version_of(entry.state.customer_id) != entry.state.version
            or time.monotonic() >= entry.until
        ):
            return None
        return entry.response

    def state_of(self, customer_id: str | None) -> State:
        """The state of a customer's records now; None: of everybody's."""
        return State(customer_id, self._version_of(customer_id))

    def keep(self, key: Hashable, state: State, response: CachedResponse) -> None:
        """Keep a response to what was asked in a `state`, unless that is not known, or outdated already."""
        if state.version is None or self._version_of(state.customer_id) != state.version:
            return
        self._drop(key)
        self._entries[key] = _Entry(response, state, time.monotonic() + self._seconds)
        self._size += response.size
        while len(self._entries) > _MOST_RESPONSES or self._size > _MOST_BYTES:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._size -= entry.response.size


class CacheMiddleware:
    """Sends kept responses, keeps new ones, and lets equal requests wait for one response.

    Where there is no room for a further question, none is let in, as refusing it there costs more.
    """

    def __init__(
        self,
        app: ASGIApp,
        versions: Versions,
        admission: Admission,
        metrics: Metrics,
        access: Access,
    ) -> None:
        self._app = app
        self._may_read = access.may_read if access.guards_reading else None
        self._versions = versions
        self._cache = ResponseCache(versions)
        self._admission = admission
        self._metrics = metrics
        self._under_way: dict[Hashable, _UnderWay] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].endswith(_ENDINGS):
            await self._app(scope, receive, send)
            return
        if self._may_read is not None and not self._may_read(scope):
            await self._app(scope, receive, send)  # which refuses it
            return
        begun = time.perf_counter()
        key, if_none_match = _read_headers(scope)
        if self._versions.may_be_asked and not _moves(scope["query_string"]):
            await self._versions.look()
        response = self._cache.get(key)
        if response is None:
            response = await self._wait(key)
        if response is None:
            try:
                self._admission.check_room()
            except Overloaded as error:
                await overloaded_response(scope["path"], error, SECURITY_HEADERS)(scope, receive, send)
                self._metrics.observe_query(UNKNOWN_ENDPOINT, 503, time.perf_counter() - begun)
                return
            await self._ask(key, scope, receive, send, if_none_match)
            return
        status = await _send(response, if_none_match, send)
        self._metrics.observe_query(response.endpoint, status, time.perf_counter() - begun)

    async def _wait(self, key: Hashable) -> CachedResponse | None:
        """The response to an equal request that is under way, if it is one of after this moment."""
        arrived = time.monotonic()
        while (other := self._under_way.get(key)) is not None:
            await other.done.wait()
            if other.response is not None and other.began >= arrived:
                return other.response
            if (kept := self._cache.get(key)) is not None:
                return kept
        return None

    async def _ask(
        self, key: Hashable, scope: Scope, receive: Receive, send: Send, if_none_match: bytes
    ) -> None:
        state = self._cache.state_of(_customer_of(scope["path"]))
        under_way = self._under_way[key] = _UnderWay()
        caught = _Caught(send, is_private=self._may_read is not None)
        try:
            inner = dict(scope)  # the route is written into it
            await self._app(inner, receive, caught)
            response = under_way.response = caught.response(inner)
            if response is not None and not _moves(scope["query_string"]):
                self._cache.keep(key, state, response)
        finally:
            del self._under_way[key]
            under_way.done.set()
        if response is not None:
            await _send(response, if_none_match, send)


class _UnderWay:
    def __init__(self) -> None:
        self.began = time.monotonic()
        self.response: CachedResponse | None = None
        self.done = asyncio.Event()


class _Caught:
    """Holds back a response of status 200 that is small enough to be kept; all else is sent as it comes."""

    def __init__(self, send: Send, *, is_private: bool) -> None:
        self._send = send
        self._is_private = is_private
        self._start: Message | None = None
        self._body: Message | None = None
        self._passes = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._start = message
        elif self._start is None or self._passes:
            await self._send(message)
        elif message.get("more_body") or len(message.get("body", b"")) > _LARGEST_BYTES:
            self._passes = True
            await self._send(self._start)
            await self._send(message)
        else:
            self._body = message

    def response(self, scope: Scope) -> CachedResponse | None:
        """What was held back, with a name by which a client can ask whether it is still the same."""
        if self._start is None or self._body is None:
            return None
        etag = b'"' + hashlib.blake2b(self._body["body"], digest_size=12).hexdigest().encode() + b'"'
        headers = [
            (name, value) for name, value in self._start["headers"] if name not in (b"cache-control", b"vary")
        ]
        control = b"private, no-cache" if self._is_private else b"no-cache"
        headers += [(b"etag", etag), (b"cache-control", control), (b"vary", b"Accept")]
        return CachedResponse(
            {**self._start, "headers": headers}, self._body, etag, scope["route"].path_format
        )


def _read_headers(scope: Scope) -> tuple[Hashable, bytes]:
    """The key of a request, and its header If-None-Match."""
    shaping: list[Any] = []
    if_none_match = b""
    for name, value in scope["headers"]:
        if name in _SHAPING:
            shaping.append((name, value))
        elif name == b"if-none-match":
            if_none_match = value
    return (scope["path"], scope["query_string"], *shaping), if_none_match


async def _send(response: CachedResponse, if_none_match: bytes, send: Send) -> int:
    if if_none_match and response.etag in if_none_match:
        headers = [pair for pair in response.start["headers"] if not pair[0].startswith(b"content-")]
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return 304
    await send(response.start)
    await send(response.body)
    return 200


def _customer_of(path: str) -> str | None:
    """Whose records a request is about, by its path; None: everybody's."""
    if path.startswith(_CUSTOMER):
        for ending in _ENDINGS_OF_CUSTOMER:
            if path.endswith(ending):
                return path[len(_CUSTOMER) : -len(ending)]
    return None


def _moves(query: bytes) -> bool:
    """Whether a range is given relative to now."""
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return any(name in _BOUNDS and value.startswith(("-", "now")) for name, value in given)
