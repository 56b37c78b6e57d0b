"""What the log of commits and the rejects are asked: counts and versions, changes, pages of rejects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tailmetrics.sources import MESSAGES_NODE
from tailmetrics.stats import Reject, RejectsPage, RejectsQuery, StoreStatus
from tailmetrics.status import SourceStatus, is_alive, status_of, stored_statuses
from tailmetrics.stores.base import Changes
from tailmetrics.stores.clickhouse.log import LATEST, PENDING, SOURCES, STATE, Pending, State, place_of_row
from tailmetrics.stores.clickhouse.reader import Statements
from tailmetrics.stores.clickhouse.schema import IS_OLD_REPORT, IS_REJECT
from tailmetrics.stores.cursors import LAST, place_of
from tailmetrics.stores.results import rejects_page
from tailmetrics.stores.summaries.manifest import spans_of_text
from tailmetrics.windows import from_us


@dataclass(frozen=True, slots=True)
class _Committed:
    """The state of the log, of which some entries may not be there yet as a whole."""

    state: State
    pending: tuple[Pending, ...]

    def mark(self, store_id: str) -> str:
        """Another one with each commit, and again when the records of one are all there."""
        numbers = "".join(f".{entry.number}" for entry in self.pending)
        return f"{store_id}-{self.state.number}{numbers}"


async def status(statements: Statements, store_id: str, heard: dict[str, tuple[float, float]]) -> StoreStatus:
    """Without the sources when no processor that lives said of them; `heard` is that of `is_alive`."""
    now = await _committed(statements)
    reports = await statements.frame(
        f"SELECT processor, said_us, statuses FROM reports WHERE NOT ({IS_OLD_REPORT}) "
        "ORDER BY processor, said_us DESC LIMIT 1 BY processor"
    )
    said = tuple(
        status
        for processor, said_us, report in reports.rows()
        if is_alive(processor, said_us / 1e6, heard)
        for status in _statuses_of(report)
    )
    return StoreStatus(
        now.mark(store_id),
        now.state.records - sum(entry.records for entry in now.pending),
        now.state.rejects - sum(entry.rejects for entry in now.pending),
        now.state.blanks - sum(entry.blanks for entry in now.pending),
        said,
    )


async def stored_sources(statements: Statements) -> tuple[SourceStatus, ...]:
    """How far each file and partition is in the store, for want of a processor that says more."""
    is_listed = "NOT startsWith(node_id, {messages:String}) OR position(source, 'kafka://') > 0"
    rows = await statements.frame(f"{SOURCES} AND ({is_listed}) {LATEST}", {"messages": MESSAGES_NODE})
    places = map(place_of_row, rows.rows())
    return stored_statuses(place.source for place in places if not place.is_gone)


async def changes(statements: Statements, store_id: str, mark: str | None) -> Changes:
    """A mark is the number of the last entry, with those before it that were pending then.

    Old entries are deleted: nobody knows any more when there is none up to the first one behind the mark.
    """
    now = await _committed(statements)
    of_now = now.mark(store_id)
    if mark == of_now:
        return Changes(of_now, ())
    before, _, numbers = (mark or "").rpartition("-")
    if before != store_id or not numbers.replace(".", "").isdecimal():
        return Changes(of_now, None)
    number, *pending = map(int, numbers.split("."))
    oldest = min([number + 1, *pending])
    rows = (
        await statements.frame(
            "SELECT number, spans FROM log "
            "WHERE source_id = '' AND entry BETWEEN {oldest:UInt64} AND {last:UInt64} ORDER BY number",
            {"oldest": oldest, "last": now.state.number},
        )
    ).rows()
    if number > now.state.number or [each for each, _ in rows] != list(range(oldest, now.state.number + 1)):
        return Changes(of_now, None)
    still = {entry.number for entry in now.pending}
    spans = [
        span
        for each, text in rows
        if text and each not in still and (each > number or each in pending)
        for span in spans_of_text(text)
    ]
    return Changes(of_now, tuple(spans))


async def rejects(statements: Statements, query: RejectsQuery) -> RejectsPage:
    """Raises QueryError for a wrong cursor."""
    before = place_of("rejects", query.after, LAST)
    found = await statements.frame(
        "SELECT place, source_id, path, `offset`, reason, line, seen_us FROM rejects "
        f"WHERE {IS_REJECT} "
        "AND place < {before:UInt64} ORDER BY place DESC LIMIT {limit:UInt64}",
        {"before": before, "limit": query.limit + 1},
    )
    now = await _committed(statements)
    total = now.state.rejects - sum(entry.rejects for entry in now.pending)
    page = [
        (place, Reject(source_id, path, offset, reason, line, from_us(seen_us)))
        for place, source_id, path, offset, reason, line, seen_us in found.rows()
    ]
    return rejects_page(page, total, query.limit)


async def _committed(statements: Statements) -> _Committed:
    """What is pending is read last: an entry that is not pending is there for whoever looks from now on."""
    states = (await statements.frame(STATE)).rows()
    state = State(*states[0]) if states else State()
    pending = [Pending(*row) for row in (await statements.frame(PENDING)).rows()]
    return _Committed(state, tuple(entry for entry in pending if entry.number <= state.number))


def _statuses_of(report: str) -> tuple[SourceStatus, ...]:
    def status(said: dict[str, Any]) -> SourceStatus:
        at = said["updated_at"]
        return status_of(said, None if at is None else datetime.fromisoformat(at))

    return tuple(map(status, json.loads(report)))
