"""Posts to webhooks and Alertmanagers."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from tailmetrics.errors import NotificationError
from tailmetrics.objectives.alerts.alert import Alert, AlertKind
from tailmetrics.objectives.definitions import Receiver
from tailmetrics.objectives.notifications import secrets, templates
from tailmetrics.objectives.notifications.message import SOURCE_KINDS, Message, address, rfc3339
from tailmetrics.objectives.notifications.outbox import Outcome

TIMEOUT_SECONDS: Final = 10.0  # of a whole post
REPEATED_EVERY: Final = timedelta(minutes=1)  # what fires, to an Alertmanager
_EXPIRES_AFTER = timedelta(minutes=5)  # there, unless it is told again
# The receiver does not take this very message. Others say that the address or the key is wrong, or wait.
_REFUSALS = frozenset({400, 413, 414, 415, 422})
_SHOWN_BYTES = 300  # of an answer that is an error
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # which errors write otherwise than it was found
_ALERT_NAMES: Final[dict[AlertKind, str]] = {
    "burn_rate": "ErrorBudgetBurn",
    "silent": "CustomerSilent",
    "latency": "CustomerLatency",
    "lag": "SourceLag",
    "rejects": "SourceRejects",
}


def new_client() -> httpx.AsyncClient:
    """A client that keeps to the proxies and certificates of the environment, and follows no redirect."""
    return httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False)


async def post_message(client: httpx.AsyncClient, receiver: Receiver, message: Message) -> Outcome:
    """Send a message to a webhook."""
    try:
        body, media_type = templates.body(receiver.template or "json", message)
    except NotificationError as error:
        return Outcome("failed", str(error))
    headers = {"Content-Type": media_type, "Idempotency-Key": message.id}
    return await _post(client, receiver, "", body, headers)


async def post_alerts(client: httpx.AsyncClient, receiver: Receiver, alerts: Sequence[Any]) -> Outcome:
    """Send alerts, as `alertmanager_alert` makes them, to an Alertmanager."""
    body = json.dumps(alerts, ensure_ascii=False).encode()
    return await _post(client, receiver, "/api/v2/alerts", body, {"Content-Type": templates.JSON_TYPE})


def alertmanager_alert(alert: Alert, external_url: str | None, ends_at: datetime) -> dict[str, Any]:
    """An alert as version 2 of the Alertmanager's API takes it; the labels tell it apart from others."""
    labels = {
        "alertname": _ALERT_NAMES[alert.kind],
        "source" if alert.kind in SOURCE_KINDS else "customer": alert.subject,
        "severity": alert.severity,
    }
    if alert.kind == "burn_rate":
        labels |= {"objective": alert.name, "rule": f"burn rate {alert.limit:g}"}
    else:
        labels["rule"] = alert.name
    return {
        "labels": labels,
        "annotations": {"summary": alert.summary},
        "startsAt": rfc3339(alert.started_at or alert.since),
        "endsAt": rfc3339(ends_at),
        "generatorURL": address(external_url, alert) or "",
    }


def expiry(now: datetime) -> datetime:
    """When an Alertmanager takes what fires for resolved if it is told no more."""
    return now + _EXPIRES_AFTER


async def _post(
    client: httpx.AsyncClient, receiver: Receiver, path: str, body: bytes, headers: Mapping[str, str]
) -> Outcome:
    hidden: list[str | None] = []
    try:
        url = receiver.url or secrets.read(receiver, "url") or ""
        header = secrets.read(receiver, "header")
        hidden += [None if receiver.url else url, header]
        if header is not None:
            headers = {**headers, **_header(header)}
        url, mark, query = url.partition("?")
        if not url.endswith(path):
            url = url.rstrip("/") + path
        url += mark + query
        return await asyncio.wait_for(_answer(client, url, body, headers, hidden), TIMEOUT_SECONDS)
    except NotificationError as error:
        return Outcome("failed", str(error))
    except (asyncio.TimeoutError, httpx.TimeoutException):
        return Outcome("failed", f"no answer within {TIMEOUT_SECONDS:g} seconds")
    except httpx.InvalidURL:  # which quotes what it found in place of a port: a part of a password
        return Outcome("failed", "found an address of another form, expected one such as https://HOST/PATH")
    except (httpx.HTTPError, ValueError) as error:
        return Outcome("failed", secrets.hidden(_reason(error), hidden))


async def _answer(
    client: httpx.AsyncClient,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    hidden: Sequence[str | None],
) -> Outcome:
    async with client.stream("POST", url, content=body, headers=headers) as response:
        if response.is_success:
            return Outcome("delivered")
        shown = b""
        async for piece in response.aiter_bytes():
            shown += piece
            if len(shown) >= _SHOWN_BYTES:
                break
    said = secrets.hidden(shown[:_SHOWN_BYTES].decode(errors="replace"), hidden)
    error = f"answered {response.status_code} {response.reason_phrase}".strip()
    if response.is_redirect:
        error += ", a redirect, which is not followed: set the address where it leads"
    elif said:
        error += f": {said}"
    return Outcome("refused" if response.status_code in _REFUSALS else "failed", error)


def _reason(error: BaseException) -> str:
    """What the system said, where it is behind an error that says only that all attempts failed."""
    said, cause = str(error) or type(error).__name__, error.__cause__ or error.__context__
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio writes an address into it, in place of the reason.
            is_asyncios = cause.strerror.startswith("Connect call failed")
            said = os.strerror(cause.errno or 0) if is_asyncios else cause.strerror
        cause = cause.__cause__ or cause.__context__
    return said


def _header(text: str) -> dict[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not value.strip() or _CONTROL.search(text):
        raise NotificationError(
            "found a header of another form, expected one line such as Authorization: Bearer …"
        )
    return {name.strip(): value.strip()}
