"""Notes in InfluxDB: texts that are replaced where they are still of the version that somebody has read."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Sequence
from typing import Final

from tailmetrics.errors import StoreUnavailable
from tailmetrics.stores.base import Note
from tailmetrics.stores.influxdb.csv import Tables
from tailmetrics.stores.influxdb.leases import CLAIM_PAUSE_SECONDS, Claimed, Leases
from tailmetrics.stores.influxdb.line_protocol import decoded, encoded, point
from tailmetrics.stores.influxdb.reader import InfluxDBReader
from tailmetrics.stores.influxdb.server import Server

_PIECE = 15_000  # characters of a field, each of four bytes at most: InfluxDB promises to keep 64 KB
_RETRIES = 20
_CLAIM: Final = "note_claim"

NOTE = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "note" and r.name == name and r._field == "text")
    |> keep(columns: ["piece", "_value"])
    |> group()
    |> yield(name: "note")
"""

NAMES = """
from(bucket: bucket)
    |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)
    |> filter(fn: (r) => r._measurement == "note" and r.piece == "0" and r._field == "text")
    |> keep(columns: ["name"])
    |> group()
    |> yield(name: "names")
"""


class InfluxDBNotes:
    """The write side of notes.

    InfluxDB has no compare-and-set. Whoever keeps a note says so first and then looks whether another
    process does, as for registering sources: of two at the same moment one at least sees the other, and
    tries again. What is left: a process on another machine that stands still for longer than its lease,
    between its look and its write, can replace what others have kept meanwhile, with the same version.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._leases = Leases(server)
        self._lock = threading.Lock()

    def keep(self, name: str, text: str, version: int) -> bool:
        """Replace a note of this version; raises StoreUnavailable, also where others never stop to claim."""
        with self._lock:
            for _ in range(_RETRIES):
                with contextlib.suppress(Claimed):
                    return self._replace(name, text, version)
                time.sleep(random.uniform(*CLAIM_PAUSE_SECONDS))  # noqa: S311  # so that two do not meet again
            return self._replace(name, text, version)

    def close(self) -> None:
        self._leases.end()

    def _replace(self, name: str, text: str, version: int) -> bool:
        with self._leases.claim(_CLAIM, "keeps a note"):
            found = note_of(self._server.query_meta(NOTE, {"name": encoded(name)}))
            if found.version == version:
                self._server.write_meta(_lines(name, text, version + 1))
            return found.version == version


def _lines(name: str, text: str, version: int) -> list[str]:
    pieces = [text[begin : begin + _PIECE] for begin in range(0, max(1, len(text)), _PIECE)]
    head = f"{version} {len(pieces)} "
    return [
        point("note", {"name": name, "piece": str(number)}, {"text": head + piece}, 0)
        for number, piece in enumerate(pieces)
    ]


async def note(reader: InfluxDBReader, name: str) -> Note:
    """Raises StoreUnavailable."""
    return note_of(await reader.run(NOTE, {"bucket": reader.meta_bucket, "name": encoded(name)}))


async def names(reader: InfluxDBReader) -> Sequence[str]:
    """The names of all notes. Raises StoreUnavailable."""
    found = await reader.run(NAMES, {"bucket": reader.meta_bucket})
    return sorted(decoded(found["names"]["name"])) if "names" in found else []


def note_of(found: dict[str, Tables]) -> Note:
    """A note from its pieces, each of which tells the version and how many there are.

    Raises StoreUnavailable where some are of another version, as they are while it is replaced.
    """
    if "note" not in found:
        return Note(0, "")
    rows = found["note"].select("piece", "_value").iter_rows()
    pieces = {int(number): text.split(" ", 2) for number, text in rows}
    version, length, _ = pieces[0]
    whole = [pieces.get(number, ["", "", ""]) for number in range(int(length))]
    if any(said != version for said, _, _ in whole):
        raise StoreUnavailable("InfluxDB has not stored a note whole yet")
    return Note(int(version), "".join(text for _, _, text in whole))
