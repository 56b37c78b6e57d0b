"""Records into one file, or into a folder with a file for each day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

import polars as pl

from tailmetrics.api.filters import filter_document, parse_paths, parse_statuses
from tailmetrics.cli import documents
from tailmetrics.cli.client import Session
from tailmetrics.cli.export.files import FileFormat, replacing, write
from tailmetrics.errors import QueryError
from tailmetrics.records import STORED_SCHEMA
from tailmetrics.stats import RecordsQuery, RequestFilter

MANIFEST = "_export.json"  # programs that read such folders pass over names that begin so

_SAYS = ("total_requests", "failed_requests", "median_latency", "p99_latency")

_LAST = datetime.max.replace(tzinfo=timezone.utc)

OnRecords = Callable[[int, int], None]  # how many are written, of how many


@dataclass
class Manifest:
    """What is in a folder: the same question for each file, and the figures of each day when it was written.

    As records are never changed, a day that has the same figures has the same records.
    """

    customer: str | None
    tz: str
    format: str
    days: dict[str, dict[str, Any]] = field(default_factory=dict)
    filter: dict[str, Any] = field(default_factory=dict)

    def is_written(self, day: str, figures: Mapping[str, Any]) -> bool:
        """Whether a day need not be written again: the store has nothing new, or has begun to forget it."""
        known = self.days.get(day)
        return known is not None and (known == figures or known["total_requests"] > figures["total_requests"])


@dataclass(frozen=True, slots=True)
class Exported:
    """Days that were written, and those that were there already; records of the former."""

    written: int
    unchanged: int
    records: int


def to_folder(
    session: Session, folder: Path, form: FileFormat, asked: Mapping[str, Any], on_records: OnRecords
) -> Exported:
    """Write a file for each day that has something new. Raises ServiceError, StoreError and OSError.

    `asked` are parameters: from, to, customer_id, tz and a filter. Raises QueryError when the folder is of
    others.
    """
    tz, only = asked.get("tz", "UTC"), _filter(asked)
    manifest = _manifest(
        folder, Manifest(asked.get("customer_id"), tz, form, filter={**filter_document(only)})
    )
    found = json.loads(session.ask(documents.Stats, {**asked, "every": "1d"}).json)
    zone = ZoneInfo(found["tz"])
    due = []
    for window in found["windows"]:
        day, figures = _day(window["start"], zone), {name: window[name] for name in _SAYS}
        file = folder / f"day={day}" / f"part-0.{form}"
        if not (file.exists() and manifest.is_written(day, figures)):
            due.append((day, figures, file, window))
    total, done = sum(figures["total_requests"] for _, figures, _, _ in due), 0
    for day, figures, file, window in due:
        end = _time(window["end"])
        # The last day of the calendar has no end that can be written.
        query = RecordsQuery(
            manifest.customer, _time(window["start"]), None if end == _LAST else end, only=only
        )
        before = done
        with replacing(file) as opened:
            for_all = lambda written, before=before: on_records(before + written, total)  # noqa: E731
            done += _write(session, query, form, opened, for_all)
        manifest.days[day] = figures
        with replacing(folder / MANIFEST) as opened:
            opened.write(json.dumps(asdict(manifest), indent=1).encode())
    return Exported(len(due), len(found["windows"]) - len(due), done)


def to_file(
    session: Session, file: IO[bytes], form: FileFormat, asked: Mapping[str, Any], on_records: OnRecords
) -> int:
    """Write all into one file; returns the number of records. Raises ServiceError, StoreError and OSError."""
    found = json.loads(session.ask(documents.Stats, {**asked, "every": "none"}).json)
    total = found["total_requests"]
    start, end = (_time(found[name]) if name in asked else None for name in ("from", "to"))
    query = RecordsQuery(asked.get("customer_id"), start, end, only=_filter(asked))
    return _write(session, query, form, file, lambda written: on_records(written, total))


def _write(
    session: Session,
    query: RecordsQuery,
    form: FileFormat,
    file: IO[bytes],
    on_records: Callable[[int], None],
) -> int:
    written = 0

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal written
        for frame in session.records(query):
            yield frame
            written += frame.height
            on_records(written)

    write(frames(), STORED_SCHEMA, form, file)
    return written


def _manifest(folder: Path, wanted: Manifest) -> Manifest:
    """That of the folder, or the wanted one where there is none. Raises QueryError when they differ."""
    try:
        found = Manifest(**json.loads((folder / MANIFEST).read_bytes()))
    except FileNotFoundError:
        return wanted
    except (ValueError, TypeError) as error:
        raise QueryError("TARGET", str(folder), f"{MANIFEST} in it as it was written ({error})") from error
    for name in ("customer", "tz", "format", "filter"):
        if getattr(found, name) != getattr(wanted, name):
            begun = getattr(found, name) or "all"
            expected = f"{begun}, as {folder} was begun with that; or another folder"
            raise QueryError(name, str(getattr(wanted, name) or "all"), expected)
    return found


def _filter(asked: Mapping[str, Any]) -> RequestFilter:
    paths, other_paths = parse_paths(asked.get("path", ()))
    return RequestFilter(paths, other_paths, parse_statuses(asked.get("status", ())))


def _day(start: str, zone: ZoneInfo) -> str:
    moment = _time(start)
    try:
        return moment.astimezone(zone).date().isoformat()
    except OverflowError:  # at the ends of the calendar
        return moment.date().isoformat()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
