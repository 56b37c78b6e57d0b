"""Lines of the mode demo: a day's rhythm, customers that differ, and in the past an incident."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from tailmetrics.generator.lines import BLOCK_LINES, Lines
from tailmetrics.generator.options import GeneratorOptions

# The mode demo: the pace rises and falls with the hour of the day around its mean, one customer is slow, one
# fails more often, one asks by night only, and the past had an incident.
_QUIETEST_HOUR = 4
_SWING = 0.65
_DAY_SECONDS = 86_400
_SLOW, _FAILING, _NIGHTLY = 2, 5, 8  # indexes of CUSTOMERS
_NIGHT_HOURS = (1, 5)
_INCIDENT_SECONDS = (16_200, 15_120)  # before the end of the past: 18 minutes, 4.5 hours ago


class Demo(Lines):
    """Requests that follow the hour of the day, and customers of whom some differ."""

    def __init__(self, options: GeneratorOptions) -> None:
        super().__init__(options)
        self._offset = (self._begin.astimezone(self._zone).utcoffset() or timedelta()).total_seconds()
        self._owed = 0.0

    def batch_size(self, now: float) -> int:
        self._owed += self.options.batch_size * (1 - _SWING * math.cos(self._phase(now)))
        whole = int(self._owed)
        self._owed -= whole
        return whole

    def _phase(self, seconds: float) -> float:
        """Where in its day a time is: 0 at the quietest hour, 2 pi a day later."""
        return 2 * math.pi * ((seconds + self._offset) / _DAY_SECONDS - _QUIETEST_HOUR / 24)

    def _columns(self, count: int) -> list[pl.Series]:
        return self._requests_at(np.full(count, self.options.clock()))

    def _requests_at(self, seconds: npt.NDArray[np.float64], *, end: float = math.inf) -> list[pl.Series]:
        """The requests of these times; an incident precedes `end`."""
        count = len(seconds)
        customers, paths, statuses = self._choices(count)
        hours = (seconds + self._offset) / 3600 % 24
        is_night = (hours >= _NIGHT_HOURS[0]) & (hours < _NIGHT_HOURS[1])
        customers[(customers == _NIGHTLY) & ~is_night] = 0
        customers[is_night & (self._random.random(count) < 0.3)] = _NIGHTLY
        begin, finish = (end - before for before in _INCIDENT_SECONDS)
        is_incident = (seconds >= begin) & (seconds < finish)
        failing = np.select([is_incident, customers == _FAILING], [0.35, 0.06], 0.0)
        statuses[self._random.random(count) < failing] = 503
        slower = np.where(customers == _SLOW, 4.0, 1.0) * np.where(is_incident, 3.0, 1.0)
        return self._requests(customers, paths, statuses, self._milliseconds(paths, statuses, slower))


class DemoPast(Demo):
    """What the pace would have written in the last days, and while that is written, at once."""

    def __init__(self, options: GeneratorOptions) -> None:
        super().__init__(options)
        self._lines_a_second = options.batch_size / options.interval_seconds
        self._end = self._begin.timestamp()
        self._cover(float(_DAY_SECONDS * (options.days or 0)))
        total = min(self._total, options.max_lines or self._total)
        self.options = replace(options, batch_size=BLOCK_LINES, interval_seconds=0.0, max_lines=max(total, 1))

    def _cover(self, span: float) -> None:
        """Sum the pace up over the last `span` seconds: how many lines follow each of their minutes."""
        self._ages = np.linspace(0.0, span, math.ceil(span / 60) + 1)
        swings = np.array([math.sin(self._phase(self._end - age)) for age in self._ages.tolist()])
        even = self._ages - _SWING * _DAY_SECONDS / (2 * math.pi) * (swings[0] - swings)
        self._followed_by = even * self._lines_a_second
        self._total = round(self._followed_by[-1])

    def is_complete(self, written: int) -> bool:
        if written < self.options.max_lines:
            return False
        span = self.options.clock() - self._end
        if span < 1:
            return True
        self._end += span
        self._cover(span)
        self.options = replace(self.options, max_lines=written + self._total)
        # What was rendered beyond the last line has the times of the former span.
        self._block, self._at, self._rendered = [], 0, written
        return not self._total

    def batch_size(self, now: float) -> int:  # noqa: ARG002  # written without pauses
        return self.options.batch_size

    def _columns(self, count: int) -> list[pl.Series]:
        left = self.options.max_lines - self._rendered
        # Of the last block only these lines are written.
        wanted = max(min(count, left), 0)
        rest = left - np.sort(self._random.random(wanted)) * wanted
        ages = np.pad(np.interp(rest, self._followed_by, self._ages), (0, count - wanted))
        seconds = np.floor(self._end - ages)
        return [self._timestamps(seconds.astype(np.int64)), *self._requests_at(seconds, end=self._end)]
