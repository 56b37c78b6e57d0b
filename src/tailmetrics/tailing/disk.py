"""Whose logs lie on this disk, whatever the node that read them was called."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable

from tailmetrics.errors import LoadError
from tailmetrics.sources import HEAD_BYTES, Source
from tailmetrics.tailing.identity import holds
from tailmetrics.tailing.log_file import open_log


def nodes_here(sources: Iterable[Source]) -> set[str]:
    """The nodes that have read a file which lies here, in its folder under any name."""
    found: set[str] = set()
    folders: dict[str, dict[int, list[Source]]] = defaultdict(lambda: defaultdict(list))
    for source in sources:
        if source.node_id in found or not source.position:
            continue
        if _is_file_of(source.path, source):
            found.add(source.node_id)
        else:
            folders[os.path.dirname(os.path.abspath(source.path))][source.inode].append(source)  # noqa: PTH100, PTH120
    for folder, by_inode in folders.items():
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                for source in by_inode.get(entry.inode(), ()):
                    if source.node_id not in found and _is_file_of(entry.path, source):
                        found.add(source.node_id)
    return found


def _is_file_of(path: str, source: Source) -> bool:
    """Whether a file is that of a source, by its inode and bytes.

    A disk in another machine may have another device number: then what tells it must be enough.
    """
    with contextlib.suppress(OSError, LoadError):
        if os.stat(path).st_ino != source.inode:  # noqa: PTH116
            return False
        with contextlib.closing(open_log(path)) as file:
            is_enough = source.device == file.key[0] or source.checkpoint.head_length == HEAD_BYTES
            return is_enough and file.key[1] == source.inode and holds(file, source.checkpoint)
    return False
