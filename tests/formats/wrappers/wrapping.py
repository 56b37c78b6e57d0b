"""Lines as the wrappers write them, and a format that keeps what it is given to read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tailmetrics.formats.lines import Lines
from tailmetrics.formats.text import text_of
from tailmetrics.records import ParsedLines, no_records, no_rejects

# Of a piece, its stream, and whether it goes on: the line without its end.
Wrap = Callable[[str, str, bool], str]


FULL = 16 * 1024  # bytes, after which Docker cuts a line


def full(text: str) -> str:
    """The text with spaces behind it, as long as a piece that goes on."""
    return text + " " * (FULL - len(text.encode()))


def docker(text: str, stream: str = "stdout", goes_on: bool = False) -> str:
    log = json.dumps(text if goes_on else f"{text}\n", ensure_ascii=False)
    for character in "<>&":  # as Go writes them
        log = log.replace(character, f"\\u{ord(character):04x}")
    return f'{{"log":{log},"stream":"{stream}","time":"2024-12-26T16:22:13.123456789Z"}}'


def docker_in_ascii(text: str, stream: str = "stdout", goes_on: bool = False) -> str:
    log = json.dumps(text if goes_on else f"{text}\n")
    return f'{{"log":{log},"stream":"{stream}","attrs":{{"a":"b"}},"time":"2024-12-26T16:22:13Z"}}'


def cri(text: str, stream: str = "stdout", goes_on: bool = False) -> str:
    return f"2024-12-26T16:22:13.123456789Z {stream} {'P' if goes_on else 'F'} {text}"


@dataclass
class Keeping:
    """Keeps the lines that it reads: their offsets and texts."""

    lines: list[tuple[int, str]] = field(default_factory=list)

    def of_source(self, path: str, written_ns: int) -> Keeping:
        raise AssertionError(path, written_ns)

    def parse(self, data: bytes, offset: int) -> ParsedLines:
        raise AssertionError(data, offset)

    def parse_too_long(self, data: bytes, offset: int) -> ParsedLines:
        raise AssertionError(data, offset)

    def parse_lines(self, lines: Lines) -> ParsedLines:
        self.lines += zip(lines.offsets.tolist(), text_of(lines), strict=True)
        return ParsedLines(no_records(), no_rejects(), len(lines))
