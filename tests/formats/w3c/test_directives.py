from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats.w3c import directives
from tailmetrics.formats.w3c.directives import header_after, header_before
from tests.formats.logs import unhurried

LIMIT = 64
_lines = st.lists(
    st.sampled_from(
        [
            b"#Fields: date time\n",
            b"#Fields: c-ip\r\n",
            b"#Software: A\n",
            b"#Date: 2024-01-13\n",
            b"#Remark: x\n",
            b"#Fieldsx: a\n",
            b" #Fields: no\n",
            b"\n",
            b"2024 #Fields: in a line\n",
            b"#Fields: " + b"x" * LIMIT + b"\n",
            b"y" * 3 * LIMIT + b"#Fields: z\n",
            b"\xef\xbb\xbf#Software: B\n",
        ]
    ),
    max_size=12,
)


def header_of(data: bytes) -> bytes:
    """The last of each directive that is no longer than the limit, in plain Python."""
    found = {}
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        text = line.removesuffix(b"\r")
        for name in (b"#Software:", b"#Date:", b"#Fields:"):
            if text.startswith(name) and len(text) <= LIMIT:
                found[name] = text
    return b"\n".join(found[name] for name in (b"#Software:", b"#Date:", b"#Fields:") if name in found)


@unhurried
@given(lines=_lines, cut=st.integers(0, 12))
def test_a_header_is_the_last_directive_of_each_name_however_it_was_come_by(
    lines: list[bytes], cut: int
) -> None:
    first, rest = b"".join(lines[:cut]), b"".join(lines[cut:])
    header = header_after(first, 0, b"", LIMIT)
    assert header == header_of(first)
    assert header_after(rest, len(first), header, LIMIT) == header_of(first + rest)


@pytest.mark.parametrize("backwards", [True, False])
@unhurried
@given(lines=_lines, block=st.integers(1, 200))
def test_the_header_before_a_position_is_found_whatever_the_blocks_are(
    backwards: bool, lines: list[bytes], block: int
) -> None:
    data = b"".join(lines)

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directives, "_BLOCK_BYTES", block)
        found = header_before(read, len(data), LIMIT, backwards=backwards)
    assert found == header_of(data)


def test_no_more_is_read_backwards_than_until_all_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directives, "_BLOCK_BYTES", 64)
    data = b"x\n" * 1000 + b"#Software: A\n#Date: B\n#Fields: C\n" + b"y\n" * 10
    asked = []

    def read(offset: int, length: int) -> bytes:
        asked.append(offset)
        return data[offset : offset + length]

    found = header_before(read, len(data), LIMIT, backwards=True)
    assert (found, min(asked) > 1800) == (b"#Software: A\n#Date: B\n#Fields: C", True)
