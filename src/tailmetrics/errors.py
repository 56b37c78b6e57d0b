"""Every exception of the package.

TailmetricsError
├── SettingsError          a setting is wrong: names the key, the value, what was expected
├── FormatError            a format cannot be built: unknown name, bad pattern
├── QueryError             a question cannot be answered as asked: names the parameter
├── UnknownCustomer        the store has no request of this customer
├── LoadError              a file given to load cannot be read
│   └── UndecidedFormat    nor is it known in which format it is
├── QueueError             a queue is away, missing, or refuses: says what to do
├── BackupError            a backup cannot be made, or not be restored
├── CopyError              a store cannot be copied into another one
├── NotificationError      a notification cannot be made or sent as its receiver is set
├── Overloaded             too many questions at once: ask again later
├── ServiceError           a running service refused, or could not answer
└── StoreError             something about the store
    ├── StoreUnavailable   away for now: wait and try again
    │   └── StoreRefused   it refuses this user until something is mended: a service waits, a command ends
    ├── StoreBusy          another process holds it
    ├── SchemaMismatch     written by a version that this one does not know
    ├── StoreGone          its data was removed while it was in use
    ├── StoreDamaged       its data cannot be read any more as it was written
    ├── RecordsRefused     it refuses some records of a batch, which become rejects
    └── PositionConflict   two processors read one source
        └── SourceHeld     the other one is known, and lives
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class TailmetricsError(Exception):
    """Base of all errors that this package raises on purpose; its text is written for the user."""


class SettingsError(TailmetricsError):
    """A setting has a value that cannot be used.

    `problems` has one sentence for each wrong key.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class FormatError(TailmetricsError):
    """A log format cannot be built from its settings."""


class QueryError(TailmetricsError):
    """A parameter of a question is wrong."""

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        self.parameter = parameter
        self.value = value
        self.expected = expected
        super().__init__(f"{parameter}: found {value!r}, expected {expected}")


class UnknownCustomer(TailmetricsError):
    """The store has never seen a request of this customer."""

    def __init__(self, customer_id: str) -> None:
        self.customer_id = customer_id
        super().__init__(f"no requests of customer {customer_id!r} in the store")


class LoadError(TailmetricsError):
    """A file given to load cannot be read."""


class UndecidedFormat(LoadError):
    """The first lines of a log do not tell its format: says what they are nearest to, and what to do."""


class QueueError(TailmetricsError):
    """A queue cannot be used now: its broker is away, refuses, or does not have it.

    `is_final` says that trying again at once does not help: something has to be changed first.
    """

    def __init__(self, message: str, *, is_final: bool = True) -> None:
        self.is_final = is_final
        super().__init__(message)


class TopicMissing(QueueError):
    """A queue's broker answers, and does not have the topic."""


class ServiceError(TailmetricsError):
    """A running service answered with an error; `status` is the HTTP status, 0 when no answer came."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class BackupError(TailmetricsError):
    """A backup cannot be made, or is none that can be restored."""


class CopyError(TailmetricsError):
    """A store cannot be copied into another one as they are."""


class NotificationError(TailmetricsError):
    """A notification cannot be made or sent as its receiver is set: says what is missing."""


class Overloaded(TailmetricsError):
    """More is asked at once than the service can answer."""


class StoreError(TailmetricsError):
    """Base of what goes wrong with a store."""


class StoreUnavailable(StoreError):
    """The store does not answer now but may later; whether a write was made is told by its position.

    `retry_after_seconds` is what the store asked for, None when it said nothing. `subject` is what is away.
    """

    def __init__(
        self, message: str, retry_after_seconds: float | None = None, *, subject: str = "the store"
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        self.subject = subject
        super().__init__(message)


class StoreRefused(StoreUnavailable):
    """The store lets nobody in, or misses what cannot be made, until something is mended there or here.

    A service goes on and says so, as that is done at the server as often as in its settings; a command ends.
    """


class StoreBusy(StoreError):
    """Another process holds the store; the text says which."""


class SchemaMismatch(StoreError):
    """The store was written by a version of this program with another schema."""


class StoreGone(StoreError):
    """The store's data was removed while the service was using it."""


class StoreDamaged(StoreError):
    """A file of the store is not as it was written; `log` is the end of its data, beside it."""

    def __init__(self, file: Path, log: str, reason: str) -> None:
        super().__init__(
            f"{file} is damaged: {reason}; nothing more is written to it. Stop what uses it, keep a copy of "
            f"it and of {log}, and put a backup in its place, or move both away: logs that are still there "
            "are read anew then. `tailmetrics check --deep` reads every block"
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that a store refuses: its source, its line's offset in bytes, and why."""

    source_id: str
    offset: int
    reason: str


class RecordsRefused(StoreError):
    """Some records of what was to be written can never be stored; nothing was committed.

    Written again with those of `refusals` as rejects, the rest is stored.
    """

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        first = self.refusals[0]
        super().__init__(
            f"{len(self.refusals)} records are refused, the first one at byte {first.offset} of source "
            f"{first.source_id}: {first.reason}"
        )


class PositionConflict(StoreError):
    """The store's position of a source is not where this batch begins.

    `holder` is the processor that moved it, None when the store does not know.
    """

    def __init__(self, source_id: str, expected: int, found: int | None, holder: str | None = None) -> None:
        self.source_id = source_id
        self.expected = expected
        self.found = found
        self.holder = holder
        super().__init__(
            f"source {source_id}: the batch begins at byte {expected}, the store is at "
            f"{'no position' if found is None else f'byte {found}'}; {holder or 'another processor'} reads "
            "this source: stop one of them"
        )


class SourceHeld(PositionConflict):
    """Another processor, which lives, holds a source; `holder` says where it runs."""

    def __str__(self) -> str:
        return (
            f"source {self.source_id} is read by {self.holder}, which is alive; stop one of the two, or give "
            "each files of its own"
        )
