"""Kinds of compressed files: those that are read as the log they hold, and those that are only known."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from backports import zstd

from tailmetrics.errors import LoadError

HEAD_BYTES = 512  # so many first bytes tell the kind of a file
_BLOCK_BYTES = 128 * 1024
_MOST_MEMORY = 128 * 1024 * 1024  # that a file can ask for; `xz -9` takes half of it
_XZ_FOOTER_BYTES = 12


class _Decompressor(Protocol):
    """Of one stream, as in the standard library."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Compression:
    """A kind that is read. `codings` are its names in HTTP."""

    name: str
    suffix: str
    begins: re.Pattern[bytes]
    codings: tuple[str, ...]
    open: Callable[[BinaryIO], BinaryIO]
    size: Callable[[BinaryIO], int | None]  # of what it holds, when its ends tell; modulo 2**32


class _Streams(io.RawIOBase):
    """What one stream or more hold, one behind the other, with nothing but zeros between.

    What is neither ends a file for `bz2.open` and `lzma.open`; here it is damage.
    """

    def __init__(self, file: BinaryIO, new: Callable[[], _Decompressor]) -> None:
        self._file = file
        self._new = new
        self._stream: _Decompressor | None = None
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, _whence: int = io.SEEK_SET) -> int:
        if offset < self._position:
            self._file.seek(0)
            self._stream = None
            self._position = 0
        while self._position < offset and self.read(min(_BLOCK_BYTES, offset - self._position)):
            pass
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # what read1 gives
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _next(self, most: int) -> bytes:
        while True:
            if self._stream is None or self._stream.eof:
                packed = self._behind(b"" if self._stream is None else self._stream.unused_data)
                if not packed:
                    return b""
                self._stream = self._new()
            else:
                packed = self._file.read(_BLOCK_BYTES) if self._stream.needs_input else b""
                if self._stream.needs_input and not packed:
                    raise EOFError("it ends before its end-of-stream marker")
            if data := self._stream.decompress(packed, most):
                return data

    def _behind(self, rest: bytes) -> bytes:
        """The first bytes behind a stream that are no padding."""
        rest = rest.lstrip(b"\0")
        while not rest and (block := self._file.read(_BLOCK_BYTES)):
            rest = block.lstrip(b"\0")
        return rest


def _streams(new: Callable[[], _Decompressor]) -> Callable[[BinaryIO], BinaryIO]:
    return lambda file: io.BufferedReader(_Streams(file, new), _BLOCK_BYTES)


def _gzip_size(file: BinaryIO) -> int | None:
    file.seek(-4, io.SEEK_END)
    return int.from_bytes(file.read(4), "little")


def _xz_size(file: BinaryIO) -> int | None:
    """The sum of the sizes in the index before the footer, see section 4 of the .xz file format."""
    end = file.seek(-_XZ_FOOTER_BYTES, io.SEEK_END)
    footer = file.read(_XZ_FOOTER_BYTES)
    index_bytes = 4 * (int.from_bytes(footer[4:8], "little") + 1)
    if footer[10:] != b"YZ" or index_bytes > end:
        return None
    file.seek(end - index_bytes)
    numbers: list[int] = []
    number = shift = 0
    for byte in file.read(index_bytes)[1:]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    # A count of blocks, then two numbers for each: its packed and its own size.
    return sum(numbers[2 : 2 * numbers[0] + 1 : 2]) % 2**32 if numbers else None


def _zstd_size(file: BinaryIO) -> int | None:
    try:
        size = zstd.get_frame_info(file.read(HEAD_BYTES)).decompressed_size
    except zstd.ZstdError:
        return None
    return None if size is None else size % 2**32


KINDS = (
    Compression(
        "gzip",
        ".gz",
        re.compile(rb"\x1f\x8b\x08"),
        ("gzip", "x-gzip"),
        lambda file: gzip.GzipFile(fileobj=file),  # type: ignore[return-value,arg-type,unused-ignore]
        _gzip_size,
    ),
    Compression(
        "xz",
        ".xz",
        re.compile(rb"\xfd7zXZ\0"),
        ("xz", "x-xz"),
        _streams(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MOST_MEMORY)),
        _xz_size,
    ),
    Compression(
        "bzip2",
        ".bz2",
        # The first block's mark, or that of the end when there is none.
        re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
        ("bzip2", "x-bzip2"),
        _streams(bz2.BZ2Decompressor),
        lambda _: None,
    ),
    Compression(
        "zstd",
        ".zst",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL),
        ("zstd", "x-zstd"),
        _streams(zstd.ZstdDecompressor),
        _zstd_size,
    ),
)
SUFFIXES = tuple(kind.suffix for kind in KINDS)
_ENOUGH_BYTES = 16  # to tell what a file is; one that is just written may have fewer
READABLE = "gzip, xz, bzip2 or zstd"
_ONLY_KNOWN = (
    ("a zip archive", re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)"), (".zip",)),
    ("a 7z archive", re.compile(rb"7z\xbc\xaf\x27\x1c"), (".7z",)),
    ("a rar archive", re.compile(rb"Rar!\x1a\x07"), (".rar",)),
    (
        "a tar archive",
        re.compile(rb"(?s)(?=.*\0).{257}ustar"),
        (".tar", ".tgz", ".txz", ".tbz", ".tbz2", ".tzst"),
    ),
    ("an lz4 file", re.compile(rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18"), (".lz4",)),
    ("a file of compress", re.compile(rb"\x1f[\x9d\xa0]"), (".Z",)),
    ("an lzip file", re.compile(rb"LZIP[\0\x01]"), (".lz",)),
    ("an lzop file", re.compile(rb"\x89LZO\0"), (".lzo",)),
    ("an lzma file", re.compile(rb"\x5d\0\0[\0-\xff]{2}"), (".lzma",)),
    ("a snappy file", re.compile(rb"\xff\x06\0\0sNaPpY"), (".sz", ".snappy")),
    ("a brotli file", None, (".br",)),
    ("text in UTF-16, and not UTF-8", re.compile(rb"\xff\xfe|\xfe\xff|(?:[\t-~]\0){8}|(?:\0[\t-~]){8}"), ()),
)


def kind_of_name(name: str) -> Compression | None:
    """The kind that a file is by its name."""
    return next((kind for kind in KINDS if name.endswith(kind.suffix)), None)


def kind_of_content(beginning: bytes) -> Compression | None:
    """The kind that a file is by its first bytes, whatever its name."""
    return next((kind for kind in KINDS if kind.begins.match(beginning)), None)


def kind_of_coding(coding: str) -> Compression | None:
    """The kind of a name in HTTP."""
    return next((kind for kind in KINDS if coding in kind.codings), None)


def found_instead(beginning: bytes, kind: Compression) -> str | None:
    """What a file is that is called like one of the kind, by its first bytes; None when that is not known."""
    if kind.begins.match(beginning) or len(beginning) < _ENOUGH_BYTES:
        return None
    other = kind_of_content(beginning)
    if other is not None:
        return f"a {other.name} file"
    return "plain text" if _is_text(beginning) else None


def no_log(beginning: bytes, name: str = "") -> str | None:
    """What a file is that holds no lines to be read, by its first bytes or, when they are no text, its name.

    None for any other. A log's own name may end like that of a compressed file: shop.com.br.
    """
    for what, begins, suffixes in _ONLY_KNOWN:
        if begins is not None and begins.match(beginning):
            return what
        if name.endswith(suffixes) and not _is_text(beginning):
            return what
    return None


class Decompressed:
    """What a compressed file holds; the file is closed with it.

    Reading goes forward fast and starts again when asked to go back. Raises LoadError for what is not whole.
    """

    def __init__(self, file: BinaryIO, kind: Compression) -> None:
        self._file = file
        self._kind = kind
        self._stream = kind.open(file)

    def read(self, length: int) -> bytes:
        """The next `length` bytes; fewer at the end."""
        try:
            return self._stream.read(length)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise LoadError(f"not a whole {self._kind.name} file ({error})") from error

    def seek(self, offset: int) -> None:
        try:
            self._stream.seek(offset)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
            raise LoadError(f"not a whole {self._kind.name} file ({error})") from error

    def close(self) -> None:
        self._stream.close()
        self._file.close()

    def __enter__(self) -> Decompressed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_text(beginning: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return b"\0" not in beginning
