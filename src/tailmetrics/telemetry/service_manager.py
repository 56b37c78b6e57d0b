"""What systemd asks a service to tell it: that it is ready, that it goes on, and that it ends.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable

OF_PARENT = "fd:"  # before the number of a socket's descriptor: it is the parent that listens

_LOOKS_A_WATCHDOG = 3  # in the time after which the process is ended


def notify(message: str) -> None:
    """Send a message to the service manager, if one listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith(OF_PARENT):
        with (
            socket.socket(fileno=os.dup(int(address.removeprefix(OF_PARENT)))) as sender,
            contextlib.suppress(OSError),
        ):
            sender.send(message.encode())
        return
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # of the abstract namespace
    # One that listens no more has given this process up, and ends it by itself.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(message.encode(), address)


def watchdog_seconds() -> float | None:
    """How long this process may say nothing before it is ended; None: for ever."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    is_ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if is_ours and microseconds.isdecimal() and int(microseconds) else None


class ServiceManager:
    """Tells the service manager how the process is, from the loop whose turns show that it goes on.

    `overdue_seconds` is how long what runs beside that loop stands still; a service is ready when
    `is_ready` is true for the first time.
    """

    def __init__(
        self,
        is_ready: Callable[[], bool] = lambda: True,
        overdue_seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._is_ready = is_ready
        self._overdue_seconds = overdue_seconds
        self._watchdog = watchdog_seconds()
        self._was_ready = False
        self._due = 0.0

    @property
    def turn_seconds(self) -> float | None:
        """How often `turn` must be called at least; None: never."""
        if "NOTIFY_SOCKET" not in os.environ:
            return None
        return min(1.0, (self._watchdog or 3.0) / _LOOKS_A_WATCHDOG)

    def turn(self) -> None:
        """Tell what is due now; cheap enough for each turn of a loop."""
        if not self._was_ready and self._is_ready():
            self._was_ready = True
            notify("READY=1")
        if self._watchdog is None or (now := time.monotonic()) < self._due:
            return
        if self._overdue_seconds() < self._watchdog:
            self._due = now + self._watchdog / _LOOKS_A_WATCHDOG
            notify("WATCHDOG=1")
