"""Loads that were asked for over HTTP: each is a job that can be asked how far it is."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from tailmetrics.api.load.uploads import Upload
from tailmetrics.api.ports import LoadJob, Supervisor
from tailmetrics.status import LoadProgress

_MOST_ACTIVE = 100  # each may hold a file
_MOST_REMEMBERED = 1000  # that have ended
_LONGEST_PAUSE_SECONDS = 0.1  # between two looks at a load


@dataclass(frozen=True, slots=True)
class Load:
    """One job: the logs it reads, by their names."""

    job_id: str
    parts: Sequence[tuple[str, LoadJob]]
    ended: asyncio.Task[None]

    def progresses(self) -> list[tuple[str, LoadProgress]]:
        return [(name, part.progress()) for name, part in self.parts]


class LoadJobs:
    """The jobs of one app, used from its event loop."""

    def __init__(self) -> None:
        self._loads: dict[str, Load] = {}

    def check_room(self) -> None:
        """Raises HTTPException 503 when too many loads are under way."""
        active = sum(not load.ended.done() for load in self._loads.values())
        if active >= _MOST_ACTIVE:
            raise HTTPException(
                503,
                f"Found {active} loads under way, expected fewer; ask again when some of them are done.",
                headers={"Retry-After": "1"},
            )

    def add(self, ingestion: Supervisor, parts: Sequence[tuple[str, LoadJob]], upload: Upload | None) -> Load:
        """Remember a load that was begun; what was uploaded for it is removed when it has ended."""
        job_id = secrets.token_hex(16)
        ended = asyncio.get_running_loop().create_task(_ended(ingestion, parts, upload))
        load = Load(job_id, parts, ended)
        self._loads[job_id] = load
        for old in [each.job_id for each in self._loads.values() if each.ended.done()][:-_MOST_REMEMBERED]:
            del self._loads[old]
        return load

    def get(self, job_id: str) -> Load:
        """Raises HTTPException 404 for a job that is not known, or not any more."""
        if job_id not in self._loads:
            raise HTTPException(
                404,
                f"job: found {job_id!r}, expected one that POST /load answered with since the service was "
                f"started, and one of the last {_MOST_REMEMBERED}; loading again counts nothing twice",
            )
        return self._loads[job_id]


async def _ended(ingestion: Supervisor, parts: Sequence[tuple[str, LoadJob]], upload: Upload | None) -> None:
    """Wait without holding a thread, as loads may be long and threads are few."""
    try:
        pause = 0.005
        for _, part in parts:
            while not part.wait(0) and ingestion.state().name != "stopped":
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
    finally:
        if upload is not None:
            upload.remove()
