"""Which format a log is in, by its first lines.

The lines are looked at in order, and the first line by which it is decided decides: so the answer is the same
however much more of the log is there when it is asked again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from tailmetrics.errors import UndecidedFormat
from tailmetrics.formats import KINDS
from tailmetrics.formats.claims import claims_of
from tailmetrics.formats.json.kinds import lacking
from tailmetrics.formats.json.suggest import suggested
from tailmetrics.formats.lines import BYTE_ORDER_MARK
from tailmetrics.formats.logfmt.reading import of_unknown_unit
from tailmetrics.formats.templates.access_logs import ambiguity
from tailmetrics.formats.templates.suggest import suggested_template
from tailmetrics.formats.wrappers import inner_text, wrapper_of
from tailmetrics.formats.wrappers.envelope import ENVELOPE
from tailmetrics.settings import FormatOptions
from tailmetrics.settings.names import AUTO

HEAD_BYTES: Final = 64 * 1024  # so much of the beginning decides
_LONGEST_LINE = 64 * 1024 * 1024
_MOST_LINES = 1000
_SHOWN_OF_OBJECT = 60  # characters, as its keys tell what is missing
_SHOWN = 2  # formats that an undecided line is nearest to
_GROUP = re.compile(r"\(\?P<(\w+)>")


@dataclass(frozen=True, slots=True)
class Nearest:
    """A format that nearly reads a line: the field at which it fails, and what stands there."""

    name: str
    field: str
    found: str

    def __str__(self) -> str:
        return f"{self.name} (fails at {self.field}: found {self.found!r})"


def head_of(read: Callable[[int, int], bytes]) -> bytes:
    """The beginning of a log that decides, by `read(offset, length)`; behind first lines that are longer.

    Empty while the end of such a line is not there.
    """
    begin = 0
    while True:
        head = read(begin, HEAD_BYTES)
        if (end := head.find(b"\n")) >= 0:
            return read(begin + end + 1, HEAD_BYTES) if begin else head
        if len(head) < HEAD_BYTES or begin >= _LONGEST_LINE:
            return b"" if begin else head
        begin += HEAD_BYTES


def decided(head: bytes, options: FormatOptions, *, is_whole: bool) -> FormatOptions | None:
    """The options with the format that the first lines are in; None when more of the log is needed.

    `head` are the first HEAD_BYTES of the log or fewer, `is_whole` says that no more will come. A format that
    is named is not looked for. Raises UndecidedFormat when the lines that are there are of no format, or of
    several alike.
    """
    if options.name != AUTO:
        return options
    is_whole = is_whole or len(head) >= HEAD_BYTES
    lines: list[str] = []
    names: Counter[str] = Counter()
    looked_at = 0
    requests_found = False  # what wraps the lines of a program wraps those of others too
    claims = claims_of(KINDS, options)
    for line in _lines(head, is_whole=is_whole):
        lines.append(line)
        wrapper = wrapper_of(line)
        inside = inner_text(line)
        claimed = [name for name, claim in claims.items() if claim(inside)]
        if wrapper == ENVELOPE.name and (own := [name for name, claim in claims.items() if claim(line)]):
            wrapper, claimed = None, own  # an object that tells a request, and has a message too
        if not claimed and line.startswith("#"):
            continue  # a comment, of which only some formats know what it means
        looked_at += 1
        names.update([wrapper] if wrapper else claimed)
        requests_found |= bool(claimed)
        best = names.most_common(_SHOWN)
        is_most = best and best[0][1] * 2 > looked_at and (len(best) == 1 or best[0][1] > best[1][1])
        if is_most and requests_found:
            return replace(options, name=best[0][0])
    if not looked_at and not is_whole:
        return None
    raise UndecidedFormat(_why(lines, names, is_inside=requests_found))


def of_whole(head: bytes, options: FormatOptions) -> FormatOptions:
    """The same of a log that will not grow; the options as they are when its lines do not tell."""
    try:
        return decided(head, options, is_whole=True) or options
    except UndecidedFormat:
        return options


def is_of(name: str, read: Callable[[int, int], bytes], options: FormatOptions) -> bool:
    """Whether a log is in a format, as far as its lines tell; `read` is as of head_of."""
    if options.name == AUTO:
        options = of_whole(head_of(read), options)
    return options.name == name


def nearest(line: str) -> list[Nearest]:
    """The formats that read most of the beginning of a line, or of an object, the nearest first."""
    if objects := lacking(line):
        return [Nearest(name, field, line[:_SHOWN_OF_OBJECT]) for name, field in objects[:_SHOWN]]
    found = []
    for kind in KINDS.values():
        read, field = _read_of(kind.pattern, line) if kind.pattern else (0, "")
        if read:
            found.append((read, Nearest(kind.name, field, line[read : read + 40])))
    found.sort(key=lambda each: -each[0])
    return [each for _, each in found[:_SHOWN]]


def _lines(head: bytes, *, is_whole: bool) -> Iterator[str]:
    whole = head if is_whole and len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    for line in whole.removeprefix(BYTE_ORDER_MARK).split(b"\n", _MOST_LINES)[:_MOST_LINES]:
        text = line.rstrip(b"\r").decode("utf-8", "backslashreplace")
        if text.strip():
            yield text


def suggestions(line: str) -> tuple[str, ...]:
    """Settings that may read a line, or the one inside of it: by the keys of an object, or by its words."""
    inside = inner_text(line)
    template = suggested_template(inside)
    return suggested(line) or suggested(inside) or ((template,) if template else ())


def _why(lines: list[str], names: Counter[str], *, is_inside: bool) -> str:
    """Why lines decide nothing; `is_inside` is whether a known one is in any of those that are wrapped."""
    advice = "name it with LOG_FORMAT, or as FORMAT=PATH in LOG_FILE_PATH"
    if not lines:
        return f"format: found no line, expected one of a known format; {advice}"
    best = names.most_common(_SHOWN)
    if best and not is_inside and (line := next(filter(wrapper_of, lines), None)):
        return _why_inside(line, best[0][0])
    if len(best) > 1 and best[0][1] == best[1][1]:
        return (
            f"format: found lines that {best[0][0]} and {best[1][0]} read alike, expected those of one; "
            f"{advice}"
        )
    if best:
        return (
            f"format: found {best[0][1]} of {len(lines)} lines of {best[0][0]}, expected more than half "
            f"to be of one format; {advice}"
        )
    return _why_not(lines[0], "", advice)


def _why_inside(line: str, wrapper: str) -> str:
    """Why the line inside of a wrapped one is of no known format, or the object of what has a message too."""
    if wrapper == ENVELOPE.name and suggested(line):
        return _why_not(line, "", "")
    return _why_not(inner_text(line), f" inside of {wrapper}", f"name it as LOG_FORMAT={wrapper}:FORMAT")


def _why_not(line: str, where: str, advice: str) -> str:
    if ambiguous := ambiguity(line) or of_unknown_unit(line):
        return f"format: {ambiguous}"
    if settings := suggestions(line):
        is_template = settings[0].startswith("LOG_FORMAT=")
        suggest = "words suggest" if is_template else "keys suggest LOG_FORMAT=json with"
        advice = f"its {suggest} {', '.join(settings)}"
    near = ", then ".join(map(str, nearest(line)))
    return (
        f"format: found {line[:80]!r}{where}, expected a line of a known format"
        + (f"; nearest: {near}" if near else "")
        + f"; {advice}"
    )


def _read_of(pattern: str, line: str) -> tuple[int, str]:
    """How many characters a pattern reads before the first field at which it fails, and that field."""
    read, field = 0, ""
    for group in _GROUP.finditer(pattern):
        try:
            match = re.match(pattern[: group.start()].replace(r"\z", r"\Z"), line)
        except re.error:
            continue  # it ends within a choice
        if match is None:
            break
        read, field = match.end(), group[1]
    return read, field
