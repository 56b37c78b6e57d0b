"""Which positions need not be remembered any more."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import datetime, timezone

from tailmetrics.settings import LogPath
from tailmetrics.sources import Source
from tailmetrics.tailing.rotation import LogNames

_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


def forgettable(known: Sequence[Source], remembered: int, log_paths: Sequence[LogPath]) -> list[str]:
    """Ids of the sources beyond the `remembered` newest ones of which no file is left.

    A file of the same log counts as left, whatever its mark and whatever it holds, and so does one of the
    same inode under any name: it may be the source itself, and forgetting it would count its lines again.
    """
    excess = len(known) - remembered
    if excess <= 0:
        return []
    oldest = sorted(known, key=lambda source: source.committed_at or _LONG_AGO)[:excess]
    inodes: set[int] = set()
    paths: list[str] = []
    for folder in {_folder(source) for source in oldest}:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                inodes.add(entry.inode())
                paths.append(entry.path)
    names = LogNames(log_paths)
    names.add([*paths, *(source.path for source in known)])
    logs = {names.log_of(path) for path in paths}
    return [
        source.source_id
        for source in oldest
        if source.inode not in inodes and names.log_of(source.path) not in logs
    ]


def _folder(source: Source) -> str:
    return os.path.dirname(os.path.abspath(source.path))  # noqa: PTH100, PTH120
