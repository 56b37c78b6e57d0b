"""Which sources are probably not read as they are meant, by a few counters a source."""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field

from tailmetrics.formats.units import IMPROBABLE_SECONDS
from tailmetrics.records import ParsedLines
from tailmetrics.sources import Batch
from tailmetrics.status import SourceWarning, detect_hint, share_of_rejects
from tailmetrics.telemetry.log import EventLog

log = EventLog()

_SLOT_SECONDS = 10
_SLOTS = 6  # make a minute
_DURATIONS = 1000  # from one look at the median to the next
_SAMPLE = 100  # of the improbable ones, of which the median is told
_REASONS = 1000  # are looked at when most lines begin to be rejects
_MOST_SOURCES = 20_000  # those that had lines last

_SETTING = "LOG_FILE_PATH says how they are read"


@dataclass(slots=True)
class _Slot:
    number: int  # since the clock's beginning
    records: int = 0
    rejects: int = 0


@dataclass(slots=True)
class _Counters:
    """Of one source. `reason` and `median` are set while there is something to warn of."""

    path: str
    hint: str  # what tells how its lines are to be read
    slots: deque[_Slot] = field(default_factory=lambda: deque(maxlen=_SLOTS))
    reason: str | None = None
    durations: int = 0
    improbable: int = 0
    sample: array[float] = field(default_factory=lambda: array("d"))
    median: float | None = None

    def lines(self) -> tuple[int, int]:
        """Records and rejects of the minute before the last line."""
        return sum(slot.records for slot in self.slots), sum(slot.rejects for slot in self.slots)


class SourceWarnings:
    """Counts batches on their way to the store, and warns of their sources. Thread-safe.

    A source is warned of whose lines of a minute are rejects by more than half, or of whose durations the
    median is above an hour. That begins with a batch and ends with one: a log that is not written to any more
    stays as it was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, _Counters] = {}  # the one that had lines last is last
        self._found: dict[str, tuple[SourceWarning, ...]] = {}
        self._reject_percents: dict[str, float] = {}

    def count(self, batch: Batch, queue: str | None = None, *, is_shipped: bool = False) -> None:
        """Note what the lines of a batch are. All messages of a `queue` are one source, by its URL.

        The path of a file that was shipped is `HOST:PATH`.
        """
        if not batch.parsed.records.height + batch.parsed.rejects.height:
            return
        key, path = (batch.source_id, batch.path) if queue is None else (queue, queue)
        with self._lock:
            is_of_messages = queue is not None or batch.partition is not None
            hint = _SETTING if is_of_messages else _hint(path, is_shipped=is_shipped)
            counters = self._counters.pop(key, None) or _Counters(path, hint)
            counters.path, counters.hint = path, hint
            self._counters[key] = counters
            _count_rejects(counters, batch.parsed)
            _count_durations(counters, batch.parsed)
            self._found.pop(key, None)
            if warnings := _warnings(counters):
                self._found[key] = warnings
            self._reject_percents.pop(key, None)
            records, rejects = counters.lines()
            if rejects:
                self._reject_percents[key] = round(100 * rejects / (records + rejects), 1)
            if len(self._counters) > _MOST_SOURCES:
                oldest = next(iter(self._counters))
                del self._counters[oldest]
                self._found.pop(oldest, None)
                self._reject_percents.pop(oldest, None)

    def found(self) -> dict[str, tuple[SourceWarning, ...]]:
        """What there is to warn of, by the id of the source, or the URL of the queue."""
        with self._lock:
            return dict(self._found)

    def reject_percents(self) -> dict[str, float]:
        """The share of rejects of the latest lines, to a tenth, where there are any; by the same keys."""
        with self._lock:
            return dict(self._reject_percents)


def _count_rejects(counters: _Counters, parsed: ParsedLines) -> None:
    now = int(time.monotonic() // _SLOT_SECONDS)
    slots = counters.slots
    while slots and slots[0].number <= now - _SLOTS:
        slots.popleft()
    if not slots or slots[-1].number != now:
        slots.append(_Slot(now))
    slots[-1].records += parsed.records.height
    slots[-1].rejects += parsed.rejects.height
    records, rejects = counters.lines()
    if rejects <= records:
        if counters.reason is not None:
            counters.reason = None
            log.info("most lines of a log can be read again", path=counters.path)
    elif counters.reason is None and parsed.rejects.height:
        counters.reason = _most_frequent_reason(parsed)
        log.warning("most lines of a log cannot be read", path=counters.path, warning=_rejects_text(counters))


def _most_frequent_reason(parsed: ParsedLines) -> str:
    """The first of the reasons that name the field which was wrong most often, among the first reasons."""
    reasons = parsed.rejects["reason"].head(_REASONS).to_list()
    fields = [reason.partition(":")[0] for reason in reasons]
    return str(reasons[fields.index(Counter(fields).most_common(1)[0][0])])


def _count_durations(counters: _Counters, parsed: ParsedLines) -> None:
    durations = parsed.records["duration"]
    counters.durations += durations.len() - durations.null_count()
    improbable = durations.filter(durations > IMPROBABLE_SECONDS)
    counters.improbable += improbable.len()
    counters.sample.extend(improbable.head(_SAMPLE - len(counters.sample)))
    if counters.durations < _DURATIONS:
        return
    before, counters.median = counters.median, _median(counters)
    counters.durations = counters.improbable = 0
    counters.sample = array("d")
    if counters.median is None and before is not None:
        log.info("durations of a log are probable again", path=counters.path)
    elif counters.median is not None and before is None:
        log.warning("durations of a log are improbable", path=counters.path, warning=_duration_text(counters))


def _median(counters: _Counters) -> float | None:
    """The median of the durations when it is improbable; of many, that of a sample."""
    if 2 * counters.improbable <= counters.durations:
        return None
    rank = 1 - counters.durations / (2 * counters.improbable)  # among the improbable ones
    return sorted(counters.sample)[int(rank * len(counters.sample))]


def _warnings(counters: _Counters) -> tuple[SourceWarning, ...]:
    warnings = []
    if counters.reason is not None:
        warnings.append(SourceWarning("rejects", _rejects_text(counters)))
    if counters.median is not None:
        warnings.append(SourceWarning("duration", _duration_text(counters)))
    return tuple(warnings)


def _rejects_text(counters: _Counters) -> str:
    share = share_of_rejects(counters.path, *counters.lines(), which="the latest ")
    return f"{share}, such as: {counters.reason}; {counters.hint}"


def _hint(path: str, *, is_shipped: bool) -> str:
    if not is_shipped:
        return detect_hint(path)
    host, _, path_there = path.partition(":")
    return f"on {host} {detect_hint(path_there)}, and here {_SETTING}"


def _duration_text(counters: _Counters) -> str:
    return (
        f"durations of {counters.path} have a median of {counters.median:.0f} s: "
        "LOG_DURATION_UNIT says in which unit they are"
    )
