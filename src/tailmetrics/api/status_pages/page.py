"""The page itself: HTML without a script, of one customer and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Literal
from zoneinfo import ZoneInfo

from tailmetrics.stats import WindowStats

State = Literal["kept", "partly", "broken", "none"]

_SHAPES: dict[State, str] = {"kept": "✓", "partly": "◐", "broken": "✗", "none": "-"}
_OF_PROMISES: dict[State, str] = {"kept": "kept", "partly": "at risk", "broken": "broken", "none": ""}
_WORDS: dict[State, str] = {
    "kept": "Works as promised",
    "partly": "Fails more often than promised",
    "broken": "Fails much more often than promised",
    "none": "No requests in the last hour",
}


@dataclass(frozen=True, slots=True)
class Promise:
    """An objective of the customer: `compliance` in per cent, None without requests."""

    name: str
    promised: str
    compliance: float | None
    state: State


@dataclass(frozen=True, slots=True)
class Status:
    """All that the page tells; `target` in per cent is what days and the last hour are held against."""

    customer_id: str
    at: datetime
    zone: ZoneInfo
    target: float
    last_hour: float | None
    days: Sequence[WindowStats]
    promises: Sequence[Promise]


def state_of(uptime: float | None, target: float) -> State:
    """`partly` up to twice as many failures as the target allows."""
    if uptime is None:
        return "none"
    if uptime >= target:
        return "kept"
    return "partly" if 100 - uptime <= 2 * (100 - target) else "broken"


def html_of(status: Status) -> str:
    now = state_of(status.last_hour, status.target)
    title = f"{escape(status.customer_id)}: status"
    at = status.at.astimezone(status.zone)
    return f"""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="robots" content="noindex, nofollow">
    <title>{title}</title>
    <link rel="icon" type="image/svg+xml" href="/static/favicon.svg">
    <link rel="stylesheet" href="/static/status.css">
  </head>
  <body>
    <main>
      <h1>{escape(status.customer_id)}</h1>
      <p class="now {now}"><span aria-hidden="true">{_SHAPES[now]}</span> {_WORDS[now]}</p>
      <p class="note">{_last_hour(status.last_hour)} {at:%Y-%m-%d %H:%M} {escape(status.zone.key)}.</p>
{"".join(_promises(status.promises))}
      <h2>Uptime of the last {len(status.days)} days</h2>
      <ol class="days">
{"".join(_day(day, status) for day in status.days)}
      </ol>
      <p class="note">Held against {status.target:g} %: ✓ kept, ◐ missed with up to twice as many failures as
      that allows, ✗ missed by more, - no requests.</p>
    </main>
  </body>
</html>
"""


def percent(value: float) -> str:
    """With two decimals, and never 100 where something failed."""
    return f"{100.0 if value == 100 else min(value, 99.99):.2f} %"


def _last_hour(uptime: float | None) -> str:
    told = "" if uptime is None else f"Uptime of the last hour: {percent(uptime)}. "
    return f"{told}As of"


def _promises(promises: Sequence[Promise]) -> Iterable[str]:
    if not promises:
        return
    yield "      <h2>Objectives</h2>\n      <ul class='promises'>\n"
    for each in promises:
        found = "no requests yet" if each.compliance is None else f"{each.compliance:.3f} %"
        name, promised, state = escape(each.name), escape(each.promised), _OF_PROMISES[each.state]
        yield (
            f'        <li class="{each.state}"><span aria-hidden="true">{_SHAPES[each.state]}</span> '
            f"{state}: <strong>{name}</strong>, {found} <small>of {promised}</small></li>\n"
        )
    yield "      </ul>"


def _day(day: WindowStats, status: Status) -> str:
    state = state_of(day.summary.uptime, status.target)
    date = day.start.astimezone(status.zone)
    told = "no requests" if day.summary.uptime is None else percent(day.summary.uptime)
    return (
        f'        <li class="{state}"><time datetime="{date:%Y-%m-%d}">{date:%d %b}</time> '
        f'<span aria-hidden="true">{_SHAPES[state]}</span> <span>{told}</span></li>\n'
    )
