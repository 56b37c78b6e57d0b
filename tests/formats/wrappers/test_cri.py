"""Lines of https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailmetrics.formats.wrappers.cri import CRI
from tailmetrics.formats.wrappers.wrapper import UNWRAPPED_SCHEMA
from tests.formats.logs import unhurried

from .wrapping import cri

LINES = [
    ("2016-10-06T00:17:09.669794202Z stdout P log content 1", "log content 1", "stdout", True),
    ("2016-10-06T00:17:09.669794203Z stderr F log content 2", "log content 2", "stderr", False),
    ("2016-10-06T00:17:10.113242941Z stderr F:TAG2 The stderr", "The stderr", "stderr", False),
    ("2024-12-26T16:22:13+01:00 stdout P:TAG a stdout F b", "a stdout F b", "stdout", True),
    ("2024-12-26T16:22:13.1-05:30 stdout F ", "", "stdout", False),
    ("2024-12-26T16:22:13Z stdout F", "", "stdout", False),
    ("2024-12-26T16:22:13Z stdout F  indented ", " indented ", "stdout", False),
]
OTHERS = [
    "",
    "x",
    "2024-12-26T16:22:13Z stdin F a",
    "2024-12-26T16:22:13Z stdout X a",
    "2024-12-26T16:22:13Z stdout Fa",
    "2024-12-26 16:22:13Z stdout F a",
    "x 2024-12-26T16:22:13Z stdout F a",
]


@pytest.mark.parametrize(("line", "inner", "stream", "goes_on"), LINES)
def test_a_line_of_a_runtime_is_what_is_inside(line: str, inner: str, stream: str, goes_on: bool) -> None:
    assert CRI.wraps(line)
    assert CRI.unwrap(pl.Series([line])).rows() == [(inner, None, stream, goes_on, line.partition(" ")[0])]
    assert CRI.may_have_parts(line.encode()) is goes_on


@pytest.mark.parametrize("line", OTHERS)
def test_another_line_is_none_of_a_runtime(line: str) -> None:
    unwrapped = CRI.unwrap(pl.Series([line]))
    assert (unwrapped.rows(), unwrapped.schema) == ([(None, None, None, False, None)], UNWRAPPED_SCHEMA)
    assert not CRI.wraps(line)


@unhurried
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")), min_size=1))
def test_any_text_wrapped_and_unwrapped_is_itself(texts: list[str]) -> None:
    lines = [cri(text) for text in texts]
    assert CRI.unwrap(pl.Series(lines))["inner"].to_list() == texts
    assert all(map(CRI.wraps, lines))
