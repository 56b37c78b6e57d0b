"""Every option of the program: what there is, what each part is told of it, and how it is read."""

from __future__ import annotations

from tailmetrics.settings.loading import load_settings, resolve_node_id
from tailmetrics.settings.model import Settings
from tailmetrics.settings.names import FORMAT_NAMES, canonical_format
from tailmetrics.settings.options import (
    CommitOptions,
    FormatOptions,
    LogPath,
    LogQueue,
    LogTopic,
    QueueOptions,
    TailingOptions,
    TopicOptions,
)

__all__ = [
    "FORMAT_NAMES",
    "CommitOptions",
    "FormatOptions",
    "LogPath",
    "LogQueue",
    "LogTopic",
    "QueueOptions",
    "Settings",
    "TailingOptions",
    "TopicOptions",
    "canonical_format",
    "load_settings",
    "resolve_node_id",
]
