"""Which blocks hold true, and which times have been written to since.

A manifest is written whole and never changed; the newest one counts. It names the blocks that hold what had
been committed up to a place in each journal, and the times that are `stale`: written to, and in no block.
A commit adds the times that it touches to a journal. So a block is right where nothing of it is stale, by the
manifest or by what journals say behind the manifest's places; elsewhere requests themselves are read. Any
other time has no request.
"""

from __future__ import annotations

import base64
import json
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tailmetrics.stores.summaries.block import DAY_US, HOUR_US, LEVELS, Level, Part
from tailmetrics.stores.windowing import Span

ALWAYS: Final[Span] = (-(2**62), 2**62)
GENERATIONS: Final = 2**23  # of a block: a new one has a random one
_MOST_STALE = 100  # spans, each of which a server looks for: many rows are read in the time of one look

Bounds = npt.NDArray[np.int64]  # a row for each span

_LEVEL_OF = {level.name: level for level in LEVELS}


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block as it was made: where it begins (us), which making it is of, and what it holds.

    `sizes` says of how many bytes each part is; `first_us` and `last_us` are times of requests.
    """

    level: Level
    start_us: int
    generation: int
    records: int
    first_us: int
    last_us: int
    sizes: Mapping[Part, int]

    @property
    def end_us(self) -> int:
        return self.start_us + self.level.length_us

    @property
    def key(self) -> tuple[str, int, int]:
        return (self.level.name, self.start_us, self.generation)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is summed up in blocks: none overlaps another.

    `included` is the place in each journal up to which blocks and `stale` hold what was touched. `number`
    grows from one manifest to the next.
    """

    number: int = 0
    blocks: tuple[BlockRef, ...] = ()
    stale: tuple[Span, ...] = (ALWAYS,)
    included: Mapping[str, int] = field(default_factory=dict)

    def as_text(self) -> str:
        document = {
            "number": self.number,
            "blocks": [
                [
                    ref.level.name,
                    ref.start_us,
                    ref.generation,
                    ref.records,
                    ref.first_us,
                    ref.last_us,
                    dict(ref.sizes),
                ]
                for ref in self.blocks
            ],
            "stale": self.stale,
            "included": dict(self.included),
        }
        return base64.b64encode(zlib.compress(json.dumps(document).encode())).decode()

    @classmethod
    def of_text(cls, text: str) -> Manifest:
        try:
            document: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
        except zlib.error as error:
            raise ValueError(f"a part of a manifest is missing: {error}") from error
        blocks = (BlockRef(_LEVEL_OF[name], *rest) for name, *rest in document["blocks"])
        stale = tuple((low, high) for low, high in document["stale"])
        return cls(document["number"], tuple(blocks), stale, document["included"])


@dataclass(frozen=True, slots=True)
class Touched:
    """What one commit wrote to: spans of time, at a place in a journal."""

    journal: str
    place: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class State:
    """A manifest, and what was touched since it was made; what is before `oldest_us` has expired."""

    manifest: Manifest
    since: tuple[Touched, ...] = ()
    oldest_us: int = ALWAYS[0]

    @cached_property
    def stale(self) -> list[Span]:
        """Spans, apart from each other and in order, whose requests have to be read.

        They are longer than what was touched where they would be very many.
        """
        bounds = _apart(_bounds(chain(self.manifest.stale, *(each.spans for each in self.later))))
        for length in (HOUR_US, DAY_US):
            if len(bounds) <= _MOST_STALE:
                break
            bounds = _apart(np.column_stack((bounds[:, 0] // length, -(-bounds[:, 1] // length))) * length)
        return _spans(bounds)

    @property
    def later(self) -> list[Touched]:
        """What the manifest does not include."""
        included = self.manifest.included
        return [each for each in self.since if each.place > included.get(each.journal, -1)]

    @property
    def included(self) -> dict[str, int]:
        """The last place that is known of each journal."""
        places = dict(self.manifest.included)
        for each in self.since:
            places[each.journal] = max(places.get(each.journal, -1), each.place)
        return places


def spans_as_text(spans: Sequence[Span]) -> str:
    return json.dumps(spans, separators=(",", ":"))


def spans_of_text(text: str) -> tuple[Span, ...]:
    return tuple((low, high) for low, high in json.loads(text))


def united(spans: Iterable[Span]) -> list[Span]:
    """The same times as spans that are apart from each other, in order."""
    return _spans(_apart(_bounds(spans)))


def _bounds(spans: Iterable[Span]) -> Bounds:
    return np.fromiter(chain.from_iterable(spans), np.int64).reshape(-1, 2)


def _spans(bounds: Bounds) -> list[Span]:
    return list(zip(bounds[:, 0].tolist(), bounds[:, 1].tolist(), strict=True))


def _apart(bounds: Bounds) -> Bounds:
    bounds = bounds[bounds[:, 0] < bounds[:, 1]]
    bounds = bounds[np.argsort(bounds[:, 0], kind="stable")]
    reached = np.maximum.accumulate(bounds[:, 1])
    begins = np.flatnonzero(bounds[1:, 0] > reached[:-1]) + 1
    if not len(bounds):
        return bounds
    ends = np.append(begins, len(bounds)) - 1
    return np.column_stack((bounds[np.append(0, begins), 0], reached[ends]))


def within(spans: Sequence[Span], low_us: int, high_us: int) -> list[Span]:
    """The parts of spans (apart from each other, in order) that lie in [low_us, high_us)."""
    if low_us >= high_us:
        return []
    first = bisect_right(spans, low_us, key=_end)
    found = list(spans[first : bisect_left(spans, high_us, lo=first, key=_begin)])
    if found:
        found[0] = (max(found[0][0], low_us), found[0][1])
        found[-1] = (found[-1][0], min(found[-1][1], high_us))
    return found


def without(spans: Iterable[Span], removed: Sequence[Span]) -> list[Span]:
    """What is left of spans when `removed` (apart from each other, in order) is taken away."""
    left: list[Span] = []
    for low, high in spans:
        begin = low
        for cut_low, cut_high in within(removed, low, high):
            if begin < cut_low:
                left.append((begin, cut_low))
            begin = cut_high
        if begin < high:
            left.append((begin, high))
    return left


_begin, _end = itemgetter(0), itemgetter(1)
