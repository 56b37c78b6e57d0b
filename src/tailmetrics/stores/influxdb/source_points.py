"""Sources in InfluxDB: one point each, written over with every commit, in the bucket that never expires."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tailmetrics.sources import Checkpoint, Source, fingerprint
from tailmetrics.stores.influxdb.line_protocol import point
from tailmetrics.stores.influxdb.record_points import BASE_JITTER, BASE_STEP, Progress
from tailmetrics.windows import from_us, to_us

MOST_LANES = 64  # of a node: sources beside each other beyond this share one, far apart in their slots
_FIRST_COMMIT_BELOW = 2**40  # so that the sum of many fits in 64 bits
_ACTIVE_SECONDS = 600.0  # a source that was committed to so recently may go on

# What the point of a source holds of it, besides its checkpoint and progress; times are microseconds.
_SOURCE = ("node_id", "device", "inode", "epoch", "path")
_TIMES = ("committed_at", "followed_since")
_LANE = ("lane", "base", "family", "holder")
_COUNTS = ("records", "rejects", "blanks", "commits")


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A source with all that its point holds.

    `lane` and `base` are where its lines lie (see record_points), `family` the name it was registered
    under. `records`, `rejects` and `blanks` count lines since its beginning, `commits` the changes.
    """

    source: Source
    lane: int
    base: int
    family: str
    progress: Progress = field(default_factory=Progress)
    records: int = 0
    rejects: int = 0
    blanks: int = 0
    commits: int = 0
    holder: str = ""

    @property
    def lane_name(self) -> str:
        return f"{node_tag(self.source.node_id)}-{self.lane}"


def node_tag(node_id: str) -> str:
    """A short name for a node: names of hosts are long, and each point has it."""
    return fingerprint(node_id.encode())[:8]


def line_of(stored: StoredSource) -> str:
    """The point of a source. Whole in one field, so that no reader sees a half of it."""
    source = stored.source
    state = {
        **{name: getattr(source, name) for name in _SOURCE},
        **asdict(source.checkpoint),
        **{name: None if (time := getattr(source, name)) is None else to_us(time) for name in _TIMES},
        **{name: getattr(stored, name) for name in (*_LANE, *_COUNTS)},
        "progress": asdict(stored.progress),
    }
    counts = {name: state[name] for name in _COUNTS}
    tags = {"node": node_tag(source.node_id), "source": source.source_id}
    return point("source", tags, {"state": json.dumps(state), **counts}, 0)


def stored_source(source_id: str, text: str) -> StoredSource:
    """A source from the `state` of its point."""
    state: dict[str, Any] = json.loads(text)
    times: dict[str, Any] = {name: None if state[name] is None else from_us(state[name]) for name in _TIMES}
    return StoredSource(
        Source(
            source_id,
            **{name: state[name] for name in _SOURCE},
            checkpoint=Checkpoint(**{each.name: state[each.name] for each in fields(Checkpoint)}),
            **times,
        ),
        **{name: state[name] for name in (*_LANE, *_COUNTS)},
        progress=Progress(**state["progress"]),
    )


def assign_lanes(new: Sequence[Source], known: Iterable[StoredSource], now_us: int) -> list[StoredSource]:
    """New sources of one node, each with a lane and the base of its lines in it.

    A file goes on in the lane of the one whose name it has taken over. Others get the first lane in which
    nothing goes on, so that sources beside each other have lanes of their own.
    """
    last_in_lane: dict[int, StoredSource] = {}
    lane_of_family: dict[str, StoredSource] = {}
    busy: set[int] = set()
    for stored in known:
        last = last_in_lane.get(stored.lane)
        if last is None or stored.base > last.base:
            last_in_lane[stored.lane] = stored
        of_family = lane_of_family.get(stored.family)
        if of_family is None or stored.base > of_family.base:
            lane_of_family[stored.family] = stored
        committed_at = stored.source.committed_at
        if committed_at is not None and now_us - to_us(committed_at) < _ACTIVE_SECONDS * 1_000_000:
            busy.add(stored.lane)
    assigned = []
    for source in new:
        family = lane_of_family.get(source.path)
        free = (lane for lane in range(MOST_LANES) if lane not in busy)
        lane = family.lane if family is not None else next(free, _hash(source.source_id) % MOST_LANES)
        last = last_in_lane.get(lane)
        # Two processes that register at the same moment do not see each other: their bases differ.
        jitter = _hash(source.source_id) % BASE_JITTER
        base = jitter if last is None else last.base + last.progress.lines + BASE_STEP + jitter
        stored = StoredSource(source, lane, base, source.path)
        assigned.append(stored)
        last_in_lane[lane] = lane_of_family[source.path] = stored
        busy.add(lane)
    return assigned


def registered(stored: StoredSource, **changes: Any) -> StoredSource:
    """The source after the commit that makes it known.

    All counts of commits, added up, are in the version of the store, and a source that takes the place of one
    that was forgotten must not bring an older sum back: each begins to count somewhere else.
    """
    first = _hash(stored.source.source_id) % _FIRST_COMMIT_BELOW
    return replace(stored, commits=first, **changes)


def committed(stored: StoredSource, **changes: Any) -> StoredSource:
    """The source after one more commit."""
    return replace(stored, commits=stored.commits + 1, **changes)


def _hash(source_id: str) -> int:
    return int(fingerprint(source_id.encode())[:12], 16)
