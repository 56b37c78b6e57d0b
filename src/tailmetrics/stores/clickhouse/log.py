"""The log of commits: entries by number, of which each is written by the first who claims it.

That is what makes commits follow one another without transactions: whoever claims the next number knows what
all before it left, as nobody else can have come between. An insert with a token that was used before changes
nothing, so of all who insert an entry of one number one gets it, and the others read whose it is.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from typing import Any, Final

import polars as pl

from tailmetrics.errors import StoreUnavailable
from tailmetrics.sources import MESSAGES_NODE, Checkpoint, Source
from tailmetrics.stores.clickhouse.connection import Connection, listed, quoted
from tailmetrics.stores.clickhouse.schema import IS_OLD_REPORT, IS_REJECT
from tailmetrics.windows import from_us, to_us

_MOST_PLACES = 200_000  # of sources, in memory
_IDS_AT_ONCE = 5_000  # that one statement names
_REMEMBERED_SECONDS = 30.0  # far less than the server takes to forget the tokens of 10,000 inserts
_CLOCKS_APART = 1000  # entries between two whose times on two servers may be the wrong way round
KEPT_ENTRIES: Final = 10_000  # behind the last one, for those who ask what changed

_SCHEMA: dict[str, pl.DataType] = {
    "source_id": pl.String(),
    "entry": pl.UInt64(),
    "number": pl.UInt64(),
    "writer": pl.String(),
    "attempt": pl.String(),
    "undoes": pl.UInt64(),
    "is_done": pl.UInt8(),
    "records": pl.Int64(),
    "rejects": pl.Int64(),
    "kept_rejects": pl.Int64(),
    "blanks": pl.Int64(),
    "all_records": pl.Int64(),
    "all_rejects": pl.Int64(),
    "all_blanks": pl.Int64(),
    "spans": pl.String(),
    "is_gone": pl.UInt8(),
    "node_id": pl.String(),
    "source": pl.String(),
    "before": pl.String(),
}
_NOTHING = {name: "" if kind == pl.String else 0 for name, kind in _SCHEMA.items()}
SOURCES = "SELECT source_id, number, writer, is_gone, node_id, source, before FROM log WHERE entry = 0"
LATEST = "ORDER BY source_id, number DESC LIMIT 1 BY source_id"

STATE = (
    "SELECT number, all_records, all_rejects, all_blanks FROM log WHERE source_id = '' "
    "ORDER BY source_id DESC, entry DESC LIMIT 1"
)
# Entries whose records may not be all there, with their ages.
PENDING = (
    "SELECT number, writer, records, rejects, kept_rejects, blanks, spans, "
    "toUnixTimestamp64Micro(now64(6)) - written_us, source FROM log WHERE source_id = '' AND is_done = 0 "
    "AND number NOT IN (SELECT number FROM done) "
    "AND number NOT IN (SELECT undoes FROM log WHERE source_id = '' AND undoes > 0) ORDER BY number"
)


@dataclass(frozen=True, slots=True)
class State:
    """The last entry's number, and what all entries up to it come to."""

    number: int = 0
    records: int = 0
    rejects: int = 0
    blanks: int = 0


@dataclass(frozen=True, slots=True)
class Expired:
    """Rejects that an entry deletes: those seen before a time, of commits below a number."""

    seen_us: int
    commit: int

    @property
    def where(self) -> str:
        return f"{IS_REJECT} AND seen_us < {self.seen_us} AND commit < {self.commit}"


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry of which it is not known that its records are all there, or what it deletes is gone."""

    number: int
    writer: str
    records: int
    rejects: int
    kept_rejects: int
    blanks: int
    spans: str
    age_us: int
    source: str

    @property
    def expired(self) -> Expired | None:
        return Expired(**json.loads(self.source)) if self.source else None


@dataclass(frozen=True, slots=True)
class Place:
    """A source as the entry of a number left it, and as it was before that."""

    source: Source
    number: int
    writer: str
    before: Source | None = None
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be committed: numbers of lines, the times that they touch, sources as they are then.

    Without records and rejects to come, or to be deleted, it is done at once.
    """

    records: int = 0
    rejects: int = 0
    kept_rejects: int = 0
    blanks: int = 0
    spans: str = ""
    undoes: int = 0
    expired: Expired | None = None
    places: Sequence[Place] = ()

    @property
    def is_done(self) -> bool:
        return self.records <= 0 and not self.kept_rejects and self.expired is None


class Log:
    """The log as one writer sees it, who remembers what it left behind its own last entry."""

    def __init__(self, connection: Connection, writer: str) -> None:
        self.writer = writer
        self.is_behind = False  # whether an entry of this writer may be pending
        self._connection = connection
        self._state: State | None = None
        self._state_at = 0.0
        self._places: dict[str, Place | None] = {}

    @property
    def state(self) -> State:
        if self._state is None:
            self._state_at = time.monotonic()
            rows = self._connection.rows(STATE)
            self._state = State(*rows[0]) if rows else State()
        return self._state

    def reread(self) -> None:
        """Forget what is remembered: somebody else may have written."""
        self._state, self._places = None, {}

    def _is_old(self) -> bool:
        """Whether what is remembered is of so long ago that the server may have forgotten the next token."""
        return self._state is not None and time.monotonic() - self._state_at > _REMEMBERED_SECONDS

    def places(self, source_ids: Iterable[str]) -> Mapping[str, Place | None]:
        """Sources by their ids, None for those that are not known.

        They are read behind `state`: if the next entry can be claimed, nobody has moved them since.
        """
        wanted = list(dict.fromkeys(source_ids))
        if self._is_old():
            self.reread()
        if len(self._places) + len(wanted) > _MOST_PLACES:
            self._places.clear()
        if unknown := [source_id for source_id in wanted if source_id not in self._places]:
            _ = self.state
            for begin in range(0, len(unknown), _IDS_AT_ONCE):
                part = unknown[begin : begin + _IDS_AT_ONCE]
                found = self._read(f"{SOURCES} AND source_id IN ({listed(part)}) {LATEST}")
                self._places.update(dict.fromkeys(part))
                self._places.update({place.source.source_id: place for place in found})
        return {source_id: self._places[source_id] for source_id in wanted}

    def of_node(self, node_id: str | None) -> Sequence[Place]:
        """All sources of a node; of files of all nodes for None."""
        if node_id is None:
            return self._known(f"NOT startsWith(node_id, {quoted(MESSAGES_NODE)})")
        return self._known(f"node_id = {quoted(node_id)}")

    def of_all(self) -> Sequence[Place]:
        """All sources there are."""
        return self._known("1")

    def _known(self, where: str) -> Sequence[Place]:
        return [place for place in self._read(f"{SOURCES} AND {where} {LATEST}") if not place.is_gone]

    def moved_by(self, number: int) -> Sequence[Place]:
        """Sources that the entry of a number was the last to move."""
        ids = f"SELECT source_id FROM log WHERE entry = 0 AND number = {number}"
        return [
            place
            for place in self._read(f"{SOURCES} AND source_id IN ({ids}) {LATEST}")
            if place.number == number
        ]

    def pending(self) -> Sequence[Pending]:
        return [Pending(*row) for row in self._connection.rows(PENDING)]

    def first_pending(self) -> int:
        """The number below which no entry is pending that is told by its rows, and has to keep them."""
        self.reread()
        last = self.state.number
        return min([last + 1, *(entry.number for entry in self.pending() if entry.expired is None)])

    def claim(self, entry: Entry) -> int | None:
        """Write the entry behind `state`; its number, or None when others were, or may have been, quicker.

        After an error nothing is known of it, but that it is whole or not there.
        """
        if self._is_old():
            self.reread()
            return None
        state, attempt = self.state, secrets.token_hex(8)
        after = State(
            state.number + 1,
            state.records + entry.records,
            state.rejects + entry.rejects,
            state.blanks + entry.blanks,
        )
        rows = self._rows(entry, after, attempt)
        places, was_behind = self._places, self.is_behind
        self._state, self._places, self.is_behind = None, {}, True
        began = time.monotonic()
        is_ours = self._insert(rows, after.number, attempt)
        # Whose the entry is that came first is not known: it may be an earlier attempt of this writer.
        self.is_behind = was_behind or not is_ours or not entry.is_done
        if not is_ours:
            return None
        moved = [replace(place, number=after.number, writer=self.writer) for place in entry.places]
        places.update({place.source.source_id: place for place in moved})
        self._state, self._state_at, self._places = after, began, places
        return after.number

    def done(self, number: int) -> None:
        """The records of an entry are all there."""
        rows = pl.DataFrame({"number": [number]}, {"number": pl.UInt64()})
        self._connection.insert("done", rows, str(number))

    def delete_expired(self, number: int, expired: Expired) -> None:
        """Delete what an entry says is expired, again if somebody did before; with that it is done."""
        self._connection.delete("rejects", expired.where)
        self.done(number)

    def trim(self) -> None:
        """Delete old reports; old entries, and sources that are gone, below all that is pending."""
        if self._connection.rows(f"SELECT 1 FROM reports WHERE {IS_OLD_REPORT} LIMIT 1"):
            self._connection.delete("reports", IS_OLD_REPORT)
        below = min([self.state.number - KEPT_ENTRIES, *(entry.number for entry in self.pending())])
        if below <= 0:
            return
        gone = f"SELECT source_id FROM log WHERE entry = 0 AND number < {below}"
        gone += " GROUP BY source_id HAVING argMax(is_gone, number) = 1"
        run = self._connection.run
        run(f"DELETE FROM log WHERE entry = 0 AND number < {below} AND source_id IN ({gone})")
        run(f"DELETE FROM log WHERE source_id = '' AND entry < {below}")
        run(f"DELETE FROM done WHERE number < {below}")

    def _insert(self, rows: pl.DataFrame, number: int, attempt: str) -> bool:
        later = f"SELECT min(written_us) FROM log WHERE source_id = '' AND entry > {number + _CLOCKS_APART}"
        whose = (
            f"SELECT attempt, written_us, ({later}) FROM log WHERE source_id = '' AND entry = {number} "
            "ORDER BY written_us"
        )
        found = self._connection.insert_first("log", rows, str(number), whose)
        if found is None:
            raise StoreUnavailable(f"{self._connection.address}: entry {number} of its log cannot be written")
        return self._is_claim(found, number, attempt)

    def _is_claim(self, found: Sequence[tuple[str, int, int | None]], number: int, attempt: str) -> bool:
        """Whether an attempt got its entry, whose rows these are; one that came too late is deleted.

        It is too late when the server had forgotten that others got the entry, and wrote it a second time.
        """
        mine = next((row for row in found if row[0] == attempt), None)
        if mine is None:
            return False
        _, written_us, later_us = mine
        if mine is found[0] and not (later_us and later_us < written_us):
            return True
        self._connection.delete("log", f"number = {number} AND attempt = {quoted(attempt)}")
        return False

    def _rows(self, entry: Entry, after: State, attempt: str) -> pl.DataFrame:
        number = after.number
        common = {**_NOTHING, "number": number, "writer": self.writer, "attempt": attempt}
        commit = {
            **common,
            "entry": number,
            "undoes": entry.undoes,
            "is_done": int(entry.is_done),
            "records": entry.records,
            "rejects": entry.rejects,
            "kept_rejects": entry.kept_rejects,
            "blanks": entry.blanks,
            "all_records": after.records,
            "all_rejects": after.rejects,
            "all_blanks": after.blanks,
            "spans": entry.spans,
            "source": "" if entry.expired is None else json.dumps(asdict(entry.expired)),
        }
        sources = [
            {
                **common,
                "source_id": place.source.source_id,
                "is_gone": int(place.is_gone),
                "node_id": place.source.node_id,
                "source": text_of(place.source),
                "before": "" if place.before is None else text_of(place.before),
            }
            for place in entry.places
        ]
        return pl.DataFrame([commit, *sources], _SCHEMA)

    def _read(self, sql: str) -> list[Place]:
        return [place_of_row(row) for row in self._connection.rows(sql)]


def place_of_row(row: tuple[Any, ...]) -> Place:
    """The place in a row of SOURCES."""
    source_id, number, writer, is_gone, node_id, source, before = row
    was = source_of(source_id, node_id, before) if before else None
    return Place(source_of(source_id, node_id, source), number, writer, was, bool(is_gone))


def text_of(source: Source) -> str:
    """What is kept of a source beside its id and node."""
    said = _fields_of(source)  # not asdict, which copies times at length: each commit says many sources
    del said["source_id"], said["node_id"]
    for name in ("committed_at", "followed_since"):
        said[name] = None if said[name] is None else to_us(said[name])
    return json.dumps({**said, "checkpoint": _fields_of(source.checkpoint)}, separators=(",", ":"))


def _fields_of(of: Source | Checkpoint) -> dict[str, Any]:
    return {each.name: getattr(of, each.name) for each in fields(of)}


def source_of(source_id: str, node_id: str, text: str) -> Source:
    """The source of `text_of`."""
    said = json.loads(text)
    for name in ("committed_at", "followed_since"):
        said[name] = None if said[name] is None else from_us(said[name])
    return Source(source_id, node_id, **{**said, "checkpoint": Checkpoint(**said["checkpoint"])})


def now() -> datetime:
    return datetime.now(timezone.utc)
