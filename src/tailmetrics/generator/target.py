"""Where the lines go: appended to a file, or sent to a queue as logs, to a topic as lines."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tailmetrics.generator.options import GeneratorOptions
from tailmetrics.queues.kafka.publisher import TopicPublisher
from tailmetrics.queues.publisher import Publisher
from tailmetrics.settings import load_settings
from tailmetrics.urls import KafkaUrl


@contextmanager
def appending(options: GeneratorOptions) -> Iterator[Callable[[bytes, float], object]]:
    """Yield a function that takes whole lines and their time: to append them, or send them as a log."""
    if isinstance(options.target, Path):
        with _AppendedFile(options.target) as file:
            yield lambda lines, _: file.append(lines)
    elif isinstance(options.target, KafkaUrl):
        with TopicPublisher(options.target, create=options.create_queue) as topic:
            yield _to_topic(topic, options)
    elif options.format_name == "results":
        with Publisher(options.target, create=options.create_queue) as publisher:
            yield lambda lines, now: publisher.send(f"test_{int(now)}.log", lines)
    else:
        with Publisher(options.target, create=options.create_queue) as publisher:
            yield lambda lines, _: publisher.send(f"requests_{time.time_ns()}.log", lines)


def _to_topic(topic: TopicPublisher, options: GeneratorOptions) -> Callable[[bytes, float], object]:
    if options.format_name == "results":
        log_format = load_settings(None).format_options(options.format_name)
        return lambda lines, now: topic.send(f"test_{int(now)}.log", lines, log_format)
    return lambda lines, _: topic.send_lines(lines)


class _AppendedFile:
    """A file that takes whole lines at its end, opened anew when a rotation put another file in its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._identity = (-1, -1)

    def __enter__(self) -> _AppendedFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def append(self, data: bytes) -> None:
        try:
            found = self._path.stat()
            rotated = (found.st_dev, found.st_ino) != self._identity
        except FileNotFoundError:
            rotated = True
        if rotated:
            os.close(self._descriptor)
            self._open()
        # One call for the batch, so that other writers and readers see whole lines; a short write goes on.
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        opened = os.fstat(self._descriptor)
        self._identity = (opened.st_dev, opened.st_ino)
        if stat.S_ISREG(opened.st_mode) and opened.st_size > 0:
            with self._path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    # A writer was killed within a line: it must not swallow the first one from here.
                    os.write(self._descriptor, b"\n")
