"""Requests with odd paths, statuses and durations, and filters that select some of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from tailmetrics.sources import Source
from tailmetrics.stats import ALL_REQUESTS, RequestFilter
from tailmetrics.stores import Store
from tests.builders import LINE_BYTES, Record, at, batch_of, moved, source_of

# With what they become by way of a request: its time, customer, path, status, duration, source and offset.
Row = tuple[datetime, str, str, int, float | None, str, int]

FIRST = at("2024-10-10T12:00:00")
END = at("2024-10-10T13:00:00")
EARLIER = "earlier"  # a customer whose only request is a year before all others

PATHS = (
    "/",
    "/api",
    "/api/v1/users",
    "/API/v1/users",
    "/health",
    "/healthz",
    "/health ",
    "/100%",
    "/100%25",
    "/100x",
    "/a_c",
    "/abc",
    "/a.c",
    "/back\\slash",
    "/back\\\\slash",
    "/two\nlines",
    "/st*r",
    "/star",
    "/(a|b)+[c]?^$",
    '/it\'s "quoted"',
    "/caf\u00e9",
    "/cafe\u0301",
    "/CAF\u00c9",
    "/\U0001f680",
    "/aba/abc",
)

# Each with the paths of PATHS that it is to match: an own reading of what a glob is, beside brute force.
GLOBS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("*",): PATHS,
    ("**",): PATHS,
    ("",): (),
    ("/nul\0*",): (),
    ("/",): ("/",),
    ("/api*",): ("/api", "/api/v1/users"),
    ("/api/*",): ("/api/v1/users",),
    ("*/v1/*",): ("/api/v1/users", "/API/v1/users"),
    ("/health",): ("/health",),
    ("/health*",): ("/health", "/healthz", "/health "),
    ("/100%",): ("/100%",),
    ("/100%*",): ("/100%", "/100%25"),
    ("/a_c",): ("/a_c",),
    ("*a_c",): ("/a_c",),
    ("/a.c*",): ("/a.c",),
    ("/back\\slash",): ("/back\\slash",),
    ("/back\\*",): ("/back\\slash", "/back\\\\slash"),
    ("*\\\\*",): ("/back\\\\slash",),
    ("/two*lines",): ("/two\nlines",),
    ("*\n*",): ("/two\nlines",),
    ("/st*r",): ("/st*r", "/star"),
    ("/(a|b)+[c]?^$",): ("/(a|b)+[c]?^$",),
    ("*+[c]*$",): ("/(a|b)+[c]?^$",),
    ("*'s \"*",): ('/it\'s "quoted"',),
    ("/caf\u00e9",): ("/caf\u00e9",),
    ("/caf*\u0301",): ("/cafe\u0301",),
    ("/\U0001f680*",): ("/\U0001f680",),
    ("/ab*b*c",): ("/aba/abc",),
    ("/ab*bc",): ("/aba/abc",),
    ("/star", "/health*z", "/API*"): ("/star", "/healthz", "/API/v1/users"),
}

FILTERS = {
    "everything": ALL_REQUESTS,
    "paths": RequestFilter(paths=("/api*", "/a?c", "/100%")),
    "other paths": RequestFilter(other_paths=("/health*", "/back\\*", "/")),
    "paths and others": RequestFilter(paths=("/a*", "/c*"), other_paths=("*b*", "/a_c")),
    "a status": RequestFilter(statuses=((404, 404),)),
    "no answer": RequestFilter(statuses=((0, 0),)),
    "ranges of statuses": RequestFilter(statuses=((0, 200), (429, 500), (599, 100_000))),
    "slow ones": RequestFilter(min_duration=0.5),
    "quick ones": RequestFilter(max_duration=0.5),
    "at least no time": RequestFilter(min_duration=0.0),
    "all at once": RequestFilter(("*a*",), ("/API*",), ((200, 499),), 0.25, 2.0),
    "nothing": RequestFilter(paths=("/nowhere",)),
    "nothing by its bounds": RequestFilter(statuses=((200, 100),), min_duration=1.0, max_duration=1.0),
}


def _requests(number: int) -> list[Record]:
    """In no order, at the same times as others, with the same durations as others and without any."""
    chance = random.Random(24)
    return [
        (at("2023-10-10"), EARLIER, "/", 200, 0.1),
        *(
            (
                FIRST + timedelta(seconds=7 * chance.randrange(500)),
                chance.choice(("a", "A", 'it\'s "quoted"', "\u00fc")),
                PATHS[place % len(PATHS)],
                chance.choice((0, 200, 200, 201, 304, 404, 429, 500, 503)),
                chance.choice((None, 0.0, 0.25, 0.5, 0.5, round(chance.expovariate(1), 3))),
            )
            for place in range(number - 1)
        ),
    ]


_SOURCES = (source_of("one.log"), source_of("two.log", inode=8))
REQUESTS = _requests(900)
ROWS: list[Row] = [
    (*request, _SOURCES[place % 2].source_id, place // 2 * LINE_BYTES)
    for place, request in enumerate(REQUESTS)
]


def fill(store: Store) -> None:
    """Write REQUESTS, every other one of each source, in three commits."""
    sources = [store.register(source) for source in _SOURCES]
    for begin in range(0, len(REQUESTS), 300):
        part = REQUESTS[begin : begin + 300]
        sources = _written(store, sources, [part[0::2], part[1::2]])


def _written(store: Store, sources: Sequence[Source], parts: Sequence[Sequence[Record]]) -> list[Source]:
    batches = [batch_of(source, part) for source, part in zip(sources, parts, strict=True)]
    store.write(batches)
    return [moved(source, batch) for source, batch in zip(sources, batches, strict=True)]
