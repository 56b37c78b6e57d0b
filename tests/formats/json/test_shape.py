from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tailmetrics.formats.json.keys import JsonFields
from tailmetrics.formats.json.shape import Shapes, shape_of
from tailmetrics.formats.lines import split

FIELDS = JsonFields({"host": ("h",), "path": ("r.p",)})
LINE = b'{"n":-1.5,"h":"x","r":{"m":"GET","p":"/a"},"tags":["t",1],"ok":true,"d":0.25}'


def read(*lines: bytes, times: int = 200) -> tuple[list[int], dict[str, list[str | None]]]:
    """Of lines that follow each other so often: which were taken, and the values of the first of each."""
    found = Shapes(FIELDS, ["host", "path"]).values(split(b"\n".join(lines * times), 1))
    places: list[int] = []
    texts: dict[int, list[str | None]] = {}
    for group, values in found:
        places += group.tolist()
        for number, *row in zip(group, *(values[name].texts() for name in ("host", "path")), strict=True):
            texts.setdefault(int(number) % len(lines), row)
    return sorted({place % len(lines) for place in places}), texts  # type: ignore[return-value]


def test_lines_of_one_shape_are_taken_with_their_values() -> None:
    other = LINE.replace(b'"x"', b'"a longer one"').replace(b'"/a"', b'""').replace(b"0.25", b"null")
    assert read(LINE, other) == ([0, 1], {0: ["x", "/a"], 1: ["a longer one", ""]})


def test_several_shapes_are_learned() -> None:
    assert read(LINE, b'{"r":{"p":"/b"},"h":7}', b'{"h": "x", "r": {"p": "/c"}}')[0] == [0, 1, 2]


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace(b'"h"', b'"H"'),
        LINE.replace(b'"x"', b'"\\u0041"'),
        LINE.replace(b'"x"', b'"x""'),
        LINE.replace(b'"x"', b'x"'),
        LINE.replace(b'"GET"', b'"GET",'),
        LINE.replace(b"-1.5", b"-1."),
        LINE.replace(b"-1.5", b"01"),
        LINE.replace(b"-1.5", b""),
        LINE.replace(b"-1.5", b".5"),
        LINE.replace(b"-1.5", b"NaN"),
        LINE.replace(b"-1.5", b"1 2"),
        LINE.replace(b"-1.5", b"[1]"),
        LINE.replace(b"-1.5", b'{"h":1}'),
        LINE.replace(b"true", b"True"),
        LINE.replace(b"true", b"nul"),
        LINE.replace(b"true", b"fals"),
        LINE.replace(b"true", b"xtrue"),
        LINE.replace(b"true", b"falsey"),
        LINE.replace(b"0.25", b"0.25}"),
        LINE[:-1],
        b" " + LINE,
        LINE + b" ",
        LINE + LINE,
        LINE[:-5],
    ],
)
def test_a_line_is_taken_only_if_it_is_an_object_with_these_keys(line: bytes) -> None:
    taken, _ = read(LINE, line, LINE, LINE)
    try:
        is_object = isinstance(msgspec.json.decode(line), dict) and b'"H"' not in line
    except msgspec.MsgspecError:
        is_object = False
    assert 1 not in taken or is_object
    assert 0 in taken


@pytest.mark.parametrize(
    "number",
    [b"0", b"-0", b"10", b"1e3", b"-1.5E-7", b"123456789.123456789", b"0.5", b"true", b"false", b"null"],
)
def test_any_number_or_name_of_json_is_a_value(number: bytes) -> None:
    assert read(LINE, LINE.replace(b"-1.5", number))[0] == [0, 1]


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b'"x"',
        b"{}",
        b'{"h":"x"',
        b'{"h":"x","h":"y","r":{"p":1}}',
        b'{"h":"x","r":{"p":"a"},"r":{"q":"a"}}',
        b'{"h":{"a":"x"},"r":{"p":"/"}}',
        b'{"h":["x"],"r":{"p":"/"}}',
        b'{"h":"x","r":{"p":"/"},"' + b"k" * 1000 + b'":"x"}',
    ],
)
def test_a_line_whose_values_have_no_one_place_has_no_shape(line: bytes) -> None:
    assert shape_of(line, FIELDS) is None


def test_arrays_of_one_length_are_part_of_a_shape() -> None:
    lines = [b'{"h":"x","r":{"p":"/"},"n":[1,22,{"h":3}]}', b'{"h":"y","r":{"p":"/"},"n":[11,2,{"h":[]}]}']
    assert read(*lines)[1] == {0: ["x", "/"], 1: ["y", "/"]}


def test_a_shape_without_a_column_is_not_taken() -> None:
    assert read(b'{"h":"x"}')[0] == []


def test_the_first_key_is_not_taken_where_it_has_nothing_and_another_may() -> None:
    shapes = Shapes(JsonFields({"host": ("u", "h")}), ["host"])
    lines = split(b"\n".join([b'{"u":"bob","h":"x"}', b'{"u":"-","h":"x"}'] * 100), 1)
    [(places, values)] = shapes.values(lines)
    assert np.array_equal(places, np.arange(0, 200, 2))
    assert set(values["host"].texts()) == {"bob"}


def test_few_lines_are_left_to_the_parser() -> None:
    assert read(LINE, times=3)[0] == []
