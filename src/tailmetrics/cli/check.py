"""Checks of everything that a service needs, before it is started."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import glob
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values

from tailmetrics.cli.text import counted
from tailmetrics.client.service_address import ServiceAddress
from tailmetrics.client.transport import find_service
from tailmetrics.errors import (
    FormatError,
    LoadError,
    QueueError,
    SettingsError,
    StoreBusy,
    StoreError,
    UndecidedFormat,
)
from tailmetrics.formats import open_entry
from tailmetrics.formats.detection import head_of
from tailmetrics.objectives.budgets import unmatched
from tailmetrics.objectives.definitions import Document
from tailmetrics.objectives.file import customers_in, read_objectives
from tailmetrics.objectives.notifications.missing import missing
from tailmetrics.queues import QueueUrl
from tailmetrics.queues.broker import connected
from tailmetrics.queues.kafka.cluster import readable_partitions
from tailmetrics.settings import LogPath, Settings, load_settings
from tailmetrics.settings.keys import Role, key_settings
from tailmetrics.settings.names import AUTO
from tailmetrics.stores import open_store
from tailmetrics.tailing.discovery import NO_PERMISSION, FoundFile, find_files
from tailmetrics.tailing.log_file import open_log
from tailmetrics.tailing.trial import Trial, tried
from tailmetrics.telemetry.log import configure_logging
from tailmetrics.urls import KafkaUrl

Level = Literal["ok", "note", "wrong"]
_MOST_TRIED = 20  # files of an entry


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: `note` is worth knowing, `wrong` keeps the service from its work."""

    level: Level
    subject: str
    text: str


def check(
    env_file: Path | None, *, deep: bool = False, reader: bool = False, **flags: Any
) -> Iterator[Finding]:
    """Run all checks and yield what each finds; `flags` win over the environment and the file.

    With `deep` all that a file store holds is read; with `reader` nobody has to write to the store.
    """
    yield from _env_file(env_file)
    try:
        settings = load_settings(env_file, **flags)
    except SettingsError as error:
        for problem in error.problems:
            yield Finding("wrong", "settings", problem)
        yield Finding("note", "settings", "nothing else was looked at, as it depends on these")
        return
    configure_logging(settings.model_copy(update={"logging_level": "WARNING"}))
    yield Finding("ok", "settings", f"{len(Settings.model_fields)} have values that can be used")
    if settings.log_sources:
        tables = len({entry.table for entry in settings.log_entries if entry.table})
        yield Finding("ok", "settings", f"{settings.log_sources} was read, {counted(tables, 'source')}")
    objectives = None
    if settings.objectives:
        objectives, findings = _objectives(settings)
        yield from findings
    yield from _logs(settings)
    for queue in settings.log_queues:
        yield _queue(queue.url)
    for topic in settings.log_topics:
        yield _topic(topic.url)
    yield from _keys(settings)
    if settings.access_warning is not None:
        yield Finding("note", "access", settings.access_warning)
    address = ServiceAddress(settings.api_host, settings.api_port)
    service = find_service(address)
    yield from _store(settings, service, objectives, deep=deep, writes=not reader)
    yield _port(address, service)


def _env_file(env_file: Path | None) -> Iterator[Finding]:
    if env_file is None or not env_file.exists():
        yield Finding("note", "settings", f"there is no {env_file}; the environment and defaults count")
        return
    yield Finding("ok", "settings", f"{env_file} was read")
    known = [name.upper() for name in Settings.model_fields]
    for key in dotenv_values(env_file):
        if key.upper() not in known:
            nearest = difflib.get_close_matches(key.upper(), known, n=1)
            hint = f"; is {nearest[0]} meant?" if nearest else ""
            yield Finding("note", "settings", f"{env_file}: {key} is no setting of this program{hint}")


def _objectives(settings: Settings) -> tuple[Document | None, list[Finding]]:
    """The file of OBJECTIVES, None when it is wrong, and what is to be said of it."""
    file = settings.objectives
    try:
        document = read_objectives(file, settings.retention_days)
    except SettingsError as error:
        return None, [Finding("wrong", "objectives", problem) for problem in error.problems]
    objectives = counted(len(document.objectives), "objective")
    receivers = counted(len(document.receivers), "receiver")
    # The service may have another environment than this command.
    missed = [
        Finding("note", "objectives", f"receiver {receiver.name}: {problem}")
        for receiver in document.receivers
        for problem in missing(receiver)
    ]
    return document, [Finding("ok", "objectives", f"{objectives}, {receivers} in {file}"), *missed]


def _logs(settings: Settings) -> Iterator[Finding]:
    unusable = set()
    for entry in {entry.log_format: entry for entry in settings.log_entries}.values():
        finding = _format(entry)
        if finding.level == "wrong":
            unusable.add(entry.log_format)
        yield finding
    seen: set[tuple[int, int]] = set()
    for entry in settings.log_paths:
        if entry == settings.standard_input:
            yield Finding("ok", "log", f"standard input is kept in {entry.pattern} while it is read")
            continue
        files, missing = find_files([entry])
        problems = {file.path: problem for file in files if (problem := _problem(file.path))}
        yield from _log_path(entry, files, missing, list(problems.values()))
        # A file that several entries match is read as the first of them says.
        new = [file for file in files if file.key not in seen and file.path not in problems]
        seen.update(file.key for file in new)
        if entry.log_format not in unusable:
            yield from _first_lines(entry, new)


def _format(entry: LogPath) -> Finding:
    try:
        open_entry(entry)
    except FormatError as error:
        return Finding("wrong", "format", str(error))
    name = entry.log_format.name
    said = f"{name}, the first lines of each log decide" if name == AUTO else f"{name} can be read"
    return Finding("ok", "format", said)


def _first_lines(entry: LogPath, files: Sequence[FoundFile]) -> Iterator[Finding]:
    """How the first lines of an entry's files are read; of many files those that were written to last."""
    newest = sorted(files, key=lambda file: file.modified_ns, reverse=True)[:_MOST_TRIED]
    for file in newest:
        yield from _first_lines_of(file)
    if rest := len(files) - len(newest):
        text = f"{entry.pattern}: the first lines of the {len(newest)} newest files were tried, not of {rest}"
        yield Finding("note", "lines", text)


def _first_lines_of(file: FoundFile) -> Iterator[Finding]:
    try:
        with contextlib.closing(open_log(file.path)) as opened:
            head = head_of(opened.read)
        trial = tried(head, file.log_format, file.path, file.modified_ns, is_finished=False)
    except UndecidedFormat as error:
        yield Finding("wrong", "lines", f"{file.path}: {error}")
        return
    except (OSError, LoadError, FormatError) as error:
        yield Finding("wrong", "lines", f"{file.path} cannot be read: {error}")
        return
    if trial is None:
        yield Finding("ok", "lines", f"{file.path} has no whole line yet")
        return
    yield _finding_of(trial, file)
    if trial.improbable_median is not None:
        text = (
            f"{file.path}: half of its first requests took more than {trial.improbable_median:,.0f} s; "
            "LOG_DURATION_UNIT says in which unit durations are"
        )
        yield Finding("note", "lines", text)
    if lost := trial.settings_of_durations:
        yield Finding("note", "lines", f"{file.path}: no duration is read; {' with '.join(lost)} reads them")
    if silent := trial.silent_customers:
        text = f"{file.path}: no first line tells a customer by {', '.join(silent)} of LOG_CUSTOMER"
        yield Finding("note", "lines", text)


def _finding_of(trial: Trial, file: FoundFile) -> Finding:
    records, rejects = trial.parsed.records.height, trial.parsed.rejects
    how = "detected" if file.log_format.name == AUTO else "named"
    text = (
        f"{file.path}: {trial.log_format.name} ({how}): {counted(trial.parsed.lines, 'first line')}, "
        f"{counted(records, 'record')}, {counted(rejects.height, 'reject')}"
    )
    if rejects.is_empty():
        return Finding("ok", "lines", text)
    text += f"; line {trial.line_number(rejects['offset'][0])}: {rejects['reason'][0]}"
    if not trial.is_mostly_rejects:
        return Finding("note", "lines", text)
    likely = trial.likely_name
    return Finding("wrong", "lines", text + (f"; by its lines it is {likely}" if likely else ""))


def _log_path(
    entry: LogPath, files: Sequence[FoundFile], missing: Mapping[str, str], problems: Sequence[str]
) -> Iterator[Finding]:
    for problem in problems:
        yield Finding("wrong", "log", problem)
    readable = len(files) - len(problems)
    if glob.has_magic(entry.pattern) and files:
        yield Finding("ok", "log", f"{entry.pattern} matches {len(files)} files, {readable} can be read")
    elif readable:
        yield Finding("ok", "log", f"{entry.pattern} can be read, {files[0].size:,} bytes")
    for path, reason in missing.items():
        if reason == NO_PERMISSION:
            text = f"{path} may not be read by this user ({reason}); change the mode or group of its folder"
            yield Finding("wrong", "log", text)
        elif Path(path).exists():
            yield Finding("wrong", "log", f"{path} cannot be followed: {reason}")
        else:
            yield Finding("note", "log", f"{path}: {reason}; it is followed as soon as it is there")


def _problem(path: str) -> str | None:
    try:
        open_log(path).close()
    except LoadError as error:
        return str(error)
    except OSError as error:
        return f"{path} may not be read by this user ({error.strerror}); change its mode or its group"
    return None


def _keys(settings: Settings) -> Iterator[Finding]:
    """Which keys are set, and for what; never the keys."""
    for setting in key_settings(settings):
        use = "change something and read" if setting.role is Role.WRITER else "read"
        if setting.path is None:
            yield Finding("ok", "keys", f"{setting.name} is set: who has it may {use}")
            continue
        try:
            keys = setting.parse(setting.read())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            yield Finding("wrong", "keys", f"{setting.name}: {setting.path} cannot be used ({reason})")
            continue
        text = f"{setting.name}: {setting.path} holds {counted(len(keys), 'key')}, by which one may {use}"
        yield Finding("ok" if keys else "note", "keys", text)
        if mode := setting.readers_beside_the_owner():
            text = f"{setting.path} has mode {mode}: every user of this machine may read it; chmod o-r"
            yield Finding("note", "keys", text)
    if header := settings.api_trusted_user_header:
        proxies = ", ".join(settings.api_trusted_proxies)
        yield Finding("ok", "keys", f"whom {proxies} names in {header} may read")


def _queue(address: QueueUrl) -> Finding:
    try:
        with connected(address, "check") as connection:
            connection.require_queue()
    except (QueueError, SettingsError) as error:
        return Finding("wrong", "queue", str(error))
    return Finding("ok", "queue", f"{address} can be read")


def _topic(url: KafkaUrl) -> Finding:
    try:
        count = readable_partitions(url)
    except (QueueError, SettingsError) as error:
        return Finding("wrong", "topic", str(error))
    return Finding("ok", "topic", f"{url} can be read, {counted(count, 'partition')}")


def _store(
    settings: Settings, service: str | None, objectives: Document | None, *, deep: bool, writes: bool
) -> Iterator[Finding]:
    if settings.store.is_file:
        file = settings.store.path
        # Path.exists raises PermissionError for what is below a folder that may not be entered.
        if not os.path.exists(file):  # noqa: PTH110
            yield _future_store(file)
            return
    try:
        with contextlib.closing(open_store(settings)) as store:
            status = asyncio.run(store.status())
            found = f"{counted(status.records, 'record')}, {counted(status.rejects, 'reject')}"
            yield Finding("ok", "store", f"{settings.store} answers: {found}")
            store.check_access(writes=writes)
            if objectives is not None:
                where = customers_in(settings.objectives)
                for text in asyncio.run(unmatched(store, objectives, where)):
                    yield Finding("note", "objectives", text)
            if deep:
                yield _deep(settings, is_read=store.verify())
    except StoreBusy as error:
        if service is None:
            yield Finding("wrong", "store", str(error))
            return
        yield Finding("ok", "store", f"{settings.store} is in use, and a service answers at {service}")
        if deep:
            yield Finding("note", "store", "its blocks were not read: stop the service for that")
    except (StoreError, SettingsError) as error:
        yield Finding("wrong", "store", str(error))


def _deep(settings: Settings, *, is_read: bool) -> Finding:
    if is_read:
        return Finding("ok", "store", f"{settings.store}: every block was read, and none is damaged")
    text = f"{settings.store}: only the server can read its blocks; use what it has for that"
    return Finding("note", "store", f"{text} (pg_amcheck, CHECK TABLE, influxd inspect)")


def _future_store(file: Path) -> Finding:
    folder = file.absolute().parent
    while not os.path.exists(folder):  # noqa: PTH110
        folder = folder.parent
    if not os.access(folder, os.X_OK):
        return Finding("wrong", "store", f"{file}: {folder} may not be read and written by this user")
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Finding("ok", "store", f"{file} does not exist yet and will be made")
    return Finding("wrong", "store", f"{file} cannot be made: {folder} may not be written")


def _port(address: ServiceAddress, service: str | None) -> Finding:
    if service is not None:
        return Finding("ok", "port", f"a service of this program answers at {service}")
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            text = (
                f"{address.host}:{address.port} cannot be listened on ({error.strerror or error}); "
                "stop what uses it, or choose another one with API_PORT"
            )
            return Finding("wrong", "port", text)
    return Finding("ok", "port", f"{address.url} is free")
