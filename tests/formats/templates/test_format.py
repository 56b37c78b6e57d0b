"""Lines of a template as records: read by their bytes as by the rules."""

from __future__ import annotations

import re
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from tailmetrics.formats.nginx import nginx_format
from tailmetrics.formats.templates.format import TemplateFormat, template_format
from tests.builders import format_options

from ..logs import few_of_each, many_of_each
from .access_logs import TEMPLATES, lines_of

LIMITED = {"max_line_bytes": 2000, "log_timezone": "Europe/Berlin"}
SETTINGS: dict[str, dict[str, object]] = {
    "nginx": {},
    "nginx in ms": {"log_duration_unit": "ms"},
    "nginx by address": {"log_customer": "address", "log_keep_query": True},
    "nginx without some": {"log_exclude": "bots,/a*", "log_path_patterns": "auto"},
    "nginx by path": {"log_customer": "/{customer},user"},
}
FORMATS = {
    **{
        name: template_format(template, format_options("nginx", **LIMITED))
        for name, template in TEMPLATES.items()
    },
    **{name: nginx_format(format_options("nginx", **LIMITED, **given)) for name, given in SETTINGS.items()},
    "vhost": nginx_format(format_options("vhost_combined", **LIMITED), ("host", "address")),
    **{
        f"{name} by site": template_format(
            TEMPLATES[name], format_options(name, **LIMITED, log_exclude="bots"), ("host", "address")
        )
        for name in ("envoy", "istio", "haproxy in words")
    },
    "haproxy by headers": template_format(
        TEMPLATES["haproxy"], format_options("haproxy", **LIMITED, log_customer="hr,hs,address")
    ),
}


def assert_read_as_by_the_rules(read: TemplateFormat, log: bytes) -> None:
    both, rules = read.parse(log, 7), read._by_rules.parse(log, 7)
    assert_frame_equal(both.records, rules.records, check_exact=True)
    assert_frame_equal(both.rejects, rules.rejects)
    assert both.blanks == rules.blanks


def check_some_lines(name: str, data: st.DataObject, few_lines: int) -> None:
    names = (
        list(TEMPLATES)[:4] + list(TEMPLATES)[-3:-1]
        if name.startswith("nginx")
        else [re.sub(" by .*", "", name)]
    )
    names = [*names, "vhost"] if name == "nginx" else names
    line = st.sampled_from(names).flatmap(lambda each: lines_of(TEMPLATES[each]))
    log = "\n".join(data.draw(st.lists(line, min_size=1, max_size=8))).encode()
    with mock.patch("tailmetrics.formats.text.FEW_LINES", few_lines):
        assert_read_as_by_the_rules(FORMATS[name], log)


@pytest.mark.parametrize("name", FORMATS)
@few_of_each
@given(data=st.data(), few_lines=st.sampled_from([0, 64]))
def test_lines_are_read_by_their_bytes_as_by_the_rules(
    name: str, data: st.DataObject, few_lines: int
) -> None:
    check_some_lines(name, data, few_lines)


@pytest.mark.parametrize("first", ["2001:db8::1", "198.51.100.7", "a:", "a,b:80"])
@pytest.mark.parametrize("name", ["nginx", "vhost"])
def test_addresses_in_a_list_are_no_server_and_its_port(name: str, first: str) -> None:
    line = f'{first}, 203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "-"\n'.encode()
    assert FORMATS[name].parse(line, 0).records["customer_id"].to_list() == [first.partition(",")[0]]
    assert_read_as_by_the_rules(FORMATS[name], line)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", FORMATS)
@many_of_each
@given(data=st.data(), few_lines=st.sampled_from([0, 64]))
def test_five_hundred_logs_are_read_by_their_bytes_as_by_the_rules(
    name: str, data: st.DataObject, few_lines: int
) -> None:
    check_some_lines(name, data, few_lines)


def test_lines_that_differ_from_the_first_are_read_all_the_same() -> None:
    line = '::1 - bob [10/Oct/2024:13:55:36 +0000] "GET / HTTP/1.1" 200 612 "-" "curl"'
    lines = [line, f"{line} 0.5", "garbage", "", f'{line} "10.0.0.1" 0.25 0.2', f"{line} rt=0.125"]
    parsed = nginx_format(format_options("nginx")).parse("\n".join(lines).encode(), 0)
    assert parsed.records["duration"].to_list() == [None, 0.5, 0.25, 0.125]
    assert (parsed.rejects.height, parsed.blanks) == (1, 1)
