"""Which format a log is in, by its first lines.

The lines are looked at in order, and the first line by which it is decided decides: so the answer is the same
however much more of the log is there when it is asked again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import Final

from tailmetrics.errors import UndecidedFormat
from tailmetrics.formats import KINDS, open_format
from tailmetrics.formats.claims import Claims, claims_of
from tailmetrics.formats.json.keys import object_in
from tailmetrics.formats.json.kinds import lacking
from tailmetrics.formats.json.suggest import duration_called, suggested
from tailmetrics.formats.lines import BYTE_ORDER_MARK
from tailmetrics.formats.logfmt import reading as logfmt
from tailmetrics.formats.templates.access_logs import ambiguity, numbered_format
from tailmetrics.formats.templates.suggest import suggested_template
from tailmetrics.formats.wrappers import LIKE_FORMATS, unwrapped, wrapper_of
from tailmetrics.formats.wrappers.carriers import how_to_leave_out, is_of_journal
from tailmetrics.formats.wrappers.prefixed import PREFIXED
from tailmetrics.settings import FormatOptions
from tailmetrics.settings.names import AUTO, RESULTS

HEAD_BYTES: Final = 64 * 1024  # so much of the beginning decides
_LONGEST_LINE = 64 * 1024 * 1024
_MOST_LINES = 1000
_SHOWN_OF_OBJECT = 60  # characters, as its keys tell what is missing
_SHOWN = 2  # formats that an undecided line is nearest to
_MOST_TOLD = 100  # lines of which one may tell what to set
_DEEPEST_READ = 2  # wrappers, one in the other
_DEEPEST = 3  # of which it is told how they can be read
_MOST_WORDS = 8  # in front of a line that is of a format without them
_UNNAMED = "$http_x"  # as a suggested format string calls what it does not know
_MOST_UNNAMED = 24
_WORD = re.compile(r"[^ \t]+[ \t]+")
_ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+|[0-9a-f]+::|(?:[0-9a-f]+:){4}")
_QUERY = re.compile(r'\?(?:\\.|[^\s"\\])+')  # everybody may see what is told, and they may hold secrets
_ADVICE = "name it with LOG_FORMAT, or as FORMAT=PATH in LOG_FILE_PATH"
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
    is named is not looked for, nor one of a whole log that is blank. Raises UndecidedFormat when the lines
    that are there are of no format, or of several alike.
    """
    if options.name != AUTO:
        return options
    is_all = is_whole and len(head) < HEAD_BYTES
    is_whole = is_whole or len(head) >= HEAD_BYTES
    if is_all and not head.removeprefix(BYTE_ORDER_MARK).strip():
        return options  # no format is needed for blank lines
    lines = list(lines_in(head, is_whole=is_whole))
    losses = _Losses(lines, options)
    names: Counter[str] = Counter()
    looked_at = 0
    of_requests: set[str] = set()  # what wraps the lines of a program wraps those of others too
    claims = claims_of(KINDS, options)
    for number, line in enumerate(lines):
        wrapper = wrapper_of(line)
        claimed, depth = _claimed(line, claims)
        if wrapper and claimed and depth and losses.has_one(number, wrapper, depth):
            claimed, wrapper = [], None
        if claimed and not depth:
            wrapper = None
        if not claimed and line.startswith("#"):
            continue  # a comment, of which only some formats know what it means
        looked_at += 1
        found = [wrapper] if wrapper else claimed
        names.update(found)
        if claimed:
            of_requests.update(found)
        best = names.most_common(_SHOWN)
        is_most = best and best[0][1] * 2 > looked_at and (len(best) == 1 or best[0][1] > best[1][1])
        if is_most and best[0][0] in of_requests:
            asks_unit = not any(map(logfmt.tells_seconds, lines[: number + 1]))
            return replace(options, name=best[0][0], asks_unit=asks_unit)
    if not looked_at and not is_whole:
        return None
    raise UndecidedFormat(_why(lines, Counter({name: names[name] for name in of_requests})))


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


def lines_in(head: bytes, *, is_whole: bool) -> Iterator[str]:
    whole = head if is_whole and len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    for line in whole.removeprefix(BYTE_ORDER_MARK).split(b"\n", _MOST_LINES)[:_MOST_LINES]:
        text = line.rstrip(b"\r").decode("utf-8", "backslashreplace")
        if text.strip():
            yield text


def suggestions(lines: Iterable[str]) -> tuple[str, ...]:
    """Settings that may read lines, or what is inside of them: by keys of objects or pairs, or by words."""
    told = [_Told.of(line) for line in islice(lines, _MOST_TOLD)]
    by_keys = (suggested(each.text) or logfmt.suggested(each.text) for each in told)
    without = ((f"LOG_FORMAT={each.without_duration}",) if each.without_duration else () for each in told)
    by_words = ((each.template,) if each.template else () for each in told)
    return next(filter(None, (*by_keys, *without, *by_words)), ())


def innermost(line: str) -> str:
    """What is inside of a line, of all that it is wrapped in; else the line itself."""
    return _Told.of(line).text


def _claimed(line: str, claims: Mapping[str, Claims]) -> tuple[list[str], int]:
    """The formats that claim a line, or what is inside of it, and in how many wrappers that is."""
    for depth in range(_DEEPEST_READ + 1):
        wrapper = wrapper_of(line)
        # An object that tells a request may have a message too, and a line of a format begin with a time.
        if wrapper is None or wrapper in LIKE_FORMATS:
            claimed = [
                name for name, claim in claims.items() if claim(line) and not (depth and name == RESULTS)
            ]
            if claimed or wrapper is None:
                return claimed, depth
        if depth < _DEEPEST_READ:
            line = unwrapped(line)
    return [], 0


class _Losses:
    """Of which lines the object around them tells how long the request took, and what is inside does not.

    All lines are read once for a wrapper, as soon as one of them may be of these.
    """

    def __init__(self, lines: Sequence[str], options: FormatOptions) -> None:
        self._lines = lines
        self._options = options
        self._read: dict[str, set[int]] = {}  # offsets of lines with a duration inside, by the wrapper
        sizes = (len(line.encode()) + 1 for line in lines)
        self._offsets = list(accumulate(sizes, initial=0))

    def has_one(self, number: int, wrapper: str, depth: int) -> bool:
        """Whether a line is of these, in `depth` wrappers of which `wrapper` is the outer one."""
        carrier = self._lines[number]
        for _ in range(depth):
            if duration_called(object_in(carrier) or {}):
                break
            carrier = unwrapped(carrier)
        else:
            return False
        if wrapper not in self._read:
            data = "".join(f"{line}\n" for line in self._lines).encode()
            records = open_format(replace(self._options, name=wrapper)).parse(data, 0).records
            self._read[wrapper] = set(records.drop_nulls("duration")["offset"])
        return self._offsets[number] not in self._read[wrapper]


@dataclass(frozen=True, slots=True)
class _Told:
    """What is told of a line that decides nothing: `text` is that inside of the wrappers, without queries.

    `duration` is the key under which an object that has a message tells one itself.
    """

    wrappers: tuple[str, ...]
    text: str
    duration: str = ""

    @classmethod
    def of(cls, line: str) -> _Told:
        told = cls((), line)
        outer = ""
        while outer != told.text and (name := wrapper_of(told.text)) and len(told.wrappers) < _DEEPEST:
            key = told.duration or duration_called(object_in(told.text) or {})
            if name in LIKE_FORMATS and suggested(told.text):
                told = replace(told, duration=key)
                break  # an object that tells a request, and has a message too
            inner = cls((*told.wrappers, name), unwrapped(told.text), key)
            if name == PREFIXED.name and not (inner.is_ready or wrapper_of(inner.text)):
                break  # whatever begins with a time
            outer, told = told.text, inner
        return replace(told, text=_QUERY.sub("?…", told.text))

    @property
    def ambiguity(self) -> str:
        return ambiguity(self.text) or logfmt.refused(self.text)

    @property
    def is_ready(self) -> bool:
        """Whether what to set is known."""
        return bool(self.ambiguity or suggested(self.text) or self.without_duration)

    @property
    def without_duration(self) -> str:
        """The wrappers as which the line is read, though without the duration beside it; else empty."""
        is_read = self.duration and any(kind.claims(self.text) for kind in KINDS.values())
        return ":".join(self.wrappers) if is_read else ""

    @property
    def inside(self) -> str:
        """What stands before a format that is inside of the wrappers."""
        return "".join(f"{name}:" for name in self.wrappers)

    @property
    def template(self) -> str:
        """The setting with a server's format string that reads the line, empty without one."""
        template = suggested_template(self.text)
        if template.count(_UNNAMED) > _MOST_UNNAMED:
            return ""  # of words that tell nothing anyone can make one
        return template.replace("LOG_FORMAT='", f"LOG_FORMAT='{self.inside}", 1)

    @property
    def reason(self) -> str:
        inside = self.inside
        if found := self.ambiguity:
            return "format: " + re.sub("LOG_FORMAT=('?)", rf"LOG_FORMAT=\1{inside}", found)
        if wrappers := self.without_duration:
            return (
                f"format: found a duration under {self.duration} beside a line without one, expected it in "
                f"the line; LOG_FORMAT={wrappers} reads the line, and no duration"
            )
        where, advice = "", _ADVICE
        if self.wrappers:
            where, advice = f" inside of {self.wrappers[-1]}", f"name it as LOG_FORMAT={inside}FORMAT"
        if settings := suggested(self.text):
            advice = f"its keys suggest LOG_FORMAT={inside}json with {', '.join(settings)}"
            if ",duration=" not in settings[0]:
                advice += "; no key for the duration was found"
        elif behind := _behind(self.text):
            advice = f"{behind}; else {advice}"
        elif template := self.template:
            advice = f"its words suggest {template}"
        near = ", then ".join(map(str, nearest(self.text)))
        return (
            f"format: found {self.text[:80]!r}{where}, expected a line of a known format"
            + (f"; nearest: {near}" if near else "")
            + f"; {advice}"
        )


def _why(lines: list[str], names: Counter[str]) -> str:
    """Why lines decide nothing; `names` are how many lines are of each format, or of what wraps some."""
    if not lines:
        return f"format: found no line, expected one of a known format; {_ADVICE}"
    if is_of_journal(lines):
        return (
            f"format: found {lines[0][:80]!r}, expected journalctl's lines; have them as `journalctl -o json`"
        )
    best = names.most_common(_SHOWN)
    if not best:
        told = map(_Told.of, lines[:_MOST_TOLD])
        return (next((each for each in told if each.is_ready), None) or _Told.of(lines[0])).reason
    if len(best) > 1 and best[0][1] == best[1][1]:
        return (
            f"format: found lines that {best[0][0]} and {best[1][0]} read alike, expected those of one; "
            f"{_ADVICE}"
        )
    return (
        f"format: found {best[0][1]} of {len(lines)} lines of {best[0][0]}, expected more than half "
        f"to be of one format; {_ADVICE}"
    )


def _behind(line: str) -> str:
    """What is to be done with a line that is of a format but for some words in front of it."""
    words = _WORD.finditer(line, 0, _SHOWN_OF_OBJECT * 4)
    ends = [len(line) - len(line.lstrip(" \t")), *(word.end() for word in words)][: _MOST_WORDS + 1]
    for end in filter(None, ends):
        if _ADDRESS.search(line, 0, end):
            break  # it is a field of the line, which tells the customer
        rest = line[end:]
        name = next((kind.name for kind in KINDS.values() if kind.claims(rest)), numbered_format(rest))
        name = name or ("json" if suggested(rest) else "")
        # Of which the first word may be anything.
        if name and name != "vhost_combined":
            written = f"have it written without that{how_to_leave_out(line[:end])}"
            return f"behind {line[:end]!r} it is of the format {name}: {written}"
    return ""


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
