"""Who may read, and who may change something: by a key, by a session that was begun with one, or by a proxy.

All that is not listed here as open needs one of them, so that a new route is never open by oversight. What
is kept by the cache is asked for before it is sent, all else behind the checks of host and body.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailmetrics.api.http.guard import READING_METHODS
from tailmetrics.api.http.keyring import LOOK_SECONDS, Keyring
from tailmetrics.api.http.problems import problem_response
from tailmetrics.api.http.sessions import COOKIE, end_of
from tailmetrics.api.http.wrong_keys import WrongKeys
from tailmetrics.settings import Settings
from tailmetrics.settings.keys import Key, Role
from tailmetrics.telemetry.log import EventLog

log = EventLog()

# What shows nothing of what was logged, nor of where; /ready says less to somebody without a key.
OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/health", "/serving", "/ready"})
OPEN_FOLDERS = ("/static/", "/status/")  # a status page has its own key in its address
# Lines may hold more than was counted of them: with any key set one is needed to read them.
_ENDING_OF_LINES = "/requests"
SESSION_PATHS = frozenset({"/session", "/session/end"})

KEY_HEADER = "X-API-Key"
CHALLENGE = f'ApiKey realm="tailmetrics", header="{KEY_HEADER}", Bearer realm="tailmetrics"'
_CREDENTIALS = frozenset({b"x-api-key", b"authorization", b"cookie"})
IDENTITY = "tailmetrics.identity"  # where a scope has it


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: what they may do, the name of their key, and of the user that a proxy knows."""

    role: Role
    key: str | None = None
    user: str | None = None

    def names(self) -> dict[str, str]:
        """What is known of them, for the log."""
        return {name: each for name, each in (("key", self.key), ("user", self.user)) if each is not None}


class Access:
    """Tells who asks. Raises SettingsError when a file of keys cannot be read."""

    def __init__(self, settings: Settings) -> None:
        self.keyring = Keyring(settings)
        self._wrong_keys = WrongKeys()
        self._user_header = settings.api_trusted_user_header.lower().encode()
        self._proxies = [ipaddress.ip_network(each, strict=False) for each in settings.api_trusted_proxies]
        roles = {each.role for each in self.keyring.settings}
        self.guards_reading = Role.READER in roles or bool(self._user_header)
        self.guards_changes = bool(roles) or self.guards_reading

    def needed(self, method: str, path: str) -> Role | None:
        """What somebody must be allowed to who asks for this; None: nothing."""
        if path in SESSION_PATHS:
            return None
        if method not in READING_METHODS:
            return Role.WRITER if self.guards_changes else None
        if self.guards_changes and path.rstrip("/").endswith(_ENDING_OF_LINES):
            return Role.READER
        if not self.guards_reading or path in OPEN_PATHS or path.startswith(OPEN_FOLDERS):
            return None
        return Role.READER

    def may_read(self, scope: Scope) -> bool:
        """Whether somebody may see what needs a reader's key, if there is such a thing."""
        if not self.guards_reading:
            return True
        header = _only_credential(scope)
        if header is not None and self.keyring.remembers(header) and not self._wait_seconds(scope):
            return True
        identity = self.who(scope)
        if identity is not None and identity.key is not None and header is not None:
            session = self._shown(scope).session if header[0] == b"cookie" else None
            self.keyring.remember(header, math.inf if session is None else end_of(session))
        return identity is not None

    def who(self, scope: Scope) -> Identity | None:
        """Who asks, None when nobody can tell."""
        shown = self._shown(scope)
        found = [] if shown.session is None else [self.keyring.of_session(shown.session)]
        if shown.key is not None and not self._wait_seconds(scope):
            found.append(self.keyring.find(shown.key))
        keys = [key for key in found if key is not None]
        if keys:
            best = max(keys, key=lambda key: key.role)
            return Identity(best.role, best.name, shown.user)
        if shown.user is not None:
            return Identity(Role.READER, user=shown.user)
        if shown.key is not None:
            self._wrong_keys.add(self._client(scope), shown.key)
        return None

    def refusal(self, scope: Scope, needed: Role) -> Response | None:
        """What is answered to somebody who may not do it; None when they may."""
        wait = self._wait_seconds(scope)
        identity = scope[IDENTITY] = self.who(scope)
        path = scope["path"]
        if identity is not None and identity.role >= needed:
            return None
        shown = self._shown(scope)
        if wait and shown.key is not None:
            return limited_response(path, wait)
        if identity is not None:
            detail = f"found {_name_of(identity)}, which may only read, expected {self._expected(needed)}"
            return problem_response(path, 403, detail, kind="refused", title="Refused")
        detail = f"{KEY_HEADER}: found {shown.text}, expected {self._expected(needed)}"
        return problem_response(path, 401, detail, headers={"WWW-Authenticate": CHALLENGE})

    def sign_in(self, given: bytes, scope: Scope) -> Key | float | None:
        """The key of a new session; None when there is none like it, seconds when the address has to wait."""
        if wait := self._wait_seconds(scope):
            return wait
        key = self.keyring.find(given)
        if key is None:
            self._wrong_keys.add(self._client(scope), given)
        return key

    def _expected(self, needed: Role) -> str:
        names = [each.name for each in self.keyring.settings if each.role >= needed]
        if not names:
            named = "API_KEY or API_KEY_FILE" if needed is Role.WRITER else "API_READ_KEY"
            return f"a key of {named}, which is not set"
        if names == ["API_KEY"]:
            return "the value of the setting API_KEY"
        return f"a key of the setting {' or '.join(names)}"

    def _shown(self, scope: Scope) -> _Shown:
        keys, bearers, cookies, users = [], [], [], []
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                keys.append(value)
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                bearers.append(value[7:].strip())
            elif name == b"cookie":
                cookies.append(value.decode("latin-1"))
            elif name == self._user_header:
                users.append(value)
        found = keys or bearers
        session = cookie_parser("; ".join(cookies)).get(COOKIE) if cookies else None
        user = None
        if len(users) == 1 and users[0] and self._is_proxy(_peer(scope)):
            user = users[0].decode("utf-8", "replace")
        return _Shown(found, session, user)

    def _wait_seconds(self, scope: Scope) -> float:
        return self._wrong_keys.wait_seconds(self._client(scope))

    def _client(self, scope: Scope) -> str:
        """The address of who asks, of those that proxies told the last that is no proxy of ours."""
        client = _peer(scope)
        if not self._proxies or not self._is_proxy(client):
            return client
        told = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        for each in reversed(",".join(told).split(",")):
            if address := each.strip():
                client = address
                if not self._is_proxy(client):
                    break
        return client

    def _is_proxy(self, address: str) -> bool:
        with contextlib.suppress(ValueError):
            ip = ipaddress.ip_address(address)
            ip = getattr(ip, "ipv4_mapped", None) or ip
            return any(ip in network for network in self._proxies)
        return False


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a request brings to show who asks."""

    keys: list[bytes]
    session: str | None
    user: str | None

    @property
    def key(self) -> bytes | None:
        return self.keys[0] if len(self.keys) == 1 else None

    @property
    def text(self) -> str:
        if self.keys:
            return "another value" if len(self.keys) == 1 else f"{len(self.keys)} of them"
        return "a session that is over" if self.session else "nothing"


class AccessMiddleware:
    """Refuses what somebody may not do, and ends streams whose reader may read no longer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        needed = self._access.needed(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if needed is None:
            await self._app(scope, receive, send)
            return
        if (refusal := self._access.refusal(scope, needed)) is not None:
            await refusal(scope, receive, send)
            return
        answer = _Answer(self._access, scope, receive, send)
        await self._app(scope, answer.receive, answer.send)
        await answer.end()


class _Answer:
    """An answer that is for its reader alone."""

    def __init__(self, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
        self._access, self._scope = access, scope
        self._receive, self._send = receive, send
        self._may_stream = scope["method"] in READING_METHODS
        self._is_stream = self._is_of_events = self._is_over = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            self._is_stream = "content-length" not in headers
            self._is_of_events = headers.get("content-type", "").startswith("text/event-stream")
            kept = headers.get("cache-control", "no-cache")
            headers["Cache-Control"] = kept if "no-store" in kept else f"private, {kept}"
        await self._send(message)

    async def receive(self) -> Message:
        """What comes of the client; of a stream whose reader may read no longer, that it has gone."""
        if not self._may_stream:
            return await self._receive()
        coming = asyncio.ensure_future(self._receive())
        try:
            while not (await asyncio.wait({coming}, timeout=LOOK_SECONDS))[0]:
                if self._is_stream and not self._access.may_read(self._scope):
                    self._is_over = True
                    names = self._scope[IDENTITY].names()
                    log.info("a stream was cut off, as its reader may read no longer", **names)
                    return {"type": "http.disconnect"}
            return coming.result()
        finally:
            coming.cancel()

    async def end(self) -> None:
        # Whoever follows events is to ask again; of records nobody may take a part for all of them.
        if self._is_over and self._is_of_events:
            await self._send({"type": "http.response.body", "body": b""})


def limited_response(path: str, seconds: float) -> Response:
    """What is answered to an address that tried many wrong keys."""
    return problem_response(
        path,
        429,
        "many wrong keys came from this address; no key of it is looked at for some seconds",
        kind="wrong-keys",
        title="Too many wrong keys",
        headers={"Retry-After": str(int(seconds) + 1)},
    )


def identity_of(request: Request) -> Identity | None:
    """Who asks, where somebody had to show it."""
    found = request.scope.get(IDENTITY)
    return found if isinstance(found, Identity) else None


def _only_credential(scope: Scope) -> tuple[bytes, bytes] | None:
    found = None
    for header in scope["headers"]:
        if header[0] in _CREDENTIALS:
            if found is not None:
                return None
            found = header
    return found if found is None else (found[0], found[1])


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _name_of(identity: Identity) -> str:
    return " of ".join(f"the {what} {name}" for what, name in identity.names().items())
