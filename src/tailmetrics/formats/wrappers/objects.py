"""Objects a line, as some wrappers are."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import polars as pl

Object = TypeVar("Object", bound=msgspec.Struct)


def read_objects(
    decoder: msgspec.json.Decoder[Object], text: pl.Series, nothing: Object
) -> tuple[list[Object], list[int]]:
    """The object of each line, and which lines are none: for these it is `nothing`."""
    lines = (text.str.join("\n").item() or "").encode()
    try:
        objects = decoder.decode_lines(lines)
    except (msgspec.MsgspecError, RecursionError):
        objects = []
    if len(objects) == len(text):
        return objects, []
    objects, others = [], []
    for place, line in enumerate(lines.split(b"\n")[: len(text)]):
        try:
            objects.append(decoder.decode(line))
        except (msgspec.MsgspecError, RecursionError):  # noqa: PERF203  # each line fails alone
            objects.append(nothing)
            others.append(place)
    return objects, others
