"""One processor a source: who holds it, and whether that one still lives. InfluxDB has no compare-and-set."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tailmetrics.errors import StoreError, StoreUnavailable
from tailmetrics.stores.influxdb.line_protocol import point
from tailmetrics.stores.influxdb.server import Server

BEAT_SECONDS = 2.0
CLAIM_PAUSE_SECONDS = (0.05, 0.5)
LEASE_SECONDS = 10.0  # a processor elsewhere that has said nothing for so long has ended


SOURCES = "claim"  # the measurement in which processors say that they register sources


class Claimed(StoreUnavailable):
    """Another processor that lives has the claim."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A processor: its own random id, where it runs, and what tells there whether it has ended."""

    processor: str
    host: str
    pid: int
    machine: str  # the boot of the machine and the PID namespace; empty where that is not told
    started: str  # of the process, as the system counts

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @classmethod
    def here(cls) -> Holder:
        pid = os.getpid()
        return cls(secrets.token_hex(6), socket.gethostname(), pid, _machine(), _started(pid))

    @classmethod
    def of(cls, text: str) -> Holder:
        return cls(**json.loads(text))

    def as_text(self) -> str:
        return json.dumps(asdict(self))

    def has_ended(self) -> bool | None:
        """Whether its process is no more; None when this machine cannot tell."""
        if not self.machine or self.machine != _machine():
            return None
        return _started(self.pid) != self.started


class Leases:
    """What this processor says of itself, and what it hears of others.

    `me` is written into each source that this processor holds. As long as it lives it says so every two
    seconds. Clocks of other machines are not compared: another processor lives when what it says changes.
    """

    def __init__(self, server: Server) -> None:
        self.me = Holder.here()
        self._server = server
        self._beats = 0
        self._beaten_at = 0.0
        self._heard: dict[str, tuple[int, float]] = {}
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_valid(self) -> bool:
        """Whether others still take this processor for alive."""
        return time.monotonic() - self._beaten_at < LEASE_SECONDS / 2

    def begin(self) -> None:
        """Say that this processor lives, from now on. Raises StoreUnavailable."""
        if not self.is_valid:
            self._beat(self._beats + 1)
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_beating, name="influxdb-lease", daemon=True)
            self._thread.start()

    def living(self, holder: Holder) -> bool:
        """Whether another processor lives. Raises StoreUnavailable while that cannot be told yet."""
        rows = self._server.query_meta(BEATS, {"id": holder.processor}).get("beats")
        beat = 0 if rows is None or rows.is_empty() else int(rows["_value"][0])
        if not beat:
            return False
        if (ended := holder.has_ended()) is not None:
            return not ended
        heard, since = self._heard.setdefault(holder.processor, (beat, time.monotonic()))
        if beat != heard:
            return True
        if time.monotonic() - since > LEASE_SECONDS:
            return False
        raise StoreUnavailable(
            f"a source is held by {holder}; waiting up to {LEASE_SECONDS:g} seconds to see whether it lives",
            BEAT_SECONDS,
        )

    @contextlib.contextmanager
    def claim(self, measurement: str = SOURCES, doing: str = "registers sources") -> Iterator[None]:
        """Be the only processor that registers sources, or has another claim, while the context is open.

        Each says that it is about to, and then looks whether another one does: of two at the same moment one
        at least sees the other, and tries again later. Raises Claimed, and StoreUnavailable.
        """
        self.begin()
        self._say_claim(self.me.as_text(), measurement)
        try:
            rows = self._server.query_meta(claims_of(measurement), {"id": self.me.processor}).get("claims")
            for text in () if rows is None else rows["_value"]:
                if self.living(other := Holder.of(text)):
                    pause = random.uniform(*CLAIM_PAUSE_SECONDS)  # noqa: S311  # so that two do not meet again
                    raise Claimed(f"{other} {doing} at this moment", pause)
            yield
        finally:
            self._say_claim("", measurement)

    def end(self) -> None:
        """Say that this processor has ended, if the server can be reached."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            with contextlib.suppress(StoreError):
                self._beat(0)

    def _keep_beating(self) -> None:
        while not self._ending.wait(BEAT_SECONDS):
            with contextlib.suppress(StoreError):  # whoever writes next says it
                self._beat(self._beats + 1)

    def _say_claim(self, text: str, measurement: str = SOURCES) -> None:
        self._server.write_meta([point(measurement, {"processor": self.me.processor}, {"holder": text}, 0)])

    def _beat(self, number: int) -> None:
        line = point("processor", {"processor": self.me.processor}, {"beat": number}, 0)
        asked_at = time.monotonic()
        self._server.write_meta([line])
        self._beats = number
        self._beaten_at = asked_at


BEATS = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "processor" and r.processor == id and r._field == "beat")
    |> keep(columns: ["_value"])
    |> yield(name: "beats")
"""


_CLAIMS = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "{measurement}" and r._field == "holder")
    |> filter(fn: (r) => r.processor != id and r._value != "")
    |> keep(columns: ["_value"])
    |> group()
    |> yield(name: "claims")
"""


def claims_of(measurement: str) -> str:
    """The text that asks who else has a claim."""
    return _CLAIMS.format(measurement=measurement)


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process began, in ticks of the kernel; empty when there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return status.rpartition(")")[2].split()[19]
