"""Frames as DuckDB reads them without pyarrow: by the Arrow C stream interface."""

from __future__ import annotations

import polars as pl
from nanoarrow import c_array_stream
from nanoarrow.c_array_stream import CArrayStream


class FrameStream:
    """Frames of the same columns, one behind the other as they lie; there is at least one.

    Polars would join them, as often as it is asked for a stream, and DuckDB asks twice.
    """

    def __init__(self, *frames: pl.DataFrame) -> None:
        """Raises ValueError when the frames differ in their columns: DuckDB reads the schema of the first."""
        schema = frames[0].schema
        for frame in frames:
            if frame.schema != schema:
                raise ValueError(
                    f"found frames of {dict(schema)} and {dict(frame.schema)}, expected the same columns"
                )
        self._frames = frames

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        if len(self._frames) == 1:  # a tenth of a millisecond sooner, which a short commit feels
            return self._frames[0].__arrow_c_stream__(requested_schema)
        streams = [c_array_stream(frame) for frame in self._frames]
        arrays = [array for stream in streams for array in stream]
        # Every array is of the first one's schema, and belongs to nobody else.
        joined = CArrayStream.from_c_arrays(arrays, streams[0].get_schema(), move=True, validate=False)
        return joined.__arrow_c_stream__(requested_schema)
