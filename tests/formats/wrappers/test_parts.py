"""Lines in parts: which belong together, and what is whole of a log that has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats import framing
from tailmetrics.formats.framing import framing_of
from tailmetrics.formats.wrappers import WRAPPERS
from tailmetrics.formats.wrappers.format import WrappedFormat
from tailmetrics.formats.wrappers.parts import WITHIN_LINES, end_of_closed, firsts_of
from tailmetrics.sources import CHUNK_LINES
from tests.formats.logs import unhurried

from .wrapping import Keeping, Wrap, cri, docker, docker_in_ascii, full

A, B = "stdout", "stderr"
_UNLIKELY = st.text(
    st.sampled_from('aé\\"n{}<&\u2028') | st.characters(exclude_categories=["Cc", "Cs"]), max_size=6
)
in_each = pytest.mark.parametrize(
    ("name", "wrap"), [("docker", docker), ("docker:json", docker_in_ascii), ("cri", cri)]
)


@pytest.mark.parametrize(
    ("lines", "firsts", "closed"),
    [
        ([(A, False), (B, False)], [0, 1], 2),
        ([(A, True), (A, True), (A, False)], [0, 0, 0], 3),
        ([(A, True), (B, True), (A, False), (B, False)], [0, 1, 0, 1], 4),
        ([(A, False), (A, True), (B, False)], [0, 1, 2], 1),
        ([(A, True), (None, False), (A, False)], [0, 1, 0], 3),
        ([], [], 0),
    ],
)
def test_a_part_goes_on_in_the_next_line_of_its_stream(
    lines: list[tuple[str | None, bool]], firsts: list[int], closed: int
) -> None:
    assert firsts_of(lines) == (firsts, closed)


def test_a_part_that_never_goes_on_is_waited_for_among_the_next_lines_only() -> None:
    others = [(B, False)] * (WITHIN_LINES - 1)
    assert firsts_of([(A, True), *others]) == ([*range(WITHIN_LINES)], 0)
    assert firsts_of([(A, True), *others, (A, False)]) == ([*range(WITHIN_LINES), 0], WITHIN_LINES + 1)
    late = [(A, True), *others, (B, False), (A, False)]
    assert firsts_of(late) == ([*range(WITHIN_LINES + 2)], WITHIN_LINES + 2)


@in_each
def test_a_line_is_whole_with_its_last_part(name: str, wrap: Wrap) -> None:
    first, part, other, last = (
        f"{line}\n".encode()
        for line in (wrap("1", A, False), wrap(full("2"), A, True), wrap("3", B, False), wrap("4", A, False))
    )
    whole = framing_of(name).whole
    assert whole(first + part) == len(first)
    assert whole(part + other) == 0
    assert whole(b"-" + part + other + last, 1) == len(part + other + last)
    assert whole(part + other + last + first[:-1]) == len(part + other + last)
    assert whole(b"\xef\xbb\xbf" + part + last + part) == 3 + len(part + last)


@in_each
def test_of_a_line_whose_parts_do_not_end_in_time_those_are_read_that_are_there(
    name: str, wrap: Wrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing, "CHUNK_LINES", 50)
    part = f"{wrap(full('a'), A, True)}\n".encode()
    whole = framing_of(name).whole
    assert whole(part * 3, 0, 4 * len(part)) == 0
    assert whole(part * 3 + b"{", 0, 3 * len(part) + 1) == 3 * len(part)
    assert whole(part * 52) == 50 * len(part)


def test_of_many_whole_lines_as_many_are_told_of_as_a_chunk_may_have() -> None:
    line = f"{docker('a', A, False)}\n".encode()
    assert framing_of("docker").whole(line * (CHUNK_LINES + 2)) == CHUNK_LINES * len(line)


@pytest.mark.parametrize("name", ["syslog", "syslog:nginx", "journald"])
def test_wrappers_that_keep_lines_whole_are_read_line_by_line(name: str) -> None:
    assert framing_of(name).whole(b"a\nb\nc") == 4


@st.composite
def _logs(draw: st.DrawFn) -> list[tuple[str, str, bool]]:
    """Pieces of lines of two streams, which may come between each other: text, stream, whether it goes on."""
    streams = {
        stream: [
            (full(piece) if number < len(pieces) else piece, stream, number < len(pieces))
            for pieces in draw(st.lists(st.lists(_UNLIKELY, min_size=1, max_size=3), max_size=4))
            for number, piece in enumerate(pieces, 1)
        ]
        for stream in (A, B)
    }
    unfinished = draw(st.sampled_from([A, B, None]))
    if unfinished and streams[unfinished]:
        streams[unfinished].append((full(draw(_UNLIKELY)), unfinished, True))
    log = []
    while left := [stream for stream in streams if streams[stream]]:
        log.append(streams[draw(st.sampled_from(left))].pop(0))
    return log


def _lines_of(log: list[tuple[str, str, bool]], wrapped: list[bytes]) -> list[tuple[int, str]]:
    """The offset and text of each line."""
    lines: list[tuple[int, str]] = []
    open_lines: dict[str, int] = {}
    for (text, stream, goes_on), offset in zip(
        log, (sum(map(len, wrapped[:place])) for place in range(len(log))), strict=True
    ):
        place = open_lines.pop(stream, len(lines))
        if place == len(lines):
            lines.append((offset, ""))
        lines[place] = (lines[place][0], lines[place][1] + text)
        if goes_on:
            open_lines[stream] = place
    return lines


@in_each
@unhurried
@given(log=_logs(), data=st.data())
def test_lines_cut_anywhere_and_between_each_other_are_themselves_however_they_are_read(
    name: str, wrap: Wrap, log: list[tuple[str, str, bool]], data: st.DataObject
) -> None:
    wrapped = [f"{wrap(*piece)}\n".encode() for piece in log]
    content = b"".join(wrapped)
    keeping = Keeping()
    wrapper = WRAPPERS[name.partition(":")[0]]
    read = WrappedFormat(wrapper, keeping, 1 << 20)
    blanks = begin = 0
    for seen in sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=4))):
        frames = content[begin : begin + framing_of(name).whole(content[:seen], begin)]
        blanks += read.parse(frames, begin).blanks
        begin += len(frames)
    blanks += read.parse(content[begin:], begin).blanks
    assert keeping.lines == _lines_of(log, wrapped)
    assert blanks == len(log)
    assert wrapper.may_have_parts(content) or not any(goes_on for _, _, goes_on in log)
    assert end_of_closed(wrapper, content) <= len(content)
