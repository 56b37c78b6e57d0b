"""Frames into files: under another name until they are whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Literal, get_args

import polars as pl
from polars.io.plugins import register_io_source

from tailmetrics.api.record_formats import frame_text

FileFormat = Literal["parquet", "csv", "jsonl", "arrow"]
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)

_ROW_GROUP = 100_000


def write(
    frames: Iterator[pl.DataFrame], schema: Mapping[str, pl.DataType], form: FileFormat, file: IO[bytes]
) -> None:
    """Write frames of a schema as they come; no more than a few are in memory. Raises OSError."""
    if form == "parquet":
        lazy = register_io_source(lambda *_: frames, schema=schema)
        try:
            lazy.sink_parquet(file, row_group_size=_ROW_GROUP, maintain_order=True)
        except pl.exceptions.PolarsError as error:
            raise OSError(None, str(error)) from error
        return
    text = frame_text(form, schema)
    file.write(text.begin)
    for frame in frames:
        file.write(text.frame(frame))
    file.write(text.end)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that has the name `path` when it is whole, and is gone when it is not to be. Raises OSError."""
    draft = path.with_name(f".{path.name}.unfinished")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
