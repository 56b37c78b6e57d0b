"""Records of lines that are clean by a template, from their bytes alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.formats.customers import are_odd, is_host
from tailmetrics.formats.digits import (
    WORD,
    Doubles,
    Words,
    decimals,
    last_bytes,
    marks_of,
    pairs,
    until_any,
    words_at,
)
from tailmetrics.formats.fields import MAX_STATUS, MIN_STATUS
from tailmetrics.formats.lines import Bools, Integers
from tailmetrics.formats.paths import AGENT
from tailmetrics.formats.rules import Rules
from tailmetrics.formats.scan import bytes_until
from tailmetrics.formats.templates.columns import PATHS, epoch_seconds
from tailmetrics.formats.templates.scan import Marks, Spans, scan
from tailmetrics.formats.templates.template import Kind, Role, Template
from tailmetrics.formats.text import Place, each_text, text_pairs
from tailmetrics.formats.units import PER_SECOND
from tailmetrics.records import MAX_CUSTOMER_ID_CHARACTERS, RECORD_SCHEMA, no_records

_PROTOCOL = b" HTTP/0.0"  # with any digits
_ZERO, _DASH, _DOT, _QUESTION, _SLASH, _COLON, _QUOTE, _LESS = (ord(character) for character in '0-.?/:"<')
_HTTP, _HTTPS = (np.uint64(int.from_bytes(scheme, "little")) for scheme in (b"http://", b"https://"))
_SEVEN_BYTES = np.uint64((1 << 56) - 1)


class CleanRecords:
    """Reads what it is sure of, and tells which lines these are.

    Records have a column for the agent, too, when the rules need it.
    """

    def __init__(self, template: Template, rules: Rules, max_line_bytes: int) -> None:
        self.template = template
        self._rules = rules
        self._max_line_bytes = max_line_bytes
        self._customers = [field for name in rules.customer for field in template.find(name)]
        self._has_connections = template.first(Role.PROTOCOL) is not None
        # Of hosts it is known which have a port.
        self._may_have_ports = any(
            field.role is not Role.HOST
            and (field.role is Role.ADDRESS or field.has_addresses or is_host(field.name))
            for field in self._customers
        )
        self._agent = template.first(Role.AGENT) if rules.paths.needs_agent else None
        timestamp, status = template.first(Role.TIMESTAMP), template.first(Role.STATUS)
        path = template.first(*PATHS)
        if not timestamp or not status or not path:
            raise ValueError("such a template has no rules")
        self._timestamp, self._status, self._path = timestamp, status, path
        self._duration = template.first(Role.DURATION, Role.TRAILING)
        self._behind = template.first(Role.BEHIND)
        fields = timestamp, status, path, *self._customers, self._duration, self._behind, self._agent
        self._wanted = frozenset(field.name for field in fields if field)

    def read(self, marks: Marks) -> tuple[pl.DataFrame, Bools]:
        """Records, and which of the lines they are of."""
        spans = scan(self.template, marks, self._wanted, self._max_line_bytes)
        clean = spans.clean
        if not clean.any():
            return no_records(), clean
        timestamp = self._times(spans)
        status, proven = _status_codes(spans, spans.fields[self._status.name])
        customer = self._customer(spans, proven)
        path = self._target(spans, proven)
        duration = self._seconds(spans, proven)
        if timestamp.null_count():
            proven &= timestamp.is_not_null().to_numpy()
        if not proven.all():
            clean = clean.copy()
            clean[clean] = proven
            customer, path = _only(customer, proven), _only(path, proven)
            timestamp, duration, status = timestamp.filter(proven), duration.filter(proven), status[proven]
        data = marks.lines.data
        if (customer[1] <= path[0]).all():
            customer_id, target = text_pairs(data, customer, path)
        else:
            customer_id, target = each_text(data, customer), each_text(data, path)
        records = pl.DataFrame(
            {
                "timestamp": timestamp,
                "customer_id": customer_id,
                "path": target,
                "status_code": status,
                "duration": duration,
                "offset": marks.lines.offsets[clean],
            }
        )
        if self._agent:
            agent = _only(spans.fields[self._agent.name], proven)
            records = records.with_columns(each_text(data, agent).alias(AGENT))
        suspects = _may_have_colons(spans, customer) if self._may_have_ports else customer[0][:0]
        odd = suspects[are_odd(customer_id.gather(suspects)).to_numpy()] if len(suspects) else suspects
        if len(odd):
            is_plain = np.ones(records.height, dtype=np.bool_)
            is_plain[odd] = False
            clean = clean.copy()
            clean[clean] = is_plain
            records = records.filter(is_plain)
        return records, clean

    def _times(self, spans: Spans) -> pl.Series:
        if self._timestamp.kind is Kind.TIME and spans.times is not None:
            return pl.Series(spans.times).cast(RECORD_SCHEMA["timestamp"])
        text = each_text(spans.text, spans.fields[self._timestamp.name])
        return self._rules.timestamps.read(
            pl.select(epoch_seconds(pl.lit(text), self._timestamp.unit)).to_series()
        )

    def _customer(self, spans: Spans, proven: Bools) -> Place:
        begins = ends = np.zeros(len(proven), dtype=np.int64)
        for field in reversed(self._customers):
            place = spans.fields[field.name]
            if field.role is Role.HOST and field.kind is not Kind.NAME:
                place = _without_port(spans, place, proven)
            is_there = ~_is_missing(spans, place)
            if field.has_addresses and field.kind is not Kind.LIST:
                proven &= ~is_there | (_until(spans, place[0], b',"') == place[1])
            if is_there.all():
                begins, ends = place
            else:
                begins, ends = np.where(is_there, place[0], begins), np.where(is_there, place[1], ends)
        if any(field.is_name and field.kind is not Kind.QUOTED for field in self._customers):
            first = spans.array[begins]
            proven &= (first != _QUOTE) & (first != _LESS)
        lengths = ends - begins
        proven &= (lengths > 0) & (lengths <= MAX_CUSTOMER_ID_CHARACTERS)
        return begins, ends

    def _target(self, spans: Spans, proven: Bools) -> Place:
        begins, ends = spans.fields[self._path.name]
        if self._has_connections:
            proven &= spans.array[begins] != _DASH
        if self._path.role is Role.REQUEST:
            proven &= ends - begins > len(_PROTOCOL)
            targets = _until(spans, begins, b" ") + 1
            proven &= targets > begins + 1
            begins, ends = targets, np.maximum(ends - len(_PROTOCOL), 0)
            proven &= pairs(words_at(spans.text, ends, "<u8"), _PROTOCOL[:WORD])[1]
            proven &= spans.array[ends + WORD] - np.uint8(_ZERO) < 10
        begins = _behind_host(spans, begins, proven)
        # A space in the target is left to the rules, and what is behind a query's beginning is no matter.
        ends_of_target = b" " if self._path.role is Role.REQUEST else b' "'
        stops = _until(spans, begins, ends_of_target + (b"" if self._rules.paths.keep_query else b"?"))
        proven &= (stops >= ends) | (spans.array[stops] == _QUESTION)
        ends = np.minimum(stops, ends)
        proven &= begins < ends
        return begins, ends

    def _seconds(self, spans: Spans, proven: Bools) -> pl.Series:
        field = self._duration
        if field is None:
            return pl.repeat(None, len(proven), dtype=pl.Float64(), eager=True)
        begins, ends = spans.fields[field.name]
        words, values, fits = _numbers(spans, (begins, ends))
        proven &= ends >= WORD
        if field.role is Role.DURATION:
            proven &= fits | _is_missing(spans, (begins, ends))
        elif field.kind is Kind.QUOTED:
            # Another quoted text is no duration; of a long one the end may look like one.
            proven &= (ends - begins <= WORD) | ~decimals(words, np.full_like(ends, WORD))[1]
            fits &= _have_dot(words, ends - begins)
            if not field.unit:
                fits &= ~_have_decimals(spans, ends, 2)
        else:
            proven &= fits
            if not field.unit:
                proven &= (values < 1) | ~_have_decimals(spans, ends, 2)
                whole = np.flatnonzero(values == np.floor(values))
                proven[whole] &= _have_dot(words[whole], (ends - begins)[whole])
        if self._behind is not None:
            proven &= _is_no_more(spans, spans.fields[self._behind.name], values)
            proven &= (values < 1) | ~_have_decimals(spans, ends, 2)
            if not field.unit:  # else they may be no times
                proven &= ~np.any([_have_decimals(spans, ends, count) for count in (4, 5, 6)], axis=0)
        scale = PER_SECOND[self._rules.unit]
        scaled: Doubles = values if scale == 1 else values / scale
        duration = pl.Series(scaled)
        return duration if fits.all() else duration.set(pl.Series(~fits), None)


def _is_no_more(spans: Spans, place: Place, values: Doubles) -> Bools:
    """Where the time of the servers behind is unknown, or surely no longer than that of the request."""
    _, others, fits = _numbers(spans, place)
    is_less: Bools = fits & (others <= values)
    return is_less | _is_missing(spans, place)


def _without_port(spans: Spans, place: Place, proven: Bools) -> Place:
    """Hosts without what is behind their first colon, where that is a number; other colons prove nothing."""
    begins, ends = place
    colons = _until(spans, begins, b': "\n')
    has_colon = (colons < ends) & (spans.array[colons] == _COLON)
    proven &= (colons > begins) | (begins == ends)
    if not has_colon.any():
        return place
    words, _, fits = _numbers(spans, (colons + 1, ends))
    proven &= ~has_colon | (fits & ~_have_dot(words, np.maximum(ends - colons - 1, 0)))
    return begins, np.where(has_colon, colons, ends)


def _behind_host(spans: Spans, begins: Integers, proven: Bools) -> Integers:
    """Where the path begins of targets that may be URLs; those that are not plain are left to the rules."""
    odd = np.flatnonzero(spans.array[begins] != _SLASH)
    if not len(odd):
        return begins
    first = begins[odd]
    ends = _until(spans, first, b':/? "')
    is_url = spans.array[ends] == _COLON
    words = words_at(spans.text, first, "<u8")
    hosts = np.where(words == _HTTPS, first + 8, first + 7)
    slashes = _until(spans, hosts, b'/? "')
    is_plain = ((words == _HTTPS) | (words & _SEVEN_BYTES == _HTTP)) & (spans.array[slashes] == _SLASH)
    proven[odd] &= np.where(is_url, is_plain, ends > first)
    begins = begins.copy()
    begins[odd] = np.where(is_url & is_plain, slashes, first)
    return begins


def _may_have_colons(spans: Spans, place: Place) -> Integers:
    """Which texts may have a colon, as far as their first bytes tell: most addresses are no longer."""
    begins, ends = place
    colons = marks_of(words_at(spans.text, begins, f"V{2 * WORD}").view("<u8"), b":")
    is_near = (colons[::2] | colons[1::2]) != 0
    return np.flatnonzero(is_near | (ends - begins > 2 * WORD))


def _numbers(spans: Spans, place: Place) -> tuple[Words, Doubles, Bools]:
    """The last bytes of short texts, their values, and which of them are decimal numbers."""
    begins, ends = place
    words = words_at(spans.text, np.maximum(ends - WORD, 0), "<u8")
    return words, *decimals(words, ends - begins)


def _have_decimals(spans: Spans, ends: Integers, count: int) -> Bools:
    have: Bools = spans.array[np.maximum(ends - 1 - count, 0)] == _DOT
    return have


def _have_dot(words: Words, lengths: Integers) -> Bools:
    has_dot: Bools = until_any(last_bytes(words, lengths), b".") < WORD
    return has_dot


def _status_codes(spans: Spans, place: Place) -> tuple[npt.NDArray[np.int16], Bools]:
    begins, ends = place
    digits = [spans.array[begins + index] - np.uint8(_ZERO) for index in range(3)]
    status = digits[0].astype(np.int16) * 100 + digits[1] * np.int16(10) + digits[2]
    fits = (ends - begins == 3) & (digits[0] < 10) & (digits[1] < 10) & (digits[2] < 10)
    fits &= (status >= MIN_STATUS) & (status <= MAX_STATUS)
    return status, fits


def _is_missing(spans: Spans, place: Place) -> Bools:
    begins, ends = place
    lengths = ends - begins
    is_missing: Bools = (lengths == 0) | ((lengths == 1) & (spans.array[begins] == _DASH))
    return is_missing


def _until(spans: Spans, begins: Integers, stops: bytes) -> Integers:
    return begins + bytes_until(spans.text, begins, words_at(spans.text, begins, "<u8"), stops)


def _only(place: Place, proven: Bools) -> Place:
    return place[0][proven], place[1][proven]
