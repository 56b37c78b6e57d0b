"""Who has a status page, kept in the store: of a token only its hash, as of a password.

A token is random and long, so that a plain hash of it cannot be guessed from.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from tailmetrics.errors import QueryError
from tailmetrics.stats import Failures
from tailmetrics.stores.base import Notes
from tailmetrics.stores.kept_lists import KeptList

STATUS_PAGES: Final = "status_pages"  # the name of their note
MOST_STATUS_PAGES: Final = 10_000
_TOKEN_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class StatusPage:
    """A customer's page: days begin in `tz`, and `failures` says which statuses failed."""

    id: str
    customer_id: str
    token_hash: str
    created_at: datetime
    failures: Failures
    tz: str


@dataclass(frozen=True, slots=True)
class _Kept:
    pages: tuple[StatusPage, ...] = ()
    version: Literal[1] = 1


_LIST: Final = KeptList[StatusPage](STATUS_PAGES, _Kept, "pages", "status pages")


async def status_pages(store: Notes) -> tuple[StatusPage, ...]:
    """All that are not revoked, the oldest first. Raises StoreError."""
    return await _LIST.items(store)


async def page_of_token(store: Notes, token: str) -> StatusPage | None:
    """None for a token that was never made, and for one that was revoked. Raises StoreError."""
    asked = _hash(token)
    return next((each for each in await status_pages(store) if each.token_hash == asked), None)


async def add_status_page(
    store: Notes, customer_id: str, failures: Failures, tz: str, now: datetime
) -> tuple[StatusPage, str]:
    """A new page and its token, which nobody is told again. Raises QueryError when there are too many."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    page = StatusPage(secrets.token_hex(4), customer_id, _hash(token), now, failures, tz)

    def added(known: tuple[StatusPage, ...]) -> tuple[StatusPage, ...]:
        if len(known) >= MOST_STATUS_PAGES:
            raise QueryError("customer", customer_id, f"at most {MOST_STATUS_PAGES:,} pages; revoke some")
        return (*known, page)

    await _LIST.change(store, added)
    return page, token


async def revoke_status_page(store: Notes, page_id: str) -> StatusPage | None:
    """What is no page any more; None when there was none of that id. Raises StoreError."""
    found = next((each for each in await status_pages(store) if each.id == page_id), None)
    if found is not None:
        await _LIST.change(store, lambda known: tuple(each for each in known if each.id != page_id))
    return found


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
