"""Which times were written to since a mark, from the journal that commits write for summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from tailmetrics.stores.base import Changes
from tailmetrics.stores.sql.schema import journal, store
from tailmetrics.stores.summaries.manifest import spans_of_text

if TYPE_CHECKING:
    from tailmetrics.stores.sql.queries import Queries


async def changes(queries: Queries, mark: str | None) -> Changes:
    """A mark is the number of a commit, with the store that it is of.

    The journal loses its oldest entries, a minute or longer after a manifest included them: nobody knows any
    more when there is none up to the first commit behind the mark.
    """
    [(store_id, commits)] = await queries.fetch(sa.select(store.c.store_id, store.c.commits))
    now = f"{store_id}-{commits}"
    if mark == now:
        return Changes(now, ())
    before, _, number = (mark or "").rpartition("-")
    if before != store_id or not number.isdecimal() or int(number) > commits:
        return Changes(now, None)
    place = int(number)
    oldest = (await queries.fetch(sa.select(sa.func.min(journal.c.place))))[0][0]
    if oldest is None or oldest > place + 1:
        return Changes(now, None)
    touched = sa.select(journal.c.spans).where(journal.c.place > place).order_by(journal.c.place)
    spans = [span for (text,) in await queries.fetch(touched) for span in spans_of_text(text)]
    return Changes(now, tuple(spans))
