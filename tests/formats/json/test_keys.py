from __future__ import annotations

import pytest

from tailmetrics.errors import FormatError
from tailmetrics.formats.json.keys import JsonFields, Objects, read_map
from tailmetrics.formats.lines import split


def value(line: str, *keys: str) -> str:
    objects = Objects(JsonFields({"host": keys}))
    found, _ = objects.decode(split(line.encode(), 1))
    return bytes(objects.values("host", found)[0]).decode()


@pytest.mark.parametrize(
    ("line", "keys", "found"),
    [
        ('{"a":"x"}', ["a"], '"x"'),
        ('{"b":"x"}', ["a"], "null"),
        ('{"a":1e3}', ["a"], "1e3"),
        ('{"a":-0}', ["a"], "-0"),
        ('{"a":123456789012345678901234567890}', ["a"], "123456789012345678901234567890"),
        ('{"a":{"b":"x"}}', ["a.b"], '"x"'),
        ('{"a.b":"x"}', ["a.b"], '"x"'),
        ('{"a.b":"x","a":{"b":"y"}}', ["a.b"], '"y"'),
        ('{"a.b":"x","a":{"b":null}}', ["a.b"], '"x"'),
        ('{"a":"text","a.b":"x"}', ["a.b"], '"x"'),
        ('{"a":[1]}', ["a.b"], "null"),
        ('{"a":1,"a":2}', ["a"], "2"),
        ('{"a":{"b":1},"a":{}}', ["a.b"], "null"),
        ('{"\\u0061":1}', ["a"], "1"),
        ('{"é ü":1}', ["é ü"], "1"),
        ('{"a":"-","b":"y"}', ["a", "b"], '"y"'),
        ('{"a":"","b":"y"}', ["a", "b"], '"y"'),
        ('{"a":null,"b":"y"}', ["a", "b"], '"y"'),
        ('{"b":"y"}', ["a", "b"], '"y"'),
        ('{"a":"x","b":"y"}', ["a", "b"], '"x"'),
        ('{"a":"-","b":null}', ["a", "b"], '"-"'),
        ('{"a":0,"b":1}', ["a", "b"], "0"),
        ('{"c":{"d":"z"},"b":"-"}', ["a", "b", "c.d"], '"z"'),
    ],
)
def test_the_first_key_that_has_something_is_the_value(line: str, keys: list[str], found: str) -> None:
    assert value(line, *keys) == found


def test_what_is_no_object_is_told_and_costs_no_other_line() -> None:
    objects = Objects(JsonFields({"host": ("a",)}))
    found, others = objects.decode(split(b'{"a":1}\n{"a":\n[]\n\n{"a":2}\n', 1))
    assert [bytes(each) for each in objects.values("host", found)] == [b"1", b"null", b"null", b"null", b"2"]
    assert others == [1, 2, 3]


def test_an_object_does_not_go_on_in_the_next_line() -> None:
    objects = Objects(JsonFields({"host": ("a",)}))
    _, others = objects.decode(split(b'{"a":\n1}\n{"a":1} {"a":2}\n', 1))
    assert others == [0, 1, 2]


@pytest.mark.parametrize("key", ['a"b', "a\\b", "a\tb", "", "a.", ".a"])
def test_a_key_that_cannot_be_one_is_named(key: str) -> None:
    with pytest.raises(FormatError, match=r"^LOG_JSON_FIELDS: found .*, expected a key without quotes"):
        JsonFields({"host": (key,)})


def test_a_map_may_name_several_keys_in_order_of_preference() -> None:
    fields = read_map("host = user.id | host ,path=p", ("host", "path"), ())
    assert fields.routes("host") == [("user", "id"), ("user.id",), ("host",)]
    assert fields.routes("path") == [("p",)]


def test_a_map_that_lacks_a_column_is_named() -> None:
    with pytest.raises(FormatError, match="expected a key for path too"):
        read_map("host=a", ("host", "path", "duration"), ("duration",))
