from __future__ import annotations

import pytest

from tailmetrics.formats import KINDS, open_format
from tests.builders import format_options

COMBINED = b'203.0.113.9 - - [10/Oct/2024:13:55:36 +0000] "GET /cart HTTP/1.1" 200 612 "-" "curl/8.5" 0.123\n'


def reasons(name: str, data: bytes) -> list[str]:
    return open_format(format_options(name)).parse(data, 0).rejects["reason"].to_list()


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
