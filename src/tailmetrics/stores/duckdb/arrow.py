"""Frames as DuckDB reads them without pyarrow: by the Arrow C stream interface."""

from __future__ import annotations

import contextlib
import ctypes
import errno
from collections.abc import Iterator, Sequence

import polars as pl

_CAPSULE_NAME = b"arrow_array_stream"


class _CArray(ctypes.Structure):
    """https://arrow.apache.org/docs/format/CDataInterface.html"""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class _CStream(ctypes.Structure):
    """https://arrow.apache.org/docs/format/CStreamInterface.html"""


_Pointer = ctypes.POINTER(_CStream)
_GetSchema = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_void_p)
_GetNext = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.POINTER(_CArray))
_GetLastError = ctypes.CFUNCTYPE(ctypes.c_void_p, _Pointer)
_Release = ctypes.CFUNCTYPE(None, _Pointer)
_CStream._fields_ = [
    ("get_schema", _GetSchema),
    ("get_next", _GetNext),
    ("get_last_error", _GetLastError),
    ("release", _Release),
    ("private_data", ctypes.c_void_p),
]

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]


class FrameStream:
    """A frame reduced to the one method by which DuckDB reads it without pyarrow."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


class FramesStream:
    """Frames of the same columns, one behind the other as they lie.

    Polars would join them, as often as it is asked for a stream, and DuckDB asks twice.
    """

    def __init__(self) -> None:
        self._frames: Sequence[pl.DataFrame] = ()
        self._rest: Iterator[pl.DataFrame] = iter(())
        self._stream: object = None  # of the frame that is read
        self._error = ctypes.create_string_buffer(b"")
        # What C code calls has to live as long as it may.
        self._functions = (
            _GetSchema(self._get_schema),
            _GetNext(self._get_next),
            _GetLastError(self._get_last_error),
            _Release(self._release),
        )
        self._opened: list[_CStream] = []

    @contextlib.contextmanager
    def of(self, frames: Sequence[pl.DataFrame]) -> Iterator[FramesStream]:
        """Itself, with these frames to read, of which there is at least one.

        Raises ValueError when they differ in their columns: DuckDB asks for the schema of the first alone.
        """
        schema = frames[0].schema
        for frame in frames:
            if frame.schema != schema:
                raise ValueError(
                    f"found frames of {dict(schema)} and {dict(frame.schema)}, expected the same columns"
                )
        self._frames = frames
        try:
            yield self
        finally:
            self._frames, self._rest, self._stream = (), iter(()), None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        self._rest, self._stream = iter(self._frames), None
        stream = _CStream(*self._functions)
        self._opened = [*self._opened[-1:], stream]  # of the one before only the schema is read
        return _new_capsule(ctypes.addressof(stream), _CAPSULE_NAME, None)

    # An exception that left one of these would be printed and forgotten: they return an error's number.

    def _get_schema(self, _: object, out: int) -> int:
        try:
            capsule = self._frames[0].__arrow_c_stream__()
            stream = _stream_of(capsule)
            return int(stream.get_schema(stream, out))
        except BaseException as error:  # noqa: BLE001
            return self._failed(error)

    def _get_next(self, _: object, out: ctypes._Pointer[_CArray]) -> int:
        try:
            while True:
                if self._stream is None:
                    frame = next(self._rest, None)
                    if frame is None:
                        ctypes.memset(out, 0, ctypes.sizeof(_CArray))  # an array without `release` is the end
                        return 0
                    self._stream = frame.__arrow_c_stream__()
                stream = _stream_of(self._stream)
                status = int(stream.get_next(stream, out))
                if status or out.contents.release:
                    return status
                self._stream = None
        except BaseException as error:  # noqa: BLE001
            return self._failed(error)

    def _get_last_error(self, _: object) -> int:
        return ctypes.addressof(self._error)

    def _release(self, pointer: ctypes._Pointer[_CStream]) -> None:
        pointer.contents.release = _Release()  # which tells that it is released

    def _failed(self, error: BaseException) -> int:
        self._error = ctypes.create_string_buffer(str(error).encode())
        return errno.EIO


def _stream_of(capsule: object) -> _CStream:
    """What the capsule holds, as long as the capsule is there."""
    return ctypes.cast(_pointer_of(capsule, _CAPSULE_NAME), _Pointer).contents
