"""The formats `docker`, `cri`, `syslog` and so on: those of lines that are wrapped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl

from tailmetrics.errors import FormatError
from tailmetrics.formats.base import LineFormat
from tailmetrics.formats.claims import claims_of
from tailmetrics.formats.customers import told_names
from tailmetrics.formats.framing import RESULTS
from tailmetrics.formats.kinds import Kind
from tailmetrics.formats.lines import Integers, Lines, lines_of, split
from tailmetrics.formats.reasons import found_instead
from tailmetrics.formats.text import BLANK, kept_lines, text_of, too_long_line, unfit_lines
from tailmetrics.formats.timestamps import lacks_year, with_year
from tailmetrics.formats.wrappers import WRAPPERS
from tailmetrics.formats.wrappers.mixed import MixedFormat, WhenNeeded, open_mixed
from tailmetrics.formats.wrappers.parts import firsts_of
from tailmetrics.formats.wrappers.prefixed import PREFIXED
from tailmetrics.formats.wrappers.wrapper import GOES_ON, INNER, PROBLEM, STREAM, TIME, Wrapper
from tailmetrics.records import REJECT_SCHEMA, ParsedLines
from tailmetrics.settings import FormatOptions
from tailmetrics.settings.names import AUTO

_NO_TIME = "timestamp: found nothing"
_SEVERAL_LINES = "line: found a line feed in what is inside, expected one line"


@dataclass(frozen=True, slots=True)
class WrappedFormat:
    """Reads what is inside of lines by another format; rejects show the lines as they are in the log.

    `written_ns` is when the log was written to last, which tells the years of times that have none.
    """

    wrapper: Wrapper
    inner: LineFormat
    max_line_bytes: int
    told_names: tuple[str, ...] = ()
    written_ns: int = 0

    def of_source(self, path: str, written_ns: int, header: bytes = b"") -> WrappedFormat:
        return replace(self, inner=self.inner.of_source(path, written_ns, header), written_ns=written_ns)

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        return self.parse_lines(split(data, offset))

    def parse_lines(self, lines: Lines) -> ParsedLines:
        text = text_of(lines)
        table = self._unwrapped(lines, text)
        rejected = table["reason"].is_not_null()
        chosen = ~table["is_blank"] & ~rejected
        inner = table.filter(chosen) if not chosen.all() else table
        carried = _lines_of(inner[INNER], inner["offset"].to_numpy(), inner[TIME])
        parsed = self.inner.parse_lines(replace(carried, told=self._told(lines, text, carried)))
        rejects = table.filter(rejected).select(REJECT_SCHEMA.keys())
        if parsed.rejects.height:
            reasons = parsed.rejects.select("offset", self._reason())
            shown = reasons.join(table.select("offset", "line"), on="offset", maintain_order="left")
            rejects = pl.concat([rejects, shown]).sort("offset")
        blanks = len(lines) - inner.height - int(rejected.sum()) + parsed.blanks
        return ParsedLines(parsed.records, rejects, blanks)

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        return too_long_line(data, offset, self.max_line_bytes)

    def _reason(self) -> pl.Expr:
        """Why what is inside of a line is a reject, with what would tell its time."""
        reason, timed = pl.col("reason"), self.wrapper.timed
        if not timed:
            return reason
        hint = f", or one in front of the line ({timed})"
        return pl.when(reason.str.starts_with(_NO_TIME)).then(reason + hint).otherwise(reason)

    def _told(self, lines: Lines, text: pl.Series, carried: Lines) -> pl.DataFrame | None:
        """What the wrapper, and what carried that, tells of the lines that are read on."""
        if not self.told_names:
            return None
        told = lines.told
        if self.wrapper.told is not None:
            own = self.wrapper.told(text, self.told_names)
            told = own if told is None else told.with_columns(_or_else(own, told))
        chosen = np.searchsorted(lines.offsets, carried.offsets)
        return None if told is None else told[chosen]

    def _unwrapped(self, lines: Lines, text: pl.Series) -> pl.DataFrame:
        """What is inside of each line, parts as one with the first of them, or why there is nothing."""
        unwrapped = self.wrapper.unwrap(text)
        times = unwrapped[TIME]
        if lines.times is not None:  # it may be told further out, and with the year
            is_outer = (times.is_null() | lacks_year(times)) & lines.times.is_not_null()
            times = lines.times.zip_with(is_outer, times)
        unwrapped = unwrapped.with_columns(with_year(times, self.written_ns).alias(TIME))
        table = unwrapped.select(
            INNER,
            TIME,
            pl.Series("offset", lines.offsets),
            text.str.contains(BLANK).alias("is_blank"),
            pl.coalesce(unfit_lines(lines, text, self.max_line_bytes), PROBLEM).alias("reason"),
            kept_lines(lines, text, self.max_line_bytes).alias("line"),
        )
        if unwrapped[GOES_ON].any():
            firsts, _ = firsts_of(zip(unwrapped[STREAM], unwrapped[GOES_ON], strict=True))
            if len(set(firsts)) < len(firsts):
                table = _joined(table, firsts)
        several = pl.col(INNER).str.contains("\n", literal=True)
        table = table.with_columns(pl.coalesce("reason", pl.when(several).then(pl.lit(_SEVERAL_LINES))))
        not_wrapped = table[INNER].is_null() & ~table["is_blank"]
        if not not_wrapped.any():
            return table
        reason = found_instead("line", pl.col("line"), self.wrapper.expected)
        return table.with_columns(pl.coalesce("reason", pl.when(not_wrapped).then(reason)))


def open_wrapped(
    options: FormatOptions, kinds: Mapping[str, Kind], open_format: Callable[[FormatOptions], LineFormat]
) -> WrappedFormat:
    """The format of a wrapper, with the format that its name says behind a colon, else with any.

    Raises FormatError when there is no such format, or when its options cannot be used.
    """
    name, _, inner = options.name.partition(":")
    wrapper = WRAPPERS[name]
    if inner == RESULTS:
        raise FormatError(
            f"LOG_FORMAT: found {options.name!r}, whose blocks of lines no wrapper keeps, expected "
            f"{RESULTS} alone, or a format of single lines behind {name} and a colon"
        )
    if inner not in ("", AUTO):
        read = open_format(replace(options, name=inner))
    else:
        claiming = _claiming(options, kinds)
        others = [
            # Without a third wrapper in it.
            _as_kind(other, lambda other: _opened(other, _open_inside(other, claiming, options), options))
            for other in WRAPPERS.values()
            if other is not wrapper or other is PREFIXED
        ]
        read = _open_inside(wrapper, [*claiming, *others], options)
    return _opened(wrapper, read, options)


def _opened(wrapper: Wrapper, inner: LineFormat, options: FormatOptions) -> WrappedFormat:
    return WrappedFormat(wrapper, inner, options.max_line_bytes, tuple(told_names(options.customer)))


def open_any(
    options: FormatOptions, kinds: Mapping[str, Kind], open_format: Callable[[FormatOptions], LineFormat]
) -> MixedFormat:
    """The format of lines of which each may be of any kind, wrapped or not, and tells it itself.

    Raises FormatError when the options cannot be used.
    """
    expected = "a line of a known format; name it with LOG_FORMAT, or as FORMAT=URL in LOG_FILE_PATH"
    wrapped = [
        _as_kind(each, lambda each: open_format(replace(options, name=each.name)))
        for each in WRAPPERS.values()
    ]
    return open_mixed([*_claiming(options, kinds), *wrapped], options, expected)


def _as_kind(wrapper: Wrapper, opened: Callable[[Wrapper], LineFormat]) -> Kind:
    """A wrapper as a kind of lines among others, with the same options, so that none is to be found wrong."""
    return Kind(
        name=wrapper.name,
        title="",
        example="",
        claims=wrapper.wraps,
        open=lambda _: WhenNeeded(partial(opened, wrapper)),
    )


def _open_inside(wrapper: Wrapper, kinds: Iterable[Kind], options: FormatOptions) -> MixedFormat:
    name = wrapper.name
    expected = f"a line of a known format inside of {name}, or LOG_FORMAT={name}:FORMAT for its own"
    return open_mixed(kinds, options, expected)


def _claiming(options: FormatOptions, kinds: Mapping[str, Kind]) -> list[Kind]:
    if options.nginx_regex:  # which may describe any lines
        kinds = {**kinds, "nginx": replace(kinds["nginx"], are_own=None)}
    claims = claims_of(kinds, options)
    return [replace(kinds[name], claims=claim) for name, claim in claims.items() if name != RESULTS]


def _or_else(told: pl.DataFrame, outer: pl.DataFrame) -> list[pl.Series]:
    """What is told, and where nothing is, what was told outside."""
    return [
        column.zip_with(column.is_not_null(), outer[column.name]) if column.name in outer.columns else column
        for column in told
    ]


def _joined(table: pl.DataFrame, firsts: list[int]) -> pl.DataFrame:
    """One row for all parts of a line, where the first one is; what is wrong with any is wrong with all."""
    inner = pl.col(INNER)
    return table.group_by(pl.Series("first", firsts), maintain_order=True).agg(
        pl.when(inner.first().is_not_null()).then(inner.str.join("")).alias(INNER),
        pl.col("offset", "is_blank", "line", TIME).first(),
        pl.col("reason").drop_nulls().first(),
    )


def _lines_of(texts: pl.Series, offsets: Integers, times: pl.Series) -> Lines:
    """Texts without a line feed as lines that begin at these bytes of their source."""
    return replace(lines_of(texts), offsets=offsets, times=times)
