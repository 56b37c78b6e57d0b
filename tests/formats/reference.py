"""What the bytes of a log mean, said once more in plain Python, a line at a time."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Literal

Record = tuple[datetime, str, str, int, float | None]

_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.(\d{1,9}))?", re.ASCII)
_NO_ANSWER = ("0", "-1", "000", "-")
_UNKNOWN_DURATION = re.compile(r"|-|-1|-1\.0+", re.ASCII)
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def lines_of(data: bytes, offset: int) -> list[tuple[int, bytes]]:
    """Each line without its end, and its byte offset in the source."""
    lines = []
    for line in _pieces(data):
        lines.append((offset, line.removesuffix(b"\n").removesuffix(b"\r")))
        offset += len(line)
    if lines and lines[0][0] == 0:
        lines[0] = (0, lines[0][1].removeprefix(b"\xef\xbb\xbf"))
    return lines


def _pieces(data: bytes) -> list[bytes]:
    pieces = [piece + b"\n" for piece in data.split(b"\n")]
    pieces[-1] = pieces[-1].removesuffix(b"\n")
    return pieces if pieces[-1] else pieces[:-1]


def request_of(line: bytes, max_line_bytes: int) -> Record | Literal["blank", "reject"]:
    """A line of the format `requests`, whose time is in UTC."""
    if len(line) > max_line_bytes or b"\0" in line:
        return "reject"
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return "reject"
    if not text.strip(_WHITE_SPACE):
        return "blank"
    fields = text.split(" ")
    if len(fields) != 6:
        return "reject"
    date, clock, customer, path, status, duration = fields
    is_unknown = _UNKNOWN_DURATION.fullmatch(duration)
    time = _TIME.fullmatch(f"{date} {clock}")
    right = (
        time
        and 1 <= len(customer) <= 256
        and not any(unicodedata.category(character) == "Cc" for character in customer)
        and path
        and (status in _NO_ANSWER or re.fullmatch("[1-5][0-9][0-9]", status))
        and (is_unknown or (_DURATION.fullmatch(duration) and float(duration) <= 1e9))
    )
    if not time or not right:
        return "reject"
    fraction = time[1]
    try:
        moment = datetime.fromisoformat(f"{date} {clock[:8]}.{(fraction or '')[:6].ljust(6, '0')}")
    except ValueError:
        return "reject"
    return (
        moment,
        customer,
        path.partition("?")[0] or "/",
        0 if status in _NO_ANSWER else int(status),
        None if is_unknown else float(duration),
    )
