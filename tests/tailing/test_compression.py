"""What compressed files hold, how they are known, and what is wrong with them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib

import pytest
from backports import zstd

from tailmetrics.errors import LoadError
from tailmetrics.tailing.compression import Decompressed, kind_of_content, kind_of_name, no_log
from tests.compressing import COMPRESS, NAMES, each_no_log, each_suffix

CONTENT = os.urandom(300_000) + bytes(1_000_000)


def decompressed(suffix: str, body: bytes) -> bytes:
    kind = kind_of_name(f"x{suffix}")
    assert kind is not None
    with Decompressed(io.BytesIO(body), kind) as stream:
        return b"".join(iter(lambda: stream.read(1 << 16), b""))


@each_suffix
def test_a_kind_is_known_by_its_first_bytes_even_when_it_holds_nothing(suffix: str) -> None:
    kinds = {kind_of_content(COMPRESS[suffix](content)) for content in (b"", b"line\n", CONTENT)}
    assert [kind.name for kind in kinds if kind] == [NAMES[suffix]]


@each_suffix
@pytest.mark.parametrize("between", [b"", bytes(8)], ids=["nothing", "zeros"])
def test_streams_behind_each_other_are_read_as_one(suffix: str, between: bytes) -> None:
    packed = COMPRESS[suffix](CONTENT)
    body = packed + between + packed + bytes(100)
    assert decompressed(suffix, body) == CONTENT * 2


@each_suffix
def test_a_file_of_no_bytes_holds_none(suffix: str) -> None:
    assert decompressed(suffix, b"") == b""


@each_suffix
@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-5],
        lambda packed: packed[:1],
        lambda packed: packed + packed[:30],
        lambda packed: packed + b"x",
        lambda packed: packed + b"more lines\n" * 100,
        lambda _: b"line\n" * 100,
    ],
    ids=["cut off", "one byte", "second stream cut off", "a byte behind", "lines behind", "plain"],
)
def test_what_is_not_whole_is_an_error_that_names_the_kind(suffix: str, damage) -> None:
    with pytest.raises(LoadError, match=f"not a whole {NAMES[suffix]} file"):
        decompressed(suffix, damage(COMPRESS[suffix](CONTENT)))


@pytest.mark.parametrize(
    ("suffix", "packed"),
    [
        (".gz", gzip.compress(CONTENT)),
        (".xz", lzma.compress(CONTENT)),
        (".bz2", bz2.compress(CONTENT)),
        (".zst", zstd.compress(CONTENT, options={zstd.CompressionParameter.checksum_flag: 1})),
    ],
)
def test_changed_bytes_are_noticed_by_the_checksum(suffix: str, packed: bytes) -> None:
    with pytest.raises(LoadError, match=f"not a whole {NAMES[suffix]} file"):
        decompressed(suffix, packed[:1000] + bytes(20) + packed[1020:])


def test_a_file_that_asks_for_more_memory_than_is_allowed_is_an_error() -> None:
    packed = bytearray(lzma.compress(b"line\n"))
    # The filter's flags of the block header: the size of the dictionary, and the checksum of the header.
    begin = packed.index(b"\x21\x01") + 2
    packed[begin] = 36  # 1 GiB
    header = bytes(packed[12 : 12 + 4 * (packed[12] + 1)])
    checksum = zlib.crc32(header[:-4]).to_bytes(4, "little")
    packed[12 + len(header) - 4 : 12 + len(header)] = checksum
    with pytest.raises(LoadError, match="not a whole xz file"):
        decompressed(".xz", bytes(packed))


def test_a_frame_of_zstd_that_is_to_be_skipped_is_skipped() -> None:
    body = b"\x50\x2a\x4d\x18\x04\0\0\0skip" + zstd.compress(b"line\n")
    assert decompressed(".zst", body) == b"line\n"
    assert kind_of_content(body) is kind_of_name("x.zst")


@each_suffix
def test_reading_goes_back_and_forward_over_streams(suffix: str) -> None:
    kind = kind_of_name(f"x{suffix}")
    assert kind is not None
    with Decompressed(io.BytesIO(COMPRESS[suffix](CONTENT) * 2), kind) as stream:
        for offset in (len(CONTENT) + 5, 7, len(CONTENT) - 3, 2 * len(CONTENT)):
            stream.seek(offset)
            assert stream.read(10) == (CONTENT * 2)[offset : offset + 10]


@each_no_log
def test_what_holds_no_lines_is_named(name: str, content: bytes, found: str) -> None:
    kind = kind_of_content(content)
    beginning = content if kind is None else decompressed(kind.suffix, content)
    inner = kind_of_content(beginning)
    assert (no_log(beginning, name) or f"a {inner.name if inner else ''} file in it") == found


@pytest.mark.parametrize("name", ["x.log", "shop.com.br", "lines.Z", "x.zip", "x.tar"], ids=lambda name: name)
def test_lines_are_lines_whatever_the_name_ends_in(name: str) -> None:
    assert no_log("2024-11-06 06:33:33 cäst_1 /p 200 0.3\n".encode() * 12, name) is None
