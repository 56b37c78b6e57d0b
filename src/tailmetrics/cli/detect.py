"""The command detect: which format logs are in, and how their first lines are read."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailmetrics.cli import options
from tailmetrics.cli.load import STDIN, check_files
from tailmetrics.cli.options import Exit
from tailmetrics.errors import LoadError, UndecidedFormat

if TYPE_CHECKING:
    from tailmetrics.formats.detection import Nearest
    from tailmetrics.settings import FormatOptions, Settings
    from tailmetrics.tailing.trial import Trial

_NOBODY = "customer_id: found nothing"
_MOST_SHOWN = 10  # lines, and rejects
_PACKED_BYTES = 4 * 1024 * 1024  # of a compressed log so many hold the first lines


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is read. The time is in UTC, as ISO 8601 writes it; `seconds` are None when unknown."""

    line: int
    time: str
    customer: str
    path: str
    status: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that is no record, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Detection:
    """What is known of a log by its first lines.

    `format` is None where they do not tell, as `problem` says. `customer` are fields in order of preference,
    `unit` is that of durations without one, `settings` are lines to be written where something is to be set:
    of an undecided log any of them, but what its keys suggest together.
    """

    file: str
    format: str | None
    title: str
    decided_by: str
    customer: tuple[str, ...]
    unit: str
    timezone: str
    lines: int = 0
    records: int = 0
    rejects: int = 0
    first_records: tuple[Line, ...] = ()
    first_rejects: tuple[Reject, ...] = ()
    problem: str | None = None
    nearest: tuple[Nearest, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def needs_all_settings(self) -> bool:
        """Whether one of the settings alone would not do."""
        return len(self.settings) > 1 and not self.settings[0].startswith("LOG_FORMAT=")


@options.command(
    "Say which format logs are in.",
    "tailmetrics detect /var/log/nginx/access.log",
    "tailmetrics detect --log-format nginx access.log.2.gz --json",
    "docker logs shop | tailmetrics detect -",
    exits=(Exit.NO_INPUT, Exit.CONFIGURATION),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@options.shared("env_file", "log_format", "log_timezone", "json")
@options.with_settings
def detect(settings: Settings, *, files: tuple[Path, ...], as_json: bool) -> None:
    """Say which format logs are in, and how their first lines would be read; - is standard input.

    Nothing is kept, and no store is needed. What the settings say for a log counts. The status is 0 when the
    format of each is known.
    """
    check_files(files, "read")
    found = [detected(settings, file) for file in files]
    if as_json:
        options.print_json({"files": [asdict(each) for each in found]})
    else:
        from tailmetrics.cli.tables import print_detection

        for each in found:
            print_detection(each)
    sys.exit(Exit.NO_INPUT if any(each.format is None for each in found) else Exit.DONE)


def detected(settings: Settings, file: Path) -> Detection:
    """What the first lines of a file, or of standard input, tell. Raises LoadError and FormatError."""
    from tailmetrics.settings.names import AUTO
    from tailmetrics.tailing.trial import tried

    log_format, named_by = _options(settings, file)
    path = str(file if file == STDIN else file.absolute())
    head, written_ns = _head(file)
    try:
        trial = tried(head, log_format, path, written_ns, is_finished=True)
    except UndecidedFormat as error:
        return _undecided(str(file), log_format, head, str(error))
    if trial is None:
        return _undecided(
            str(file), log_format, head, "found no whole line, expected some to tell the format by"
        )
    decided_by = "its first lines" if log_format.name == AUTO else named_by
    return _read(str(file), trial, decided_by, is_found=log_format.name == AUTO)


def _options(settings: Settings, file: Path) -> tuple[FormatOptions, str]:
    """How a file is to be read, and which setting says so: an option, its entry, or LOG_FORMAT."""
    from tailmetrics.tailing.rotation import LogNames

    if options.named_format(settings) is not None:
        return settings.format_options(), "--log-format"
    found = None if file == STDIN else LogNames(settings.log_paths).format_of_rotated(str(file.absolute()))
    if found is None:
        return settings.format_options(), "LOG_FORMAT"
    entry = next(entry for entry in settings.log_paths if entry.log_format == found)
    return found, entry.given_by


def _head(file: Path) -> tuple[bytes, int]:
    """The first bytes of a log, decompressed, and when it was written to last."""
    from tailmetrics.formats.detection import HEAD_BYTES, head_of
    from tailmetrics.tailing.log_file import open_finished

    if file == STDIN:
        return _head_of_stdin(HEAD_BYTES), time.time_ns()
    try:
        with contextlib.closing(open_finished(str(file))) as opened:
            return head_of(opened.read), file.stat().st_mtime_ns
    except OSError as error:
        raise LoadError(f"{file} cannot be read: {error.strerror or error}") from error


def _head_of_stdin(most: int) -> bytes:
    from tailmetrics.tailing.compression import READABLE, Decompressed, kind_of_content, no_log

    head = sys.stdin.buffer.read(most)
    kind = kind_of_content(head)
    if kind is not None:
        packed = head + sys.stdin.buffer.read(_PACKED_BYTES)
        with Decompressed(io.BytesIO(packed), kind) as stream:
            head = stream.read(most)
    if (found := no_log(head)) is not None:
        raise LoadError(f"{STDIN}: found {found}, expected lines, plain or compressed by {READABLE}")
    return head


def _read(file: str, trial: Trial, decided_by: str, *, is_found: bool) -> Detection:
    parsed, log_format = trial.parsed, trial.log_format
    records = parsed.records.head(_MOST_SHOWN)
    rejects = parsed.rejects.head(_MOST_SHOWN)
    customer, unit = _customer_and_unit(log_format)
    name = log_format.name
    hints = [f"LOG_FORMAT={name}, or {name}=PATH in LOG_FILE_PATH"] if is_found else []
    if trial.improbable_median is not None:
        median = f"{trial.improbable_median:,.0f}"
        hints.append(f"LOG_DURATION_UNIT=ms, us or ns, as half of the durations are above {median} s")
    if lost := trial.settings_of_durations:
        hints.append(f"{' with '.join(lost)}, as no duration is read")
    if trial.is_mostly_rejects and (likely := trial.likely_name):
        hints.append(f"LOG_FORMAT={likely}, as the lines are of that format")
    if silent := trial.silent_customers:
        hints.append(
            f"LOG_CUSTOMER without {', '.join(silent)}, or as the log names it: none of these lines tells "
            "a customer by that"
        )
    nobody = int(parsed.rejects["reason"].str.starts_with(_NOBODY).sum())
    if nobody > parsed.records.height:
        hints.append(f"LOG_CUSTOMER=FIELD, one that the lines have: they have no {', '.join(customer)}")
    return Detection(
        file=file,
        format=log_format.name,
        title=_title(log_format.name),
        decided_by=decided_by,
        customer=customer,
        unit=unit,
        timezone=log_format.zone,
        lines=parsed.lines,
        records=parsed.records.height,
        rejects=parsed.rejects.height,
        first_records=tuple(
            Line(
                trial.line_number(row["offset"]),
                f"{row['timestamp'].isoformat(timespec='milliseconds')}Z",
                row["customer_id"],
                row["path"],
                row["status_code"],
                row["duration"],
            )
            for row in records.iter_rows(named=True)
        ),
        first_rejects=tuple(
            Reject(trial.line_number(offset), reason)
            for offset, reason in rejects.select("offset", "reason").iter_rows()
        ),
        settings=tuple(hints),
    )


def _undecided(file: str, log_format: FormatOptions, head: bytes, problem: str) -> Detection:
    from tailmetrics.formats.detection import innermost, lines_in, nearest, suggestions
    from tailmetrics.settings.names import TEMPLATE_NAMES

    lines = list(lines_in(head, is_whole=True))
    return Detection(
        file=file,
        format=None,
        title="",
        decided_by="",
        customer=log_format.customer,
        unit=log_format.duration_unit,
        timezone=log_format.zone,
        problem=problem,
        nearest=tuple(nearest(innermost(lines[0]))) if lines else (),
        settings=suggestions(lines)
        or (
            "LOG_FORMAT=NAME, one of docs/formats.md",
            f"LOG_FORMAT=SERVER:FORMAT, with the format string of {', '.join(TEMPLATE_NAMES)}",
            "LOG_FORMAT=regex and LOG_REGEX=PATTERN, with a named group for each field",
        ),
    )


def _title(name: str) -> str:
    from tailmetrics.formats import kind_of
    from tailmetrics.settings.names import WRAPPER_NAMES, inner_format

    if name in WRAPPER_NAMES:
        return f"lines that {name} wrapped"
    kind = kind_of(name)
    title = name if kind is None else kind.title
    wrappers = name.removesuffix(inner_format(name)).rstrip(":")
    return f"{title}, wrapped by {wrappers}" if wrappers and kind else title


def _customer_and_unit(log_format: FormatOptions) -> tuple[tuple[str, ...], str]:
    from tailmetrics.formats import kind_of

    kind = kind_of(log_format.name)
    if kind is None:
        return log_format.customer, log_format.duration_unit or "s"
    return log_format.customer or kind.customer, kind.unit or log_format.duration_unit or "s"
