"""Under which names, and from whose pages, may be asked.

A service on loopback is within reach of every web page that a browser on the same machine shows. The Host
check keeps out names that were made to point here (DNS rebinding); the Origin check keeps the forms and
scripts of other pages from changing anything. Who may ask at all is told in access.py.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tailmetrics.api.http.problems import problem_response
from tailmetrics.urls import ANY_ADDRESS, is_loopback

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CHANGES = "only pages of this service may change something"
_OWN_FETCH_SITES = frozenset({"same-origin", "none"})  # none: typed by the user


class Guard:
    """Refuses requests for hosts that are not ours, and changes that pages of other origins ask for.

    `names` are ours beside those of the loopback. `host` is what is listened on: where other machines reach
    it, every IP address is ours, as nobody can have one point elsewhere as a name.
    """

    def __init__(self, app: ASGIApp, host: str, names: Sequence[str]) -> None:
        self._app = app
        self._names = _LOOPBACK_NAMES | {_bare(name) for name in (host, *names)} - ANY_ADDRESS.keys()
        self._takes_addresses = not is_loopback(_bare(host))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if len(hosts := headers.getlist("host")) > 1:
                detail = f"Host: found {len(hosts)} of them, expected one"
                await problem_response(scope["path"], 400, detail)(scope, receive, send)
                return
            refusal = self._refusal(scope["method"], headers)
            if refusal is not None:
                response = problem_response(scope["path"], 403, refusal, kind="refused", title="Refused")
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if not self._is_ours(_address(host)[0]):
            addresses = " or any IP address" if self._takes_addresses else ""
            return (
                f"Host: found {host!r}, expected one of {', '.join(sorted(self._names))}{addresses}; "
                "further names go into the setting API_ALLOWED_HOSTS"
            )
        if method in READING_METHODS:
            return None
        origin = headers.get("origin")
        if origin is not None and not _same_origin(origin, host):
            return f"Origin: found {origin!r}, expected the service's own: {_CHANGES}"
        site = headers.get("sec-fetch-site")
        if site is not None and site not in _OWN_FETCH_SITES:
            return f"Sec-Fetch-Site: found {site!r}, expected same-origin: {_CHANGES}"
        return None

    def _is_ours(self, name: str | None) -> bool:
        if name in self._names:
            return True
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(name or "")
            # 0.0.0.0 leads to the loopback, as 127.0.0.1 does.
            return address.is_unspecified or self._takes_addresses
        return False


def _bare(name: str) -> str:
    """A host name as it is compared: lower case, without brackets or the dot of the root."""
    return name.strip().lower().removeprefix("[").removesuffix("]").removesuffix(".")


def _address(host: str, scheme: str = "http") -> tuple[str | None, int | None]:
    """Name and port of a Host header or of an origin's authority; no name when it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return None, None
    if parts.hostname is None or parts.netloc != host or "@" in host:
        return None, None
    return _bare(parts.hostname), port or _DEFAULT_PORTS.get(scheme)


def _same_origin(origin: str, host: str) -> bool:
    scheme, separator, authority = origin.partition("://")
    if not separator or scheme not in _DEFAULT_PORTS:
        return False
    address = _address(authority, scheme)
    return address[0] is not None and address == _address(host, scheme)
