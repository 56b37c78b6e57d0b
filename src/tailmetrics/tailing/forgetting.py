"""Which positions need not be remembered any more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone

from tailmetrics.sources import Source
from tailmetrics.tailing.discovery import rotation_family

_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


def forgettable(known: Sequence[Source], remembered: int) -> list[str]:
    """Ids of the sources beyond the `remembered` newest ones of which no file is left.

    A file of the same name or one that rotation derived from it counts as left, whatever it holds: it may be
    the source itself, and forgetting it would count its lines again.
    """
    excess = len(known) - remembered
    if excess <= 0:
        return []
    oldest = sorted(known, key=lambda source: source.committed_at or _LONG_AGO)[:excess]
    families: dict[str, set[str]] = {}
    for source in oldest:
        folder = os.path.dirname(rotation_family(source.path))  # noqa: PTH120
        if folder not in families:
            families[folder] = _families_in(folder)
    return [
        source.source_id
        for source in oldest
        if rotation_family(source.path) not in families[os.path.dirname(rotation_family(source.path))]  # noqa: PTH120
    ]


def _families_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {rotation_family(entry.path) for entry in entries}
    except OSError:
        return set()
