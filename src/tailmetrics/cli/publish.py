"""Sending finished logs to a queue or a topic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tailmetrics.errors import LoadError
from tailmetrics.queues.kafka.publisher import TopicPublisher
from tailmetrics.queues.messages import MOST_BYTES
from tailmetrics.queues.publisher import Publisher
from tailmetrics.settings import load_settings
from tailmetrics.tailing.compression import Decompressed, kind_of_name
from tailmetrics.telemetry.log import configure_logging
from tailmetrics.urls import KafkaUrl, QueueUrl


def publish(
    files: Sequence[Path], address: QueueUrl | KafkaUrl, *, create: bool = False, name_first: bool = False
) -> Iterator[tuple[Path, int]]:
    """Send each file, to a queue as a message, to a topic as messages of its lines.

    Yields it with its size in bytes once the broker has it. An empty file is not sent. Raises QueueError, and
    LoadError for a file that cannot be read or is too large for any broker.
    """
    if isinstance(address, KafkaUrl):
        settings = load_settings(None, logging_level="WARNING")
        configure_logging(settings)
        with TopicPublisher(address, create=create) as topic:
            for file in files:
                yield file, topic.send_file(file, settings.tailing_options)
        return
    with Publisher(address, create=create, name_first=name_first) as publisher:
        for file in files:
            content = _content(file)
            if content:
                kind = kind_of_name(file.name)
                publisher.send(file.name.removesuffix(kind.suffix if kind else ""), content)
            yield file, len(content)


def _content(file: Path) -> bytes:
    try:
        kind = kind_of_name(file.name)
        with file.open("rb") if kind is None else Decompressed(file.open("rb"), kind) as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, LoadError) as error:
        raise LoadError(f"{file} cannot be read to its end: {error}") from error
    if len(content) > MOST_BYTES:
        raise LoadError(
            f"{file}: found more than {MOST_BYTES:,} bytes, which no broker takes as one message; split it, "
            "or load it with `tailmetrics load`"
        )
    return content
