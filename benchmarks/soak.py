"""Minutes of lines at a steady rate, with rotations and `kill -9`: is each line in the store exactly once?

Every line carries a number. Rotation is by rename and by copy + truncate in turn; the writer rests while a
copy is made, as otherwise what is written between the copy and the truncation is lost by the rotation itself.
Ends with status 1 when a line was lost, is there twice, or came before its predecessor in its source.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path

import duckdb
import httpx
import numpy as np

from running import ServiceProcess

WRITES_A_SECOND = 20
KEPT_ROTATIONS = 5
DRAIN_SECONDS = 120.0


class Writer(threading.Thread):
    """Appends numbered lines at `rate` a second and rotates the log every `rotate_every` seconds."""

    def __init__(self, log: Path, rate: int, seconds: float, rotate_every: float) -> None:
        super().__init__(daemon=True)
        self.written = 0
        self.rotations = 0
        self._log = log
        self._rate = rate
        self._seconds = seconds
        self._rotate_every = rotate_every

    def run(self) -> None:
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < self._seconds:
            if elapsed >= (self.rotations + 1) * self._rotate_every:
                self._rotate()
            self._append(int(elapsed * self._rate) - self.written)
            time.sleep(1 / WRITES_A_SECOND)

    def _append(self, count: int) -> None:
        numbers = range(self.written, self.written + count)
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        lines = [
            f"{now} cust_{n % 50} /line/{n} {500 if n % 20 == 0 else 200} 0.{n % 1000:03}\n" for n in numbers
        ]
        with self._log.open("ab") as stream:
            stream.write("".join(lines).encode())
        self.written += count

    def _rotate(self) -> None:
        for number in range(KEPT_ROTATIONS, 0, -1):
            older = self._log.with_name(f"{self._log.name}.{number}")
            if older.exists():
                older.rename(self._log.with_name(f"{self._log.name}.{number + 1}"))
        rotated = self._log.with_name(f"{self._log.name}.1")
        if self.rotations % 2:
            shutil.copyfile(self._log, rotated)
            os.truncate(self._log, 0)
        else:
            self._log.rename(rotated)
            self._log.touch()
        self._log.with_name(f"{self._log.name}.{KEPT_ROTATIONS + 1}").unlink(missing_ok=True)
        self.rotations += 1


class Watch:
    """The largest lag and memory, and the descriptors of each run of the service."""

    def __init__(self) -> None:
        self.lag_bytes = 0
        self.lag_seconds = 0.0
        self.peak_mb = 0.0
        self.memory: list[float] = []  # at the end of each run
        self.descriptors: list[tuple[int, int]] = []  # at start and end of each run
        self._first = 0

    def run_begins(self, service: ServiceProcess) -> None:
        self._first = service.descriptors()

    def look(self, service: ServiceProcess) -> None:
        self.peak_mb = max(self.peak_mb, service.resident_mb())
        try:
            sources = service.sources()
        except httpx.TransportError:
            return
        self.lag_bytes = max(self.lag_bytes, sum(source["lag_bytes"] for source in sources))
        self.lag_seconds = max(self.lag_seconds, *(source["lag_seconds"] for source in sources), 0.0)

    def run_ends(self, service: ServiceProcess) -> None:
        self.memory.append(service.resident_mb())
        self.descriptors.append((self._first, service.descriptors()))


def soak(folder: Path, arguments: argparse.Namespace) -> bool:
    log = folder / "requests.log"
    log.touch()
    seconds = arguments.minutes * 60
    service = ServiceProcess(folder, str(log), NODE_ID="soak")
    writer = Writer(log, arguments.rate, seconds, arguments.rotate_every)
    watch = Watch()
    chance = random.Random(arguments.seed)
    kills = 0
    service.start()
    watch.run_begins(service)
    began = time.monotonic()
    writer.start()
    kill_at = arguments.kill_every * chance.uniform(0.5, 1.0)
    try:
        while writer.is_alive():
            time.sleep(0.5)
            watch.look(service)
            if arguments.kill_every and time.monotonic() - began >= kill_at:
                watch.run_ends(service)
                service.kill()
                kills += 1
                service.start()
                watch.run_begins(service)
                kill_at = arguments.kill_every * (kills + chance.uniform(0.5, 1.0))
        drain(service, writer.written)
        watch.run_ends(service)
        service.end()
    finally:
        service.kill()
    lost, twice, reordered = compare(service.store, writer.written)
    print(
        f"{writer.written:,} lines in {arguments.minutes:g} min, {writer.rotations} rotations, {kills} kills"
    )
    print(f"lost {lost}, twice {twice}, out of order {reordered}")
    print(f"largest lag {watch.lag_bytes:,} bytes, {watch.lag_seconds:.1f} s")
    memory = ", ".join(f"{each:.0f}" for each in watch.memory)
    print(f"peak memory {watch.peak_mb:.0f} MB; at the end of each run: {memory}")
    print(
        "descriptors at start and end of each run:", *(f"{first}-{last}" for first, last in watch.descriptors)
    )
    return not (lost or twice or reordered)


def drain(service: ServiceProcess, written: int) -> None:
    """Wait until the store has as many lines as were written, or no more come."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        answer = service.client.get("/stats", params={"every": "none"}).json()
        if answer["total_requests"] >= written:
            return
        time.sleep(0.2)


def compare(store: Path, written: int) -> tuple[int, int, int]:
    """How many lines are lost, there more than once, and before their predecessor in their source."""
    with duckdb.connect(str(store), read_only=True) as connection:
        rows = connection.execute(
            "SELECT source_key, regexp_extract(path, '[0-9]+$')::BIGINT AS number FROM records "
            'ORDER BY source_key, "offset"'
        ).fetchnumpy()
    numbers, times = np.unique(rows["number"], return_counts=True)
    same_source = np.diff(rows["source_key"]) == 0
    reordered = int(np.count_nonzero(same_source & (np.diff(rows["number"]) <= 0)))
    return written - len(numbers), int(np.count_nonzero(times > 1)), reordered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--rate", type=int, default=20_000, help="lines a second")
    parser.add_argument("--rotate-every", type=float, default=20, help="seconds")
    parser.add_argument("--kill-every", type=float, default=60, help="seconds; 0: never")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        is_right = soak(Path(folder), arguments)
    raise SystemExit(0 if is_right else 1)


if __name__ == "__main__":
    main()
