"""Lines of a template as records: read by their bytes as by the rules."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tailmetrics.formats.nginx import nginx_format
from tailmetrics.formats.templates.format import TemplateFormat, template_format

from ..logs import unhurried
from .access_logs import TEMPLATES, lines_of

FORMATS = {
    **{name: template_format(template, "Europe/Berlin", 2000) for name, template in TEMPLATES.items()},
    "nginx": nginx_format("UTC", 2000),
    "nginx in ms": nginx_format("UTC", 2000, "ms"),
}


def assert_read_as_by_the_rules(read: TemplateFormat, log: bytes) -> None:
    both, rules = read.parse(log, 7), read._rules.parse(log, 7)
    assert_frame_equal(both.records, rules.records, check_exact=True)
    assert_frame_equal(both.rejects, rules.rejects)
    assert both.blanks == rules.blanks


@pytest.mark.parametrize("name", FORMATS)
@unhurried
@given(data=st.data(), few_lines=st.sampled_from([0, 64]))
def test_lines_are_read_by_their_bytes_as_by_the_rules(
    name: str, data: st.DataObject, few_lines: int
) -> None:
    names = list(TEMPLATES)[:4] + list(TEMPLATES)[-3:-1] if name.startswith("nginx") else [name]
    line = st.sampled_from(names).flatmap(lambda each: lines_of(TEMPLATES[each]))
    log = "\n".join(data.draw(st.lists(line, min_size=1, max_size=8))).encode()
    with mock.patch("tailmetrics.formats.templates.clean_records.FEW_LINES", few_lines):
        assert_read_as_by_the_rules(FORMATS[name], log)


def test_lines_that_differ_from_the_first_are_read_all_the_same() -> None:
    line = '::1 - bob [10/Oct/2024:13:55:36 +0000] "GET / HTTP/1.1" 200 612 "-" "curl"'
    lines = [line, f"{line} 0.5", "garbage", "", f'{line} "10.0.0.1" 0.25 0.2', f"{line} rt=0.125"]
    parsed = nginx_format("UTC", 2000).parse("\n".join(lines).encode(), 0)
    assert parsed.records["duration"].to_list() == [None, 0.5, 0.25, 0.125]
    assert (parsed.rejects.height, parsed.blanks) == (1, 1)
