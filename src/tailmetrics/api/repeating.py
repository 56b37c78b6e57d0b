"""Repeated questions, answered without asking again.

The first thing that a request meets: what is kept is sent before any other part of the API has looked at the
request. Requests that ask the same at the same time are answered together.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Hashable
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailmetrics.api.kept import Answer, KeptAnswers, Question
from tailmetrics.telemetry.metrics import Metrics

_LARGEST_BYTES = 1024 * 1024
_QUESTION = "tailmetrics.question"
_ENDINGS = ("/stats", "/breakdown", "/customers")
_BOUNDS = frozenset({"from", "to", "from_date", "to_date"})
_SHAPING = (b"host", b"accept")  # request headers on which an answer depends


def is_about(request: Request, customer_id: str | None) -> None:
    """Say, before asking the store, whose records the answer to a request is about; None: everybody's.

    An answer that moves with the clock is not kept.
    """
    question = request.scope.get(_QUESTION)
    if question is not None and not _moves(request.scope["query_string"]):
        request.app.state.kept.concerns(question, customer_id)


class Repeating:
    """Sends kept answers, keeps new ones, and lets equal requests wait for one answer."""

    def __init__(self, app: ASGIApp, kept: KeptAnswers, metrics: Metrics) -> None:
        self._app = app
        self._kept = kept
        self._metrics = metrics
        self._under_way: dict[Hashable, _Asking] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].endswith(_ENDINGS):
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        key, if_none_match = _read_headers(scope)
        answer = self._kept.get(key)
        if answer is None:
            answer = await self._wait(key)
        if answer is None:
            await self._ask(key, scope, receive, send, if_none_match)
            return
        status = await _send(answer, if_none_match, send)
        self._metrics.observe_query(answer.endpoint, status, time.perf_counter() - begun)

    async def _wait(self, key: Hashable) -> Answer | None:
        """The answer to an equal request that is under way, if it is one of after this moment."""
        arrived = time.monotonic()
        while (asking := self._under_way.get(key)) is not None:
            await asking.done.wait()
            if asking.answer is not None and asking.began >= arrived:
                return asking.answer
            if (kept := self._kept.get(key)) is not None:
                return kept
        return None

    async def _ask(
        self, key: Hashable, scope: Scope, receive: Receive, send: Send, if_none_match: bytes
    ) -> None:
        asking = self._under_way[key] = _Asking(key)
        caught = _Caught(send)
        answer = None
        try:
            inner = {**scope, _QUESTION: asking.question}
            await self._app(inner, receive, caught)
            answer = asking.answer = caught.answer(inner)
        finally:
            if answer is None:
                self._kept.give_up(asking.question)
            else:
                self._kept.keep(asking.question, answer)
            del self._under_way[key]
            asking.done.set()
        if answer is not None:
            await _send(answer, if_none_match, send)


class _Asking:
    def __init__(self, key: Hashable) -> None:
        self.question = Question(key)
        self.began = time.monotonic()
        self.answer: Answer | None = None
        self.done = asyncio.Event()


class _Caught:
    """Holds back an answer of status 200 that is small enough to be kept; all else is sent as it comes."""

    def __init__(self, send: Send) -> None:
        self._send = send
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

    def answer(self, scope: Scope) -> Answer | None:
        """What was held back, with a name by which a client can ask whether it is still the same."""
        if self._start is None or self._body is None:
            return None
        etag = b'"' + hashlib.blake2b(self._body["body"], digest_size=12).hexdigest().encode() + b'"'
        headers = [
            (name, value) for name, value in self._start["headers"] if name not in (b"cache-control", b"vary")
        ]
        headers += [(b"etag", etag), (b"cache-control", b"no-cache"), (b"vary", b"Accept")]
        return Answer({**self._start, "headers": headers}, self._body, etag, scope["route"].path_format)


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


async def _send(answer: Answer, if_none_match: bytes, send: Send) -> int:
    if if_none_match and answer.etag in if_none_match:
        headers = [pair for pair in answer.start["headers"] if not pair[0].startswith(b"content-")]
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return 304
    await send(answer.start)
    await send(answer.body)
    return 200


def _moves(query: bytes) -> bool:
    """Whether a range is given relative to now."""
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return any(name in _BOUNDS and value.startswith(("-", "now")) for name, value in given)
