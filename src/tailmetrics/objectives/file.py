"""The file of OBJECTIVES, read at the start and when it changes; a bad one leaves the old one in force."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from tailmetrics.errors import SettingsError
from tailmetrics.objectives.definitions import Document, days_of
from tailmetrics.settings import Settings
from tailmetrics.settings.toml import read_toml, sentence_of, unknown_key
from tailmetrics.stores.filtering import matches
from tailmetrics.telemetry.log import EventLog
from tailmetrics.urls import masked

log = EventLog()

SETTING: Final = "OBJECTIVES"
NOT_SET: Final = f"{SETTING} is not set: it names a TOML file of objectives, see docs/objectives.md"
_HEADER = re.compile(r"""\s*\[\[?\s*["']?([\w-]+)""")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*[.=]""")
_SECRETS = frozenset({"url"})  # of a webhook it is all that it takes to write there

Place = Sequence[str | int]  # of a value: its table, the table's number from 0 on, its key, and what is in it


class ObjectivesFile:
    """The objectives in force. Raises SettingsError when the file cannot be used at the start.

    `problem` says why the file as it is now is not the one in force; None when it is. All may be used from
    any thread.
    """

    def __init__(self, settings: Settings) -> None:
        self._file = settings.objectives
        self._retention_days = settings.retention_days
        self._lock = threading.Lock()
        self._seen = self._state()
        self._document = read_objectives(self._file, self._retention_days) if self._file else Document()
        self.problem: str | None = None

    @property
    def path(self) -> str:
        """Empty when there is none."""
        return self._file

    def current(self) -> Document:
        """What the file says, which is read again when it has changed."""
        if self._state() != self._seen:
            self.reload()
        return self._document

    def reload(self) -> str | None:
        """Read the file again; why it cannot be used, None when it is in force now."""
        if not self._file:
            return None
        with self._lock:
            # What changes while it is read differs from this.
            self._seen = self._state()
            try:
                document = read_objectives(self._file, self._retention_days)
            except SettingsError as error:
                problem = f"{'; '.join(error.problems)}; the objectives read before stay in force"
                if problem != self.problem:
                    log.error("objectives not read again", error=problem)  # noqa: TRY400  # one line an event
                self.problem = problem
                return problem
            is_new = document != self._document or self.problem is not None
            self._document, self.problem = document, None
            if is_new:
                log.info("objectives read", file=self._file, objectives=len(document.objectives))
            return None

    def _state(self) -> tuple[int, int, int] | None:
        """What differs when the file is another one or was written to; None without one."""
        try:
            found = Path(self._file).stat()
        except (OSError, ValueError):  # a path with NUL is none
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def read_objectives(file: str, retention_days: int = 0) -> Document:
    """What a file says, where records are kept for so many days (0: for ever).

    Raises SettingsError with a sentence for each wrong thing, which names its line.
    """
    content, text = read_toml(SETTING, file)
    if not content:  # as a file is for a moment while an editor writes it
        raise SettingsError(
            [f"{SETTING}: {file}: found nothing in it, expected tables such as [[objective]]"]
        )
    lines = _Lines(text)
    known = [field.alias or name for name, field in Document.model_fields.items()]
    problems: list[tuple[Place, str]] = [
        ((key,), unknown_key(key, known)) for key in content if key not in known
    ]
    document = None
    try:
        document = Document.model_validate({key: content[key] for key in known if key in content})
    except ValidationError as error:
        problems += [_read_problem(problem) for problem in error.errors()]
    if document is not None:
        problems += _of_the_whole(document, retention_days, lines)
    if problems or document is None:
        problems.sort(key=lambda each: lines.of(each[0]) or 0)
        raise SettingsError([f"{SETTING}: {_where(file, content, lines, *each)}" for each in problems])
    return document


def customers_in(file: str) -> Callable[[str, int], str]:
    """Tells where the customers of a table stand, by its name and number from 0 on. Raises SettingsError."""
    lines = _Lines(read_toml(SETTING, file)[1])
    return lambda table, number: f"{_at(file, lines.of((table, number, 'customers')))}: "


class _Lines:
    """Where the tables and keys of a file begin, counted from 1, as one sees them without reading TOML."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str | int, ...], int] = {}
        counts: dict[str, int] = {}
        table: tuple[str | int, ...] = ()
        for number, line in enumerate(text.splitlines(), 1):
            if header := _HEADER.match(line):
                name = header[1]
                table = (name, counts.get(name, 0))
                counts[name] = counts.get(name, 0) + 1
                self._lines[table] = number
                self._lines.setdefault((name,), number)
            elif key := _KEY.match(line):
                self._lines.setdefault((*table, key[1]), number)

    def of(self, place: Place) -> int | None:
        """The line of a value, else that of what it is in."""
        for length in range(len(place), 0, -1):
            if (line := self._lines.get(tuple(place[:length]))) is not None:
                return line
        return None


def _read_problem(problem: Any) -> tuple[Place, str]:
    """Where something is wrong, and what."""
    place: Place = problem["loc"]
    known = _keys_of(place)
    key = ".".join(str(part) for part in place[2:]) if len(place) > 1 else str(place[0])
    value = problem["input"]
    if problem["type"] in {"tuple_type", "model_type"} and len(place) <= 2:
        found = f"[{place[0]}]" if isinstance(value, dict) else masked(repr(value))
        return place, f"found {found}, expected tables [[{place[0]}]]"
    if key in _SECRETS:
        problem = {**problem, "input": "***"}
    elif isinstance(value, datetime):
        problem = {**problem, "input": value.isoformat()}
    said = sentence_of(problem, key, known, "one, as each such table has it")
    first = said.partition(":")[0]
    return ((*place, first) if len(place) == 2 and first in known else place), said


def _keys_of(place: Place) -> list[str]:
    """The keys that a table may have."""
    parts = [each for each in get_args(_field_of(str(place[0])).annotation) if isinstance(each, type)]
    model = parts[0] if parts and issubclass(parts[0], BaseModel) else Document
    return [field.alias or name for name, field in model.model_fields.items()]


def _field_of(key: str) -> Any:
    return next(field for name, field in Document.model_fields.items() if key in (name, field.alias))


def _of_the_whole(document: Document, retention_days: int, lines: _Lines) -> Iterator[tuple[Place, str]]:
    """What is wrong with tables that are right each for itself."""
    for name, field in Document.model_fields.items():
        first: dict[str, int] = {}
        tables = getattr(document, name)
        for number, table in enumerate(tables if isinstance(tables, tuple) else ()):
            called = getattr(table, "name", None)
            if called is None:
                continue
            table_name = field.alias or name
            if (other := first.setdefault(called, number)) != number:
                line = lines.of((table_name, other, "name"))
                said = f"name: found {called!r}, which line {line} has too, expected another one"
                yield (table_name, number, "name"), said
    for number, objective in enumerate(document.objectives):
        if 0 < retention_days < days_of(objective.period):
            said = (
                f"period: found {objective.period!r}, expected at most {retention_days} days, as the setting "
                "RETENTION_DAYS lets older records be deleted"
            )
            yield ("objective", number, "period"), said
    if retention_days:
        yield from _longer_than_kept(document, retention_days)
    names = [objective.name for objective in document.objectives]
    for number, maintenance in enumerate(document.maintenance):
        for glob in maintenance.objectives:
            if not any(matches((glob,), name) for name in names):
                said = f"objectives: found {glob!r}, expected the name of an objective, or a glob of names"
                yield ("maintenance", number, "objectives"), said


def _longer_than_kept(document: Document, days: int) -> Iterator[tuple[Place, str]]:
    """Windows that reach behind the records that are kept: rules that would not see, or never fire."""
    kept = days * 86_400
    windows = [
        *(("rule", number, "long", rule.long) for number, rule in enumerate(document.rules)),
        *(("latency", number, "window", slow.window) for number, slow in enumerate(document.latency)),
    ]
    for table, number, key, seconds in windows:
        if seconds > kept:
            said = f"{key}: found {seconds} seconds, expected at most {days} days (RETENTION_DAYS)"
            yield (table, number, key), said
    for number, silent in enumerate(document.silent):
        if silent.after >= kept:  # nobody would be known who had requests before that
            said = f"after: found {silent.after} seconds, expected less than {days} days (RETENTION_DAYS)"
            yield ("silent", number, "after"), said


def _where(file: str, content: Any, lines: _Lines, place: Place, said: str) -> str:
    """The problem behind its file, line and table."""
    at = _at(file, lines.of(place))
    if len(place) < 2 or not isinstance(place[1], int):
        return f"{at}: {said}"
    table = content[place[0]][place[1]]
    name = table.get("name") if isinstance(table, dict) else None
    called = repr(name) if isinstance(name, str) and name else place[1] + 1
    return f"{at}: {place[0]} {called}: {said}"


def _at(file: str, line: int | None) -> str:
    return file if line is None else f"{file}, line {line}"
