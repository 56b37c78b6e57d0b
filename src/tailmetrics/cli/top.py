"""The live screen of `tailmetrics top`, and its keys."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tailmetrics.cli.client import Answer, Client
from tailmetrics.cli.documents import Customers, Stats
from tailmetrics.cli.tables import customers_table, fitting, narrow_text, totals_line
from tailmetrics.cli.text import counted, escaped
from tailmetrics.errors import TailmetricsError

SORTS = ("requests", "failures", "uptime", "average", "median", "p99", "customer_id")
KEYS = "q quit  s sort by the next column  r other order  / filter  n p pages  space pause"

_OTHER_LINES = 10  # around the rows of the table
_KEY_NAMES = {"\x1b[C": "s", "\x1b[B": "n", "\x1b[6~": "n", "\x1b[A": "p", "\x1b[5~": "p", "\x1b": "q"}
_BACKSPACE = {"\x7f", "\b"}


@dataclass
class Choice:
    """What is shown, as keys have chosen it. `typed` is the filter while it is being typed, else None."""

    sort: str = "requests"
    descending: bool = True
    search: str = ""
    min_requests: str | None = None
    cursors: list[str] = field(default_factory=list)  # of the pages up to the one that is shown
    paused: bool = False
    typed: str | None = None
    ended: bool = False

    def press(self, key: str, next_cursor: str | None) -> None:
        """Apply a key or its escape sequence; `next_cursor` leads to the page after this one."""
        if self.typed is not None:
            self._type(key)
            return
        match _KEY_NAMES.get(key, key):
            case "q":
                self.ended = True
            case "s":
                self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
                self.descending = self.sort not in {"uptime", "customer_id"}
                self.cursors.clear()
            case "r":
                self.descending = not self.descending
                self.cursors.clear()
            case "n" if next_cursor is not None:
                self.cursors.append(next_cursor)
            case "p" if self.cursors:
                self.cursors.pop()
            case "/":
                self.typed = self.search
            case " ":
                self.paused = not self.paused

    def _type(self, key: str) -> None:
        text = self.typed or ""
        if key in {"\r", "\n"}:
            self.search, self.typed = text, None
            self.cursors.clear()
        elif key == "\x1b":
            self.typed = None
        elif key in _BACKSPACE:
            self.typed = text[:-1]
        elif key.isprintable():
            self.typed = text + key

    def parameters(self, limit: int) -> dict[str, str]:
        """The question for the page that is shown."""
        chosen = {"sort": f"{'-' if self.descending else ''}{self.sort}", "limit": str(limit)}
        if self.search:
            chosen["search"] = self.search
        if self.min_requests is not None:
            chosen["min_requests"] = self.min_requests
        if self.cursors:
            chosen["cursor"] = self.cursors[-1]
        return chosen


def is_interactive() -> bool:
    """Whether keys can be read and a screen drawn."""
    try:
        import termios  # noqa: F401  # there is none on Windows
    except ImportError:
        return False
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def show(client: Client, asked: Mapping[str, str], choice: Choice, interval_seconds: float) -> None:
    """Show customers until a key ends it; `asked` are the parameters of the range."""
    console = Console(highlight=False)
    page = _Page(client, asked, console)
    with _keys() as next_key, Live(console=console, screen=True, auto_refresh=False) as screen:
        due = 0.0
        while not choice.ended:
            if time.monotonic() >= due:
                page.refresh(choice)
                due = time.monotonic() + interval_seconds
            screen.update(page.drawn(choice), refresh=True)
            key = next_key(max(0.0, due - time.monotonic()))
            if key is None:
                if choice.paused:
                    due = time.monotonic() + interval_seconds
                continue
            before = choice.parameters(1)
            choice.press(key, page.next_cursor)
            if choice.parameters(1) != before or (key == " " and not choice.paused):
                due = 0.0


class _Page:
    def __init__(self, client: Client, asked: Mapping[str, str], console: Console) -> None:
        self._client = client
        self._asked = asked
        self._console = console
        self._current: tuple[Stats, Answer[Customers]] | None = None
        self._problem = ""

    @property
    def next_cursor(self) -> str | None:
        return self._current[1].document.next_cursor if self._current else None

    def refresh(self, choice: Choice) -> None:
        limit = max(1, min(1000, self._console.height - _OTHER_LINES))
        try:
            totals = self._client.ask(Stats, {**self._asked, "every": "none"}).document
            customers = self._client.ask(Customers, {**self._asked, **choice.parameters(limit)})
        except TailmetricsError as error:
            # What was shown stays, with the reason why it is not current.
            self._problem = str(error)
            return
        self._current = totals, customers
        self._problem = ""

    def drawn(self, choice: Choice) -> Group:
        parts: list[RenderableType] = []
        if self._current is not None:
            totals, customers = self._current
            page = customers.document
            parts.append(Text(totals_line(totals), style="bold"))
            table = customers_table(page.customers, choice.sort, descending=choice.descending)
            fitted, left_out = fitting(table, self._console)
            parts.append(fitted)
            if left_out:
                parts.append(Text(narrow_text(left_out), style="dim"))
            shown = f"{len(page.customers)} of {counted(page.total, 'customer')}"
            parts.append(Text(f"{shown}; from {customers.origin}", style="dim"))
        if self._problem:
            parts.append(Text(f"Not current: {escaped(self._problem)}", style="bold red"))
        if choice.typed is not None:
            parts.append(Text(f"Filter: {escaped(choice.typed)}▏  Enter to apply, Esc to leave it"))
        else:
            paused = "paused" if choice.paused else ""
            search = f"filter {escaped(choice.search)!r}" if choice.search else ""
            parts.append(Text("  ".join(filter(None, [paused, search, KEYS])), style="dim"))
        return Group(*parts)


@contextmanager
def _keys() -> Iterator[Callable[[float], str | None]]:
    """Yield a function that waits so many seconds for a key; keys come one by one and are not shown."""
    import termios  # there is none on Windows
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def next_key(seconds: float) -> str | None:
        if not select.select([descriptor], [], [], seconds)[0]:
            return None
        data = os.read(descriptor, 1)
        # An escape sequence comes at once, and so do the further bytes of a character.
        while select.select([descriptor], [], [], 0.01 if data == b"\x1b" else 0)[0] and (
            data.startswith(b"\x1b") or data[0] >= 0x80
        ):
            data += os.read(descriptor, 1)
        return data.decode(errors="replace") if data else "q"

    try:
        tty.setcbreak(descriptor)
        yield next_key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
