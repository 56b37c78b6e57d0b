from __future__ import annotations

import json

import pytest

from tailmetrics.formats import KINDS, open_format
from tests.builders import format_options

COMBINED = b'203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 0.123\n'


def reasons(name: str, data: bytes) -> list[str]:
    return open_format(format_options(name)).parse(data, 0).rejects["reason"].to_list()


def docker(line: bytes) -> bytes:
    fields = {"log": line.decode(), "stream": "stdout", "time": "2024-10-10T13:55:36.1Z"}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def test_a_line_of_another_format_is_a_reject_that_names_it() -> None:
    read, unread = reasons("json", COMBINED + b"hello\n")
    assert read.endswith(", expected a JSON object; it is of the format nginx")
    assert unread == "line: found 'hello', expected a JSON object"


def test_a_line_with_another_number_of_fields_is_a_reject_with_the_hint() -> None:
    assert reasons("requests", COMBINED)[0].endswith("; it is of the format nginx")


def test_a_line_of_the_format_with_a_wrong_field_has_no_hint() -> None:
    assert reasons("requests", b"2024-11-06 06:33:33 cust_40 / 999 0.316\n") == [
        "status_code: found '999', expected 100 to 599, or 0, -1, 000 or - for no answer"
    ]


@pytest.mark.parametrize("indent", ["", " "])
def test_an_object_is_told_by_its_keys(indent: str) -> None:
    caddy = indent + KINDS["caddy"].example
    assert reasons("requests", caddy.encode())[0].endswith("; it is of the format caddy")
    assert reasons("caddy", caddy[:-1].encode())[0].endswith(", expected a JSON object")


@pytest.mark.parametrize("wrapper", ["docker", "cri", "syslog", "journald", "envelope", "docker:json"])
def test_a_line_that_nothing_wraps_is_a_reject_that_names_its_format(wrapper: str) -> None:
    assert reasons(wrapper, COMBINED)[0].endswith("; it is of the format nginx")


@pytest.mark.parametrize("name", ["nginx", "json", "requests", "cri", "logfmt"])
def test_a_wrapped_line_is_a_reject_that_names_the_wrapper(name: str) -> None:
    assert reasons(name, docker(COMBINED))[0].endswith("; it is of the format docker")


def test_a_hint_about_what_is_inside_stands_alone() -> None:
    reason = reasons("docker:json", docker(COMBINED))[0]
    assert reason.count("it is of the format") == 1
    assert reason.endswith("; it is of the format nginx")


@pytest.mark.parametrize("name", ["docker", "docker:json"])
def test_the_wrapper_of_the_log_itself_is_no_hint(name: str) -> None:
    line = docker(b'{"customer_id":"c","path":null,"status_code":200,"msg":"a"}\n')
    untimed = docker(COMBINED.replace(b"10/Oct/2024:13:55:36 +0000", b"10/Oct/2024:13:99:36 +0000"))
    assert not any("it is of the format docker" in reason for reason in reasons(name, line + untimed))


def test_a_line_without_a_time_in_syslog_has_no_hint_of_syslog() -> None:
    line = b'Oct 10 13:55:36 web1 app: {"customer_id":"c","path":"/","status_code":"x"}\n'
    pairs = b"[    7.123456] web1 app: user=a path=/ status=200 duration=0.5\n"
    assert not any("it is of the format syslog" in reason for reason in reasons("syslog", line + pairs))


def test_an_unknown_line_inside_of_its_wrapper_has_no_hint() -> None:
    assert "it is of the format" not in reasons("docker", docker(b"hello\n"))[0]


@pytest.mark.parametrize("name", ["w3c", "iis", "cloudfront"])
def test_a_line_without_a_header_before_it_is_a_reject_that_names_its_format(name: str) -> None:
    assert reasons(name, COMBINED)[0].endswith("; it is of the format nginx")


def test_a_line_in_which_another_format_has_the_time_is_a_reject_that_names_it() -> None:
    requests = b"2024-11-06 06:33:33 cust_40 /?a=1 200 0.316\n"
    assert reasons("logfmt", requests)[0].endswith("; it is of the format requests")
    assert reasons("caddy", KINDS["json"].example.encode())[0].endswith("; it is of the format json")


def test_a_request_of_another_program_with_a_message_is_a_reject_that_names_its_format() -> None:
    line = json.dumps(json.loads(KINDS["json"].example) | {"msg": "request"})
    assert reasons("caddy", line.encode())[0].endswith("; it is of the format json")
