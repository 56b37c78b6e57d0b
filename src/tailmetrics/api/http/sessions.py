"""Sessions: what a browser holds instead of the key, as its stream of events cannot send a header.

A session is its end and a signature by the key, so that any process with the same key knows it, and a new
key ends them all, as does a key's removal.
"""

from __future__ import annotations

import hashlib
import hmac
import time

COOKIE = "tailmetrics_session"
MARK = "tailmetrics_signed_in"  # a cookie beside it, without a secret, by which a page knows of it
SESSION_SECONDS = 12 * 3600


def new_session(key: str, now: float | None = None) -> str:
    """A session that begins now."""
    ends = int((time.time() if now is None else now) + SESSION_SECONDS)
    return f"{ends}.{_signature(key, ends)}"


def is_session(key: str, session: str, now: float | None = None) -> bool:
    """Whether `session` was made with this key and has not ended."""
    text, _, signature = session.partition(".")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        return False
    ends = int(text)
    genuine = hmac.compare_digest(signature.encode(), _signature(key, ends).encode())
    return genuine and ends > (time.time() if now is None else now)


def end_of(session: str) -> int:
    """When a genuine session ends, in seconds since 1970."""
    return int(session.partition(".")[0])


def _signature(key: str, ends: int) -> str:
    return hmac.new(key.encode(), f"tailmetrics session {ends}".encode(), hashlib.sha256).hexdigest()
