"""The Bytewax graph: chunks from files and queues, parsed into batches, committed to the store.

The commands run it in a thread. It runs under Bytewax's own command as well, with its options for workers:
`python -m bytewax.run "tailmetrics.ingest.dataflow:flow_from_settings()" -w 2`.
"""

from __future__ import annotations

import argparse
import atexit
import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import ClassVar, Protocol

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import cluster_main, run_main

from tailmetrics.errors import SettingsError
from tailmetrics.formats import LineFormat, open_by_line, open_entry, open_format
from tailmetrics.ingest.committer import Committer
from tailmetrics.ingest.inputs import Inputs, known_sources
from tailmetrics.queues.kafka.parsing import batch_of
from tailmetrics.records import no_lines
from tailmetrics.settings import FormatOptions, Settings, load_settings, resolve_node_id
from tailmetrics.sources import (
    Acknowledgement,
    Batch,
    Checkpoint,
    Chunk,
    LongLine,
    Messages,
    PartitionStep,
    Registration,
    Source,
)
from tailmetrics.stores import open_store
from tailmetrics.telemetry.metrics import Metrics

# Bytewax's own loop wakes every millisecond, so the waiting is done inside of next_batch. While one worker
# waits, the others cannot begin a new epoch.
_LONGEST_WAIT_OF_MANY_SECONDS = 0.05

# Bytewax compares times of the wall clock, which may step back: a turn is always due, and no epoch ends, or
# one worker would wait for another that does not end its own until the old time has come again.
_ALWAYS_DUE = datetime(1, 1, 1, tzinfo=timezone.utc)
_ENDLESS = timedelta(days=36_500)


class TailSource(DynamicSource[Chunk]):
    """The inputs as a source: each worker is handed its own chunks, until they stop."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    def build(self, step_id: str, worker_index: int, worker_count: int) -> TailPartition:  # noqa: ARG002  # Bytewax's
        return TailPartition(self._inputs, worker_index, worker_count)


class TailPartition(StatelessSourcePartition[Chunk]):
    """One worker's share of the files and messages."""

    def __init__(self, inputs: Inputs, worker_index: int, worker_count: int) -> None:
        self._inputs = inputs
        self._worker_index = worker_index
        self._worker_count = worker_count
        self._pulse = inputs.pulse_of(worker_index)

    def next_batch(self) -> list[Chunk]:
        if self._inputs.is_stopped:
            raise StopIteration
        self._pulse.beat()
        changes = self._inputs.wakeup.changes
        chunks = self._inputs.next_chunks(self._worker_index, self._worker_count)
        if chunks:
            return chunks
        rest = self._inputs.rest_seconds()
        if self._worker_count > 1:
            rest = min(rest, _LONGEST_WAIT_OF_MANY_SECONDS)
        self._pulse.beat(rest)
        self._inputs.wakeup.wait(changes, rest)
        self._pulse.beat()
        return self._inputs.next_chunks(self._worker_index, self._worker_count)

    def next_awake(self) -> datetime:
        return _ALWAYS_DUE


class StoreSink(DynamicSink[Batch]):
    """The committer as a sink; the inputs learn what their lines are."""

    def __init__(self, inputs: Inputs, committer: Committer) -> None:
        self._inputs = inputs
        self._committer = committer

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StorePartition:  # noqa: ARG002  # Bytewax's
        return StorePartition(self._inputs, self._committer)


class StorePartition(StatelessSinkPartition[Batch]):
    def __init__(self, inputs: Inputs, committer: Committer) -> None:
        self._inputs = inputs
        self._committer = committer

    def write_batch(self, items: list[Batch]) -> None:
        for batch in items:
            self._inputs.parsed(batch)
            self._committer.put(batch)


class Parser(Protocol):
    """Makes batches of chunks."""

    any_lines: ClassVar[bool]  # whether it takes lines of a log whose format nobody knows

    def __init__(self, settings: Settings) -> None: ...

    def __call__(self, chunk: Chunk) -> Batch: ...


class ChunkParser:
    """Makes records of lines; each format is built once."""

    any_lines: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        # At once, so that a wrong pattern is told at start and not with the first line.
        self._formats = {entry.log_format: open_entry(entry) for entry in settings.log_entries}
        self._by_line: dict[FormatOptions, LineFormat] = {}

    def __call__(self, chunk: Chunk) -> Batch:
        if isinstance(chunk, Messages):
            return batch_of(chunk, self._format_by_line)
        if isinstance(chunk, PartitionStep):
            source = chunk.partition.source
            batch = _without_lines(source, source.position, source.checkpoint)
            return replace(batch, partition=chunk.partition, step=chunk.step)
        if isinstance(chunk, Registration):
            return registering(chunk)
        if isinstance(chunk, Acknowledgement):
            # A position behind its end says so in the store.
            source = chunk.delivery.source
            size = source.checkpoint.head_length
            batch = _without_lines(source, size, replace(source.checkpoint, position=size + 1))
            return replace(batch, delivery=chunk.delivery)
        line_format = self._format(chunk.log_format).of_source(chunk.path, chunk.written_ns, chunk.header)
        parse = line_format.parse_too_long if isinstance(chunk, LongLine) else line_format.parse
        return Batch(
            source_id=chunk.source_id,
            path=chunk.path,
            start=chunk.offset,
            checkpoint=chunk.checkpoint,
            parsed=parse(chunk.data, chunk.offset),
            more=chunk.more,
            delivery=chunk.delivery,
        )

    def _format(self, log_format: FormatOptions) -> LineFormat:
        if log_format not in self._formats:
            self._formats[log_format] = open_format(log_format)
        return self._formats[log_format]

    def _format_by_line(self, log_format: FormatOptions) -> LineFormat:
        if log_format not in self._by_line:
            self._by_line[log_format] = open_by_line(log_format)
        return self._by_line[log_format]


def registering(chunk: Registration) -> Batch:
    """The batch that makes a source known."""
    source = chunk.source
    batch = _without_lines(source, source.position, source.checkpoint)
    return replace(batch, more=chunk.more, registers=source)


def _without_lines(source: Source, start: int, checkpoint: Checkpoint) -> Batch:
    return Batch(source.source_id, source.path, start, checkpoint, no_lines())


def build_flow(parse: Parser, inputs: Inputs, committer: Committer) -> Dataflow:
    """Source, parse, store: nothing is exchanged between workers on the way."""
    flow = Dataflow("tailmetrics")
    chunks = op.input("tail", flow, TailSource(inputs))
    batches = op.map("parse", chunks, parse)
    op.output("store", batches, StoreSink(inputs, committer))
    return flow


def run_flow(flow: Dataflow, workers: int) -> None:
    """Run a graph in this process until its inputs stop."""
    if workers == 1:
        # For a cluster a thread wakes every millisecond to see whether the workers have ended.
        run_main(flow)  # type: ignore[no-untyped-call]  # Bytewax has no stub for it
    else:
        cluster_main(flow, [], 0, epoch_interval=_ENDLESS, worker_count_per_proc=workers)  # type: ignore[no-untyped-call]  # nor for this


def end_flow(parse: Parser, inputs: Inputs, committer: Committer) -> None:
    """Commit what was read, once no more is, and end the committer.

    What is acknowledged then is noted in the store too: an equal message without an id that is delivered
    again would be taken for it.
    """
    committer.drain()
    for chunk in inputs.leave_queues():
        committer.put(parse(chunk))
    committer.close()


def flow_from_settings() -> Dataflow:
    """The graph with all its parts, as the settings say; for Bytewax's own command.

    Raises SettingsError for a cluster of several processes.
    """
    _refuse_cluster()
    settings = load_settings()
    store = open_store(settings)
    store.summarize(in_background=True)
    node_id = resolve_node_id(settings)
    inputs = Inputs(settings, node_id, *known_sources(store, node_id))
    committer = Committer(
        store,
        settings.commit_options,
        Metrics(),
        inputs.committed,
        inputs.stop,
        partitions=inputs.topics,
    )
    parse = ChunkParser(settings)

    def close() -> None:
        inputs.stop()
        end_flow(parse, inputs, committer)
        inputs.close()
        store.close()

    # That command knows no end but that of the process.
    atexit.register(close)
    return build_flow(parse, inputs, committer)


def _refuse_cluster() -> None:
    """Each file belongs to one worker of all, and its process may see another disk: it would stay unread.

    On one machine too what is known of a log and of what rotation makes of it must be known to one process,
    and one that dies takes the others along.
    """
    parser = argparse.ArgumentParser(add_help=False)  # with what that command takes for addresses
    parser.add_argument("-a", "--addresses", default=os.environ.get("BYTEWAX_ADDRESSES"))
    addresses = parser.parse_known_args()[0].addresses
    if addresses is None and (hosts := os.environ.get("BYTEWAX_HOSTFILE_PATH")):
        addresses = ";".join(Path(hosts).read_text(encoding="utf-8").split())
    if addresses is not None and len(processes := [each for each in addresses.split(";") if each]) > 1:
        problem = (
            f"bytewax.run: found a cluster of {len(processes)} processes, expected one: they may see "
            "different disks, and share out the same files, and one that dies would end the others. Use -w "
            "for workers, `tailmetrics ingest --processes N` for processes on one machine, and run "
            "`tailmetrics ingest` on each machine, with a NODE_ID of its own"
        )
        raise SettingsError([problem])
