"""What makes compressed files, by the suffix of their names, and files that are compressed otherwise."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable

import pytest
from backports import zstd

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstd.compress,
}
NAMES = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2", ".zst": "zstd"}
each_suffix = pytest.mark.parametrize("suffix", COMPRESS)


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.log", content)
    return file.getvalue()


def tarred(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("x.log")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


# Name of the file, its bytes, and what it is called in the sentence that refuses it.
NO_LOGS = [
    ("x.zip", zipped(b"line\n"), "a zip archive"),
    ("zip.log", zipped(b"line\n"), "a zip archive"),
    ("x.7z", b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
    ("x.log.lz4", b"\x04\x22\x4d\x18\x64\x40\xa7", "an lz4 file"),
    ("x.log.Z", b"\x1f\x9d\x90l\xd2\xb8", "a file of compress"),
    ("x.log.br", b"\x8b\x02\x80line\n\x03", "a brotli file"),
    ("utf-16-le.log", "GET /cart\n".encode("utf-16-le"), "text in UTF-16, and not UTF-8"),
    ("utf-16-be.log", "GET /cart\n".encode("utf-16-be"), "text in UTF-16, and not UTF-8"),
    ("x.tar", tarred(b"line\n"), "a tar archive"),
    ("x.tar.gz", gzip.compress(tarred(b"line\n")), "a tar archive"),
    ("x.tar.zst", zstd.compress(tarred(b"line\n")), "a tar archive"),
    ("x.log.xz", lzma.compress(gzip.compress(b"line\n")), "a gzip file in it"),
]
each_no_log = pytest.mark.parametrize(
    ("name", "content", "found"), NO_LOGS, ids=[name for name, *_ in NO_LOGS]
)
