"""From one store into another: records, rejects, positions and notes, each once, even when it is killed.

How far a copy is the target knows by a source of its own, whose position counts lines and moves in the commit
that holds them. All other sources are registered first, where they are for good: their batches bring lines
and move nothing. A record whose source is not known any more becomes one of the copy's own source, with its
number in the copy for its offset.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace

import polars as pl

from tailmetrics.errors import CopyError, PositionConflict, RecordsRefused, StoreError
from tailmetrics.records import RECORD_SCHEMA, REJECT_SCHEMA, ParsedLines, no_lines, no_records
from tailmetrics.sources import COPIES_NODE, Batch, Checkpoint, Copied, Source, fingerprint
from tailmetrics.stats import RecordPlace, RecordsQuery, Reject, RejectsQuery
from tailmetrics.stores.base import Sorting, Store
from tailmetrics.stores.record_pages import behind, place_of_last
from tailmetrics.windows import from_us, to_us

OnProgress = Callable[[int, int], None]  # how many lines are copied, of how many

_MOST_SOURCES = 5_000  # in one commit: InfluxDB keeps the positions of so many at once
_REJECTS_A_PAGE = 1_000  # of 64 KiB at most


@dataclass(frozen=True, slots=True)
class CopySummary:
    """What a store had that was copied into another one.

    `expired` records are counted by a store that has them no more, `refused` ones the target does not keep.
    `kept_notes` are the names of those that the target has its own of. `was_done` says that nothing was left
    to do.
    """

    records: int
    rejects: int
    blanks: int
    sources: int
    expired: int = 0
    refused: int = 0
    kept_notes: tuple[str, ...] = ()
    was_done: bool = False


@dataclass(frozen=True, slots=True)
class _Contents:
    """What a store at rest holds; the same contents have the same `copy_id`, wherever the store is."""

    sources: dict[str, Source]
    records: int
    rejects: int
    blanks: int

    @property
    def copy_id(self) -> str:
        positions = sorted((source_id, source.position) for source_id, source in self.sources.items())
        counts = [self.records, self.rejects, self.blanks]
        return fingerprint(json.dumps(["copy", counts, positions]).encode())


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a copy is, by lines and by the last record: what the checkpoint of its source tells."""

    records: int = 0
    rejects: int = 0
    refused: int = 0
    place: RecordPlace | None = None
    is_done: bool = False

    @classmethod
    def of(cls, source: Source) -> _Progress:
        records, rejects, refused, is_done, place = json.loads(source.checkpoint.tail_hash)
        last = None if place is None else RecordPlace(from_us(place[0]), *place[1:])
        return cls(records, rejects, refused, last, is_done)

    def checkpoint(self, total: int) -> Checkpoint:
        place = self.place and [to_us(self.place.timestamp), self.place.source, self.place.offset]
        text = json.dumps([self.records, self.rejects, self.refused, self.is_done, place])
        return Checkpoint(self.records + self.rejects, total, "", 0, text)


async def copy(origin: Store, target: Store, origin_name: str, on_progress: OnProgress) -> CopySummary:
    """Copy all of a store that nobody writes to; called again, it goes on where it ended.

    `origin_name` is shown for records whose source is not known. Raises CopyError where the two do not go
    together, or one of them changes meanwhile, and StoreError.
    """
    with origin.resting() if isinstance(origin, Sorting) else nullcontext():
        for store, which in ((origin, "copied from"), (target, "copied into")):
            await _check_rest(store, which)
        contents = await _contents(origin)
        _check_whole(contents)
        copying = _Copying(origin, target, contents, on_progress)
        with ThreadPoolExecutor(1, thread_name_prefix="copy") as thread:
            copying.begin(origin_name, thread)
            was_done = copying.progress.is_done
            kept_notes: tuple[str, ...] = ()
            if not was_done:
                await copying.copy_records()
                await copying.copy_rejects()
                kept_notes = await copying.copy_notes()
                await copying.finish()
    progress = copying.progress
    return CopySummary(
        progress.records - progress.refused,
        progress.rejects,
        contents.blanks,
        sum(source.node_id != COPIES_NODE for source in contents.sources.values()),
        expired=max(0, contents.records - progress.records),  # InfluxDB counts none of forgotten messages
        refused=progress.refused,
        kept_notes=kept_notes,
        was_done=was_done,
    )


async def _check_rest(store: Store, which: str) -> None:
    living = [status.path for status in (await store.status()).sources if status.state != "stored"]
    if living:
        raise CopyError(
            f"the store that is {which} is in use: a processor said within the last minute that it reads "
            f"{living[0]}; stop all that write to both stores, and copy a minute later"
        )


async def _contents(store: Store) -> _Contents:
    # Sources first: who asks for them all has commits ended that were interrupted, which changes the counts.
    sources = {source.source_id: source for source in store.all_sources()}
    status = await store.status()
    return _Contents(sources, status.records, status.rejects, status.blanks)


def _check_whole(contents: _Contents) -> None:
    if not contents.sources:
        raise CopyError(
            "the store that is copied from is empty; --from must name one that `tailmetrics` has written to"
        )
    for source in contents.sources.values():
        if source.node_id == COPIES_NODE and not _Progress.of(source).is_done:
            raise CopyError(
                f"the store that is copied from is itself the target of a copy that has not ended, of "
                f"{source.path}; let that one end first"
            )


class _Copying:
    """One copy, from where it is in the target to its end."""

    def __init__(self, origin: Store, target: Store, contents: _Contents, on_progress: OnProgress) -> None:
        self._origin = origin
        self._target = target
        self._contents = contents
        self._on_progress = on_progress
        self._total = contents.records + contents.rejects
        self._sources: dict[str, Source] = {}
        self._writing: asyncio.Future[None] | None = None

    def begin(self, origin_name: str, thread: ThreadPoolExecutor) -> None:
        """Find the place of the copy in the target; make its sources known there. Raises CopyError."""
        self._thread = thread
        there = {source.source_id: source for source in self._target.all_sources()}
        copy_id = self._contents.copy_id
        if copy_id not in there:
            self._check_apart(there, origin_name)
        start = _Progress().checkpoint(self._total)
        self._copy = self._target.register(Source(copy_id, COPIES_NODE, 0, 0, 0, origin_name, start))
        self._target.register_all(list(self._contents.sources.values()))
        there = {source.source_id: source for source in self._target.all_sources()}
        self._sources = {source_id: there[source_id] for source_id in self._contents.sources}
        self.progress = _Progress.of(self._copy)
        self._on_progress(self._copy.position, self._total)

    def _check_apart(self, there: dict[str, Source], origin_name: str) -> None:
        common = there.keys() & self._contents.sources.keys()
        if not common:
            return
        if any(source.node_id == COPIES_NODE and source.path == origin_name for source in there.values()):
            raise CopyError(
                f"{origin_name} has changed since it was copied, or since that was begun: what came since is "
                "not copied; go on with the new store alone, or copy into an empty one"
            )
        path = there[min(common)].path
        counted = f"{len(common):,} log{'s' * (len(common) > 1)}"
        raise CopyError(
            f"the store that is copied into knows {counted} that the other one has too, such as {path}: "
            "lines would count twice; expected an empty store, or one of other logs"
        )

    async def copy_records(self) -> None:
        pages = self._origin.records(RecordsQuery(after=self.progress.place))
        async for frame in _gathered(pages, self._target.commit_lines):
            await self._copy_frame(frame)
        await self._written()

    async def _copy_frame(self, frame: pl.DataFrame) -> None:
        _check_order(frame, self.progress.place)
        progress = replace(
            self.progress, records=self.progress.records + frame.height, place=place_of_last(frame)
        )
        batches = await asyncio.to_thread(self._record_batches, frame)
        await self._commit(progress, batches)

    def _record_batches(self, frame: pl.DataFrame) -> list[Batch]:
        """One batch a source; what has none comes with that of the copy, which is always there."""
        own, source = self._copy.source_id, pl.col("source")
        if foreign := set(frame["source"].unique()) - self._sources.keys():
            is_foreign = source.is_in(list(foreign))
            number = pl.int_range(pl.len(), dtype=pl.Int64) + self.progress.records
            frame = frame.with_columns(
                source=pl.when(is_foreign).then(pl.lit(own)).otherwise(source),
                offset=pl.when(is_foreign).then(number).otherwise("offset"),
            )
        rows = frame.with_columns(pl.col("timestamp").dt.replace_time_zone(None))
        batches = []
        for (source_id,), part in rows.partition_by("source", as_dict=True, maintain_order=True).items():
            parsed = replace(no_lines(), records=part.select(list(RECORD_SCHEMA)))
            batches.append(self._target.prepare(self._batch(str(source_id), parsed)))
        return batches

    def _batch(self, source_id: str, parsed: ParsedLines) -> Batch:
        """Lines of a source that stays where it is."""
        source = self._copy if source_id == self._copy.source_id else self._sources[source_id]
        return Batch(source_id, source.path, source.position, source.checkpoint, parsed, more=True)

    async def _commit(
        self,
        progress: _Progress,
        batches: Sequence[Batch],
        last: ParsedLines | None = None,
        omitted: int = 0,
    ) -> None:
        """Begin to commit batches, once the commit before has ended, and with them how far the copy is."""
        await self._written()
        self.progress = replace(progress, refused=self.progress.refused)
        self._writing = asyncio.get_running_loop().run_in_executor(
            self._thread, self._write, self.progress, batches, last or no_lines(), omitted
        )

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing
            self._writing = None
            self._on_progress(self._copy.position, self._total)

    def _write(self, progress: _Progress, batches: Sequence[Batch], last: ParsedLines, omitted: int) -> None:
        """Commit batches, and `last` with the move of the copy's own source. Raises CopyError."""
        before = self._copy
        own, start = before.source_id, before.position  # which were not known when the batches were made
        batches = [
            replace(each, start=start, checkpoint=before.checkpoint) if each.source_id == own else each
            for each in batches
        ]
        while True:
            moved = progress.checkpoint(self._total)
            copied = Copied(omitted=omitted)
            move = Batch(own, before.path, start, moved, last, more=not progress.is_done, copied=copied)
            try:
                self._target.write([*batches, move])
                break
            except RecordsRefused as error:
                batches = [_without(batch, error) for batch in batches]
                progress = replace(progress, refused=progress.refused + len(error.refusals))
            except PositionConflict as error:
                raise CopyError(
                    f"somebody else writes to the store that is copied into: {error}; then copy again, which "
                    "goes on"
                ) from error
        self._copy = replace(before, checkpoint=moved)
        self.progress = replace(self.progress, refused=progress.refused)

    async def copy_rejects(self) -> None:
        """From the oldest on, as their order tells which are kept where there are too many."""
        cursors: list[tuple[str | None, int]] = []
        query: RejectsQuery | None = RejectsQuery(_REJECTS_A_PAGE)
        while query is not None:
            page = await self._origin.rejects(query)
            cursors.append((query.after, len(page.rejects)))
            query = None if page.next_cursor is None else replace(query, after=page.next_cursor)
        copied = 0
        for cursor, number in reversed(cursors):
            copied += number
            if copied > self.progress.rejects:
                page = await self._origin.rejects(RejectsQuery(_REJECTS_A_PAGE, cursor))
                batches = self._reject_batches(page.rejects[::-1])
                await self._commit(replace(self.progress, rejects=copied), batches)
        await self._written()

    def _reject_batches(self, rejects: Sequence[Reject]) -> list[Batch]:
        batches = []
        commits = itertools.groupby(rejects, lambda reject: (reject.source_id, reject.seen_at))
        for (source_id, seen_at), group in commits:
            rows = [(reject.offset, reject.reason, reject.line) for reject in group]
            parsed = ParsedLines(no_records(), pl.DataFrame(rows, REJECT_SCHEMA, orient="row"), 0)
            known = source_id if source_id in self._sources else self._copy.source_id
            batches.append(replace(self._batch(known, parsed), copied=Copied(seen_at)))
        return batches

    async def copy_notes(self) -> tuple[str, ...]:
        """The names of those that stay as the target has them."""
        others = []
        for name in await self._origin.note_names():
            text = (await self._origin.note(name)).text
            there = await self._target.note(name)
            if not there.version:
                await self._target.keep_note(name, text, 0)
            elif there.text != text:
                others.append(name)
        return tuple(others)

    async def finish(self) -> None:
        """Bring what was only counted, and say that the copy is whole. Raises CopyError."""
        if (await _contents(self._origin)).copy_id != self._contents.copy_id:
            raise CopyError(
                "the store that is copied from has changed meanwhile; stop all that write to it, and copy "
                "into an empty store"
            )
        rejects = self._contents.rejects
        omitted = rejects - self.progress.rejects
        done = replace(self.progress, rejects=rejects, is_done=True)
        await self._commit(done, [], replace(no_lines(), blanks=self._contents.blanks), omitted)
        await self._written()


async def _gathered(pages: AsyncIterator[pl.DataFrame], rows: int) -> AsyncIterator[pl.DataFrame]:
    """Pages in frames that are worth a commit."""
    frames: list[pl.DataFrame] = []
    async for page in pages:
        frames.append(page)
        if sum(frame.height for frame in frames) >= rows:
            for part in _of_few_sources(pl.concat(frames, rechunk=False)):
                yield part
            frames = []
    if frames:
        for part in _of_few_sources(pl.concat(frames, rechunk=False)):
            yield part


def _of_few_sources(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    while frame.height:
        sources = frame["source"].is_first_distinct().cum_sum()
        fit = int((sources <= _MOST_SOURCES).sum())
        yield frame.head(fit)
        frame = frame.slice(fit)


def _check_order(frame: pl.DataFrame, place: RecordPlace | None) -> None:
    """Raise StoreError where a record comes twice, as would be seen in the copy only."""
    same_as_before = pl.all_horizontal(pl.all().eq_missing(pl.all().shift())).slice(1)
    if behind(frame.head(1), place).is_empty() or frame.select(same_as_before.any()).item():
        raise StoreError("the store that is copied from gave a record twice; copy again, which goes on")


def _without(batch: Batch, error: RecordsRefused) -> Batch:
    """A batch without the records that can never be stored."""
    refused = [refusal.offset for refusal in error.refusals if refusal.source_id == batch.source_id]
    records = batch.parsed.records.filter(~pl.col("offset").is_in(refused))
    return replace(batch, parsed=replace(batch.parsed, records=records), prepared=None) if refused else batch
