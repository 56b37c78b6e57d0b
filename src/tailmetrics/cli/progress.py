"""Progress and result of a load, as text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tailmetrics.cli.text import counted, escaped
from tailmetrics.status import LoadProgress, share_of_rejects

_MOST_REASONS = 3


def load_summary(name: str, load: LoadProgress) -> str:
    """The result of a load, in one line."""
    if load.state == "failed":
        return f"{escaped(name)}: failed after {counted(load.lines, 'line')}"
    if load.already_loaded:
        return f"{escaped(name)}: already loaded, nothing was added"
    return (
        f"{escaped(name)}: {counted(load.lines, 'line')} loaded: {counted(load.records, 'record')}, "
        f"{counted(load.rejects, 'reject')}, {load.blanks:,} blank"
    )


def rejects_text(name: str, load: LoadProgress) -> str:
    """How many lines of a log could not be read, and what helps; the most frequent reasons below it."""
    text = load.warning(name) or share_of_rejects(name, load.records, load.rejects)
    return "\n".join([text, *reason_lines(load)])


def reason_lines(load: LoadProgress) -> list[str]:
    """The most frequent reasons of rejects, each with the number of its lines and the first one's words."""
    lines = [f"  {each.lines:,} x {escaped(each.text)}" for each in load.reasons[:_MOST_REASONS]]
    if left := sum(each.lines for each in load.reasons[_MOST_REASONS:]):
        lines.append(f"  {left:,} x other reasons")
    return lines


@contextmanager
def load_display(name: str, stream: TextIO) -> Iterator[Callable[[LoadProgress], None]]:
    """Yield a function that shows progress: as a bar on a terminal, else as a line now and then."""
    if stream.isatty():
        with _bar(name, stream) as show:
            yield show
    else:
        yield _lines(name, stream)


@contextmanager
def _bar(name: str, stream: TextIO) -> Iterator[Callable[[LoadProgress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[lines]}"),
        console=Console(file=stream),
        transient=True,
    )
    started = time.monotonic()
    with progress:
        task = progress.add_task(escaped(name), total=None, lines="")

        def show(load: LoadProgress) -> None:
            progress.update(
                task,
                completed=load.bytes_done,
                total=load.bytes_total or None,
                lines=_rates(load, time.monotonic() - started),
            )

        yield show


def _lines(name: str, stream: TextIO) -> Callable[[LoadProgress], None]:
    started = time.monotonic()
    shown = 0

    def show(load: LoadProgress) -> None:
        nonlocal shown
        seconds = time.monotonic() - started
        if seconds >= 2 ** (shown + 1):  # after 2, 4, 8… seconds: enough to see life, never a flood
            shown += 1
            percent = 100 * load.bytes_done // load.bytes_total if load.bytes_total else 0
            stream.write(f"{escaped(name)}: {percent}%{', ' if load.lines else ''}{_rates(load, seconds)}\n")
            stream.flush()

    return show


def _rates(load: LoadProgress, seconds: float) -> str:
    if not load.lines:
        return ""
    return f"{load.lines / max(seconds, 0.001):,.0f} lines/s, {counted(load.rejects, 'reject')}"


def count_display(name: str, unit: str, stream: TextIO) -> Callable[[int, int], None]:
    """A function that shows how many of how many are done: a line now and then, over itself on a terminal."""
    started = time.monotonic()
    is_terminal = stream.isatty()
    due = 0.5 if is_terminal else 2.0

    def show(done: int, total: int) -> None:
        nonlocal due
        seconds = time.monotonic() - started
        if seconds >= due:
            due = seconds + 0.5 if is_terminal else 2 * due
            percent = min(100, 100 * done // total) if total else 100
            text = f"{name}: {percent}%, {done:,} {unit}, {done / seconds:,.0f} a second"
            stream.write(f"\r{text}\x1b[K" if is_terminal else f"{text}\n")
            stream.flush()

    return show


@contextmanager
def count_bar(name: str, unit: str, stream: TextIO) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many of how many are done: as a bar on a terminal, else in lines."""
    if not stream.isatty():
        yield count_display(name, unit, stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )
    with progress:
        task = progress.add_task(escaped(name), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
